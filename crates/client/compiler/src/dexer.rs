//! Android's `d8` and `r8`.

use crate::environment;
use crate::invocation::path;
use crate::javac::class_path;
use crate::option::Takes::{Nothing, Prefix, Separate};
use crate::option::{Table, find, row};
use crate::{Caution, Kind, Language, NotOurs, Step, Tool};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Ignore,
    /// An option with a word that names no file.
    Word,
    Input,
    /// A file of rules, which may include others.
    Rules,
    ClassPath,
    Output,
    Written,
    Ask,
    Refuse(&'static str),
}

/// What both know.
static SHARED: Table<Role> = Table::new(&[
    row("--output", Separate, Role::Output),
    row("--lib", Separate, Role::ClassPath),
    row("--classpath", Separate, Role::ClassPath),
    row("--main-dex-list", Separate, Role::Input),
    row("--main-dex-rules", Separate, Role::Rules),
    row("--main-dex-list-output", Separate, Role::Written),
    row("--desugared-lib", Separate, Role::Input),
    row("--desugared-lib-pg-conf-output", Separate, Role::Written),
    row("--art-profile", Separate, Role::Refuse("two files follow")),
    row("--startup-profile", Separate, Role::Input),
    row("--debug", Nothing, Role::Ignore),
    row("--release", Nothing, Role::Ignore),
    row("--no-desugaring", Nothing, Role::Ignore),
    row("--min-api", Separate, Role::Word),
    row("--thread-count", Separate, Role::Word),
    row("--map-diagnostics", Prefix, Role::Refuse("two words follow")),
    row("--android-platform-build", Nothing, Role::Ignore),
    row("--force-enable-assertions", Prefix, Role::Ignore),
    row("--version", Nothing, Role::Ask),
    row("--help", Nothing, Role::Ask),
]);

static D8: Table<Role> = Table::new(&[
    row("--intermediate", Nothing, Role::Ignore),
    row("--file-per-class", Nothing, Role::Ignore),
    row("--file-per-class-file", Nothing, Role::Ignore),
    row("--globals", Separate, Role::Input),
    row("--globals-output", Separate, Role::Written),
    row("--pg-map", Separate, Role::Input),
]);

/// Options of r8, and of the ProGuard that it takes the place of.
static R8: Table<Role> = Table::new(&[
    row("-injars", Separate, Role::ClassPath),
    row("-libraryjars", Separate, Role::ClassPath),
    row("-include", Separate, Role::Rules),
    row("--pg-conf", Separate, Role::Rules),
    row("--pg-map-output", Separate, Role::Written),
    row("-printmapping", Separate, Role::Written),
    row("-printconfiguration", Separate, Role::Written),
    row("-printusage", Separate, Role::Written),
    row("-printseeds", Separate, Role::Written),
    row("-applymapping", Separate, Role::Input),
    row("-dontobfuscate", Nothing, Role::Ignore),
    row("-dontoptimize", Nothing, Role::Ignore),
    row("-dontshrink", Nothing, Role::Ignore),
    row("-dontwarn", Nothing, Role::Refuse("a pattern may follow")),
    row("-ignorewarnings", Nothing, Role::Ignore),
    row("-forceprocessing", Nothing, Role::Ignore),
    row("--force-proguard-compatibility", Nothing, Role::Ignore),
    row("--pg-compat", Nothing, Role::Ignore),
    row("--no-data-resources", Nothing, Role::Ignore),
    row("--no-tree-shaking", Nothing, Role::Ignore),
    row("--no-minification", Nothing, Role::Ignore),
    row("--classfile", Nothing, Role::Ignore),
    row("--dex", Nothing, Role::Ignore),
    row("--store-store-fence-constructor-inlining", Nothing, Role::Ignore),
]);

/// A command line of `d8` or `r8`.
pub(crate) fn parse(tool: Tool, arguments: &[String]) -> Result<Step, NotOurs> {
    let mut step = Step::new(tool, Kind::Generate);
    step.language = Some(Language::Java);
    step.environment = environment::names(tool, false);
    let own = if tool == Tool::D8 { &D8 } else { &R8 };
    let mut output = None;
    let mut asks = false;
    let mut rest = arguments;
    while let Some(first) = rest.first() {
        let mut words = 1;
        if !first.starts_with('-') {
            step.sources.push(path(first));
        } else {
            let found = find(own, rest)?.or(find(&SHARED, rest)?);
            let found = found.ok_or_else(|| NotOurs::UnknownOption {
                option: first.clone(),
            })?;
            words = found.words;
            let value = found.text();
            match found.row.role {
                Role::Ignore | Role::Word => {}
                Role::Input => step.inputs.push(path(value)),
                Role::Rules => {
                    step.inputs.push(path(value));
                    step.caution.push(Caution::InputsNameInputs);
                }
                // ProGuard's lists may filter: `a.jar(!META-INF/**)`.
                Role::ClassPath if value.contains('(') => {
                    return Err(NotOurs::unsupported(first, "a filter"));
                }
                Role::ClassPath => class_path(value, &mut step),
                Role::Output => output = Some(value),
                Role::Written => step.writes(value, true),
                Role::Ask => asks = true,
                Role::Refuse(because) => return Err(NotOurs::unsupported(first, because)),
            }
        }
        rest = rest.get(words..).unwrap_or_default();
    }
    if asks {
        step.kind = Kind::Probe;
        step.stdout = true;
        step.outputs.clear();
        return Ok(step);
    }
    if step.sources.is_empty() && step.inputs.is_empty() {
        return Err(NotOurs::NoInput);
    }
    match output {
        Some(output) if output.ends_with(".jar") || output.ends_with(".zip") || output.ends_with(".apk") => {
            step.writes(output, true);
        }
        Some(output) => step.fills(output),
        None => {
            return Err(NotOurs::unsupported(
                "--output",
                "without it, the working directory is filled",
            ));
        }
    }
    Ok(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spelling_once() {
        crate::option::assert_no_duplicates(&SHARED);
        crate::option::assert_no_duplicates(&D8);
        crate::option::assert_no_duplicates(&R8);
    }
}
