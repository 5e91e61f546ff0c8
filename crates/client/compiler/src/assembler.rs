//! `as`: its own command line, and what a driver passes on to it (`-Wa,`).

use std::path::PathBuf;

use crate::environment;
use crate::invocation::path;
use crate::option::Takes::{Either, Equals, EqualsOrNext, Joined, MaybeEquals, Nothing, Prefix, Separate};
use crate::option::{Row, find, row};
use crate::step::Preprocessing;
use crate::{Caution, Kind, Language, NotOurs, Step, Tool};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Ignore,
    Output,
    Directory,
    Written,
    Listing,
    DebugInfo,
    MapPath,
    Talk,
    Ask,
    Refuse(&'static str),
}

use Role::{Ask, DebugInfo, Directory, Ignore, Listing, MapPath, Output, Refuse, Talk, Written};

static ROWS: &[Row<Role>] = &[
    row("-o", Either, Output),
    row("-I", Either, Directory),
    row("--MD", EqualsOrNext, Written),
    row("-a", Prefix, Listing),
    row("-al", Prefix, Listing),
    row("-g", Nothing, DebugInfo),
    row("--gen-debug", Nothing, DebugInfo),
    row("-gdwarf", Prefix, DebugInfo),
    row("--gdwarf", Prefix, DebugInfo),
    row("--gdwarf-sections", Nothing, Ignore),
    row("--gdwarf-cie-version", Equals, Ignore),
    row("-gstabs", Prefix, DebugInfo),
    row("--gstabs", Prefix, DebugInfo),
    row("--gsframe", MaybeEquals, Ignore),
    row("--debug-prefix-map", EqualsOrNext, MapPath),
    row("--defsym", EqualsOrNext, Ignore),
    row("--alternate", Nothing, Ignore),
    row("--compress-debug-sections", MaybeEquals, Ignore),
    row("-compress-debug-sections", MaybeEquals, Ignore),
    row("--nocompress-debug-sections", Nothing, Ignore),
    row("-nocompress-debug-sections", Nothing, Ignore),
    row("--divide", Nothing, Ignore),
    row("--execstack", Nothing, Ignore),
    row("--noexecstack", Nothing, Ignore),
    row("--size-check", Equals, Ignore),
    row("--elf-stt-common", Equals, Ignore),
    row("--sectname-subst", Nothing, Ignore),
    row("--generate-missing-build-notes", Equals, Ignore),
    row("--fatal-warnings", Nothing, Ignore),
    row("--warn", Nothing, Ignore),
    row("--no-warn", Nothing, Ignore),
    row("--no-type-check", Nothing, Ignore),
    row("--keep-locals", Nothing, Ignore),
    row("--hash-size", EqualsOrNext, Ignore),
    row("--reduce-memory-overheads", Nothing, Ignore),
    row("--strip-local-absolute", Nothing, Ignore),
    row("--traditional-format", Nothing, Ignore),
    row("--multibyte-handling", Equals, Ignore),
    row("--listing-lhs-width", EqualsOrNext, Ignore),
    row("--listing-lhs-width2", EqualsOrNext, Ignore),
    row("--listing-rhs-width", EqualsOrNext, Ignore),
    row("--listing-cont-lines", EqualsOrNext, Ignore),
    row("--mri", Nothing, Refuse("another syntax")),
    row("-M", Nothing, Refuse("another syntax")),
    row("--32", Nothing, Ignore),
    row("--64", Nothing, Ignore),
    row("--x32", Nothing, Ignore),
    row("-EB", Nothing, Ignore),
    row("-EL", Nothing, Ignore),
    row("-KPIC", Nothing, Ignore),
    row("-mrelax-relocations", Equals, Ignore),
    row("-m", Joined, Ignore),
    row("-W", Nothing, Ignore),
    row("-w", Nothing, Ignore),
    row("-O", Prefix, Ignore),
    row("-L", Nothing, Ignore),
    row("-R", Nothing, Ignore),
    row("-J", Nothing, Ignore),
    row("-K", Nothing, Ignore),
    row("-Z", Nothing, Ignore),
    row("-X", Nothing, Ignore),
    row("-D", Nothing, Ignore),
    row("-f", Nothing, Ignore),
    row("-k", Nothing, Ignore),
    row("-n", Nothing, Ignore),
    row("-q", Nothing, Ignore),
    row("-s", Nothing, Ignore),
    row("-nocpp", Nothing, Ignore),
    row("-no-pad-sections", Nothing, Ignore),
    row("-Qy", Nothing, Ignore),
    row("-Qn", Nothing, Ignore),
    row("-V", Nothing, Talk),
    row("-v", Nothing, Talk),
    row("-version", Nothing, Ask),
    row("--statistics", Nothing, Talk),
    row("--version", Nothing, Ask),
    row("--help", Nothing, Ask),
    row("--target-help", Nothing, Ask),
    row("--dump-config", Nothing, Ask),
    row("-t", Separate, Refuse("a table of names is read and written")),
];

