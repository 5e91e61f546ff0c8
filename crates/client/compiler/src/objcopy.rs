//! `objcopy` and `strip`: a file in, the same file or another out.

use crate::environment;
use crate::invocation::path;
use crate::option::Takes::{Either, Equals, EqualsOrNext, MaybeEquals, Nothing};
use crate::option::{Table, find, row};
use crate::{Caution, Kind, NotOurs, Step, Tool};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Ignore,
    Output,
    Input,
    /// `section=file`, read.
    SectionInput,
    /// `section=file`, written.
    SectionOutput,
    Written,
    Dated,
    Talk,
    Ask,
}

use Role::{Ask, Dated, Ignore, Input, Output, SectionInput, SectionOutput, Talk, Written};

/// What both know.
static SHARED: Table<Role> = Table::new(&[
    row("-I", Either, Ignore),
    row("--input-target", EqualsOrNext, Ignore),
    row("-O", Either, Ignore),
    row("--output-target", EqualsOrNext, Ignore),
    row("-F", Either, Ignore),
    row("--target", EqualsOrNext, Ignore),
    row("-p", Nothing, Dated),
    row("--preserve-dates", Nothing, Dated),
    row("-D", Nothing, Ignore),
    row("--enable-deterministic-archives", Nothing, Ignore),
    row("-U", Nothing, Dated),
    row("--disable-deterministic-archives", Nothing, Dated),
    row("-R", Either, Ignore),
    row("--remove-section", EqualsOrNext, Ignore),
    row("--remove-relocations", EqualsOrNext, Ignore),
    row("-g", Nothing, Ignore),
    row("-S", Nothing, Ignore),
    row("--strip-debug", Nothing, Ignore),
    row("--strip-all", Nothing, Ignore),
    row("--strip-all-gnu", Nothing, Ignore),
    row("--strip-dwo", Nothing, Ignore),
    row("--strip-unneeded", Nothing, Ignore),
    row("--strip-sections", Nothing, Ignore),
    row("--only-keep-debug", Nothing, Ignore),
    row("-N", Either, Ignore),
    row("--strip-symbol", EqualsOrNext, Ignore),
    row("-K", Either, Ignore),
    row("--keep-symbol", EqualsOrNext, Ignore),
    row("--keep-section", EqualsOrNext, Ignore),
    row("--keep-section-symbols", Nothing, Ignore),
    row("--keep-file-symbols", Nothing, Ignore),
    row("-w", Nothing, Ignore),
    row("--wildcard", Nothing, Ignore),
    row("--regex", Nothing, Ignore),
    row("-x", Nothing, Ignore),
    row("--discard-all", Nothing, Ignore),
    row("-X", Nothing, Ignore),
    row("--discard-locals", Nothing, Ignore),
    row("-M", Nothing, Ignore),
    row("--merge-notes", Nothing, Ignore),
    row("--no-merge-notes", Nothing, Ignore),
    row("--allow-broken-links", Nothing, Ignore),
    row("-v", Nothing, Talk),
    row("--verbose", Nothing, Talk),
    row("-V", Nothing, Ask),
    row("--version", Nothing, Ask),
    row("-h", Nothing, Ask),
    row("--help", Nothing, Ask),
    row("--info", Nothing, Ask),
]);

/// What only `strip` knows.
static STRIP: Table<Role> = Table::new(&[
    row("-o", Either, Output),
    row("-s", Nothing, Ignore),
    row("-d", Nothing, Ignore),
    row("-T", Nothing, Ignore),
]);

