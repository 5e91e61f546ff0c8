//! `nm`: symbols of files, on standard output.

use std::ffi::OsString;

use crate::environment;
use crate::invocation::path;
use crate::option::Takes::{Either, EqualsOrNext, MaybeEquals, Nothing};
use crate::option::{Table, find, find_spelled, row};
use crate::{Kind, NotOurs, Step, Tool};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Ignore,
    Ask,
    Refuse(&'static str),
}

use Role::{Ask, Ignore, Refuse};

/// Debug information may be in files that no command line names.
const LINES: Role = Refuse("names of sources are looked for, also in other files");
const LOADED: Role = Refuse("a plugin is loaded");

/// Options of words: GNU's and LLVM's, but for those of LLVM that only files of other systems have any use for.
static LONG: Table<Role> = Table::new(&[
    row("--debug-syms", Nothing, Ignore),
    row("--defined-only", Nothing, Ignore),
    row("--demangle", MaybeEquals, Ignore),
    row("--dynamic", Nothing, Ignore),
    row("--extern-only", Nothing, Ignore),
    row("--format", EqualsOrNext, Ignore),
    row("--ifunc-chars", EqualsOrNext, Ignore),
    row("--just-symbols", Nothing, Ignore),
    row("--line-numbers", Nothing, LINES),
    row("--no-demangle", Nothing, Ignore),
    row("--no-llvm-bc", Nothing, Ignore),
    row("--no-recurse-limit", Nothing, Ignore),
    row("--no-recursion-limit", Nothing, Ignore),
    row("--no-sort", Nothing, Ignore),
    row("--no-weak", Nothing, Ignore),
    row("--numeric-sort", Nothing, Ignore),
    row("--plugin", EqualsOrNext, LOADED),
    row("--portability", Nothing, Ignore),
    row("--print-armap", Nothing, Ignore),
    row("--print-file-name", Nothing, Ignore),
    row("--print-size", Nothing, Ignore),
    row("--quiet", Nothing, Ignore),
    row("--radix", EqualsOrNext, Ignore),
    row("--recurse-limit", Nothing, Ignore),
    row("--recursion-limit", Nothing, Ignore),
    row("--reverse-sort", Nothing, Ignore),
    row("--size-sort", Nothing, Ignore),
    row("--special-syms", Nothing, Ignore),
    row("--synthetic", Nothing, Ignore),
    row("--target", EqualsOrNext, Ignore),
    row("--undefined-only", Nothing, Ignore),
    row("--unicode", EqualsOrNext, Ignore),
    row("--with-symbol-versions", Nothing, Ignore),
    row("--without-symbol-versions", Nothing, Ignore),
    row("--help", Nothing, Ask),
    row("--version", Nothing, Ask),
]);

/// Options of one letter. Several may share a word, the last one with its argument.
static LETTERS: Table<Role> = Table::new(&[
    row("-a", Nothing, Ignore),
    row("-A", Nothing, Ignore),
    row("-B", Nothing, Ignore),
    row("-C", Nothing, Ignore),
    row("-D", Nothing, Ignore),
    row("-e", Nothing, Ignore),
    row("-f", Either, Ignore),
    row("-g", Nothing, Ignore),
    row("-j", Nothing, Ignore),
    row("-l", Nothing, LINES),
    row("-m", Nothing, Ignore),
    row("-n", Nothing, Ignore),
    row("-o", Nothing, Ignore),
    row("-p", Nothing, Ignore),
    row("-P", Nothing, Ignore),
    row("-r", Nothing, Ignore),
    row(
        "-s",
        Nothing,
        Refuse("GNU's takes no word after it, LLVM's takes two"),
    ),
    row("-S", Nothing, Ignore),
    row("-t", Either, Ignore),
    row("-u", Nothing, Ignore),
    row("-U", Nothing, Ignore),
    row("-v", Nothing, Ignore),
    row("-W", Nothing, Ignore),
    row("-X", Either, Ignore),
    row("-h", Nothing, Ask),
    row("-H", Nothing, Ask),
    row("-V", Nothing, Ask),
]);

/// What is read where no file is named.
const DEFAULT: &str = "a.out";

/// Which variable decides how symbols are sorted: the first that is set.
const COLLATION: [&str; 3] = ["LC_ALL", "LC_COLLATE", "LANG"];

