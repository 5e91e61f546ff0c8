//! Words that a driver passes on: to the preprocessor (`-Wp,`), to clang's compiler proper (`-Xclang`) and to the
//! assembler (`-Wa,`).

use super::command::Command;
use super::read::lookup;
use super::role::{Role, Role::*};
use crate::option::Takes::{Nothing, Prefix, Separate};
use crate::option::{Table, find, row};
use crate::{Caution, Included, NotOurs, Step, assembler};

/// What the preprocessor proper reads otherwise than the driver: there `-MD` takes the name of the file.
static PREPROCESSOR: Table<Role> = Table::new(&[
    row("-MD", Separate, RuleFile),
    row("-MMD", Separate, RuleFile),
    row("-v", Nothing, Talk),
]);

/// Options of clang's compiler proper that take a word or change what is made.
static CLANG: Table<Role> = Table::new(&[
    row("-load", Separate, Plugin),
    row("-plugin", Separate, PluginArgument),
    row("-add-plugin", Separate, PluginArgument),
    row(
        "-plugin-arg-",
        Prefix,
        Refuse("what a plugin makes of it is unknown"),
    ),
    row("-include-pch", Separate, PrecompiledHeader),
    // How CMake gives a header that is precompiled.
    row("-include", Separate, Forced(Included::Whole)),
    row("-target-feature", Separate, Facts),
    row("-target-cpu", Separate, Facts),
    row("-mllvm", Separate, Llvm),
    row("-disable-llvm-passes", Nothing, Facts),
    row("-disable-O0-optnone", Nothing, Facts),
    row("-no-opaque-pointers", Nothing, Facts),
    row("-opaque-pointers", Nothing, Facts),
    row("-fno-pch-timestamp", Nothing, Facts),
    row("-relaxed-aliasing", Nothing, Facts),
    row("-verify", Nothing, Refuse("diagnostics are compared")),
]);

impl Command {
    /// What the preprocessor was told directly. Its macros come after the driver's own.
    pub(super) fn say_to_preprocessor(&mut self) -> Result<(), NotOurs> {
        let words = std::mem::take(&mut self.for_preprocessor);
        let mut rest = words.as_slice();
        while let Some(first) = rest.first() {
            let own = find(&PREPROCESSOR, rest)?;
            let found = match own {
                Some(found) => Some(found),
                None => lookup(self.is_clang(), rest)?,
            };
            let found = found.ok_or_else(|| NotOurs::UnknownOption {
                option: first.clone(),
            })?;
            let taken = rest.get(..found.words).unwrap_or_default();
            match found.row.role {
                RuleFile if own.is_some() => self.rules.direct = Some(found.text().to_owned()),
                Ignore | Define | Undefine | Assert | Forced(_) | Search(_) | NoStandard | NoStandardCxx
                | Talk | HeaderRoot | Note(_) | RuleTarget => self.option(&found, taken)?,
                Facts | Careful(_) => {
                    self.option(&found, &[])?;
                    for word in taken {
                        self.facts.extend(["-Xpreprocessor".into(), word.into()]);
                    }
                }
                _ => return Err(NotOurs::unsupported(first, "said to the preprocessor alone")),
            }
            rest = rest.get(found.words..).unwrap_or_default();
        }
        Ok(())
    }

    /// What clang's compiler proper was told directly.
    pub(super) fn say_to_clang(&mut self) -> Result<(), NotOurs> {
        let words = std::mem::take(&mut self.for_clang);
        let mut rest = words.as_slice();
        while let Some(first) = rest.first() {
            let mut taken = 1;
            if first == "-emit-pch" {
                self.emit_pch = true;
            } else {
                let found = match find(&CLANG, rest)? {
                    Some(found) => found,
                    None => plain_flag(rest)?.ok_or_else(|| NotOurs::UnknownOption {
                        option: first.clone(),
                    })?,
                };
                taken = found.words;
                self.option(&found, std::slice::from_ref(first))?;
                if found.row.role.is_fact() {
                    // The words were put as if they were the driver's own.
                    self.facts.pop();
                    for word in rest.get(..taken).unwrap_or_default() {
                        self.facts.extend(["-Xclang".into(), word.into()]);
                    }
                }
            }
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// What the assembler was told directly.
    pub(super) fn say_to_assembler(&mut self, step: &mut Step) -> Result<(), NotOurs> {
        let words = std::mem::take(&mut self.for_assembler);
        if words.is_empty() {
            return Ok(());
        }
        let assembling = assembler::read(&words)?;
        if assembling.output.is_some() || !assembling.sources.is_empty() || assembling.probes {
            return Err(NotOurs::Contradiction {
                because: "the assembler is told another source or product",
            });
        }
        if let Some(preprocessing) = &mut step.preprocessing {
            preprocessing.assembler_directories.extend(assembling.directories);
        }
        for written in assembling.written {
            step.writes(written, true);
        }
        self.debug |= assembling.debug;
        if assembling.talks {
            step.caution.push(Caution::Talkative);
        }
        Ok(())
    }
}

/// Flags of the compiler proper that read as the driver's own do, and never take a word.
fn plain_flag(words: &[String]) -> Result<Option<crate::option::Found<'_, Role>>, NotOurs> {
    let first = words.first().map(String::as_str).unwrap_or_default();
    if !["-f", "-W", "-w", "-std="]
        .iter()
        .any(|beginning| first.starts_with(beginning))
    {
        return Ok(None);
    }
    Ok(lookup(true, words)?
        .filter(|found| found.words == 1 && matches!(found.row.role, Facts | Ignore | Note(_))))
}
