//! `tsc`: only where the command line says what is compiled and where it goes.
//!
//! Without a file, or with `--project`, a `tsconfig.json` decides both, and it may inherit from others. With files but
//! without a directory for products, every imported file gets its product beside it. Both are not ours.

use crate::environment;
use crate::invocation::path;
use crate::option::Takes::{Nothing, Separate};
use crate::option::{Table, find, row};
use crate::{Caution, Kind, Language, NotOurs, Step, Tool};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A flag; `true` or `false` may follow.
    Flag,
    Word,
    Input,
    Directory,
    Filled,
    Written,
    NoEmit,
    Ask,
    Talk,
    Refuse(&'static str),
}

/// Names are compared without regard to case, as `tsc` does; short forms are there too.
static ROWS: Table<Role> = Table::new(&[
    row("--outdir", Separate, Role::Filled),
    row("--outfile", Separate, Role::Written),
    row("--declarationdir", Separate, Role::Filled),
    row("--noemit", Nothing, Role::NoEmit),
    row("--project", Separate, Role::Refuse("a project file decides")),
    row("-p", Separate, Role::Refuse("a project file decides")),
    row("--build", Nothing, Role::Refuse("project files decide")),
    row("-b", Nothing, Role::Refuse("project files decide")),
    row("--watch", Nothing, Role::Refuse("it never ends")),
    row("-w", Nothing, Role::Refuse("it never ends")),
    row(
        "--incremental",
        Nothing,
        Role::Refuse("the previous build is read and written"),
    ),
    row(
        "-i",
        Nothing,
        Role::Refuse("the previous build is read and written"),
    ),
    row(
        "--composite",
        Nothing,
        Role::Refuse("the previous build is read and written"),
    ),
    row(
        "--tsbuildinfofile",
        Separate,
        Role::Refuse("the previous build is read and written"),
    ),
    row(
        "--generatetrace",
        Separate,
        Role::Refuse("a trace with times is written"),
    ),
    row(
        "--generatecpuprofile",
        Separate,
        Role::Refuse("a profile with times is written"),
    ),
    row("--init", Nothing, Role::Refuse("a project file is written")),
    row("--typeroots", Separate, Role::Directory),
    row("--rootdir", Separate, Role::Word),
    row("--rootdirs", Separate, Role::Word),
    row("--baseurl", Separate, Role::Word),
    row("--target", Separate, Role::Word),
    row("-t", Separate, Role::Word),
    row("--module", Separate, Role::Word),
    row("-m", Separate, Role::Word),
    row("--moduleresolution", Separate, Role::Word),
    row("--lib", Separate, Role::Word),
    row("--types", Separate, Role::Word),
    row("--jsx", Separate, Role::Word),
    row("--newline", Separate, Role::Word),
    row("--locale", Separate, Role::Word),
    row("--sourceroot", Separate, Role::Word),
    row("--maproot", Separate, Role::Word),
    row("--ignoreconfig", Nothing, Role::Flag),
    row("--declaration", Nothing, Role::Flag),
    row("-d", Nothing, Role::Flag),
    row("--declarationmap", Nothing, Role::Flag),
    row("--emitdeclarationonly", Nothing, Role::Flag),
    row("--sourcemap", Nothing, Role::Flag),
    row("--inlinesourcemap", Nothing, Role::Flag),
    row("--inlinesources", Nothing, Role::Flag),
    row("--strict", Nothing, Role::Flag),
    row("--noimplicitany", Nothing, Role::Flag),
    row("--noemitonerror", Nothing, Role::Flag),
    row("--skiplibcheck", Nothing, Role::Flag),
    row("--esmoduleinterop", Nothing, Role::Flag),
    row("--allowjs", Nothing, Role::Flag),
    row("--checkjs", Nothing, Role::Flag),
    row("--removecomments", Nothing, Role::Flag),
    row("--isolatedmodules", Nothing, Role::Flag),
    row("--preserveconstenums", Nothing, Role::Flag),
    row("--pretty", Nothing, Role::Flag),
    row("--diagnostics", Nothing, Role::Talk),
    row("--listfiles", Nothing, Role::Talk),
    row("--version", Nothing, Role::Ask),
    row("-v", Nothing, Role::Ask),
    row("--help", Nothing, Role::Ask),
    row("-h", Nothing, Role::Ask),
    row("--all", Nothing, Role::Ask),
    row("--showconfig", Nothing, Role::Ask),
    row("--resolvejsonmodule", Nothing, Role::Flag),
    row("--plugins", Separate, Role::Input),
]);

/// A command line of `tsc`.
pub(crate) fn parse(arguments: &[String]) -> Result<Step, NotOurs> {
    let mut step = Step::new(Tool::Tsc, Kind::Generate);
    step.language = Some(Language::TypeScript);
    step.environment = environment::names(Tool::Tsc, false);
    // Imports, and packages above the sources.
    step.caution.push(Caution::InputsNameInputs);
    let (mut asks, mut has_place) = (false, false);
    let mut rest = arguments;
    while let Some(first) = rest.first() {
        let mut words = 1;
        if first.starts_with('@') {
            return Err(NotOurs::unsupported(first, "a response file"));
        } else if !first.starts_with('-') {
            step.sources.push(path(first));
        } else {
            let lower = [first.to_lowercase()];
            let spelled: Vec<String> = lower
                .iter()
                .chain(rest.get(1..).unwrap_or_default().first())
                .cloned()
                .collect();
            let unknown = || NotOurs::UnknownOption {
                option: first.clone(),
            };
            let (role, value) = match find(&ROWS, &spelled)? {
                Some(found) => {
                    words = found.words;
                    (found.row.role, found.text().to_owned())
                }
                None => return Err(unknown()),
            };
            match role {
                Role::Flag | Role::NoEmit => {
                    has_place |= role == Role::NoEmit;
                    if let Some("true" | "false") = rest.get(1).map(String::as_str) {
                        return Err(NotOurs::unsupported(first, "a flag with a value"));
                    }
                }
                Role::Word => {}
                Role::Input => step.inputs.push(path(&value)),
                Role::Directory => step.input_directories.extend(value.split(',').map(path)),
                Role::Filled => {
                    has_place |= first.eq_ignore_ascii_case("--outdir");
                    step.fills(value);
                }
                Role::Written => {
                    has_place = true;
                    step.writes(value, true);
                }
                Role::Ask => asks = true,
                Role::Talk => step.caution.push(Caution::Talkative),
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
    if step.sources.is_empty() {
        return Err(NotOurs::unsupported("tsc", "a project file decides"));
    }
    if !has_place {
        return Err(NotOurs::unsupported(
            "tsc",
            "without `--outDir`, products are put beside every imported file",
        ));
    }
    if step.outputs.is_empty() {
        step.kind = Kind::SyntaxOnly;
    }
    // Declarations and maps go beside what `--outFile` names.
    for flag in ["declaration", "-d", "sourcemap", "declarationmap"] {
        let says = |word: &String| word.trim_start_matches("--").eq_ignore_ascii_case(flag);
        if arguments.iter().any(says)
            && step
                .outputs
                .iter()
                .any(|output| output.shape == crate::Shape::File)
        {
            return Err(NotOurs::unsupported(flag, "files beside the one that is named"));
        }
    }
    Ok(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spelling_once_and_in_small_letters() {
        crate::option::assert_no_duplicates(&ROWS);
        assert!(ROWS.rows.iter().all(|row| row.name == row.name.to_lowercase()));
    }
}