/// A command line of `nm`.
pub(crate) fn parse(arguments: &[String], env: &dyn Fn(&str) -> Option<OsString>) -> Result<Step, NotOurs> {
    let mut step = Step::new(Tool::Nm, Kind::List);
    step.stdout = true;
    step.environment = environment::names(Tool::Nm, false);
    let mut rest = arguments;
    while let Some(first) = rest.first() {
        let mut words = 1;
        if !first.starts_with('-') {
            // What such a name leads to is another thing for each process.
            if first.starts_with("/dev/") || first.starts_with("/proc/") {
                return Err(NotOurs::unsupported(first, "no file that stays what it is"));
            }
            step.sources.push(path(first));
        } else if first == "-" || first == "--" {
            return Err(NotOurs::unsupported(first, "an operand without a name"));
        } else if first.starts_with("--") {
            let found = find(&LONG, rest)?.ok_or_else(|| unknown(first))?;
            words = found.words;
            take(found.row.role, first, &mut step)?;
        } else {
            words = letters(first, rest.get(1), &mut step)?;
        }
        rest = rest.get(words..).unwrap_or_default();
    }
    if step.kind == Kind::Probe {
        step.sources.clear();
        return Ok(step);
    }
    check_environment(env)?;
    if step.sources.is_empty() {
        step.sources.push(path(DEFAULT));
    }
    Ok(step)
}

/// One word of options of one letter. How many words that were.
fn letters(word: &str, next: Option<&String>, step: &mut Step) -> Result<usize, NotOurs> {
    let mut left = word.get(1..).unwrap_or_default();
    while let Some(letter) = left.chars().next() {
        let option = format!("-{left}");
        left = left.get(letter.len_utf8()..).unwrap_or_default();
        let alone = format!("-{letter}");
        let is_alone = |row: &&crate::option::Row<Role>| row.name == alone && row.takes == Nothing;
        if let Some(row) = LETTERS.rows.iter().find(is_alone) {
            take(row.role, word, step)?;
            continue;
        }
        let found = find_spelled(&LETTERS, &option, next)?.ok_or_else(|| unknown(word))?;
        take(found.row.role, word, step)?;
        return Ok(found.words);
    }
    Ok(1)
}

fn take(role: Role, written: &str, step: &mut Step) -> Result<(), NotOurs> {
    match role {
        Ignore => {}
        Ask => step.kind = Kind::Probe,
        Refuse(because) => return Err(NotOurs::unsupported(written, because)),
    }
    Ok(())
}

fn unknown(option: &str) -> NotOurs {
    NotOurs::UnknownOption {
        option: option.to_owned(),
    }
}

/// GNU's `nm` sorts names as a locale says, whose files are no part of any toolchain; in C and POSIX there are none.
/// With `POSIXLY_CORRECT`, what looks like an option after a file is a file.
fn check_environment(env: &dyn Fn(&str) -> Option<OsString>) -> Result<(), NotOurs> {
    if env("POSIXLY_CORRECT").is_some() {
        return Err(NotOurs::Environment {
            variable: "POSIXLY_CORRECT",
        });
    }
    let set = COLLATION.into_iter().find_map(|variable| {
        let value = env(variable).filter(|value| !value.is_empty())?;
        Some((variable, value))
    });
    let is_plain = |value: &OsString| {
        let value = value.to_str().unwrap_or_default();
        value == "C" || value == "POSIX" || value.starts_with("C.")
    };
    match set {
        Some((variable, value)) if !is_plain(&value) => Err(NotOurs::Environment { variable }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spelling_once() {
        crate::option::assert_no_duplicates(&LONG);
        crate::option::assert_no_duplicates(&LETTERS);
    }

    #[test]
    fn order_is_that_of_bytes_or_it_is_not_ours() {
        let check = |variables: &[(&str, &str)], expected: Option<&'static str>| {
            let value = |name: &str| variables.iter().find(|(known, _)| *known == name);
            let env = |name: &str| value(name).map(|(_, value)| OsString::from(value));
            let refused = parse(&["a.o".to_owned()], &env).err();
            let expected = expected.map(|variable| NotOurs::Environment { variable });
            assert_eq!(refused, expected, "{variables:?}");
        };
        check(&[], None);
        check(&[("LANG", "C.UTF-8")], None);
        check(&[("LANG", "en_US.UTF-8")], Some("LANG"));
        check(&[("LANG", "en_US.UTF-8"), ("LC_COLLATE", "C")], None);
        check(&[("LANG", "en_US.UTF-8"), ("LC_ALL", "POSIX")], None);
        check(&[("LC_ALL", "de_DE"), ("LC_COLLATE", "C")], Some("LC_ALL"));
        check(&[("LC_ALL", ""), ("LC_COLLATE", "de_DE")], Some("LC_COLLATE"));
        check(&[("LC_CTYPE", "en_US.UTF-8")], None);
        check(&[("POSIXLY_CORRECT", "")], Some("POSIXLY_CORRECT"));
    }
}