/// What only `objcopy` knows.
static OBJCOPY: Table<Role> = Table::new(&[
    row("-B", Either, Ignore),
    row("--binary-architecture", EqualsOrNext, Ignore),
    row("--debugging", Nothing, Ignore),
    row("-j", Either, Ignore),
    row("--only-section", EqualsOrNext, Ignore),
    row("--add-gnu-debuglink", EqualsOrNext, Input),
    row("--extract-dwo", Nothing, Ignore),
    row("--extract-symbol", Nothing, Ignore),
    row("--strip-unneeded-symbol", EqualsOrNext, Ignore),
    row("--strip-non-alloc", Nothing, Ignore),
    row("--localize-hidden", Nothing, Ignore),
    row("-L", Either, Ignore),
    row("--localize-symbol", EqualsOrNext, Ignore),
    row("--globalize-symbol", EqualsOrNext, Ignore),
    row("-G", Either, Ignore),
    row("--keep-global-symbol", EqualsOrNext, Ignore),
    row("-W", Either, Ignore),
    row("--weaken-symbol", EqualsOrNext, Ignore),
    row("--weaken", Nothing, Ignore),
    row("-i", Either, Ignore),
    row("--interleave", MaybeEquals, Ignore),
    row("--interleave-width", EqualsOrNext, Ignore),
    row("-b", Either, Ignore),
    row("--byte", EqualsOrNext, Ignore),
    row("--gap-fill", EqualsOrNext, Ignore),
    row("--pad-to", EqualsOrNext, Ignore),
    row("--set-start", EqualsOrNext, Ignore),
    row("--change-start", EqualsOrNext, Ignore),
    row("--adjust-start", EqualsOrNext, Ignore),
    row("--change-addresses", EqualsOrNext, Ignore),
    row("--adjust-vma", EqualsOrNext, Ignore),
    row("--change-section-address", EqualsOrNext, Ignore),
    row("--adjust-section-vma", EqualsOrNext, Ignore),
    row("--change-section-lma", EqualsOrNext, Ignore),
    row("--change-section-vma", EqualsOrNext, Ignore),
    row("--change-warnings", Nothing, Ignore),
    row("--no-change-warnings", Nothing, Ignore),
    row("--adjust-warnings", Nothing, Ignore),
    row("--no-adjust-warnings", Nothing, Ignore),
    row("--set-section-flags", EqualsOrNext, Ignore),
    row("--set-section-alignment", EqualsOrNext, Ignore),
    row("--set-section-type", EqualsOrNext, Ignore),
    row("--rename-section", EqualsOrNext, Ignore),
    row("--add-section", EqualsOrNext, SectionInput),
    row("--update-section", EqualsOrNext, SectionInput),
    row("--dump-section", EqualsOrNext, SectionOutput),
    row("--long-section-names", EqualsOrNext, Ignore),
    row("--change-leading-char", Nothing, Ignore),
    row("--remove-leading-char", Nothing, Ignore),
    row("--reverse-bytes", EqualsOrNext, Ignore),
    row("--redefine-sym", EqualsOrNext, Ignore),
    row("--redefine-syms", EqualsOrNext, Input),
    row("--srec-len", EqualsOrNext, Ignore),
    row("--srec-forceS3", Nothing, Ignore),
    row("--strip-symbols", EqualsOrNext, Input),
    row("--strip-unneeded-symbols", EqualsOrNext, Input),
    row("--keep-symbols", EqualsOrNext, Input),
    row("--localize-symbols", EqualsOrNext, Input),
    row("--globalize-symbols", EqualsOrNext, Input),
    row("--keep-global-symbols", EqualsOrNext, Input),
    row("--weaken-symbols", EqualsOrNext, Input),
    row("--add-symbol", EqualsOrNext, Ignore),
    row("--alt-machine-code", EqualsOrNext, Ignore),
    row("--writable-text", Nothing, Ignore),
    row("--readonly-text", Nothing, Ignore),
    row("--pure", Nothing, Ignore),
    row("--impure", Nothing, Ignore),
    row("--prefix-symbols", EqualsOrNext, Ignore),
    row("--prefix-sections", EqualsOrNext, Ignore),
    row("--prefix-alloc-sections", EqualsOrNext, Ignore),
    row("--file-alignment", EqualsOrNext, Ignore),
    row("--heap", EqualsOrNext, Ignore),
    row("--image-base", EqualsOrNext, Ignore),
    row("--section-alignment", EqualsOrNext, Ignore),
    row("--stack", EqualsOrNext, Ignore),
    row("--subsystem", EqualsOrNext, Ignore),
    row("--compress-debug-sections", MaybeEquals, Ignore),
    row("--decompress-debug-sections", Nothing, Ignore),
    row("--elf-stt-common", Equals, Ignore),
    row("--verilog-data-width", EqualsOrNext, Ignore),
    row("--new-symbol-visibility", EqualsOrNext, Ignore),
    row("--split-dwo", EqualsOrNext, Written),
]);