/// An assembler's arguments, understood.
#[derive(Debug, Default)]
pub(crate) struct Assembling {
    pub(crate) sources: Vec<String>,
    pub(crate) output: Option<String>,
    /// Searched for what is included.
    pub(crate) directories: Vec<PathBuf>,
    /// Listings and rules.
    pub(crate) written: Vec<String>,
    pub(crate) depfile: Option<String>,
    pub(crate) lists_to_stdout: bool,
    pub(crate) debug: bool,
    pub(crate) path_maps: Vec<(String, String)>,
    pub(crate) talks: bool,
    pub(crate) probes: bool,
}

/// A command line of the assembler itself.
pub(crate) fn parse(arguments: &[String]) -> Result<Step, NotOurs> {
    let assembling = read(arguments)?;
    if assembling.probes {
        let mut step = Step::new(Tool::As, Kind::Probe);
        step.stdout = true;
        return Ok(step);
    }
    let mut step = Step::new(Tool::As, Kind::Assemble);
    step.language = Some(Language::Assembler);
    step.caution.push(Caution::InputsNameInputs);
    // Without a source, standard input is assembled; several are one after another.
    step.stdin = assembling.sources.is_empty();
    for source in &assembling.sources {
        match source.as_str() {
            "-" | "--" | "/dev/stdin" => step.stdin = true,
            source => step.sources.push(path(source)),
        }
    }
    match assembling.output.as_deref() {
        None => step.writes("a.out", true),
        Some(output) => step.writes(output, true),
    }
    for written in &assembling.written {
        step.writes(written, true);
    }
    step.depfile = assembling
        .depfile
        .as_deref()
        .filter(|file| !file.starts_with("/dev/"))
        .map(path);
    step.stdout = assembling.lists_to_stdout;
    step.embeds_directory = assembling.debug;
    step.path_maps = assembling.path_maps;
    step.preprocessing = Some(Preprocessing {
        assembler_directories: assembling.directories,
        ..Preprocessing::default()
    });
    if assembling.talks {
        step.caution.push(Caution::Talkative);
    }
    step.environment = environment::names(Tool::As, false);
    Ok(step)
}

/// What an assembler reads and writes by these arguments.
pub(crate) fn read(arguments: &[String]) -> Result<Assembling, NotOurs> {
    let mut assembling = Assembling::default();
    let mut rest = arguments;
    while let Some(first) = rest.first() {
        let mut words = 1;
        if matches!(first.as_str(), "-" | "--") || !first.starts_with('-') {
            assembling.sources.push(first.clone());
        } else {
            let found = find(ROWS, rest)?.ok_or_else(|| NotOurs::UnknownOption {
                option: first.clone(),
            })?;
            words = found.words;
            assembling.take(first, found.row.role, found.text())?;
        }
        rest = rest.get(words..).unwrap_or_default();
    }
    Ok(assembling)
}

impl Assembling {
    fn take(&mut self, option: &str, role: Role, value: &str) -> Result<(), NotOurs> {
        match role {
            Role::Ignore => {}
            Role::Output => self.output = Some(value.to_owned()),
            Role::Directory => self.directories.push(path(value)),
            Role::Written => {
                self.written.push(value.to_owned());
                self.depfile = Some(value.to_owned());
            }
            Role::Listing => match option.split_once('=') {
                Some((_, file)) => self.written.push(file.to_owned()),
                None if option["-a".len()..]
                    .chars()
                    .all(|letter| "cdghlmns".contains(letter)) =>
                {
                    self.lists_to_stdout = true;
                    self.talks = true;
                }
                None => {
                    return Err(NotOurs::UnknownOption {
                        option: option.to_owned(),
                    });
                }
            },
            Role::DebugInfo => self.debug = true,
            Role::MapPath => {
                if let Some((old, new)) = value.split_once('=') {
                    self.path_maps.push((old.to_owned(), new.to_owned()));
                }
            }
            Role::Talk => self.talks = true,
            Role::Ask => self.probes = true,
            Role::Refuse(because) => {
                return Err(NotOurs::Unsupported {
                    option: option.to_owned(),
                    because,
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spelling_once() {
        crate::option::assert_no_duplicates(ROWS);
    }
}
