//! Tools that read a source as clang would, by a compile command after `--`: `clang-tidy`, `header-abi-dumper`.

use crate::invocation::path;
use crate::option::Takes::{EqualsOrNext, MaybeEquals, Nothing};
use crate::option::{Table, find_spelled, row};
use crate::tool::ToolName;
use crate::{Caution, Invocation, Kind, NotOurs, Step, Tool, driver, environment};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Ignore,
    Word,
    Input,
    Plugin,
    Overlay,
    Written,
    /// A word for the compile command.
    Before,
    /// As `Before`, after it.
    After,
    Ask,
    Refuse(&'static str),
}

/// One dash stands for two.
static TIDY: Table<Role> = Table::new(&[
    row("-checks", EqualsOrNext, Role::Word),
    row("-config", EqualsOrNext, Role::Word),
    row("-config-file", EqualsOrNext, Role::Input),
    row("-export-fixes", EqualsOrNext, Role::Written),
    row("-extra-arg", EqualsOrNext, Role::After),
    row("-extra-arg-before", EqualsOrNext, Role::Before),
    row("-fix", Nothing, Role::Refuse("sources are edited")),
    row("-fix-errors", Nothing, Role::Refuse("sources are edited")),
    row("-fix-notes", Nothing, Role::Refuse("sources are edited")),
    row("-format-style", EqualsOrNext, Role::Word),
    row("-header-filter", EqualsOrNext, Role::Word),
    row("-exclude-header-filter", EqualsOrNext, Role::Word),
    row("-line-filter", EqualsOrNext, Role::Word),
    row("-load", EqualsOrNext, Role::Plugin),
    row("-p", EqualsOrNext, Role::Word),
    row("-quiet", Nothing, Role::Ignore),
    row("-system-headers", Nothing, Role::Ignore),
    row("-use-color", MaybeEquals, Role::Ignore),
    row("-warnings-as-errors", EqualsOrNext, Role::Word),
    row("-allow-enabling-analyzer-alpha-checkers", Nothing, Role::Ignore),
    row(
        "-store-check-profile",
        EqualsOrNext,
        Role::Refuse("profiles with times are written"),
    ),
    row("-enable-check-profile", Nothing, Role::Refuse("times are said")),
    row("-vfsoverlay", EqualsOrNext, Role::Overlay),
    row("-list-checks", Nothing, Role::Ask),
    row("-dump-config", Nothing, Role::Ask),
    row("-explain-config", Nothing, Role::Ask),
    row("-verify-config", Nothing, Role::Ask),
    row("-version", Nothing, Role::Ask),
    row("-help", Nothing, Role::Ask),
]);

static DUMPER: Table<Role> = Table::new(&[
    row("-o", EqualsOrNext, Role::Written),
    row("-I", EqualsOrNext, Role::Word),
    row("-root-dir", EqualsOrNext, Role::Word),
    row("-no-filter", Nothing, Role::Ignore),
    row("-output-format", EqualsOrNext, Role::Word),
    row("-input-format", EqualsOrNext, Role::Word),
    row("-dump-exported-only", Nothing, Role::Ignore),
    row("-dump-function-declarations", Nothing, Role::Ignore),
    row("-suppress-errors", Nothing, Role::Ignore),
    row("-extra-arg", EqualsOrNext, Role::After),
    row("-extra-arg-before", EqualsOrNext, Role::Before),
    row("-version", Nothing, Role::Ask),
    row("-help", Nothing, Role::Ask),
]);

/// A command line of such a tool.
pub(crate) fn parse(tool: Tool, arguments: &[String], invocation: &Invocation) -> Result<Step, NotOurs> {
    let rows = if tool == Tool::ClangTidy { &TIDY } else { &DUMPER };
    let (own, compile) = match arguments.iter().position(|word| word == "--") {
        Some(at) => {
            let (own, compile) = arguments.split_at(at);
            (own, compile.get(1..))
        }
        None => (arguments, None),
    };
    let mut said = Step::new(tool, Kind::SyntaxOnly);
    let (mut before, mut after, mut sources) = (Vec::new(), Vec::new(), Vec::new());
    let mut asks = false;
    let mut rest = own;
    while let Some(first) = rest.first() {
        let mut words = 1;
        if !first.starts_with('-') {
            sources.push(first.clone());
        } else {
            let spelled = first
                .strip_prefix('-')
                .filter(|rest| rest.starts_with('-'))
                .unwrap_or(first);
            // `-Idir` in one word is the dumper's only joined form.
            let found = find_spelled(rows, spelled, rest.get(1))?;
            let Some(found) = found else {
                if tool == Tool::HeaderAbiDumper && first.starts_with("-I") {
                    rest = rest.get(1..).unwrap_or_default();
                    continue;
                }
                return Err(NotOurs::UnknownOption {
                    option: first.clone(),
                });
            };
            words = found.words;
            let value = found.text();
            match found.row.role {
                Role::Ignore | Role::Word => {}
                Role::Input => said.inputs.push(path(value)),
                Role::Plugin => {
                    said.inputs.push(path(value));
                    said.caution.push(Caution::Plugin);
                }
                Role::Overlay => {
                    said.inputs.push(path(value));
                    said.caution.push(Caution::Overlay);
                }
                Role::Written => said.writes(value, true),
                Role::Before => before.push(value.to_owned()),
                Role::After => after.push(value.to_owned()),
                Role::Ask => asks = true,
                Role::Refuse(because) => return Err(NotOurs::unsupported(first, because)),
            }
        }
        rest = rest.get(words..).unwrap_or_default();
    }
    if asks {
        let mut step = Step::new(tool, Kind::Probe);
        step.stdout = true;
        step.environment = environment::names(tool, false);
        return Ok(step);
    }
    let Some(compile) = compile else {
        return Err(NotOurs::unsupported(
            "--",
            "without it, a compilation database decides",
        ));
    };
    if sources.is_empty() {
        return Err(NotOurs::NoInput);
    }
    let command: Vec<String> = before
        .into_iter()
        .chain(compile.iter().cloned())
        .chain(after)
        .chain(["-fsyntax-only".to_owned()])
        .chain(sources)
        .collect();
    let clang = ToolName {
        tool: Tool::ClangDriver,
        cxx: false,
    };
    let read = driver::parse(clang, &command, invocation)?;
    Ok(combined(tool, said, read))
}

/// What the compile command reads, and what the tool itself reads and writes.
fn combined(tool: Tool, said: Step, read: Step) -> Step {
    let mut step = Step {
        tool,
        kind: if tool == Tool::ClangTidy {
            Kind::SyntaxOnly
        } else {
            Kind::Generate
        },
        // The compile command's own products are not made.
        outputs: said.outputs,
        depfile: None,
        stdout: tool == Tool::ClangTidy,
        environment: environment::names(tool, false),
        ..read
    };
    step.inputs.extend(said.inputs);
    step.caution.extend(said.caution);
    if tool == Tool::ClangTidy {
        // `.clang-tidy` of every directory above the source.
        step.caution.push(Caution::InputsNameInputs);
        // Fixes without a problem are no file.
        for output in &mut step.outputs {
            output.required = false;
        }
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spelling_once() {
        crate::option::assert_no_duplicates(&TIDY);
        crate::option::assert_no_duplicates(&DUMPER);
    }
}