/// A command line of `objcopy` or `strip`.
pub(crate) fn parse(tool: Tool, arguments: &[String]) -> Result<Step, NotOurs> {
    let mut step = Step::new(tool, Kind::Transform);
    let own = if tool == Tool::Strip { &STRIP } else { &OBJCOPY };
    let mut operands: Vec<&str> = Vec::new();
    let mut output: Option<&str> = None;
    let mut asks = false;
    let mut rest = arguments;
    while let Some(first) = rest.first() {
        let mut words = 1;
        if first == "-" || first == "--" {
            return Err(NotOurs::unsupported(first, "an operand without a name"));
        } else if !first.starts_with('-') {
            operands.push(first);
        } else {
            let found = find(own, rest)?.or(find(&SHARED, rest)?);
            let found = found.ok_or_else(|| NotOurs::UnknownOption {
                option: first.clone(),
            })?;
            words = found.words;
            let value = found.text();
            let of_section = || {
                value
                    .split_once('=')
                    .map(|(_, file)| file)
                    .ok_or_else(|| NotOurs::unsupported(first, "no `=` after the section"))
            };
            match found.row.role {
                Role::Ignore => {}
                Role::Output => output = Some(value),
                Role::Input => step.inputs.push(path(value)),
                Role::SectionInput => step.inputs.push(path(of_section()?)),
                Role::SectionOutput => step.writes(of_section()?, true),
                Role::Written => step.writes(value, true),
                Role::Dated => step.caution.push(Caution::Timestamps),
                Role::Talk => step.caution.push(Caution::Talkative),
                Role::Ask => asks = true,
            }
        }
        rest = rest.get(words..).unwrap_or_default();
    }
    step.environment = environment::names(tool, false);
    if asks {
        step.kind = Kind::Probe;
        step.stdout = true;
        step.outputs.clear();
        return Ok(step);
    }
    if step.caution.contains(&Caution::Talkative) {
        step.stdout = true;
    }
    place(tool, &operands, output, &mut step)?;
    Ok(step)
}

/// Which file goes where.
fn place(tool: Tool, operands: &[&str], output: Option<&str>, step: &mut Step) -> Result<(), NotOurs> {
    step.sources = match (tool, operands) {
        (_, []) => return Err(NotOurs::NoInput),
        (Tool::Objcopy, [input, output]) if input != output => {
            step.writes(*output, true);
            vec![path(input)]
        }
        (Tool::Objcopy, [file] | [file, _]) => {
            in_place(file, step);
            vec![path(file)]
        }
        (Tool::Objcopy, _) => {
            return Err(NotOurs::Contradiction {
                because: "more than two files",
            });
        }
        (_, [input]) if output.is_some() => {
            let output = output.unwrap_or_default();
            if output == *input {
                in_place(output, step);
            } else {
                step.writes(output, true);
            }
            vec![path(input)]
        }
        (_, _) if output.is_some() => {
            return Err(NotOurs::Contradiction {
                because: "one product of several files",
            });
        }
        (_, files) => {
            for file in files {
                in_place(file, step);
            }
            files.iter().map(|file| path(file)).collect()
        }
    };
    Ok(())
}

fn in_place(file: &str, step: &mut Step) {
    step.writes(file, true);
    step.caution.push(Caution::InPlace);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spelling_once() {
        crate::option::assert_no_duplicates(&SHARED);
        crate::option::assert_no_duplicates(&STRIP);
        crate::option::assert_no_duplicates(&OBJCOPY);
    }
}
