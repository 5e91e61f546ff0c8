//! `ar` and `ranlib`.

use crate::environment;
use crate::invocation::path;
use crate::option::Takes::{Equals, EqualsOrNext, Nothing, Prefix, Separate};
use crate::option::{Table, find, row};
use crate::{Caution, Kind, NotOurs, Step, Tool};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Ignore,
    Thin,
    Plugin,
    Deterministic,
    Dated,
    Ask,
    Refuse(&'static str),
}

use Role::{Ask, Dated, Deterministic, Ignore, Plugin, Refuse, Thin};

/// Options of words, which may stand anywhere.
static WORDS: Table<Role> = Table::new(&[
    row("--thin", Nothing, Thin),
    row("--plugin", EqualsOrNext, Plugin),
    row("--target", EqualsOrNext, Ignore),
    row("--format", EqualsOrNext, Ignore),
    row("-X32_64", Nothing, Ignore),
    row(
        "--output",
        EqualsOrNext,
        Refuse("members are extracted elsewhere"),
    ),
    row(
        "--record-libdeps",
        EqualsOrNext,
        Refuse("names of libraries are recorded"),
    ),
    row("--rsp-quoting", Equals, Refuse("response files have other rules")),
    row("--version", Nothing, Ask),
    row("--help", Nothing, Ask),
]);

static RANLIB: Table<Role> = Table::new(&[
    row("-D", Nothing, Deterministic),
    row("-U", Nothing, Dated),
    row("-t", Nothing, Dated),
    row("--plugin", EqualsOrNext, Plugin),
    row("-X", Prefix, Refuse("another object format")),
    row("-v", Nothing, Ask),
    row("-V", Nothing, Ask),
    row("-h", Nothing, Ask),
    row("--version", Nothing, Ask),
    row("--help", Nothing, Ask),
    row("-arch", Separate, Refuse("several architectures in one file")),
]);

/// What the letters say.
#[derive(Debug, Default)]
struct Letters {
    operation: Option<char>,
    modifiers: String,
}

impl Letters {
    /// One letter; ar(1), "ar [-]p[mod]".
    fn take(&mut self, letter: char, written: &str) -> Result<(), NotOurs> {
        match letter {
            'd' | 'm' | 'p' | 'q' | 'r' | 't' | 'x' => match self.operation {
                Some(known) if known != letter => Err(NotOurs::Contradiction {
                    because: "two operations",
                }),
                _ => {
                    self.operation = Some(letter);
                    Ok(())
                }
            },
            'M' => Err(NotOurs::unsupported(
                written,
                "a script on standard input says what to do",
            )),
            // Newer versions take a word after it, older ones ignore it.
            'l' => Err(NotOurs::unsupported(written, "versions disagree about it")),
            'a' | 'b' | 'i' | 'c' | 'D' | 'f' | 'L' | 'N' | 'o' | 'O' | 'P' | 's' | 'S' | 'T' | 'u' | 'U'
            | 'v' | 'V' => {
                self.modifiers.push(letter);
                Ok(())
            }
            _ => Err(NotOurs::UnknownOption {
                option: written.to_owned(),
            }),
        }
    }

    fn has(&self, letter: char) -> bool {
        self.modifiers.contains(letter)
    }
}

/// A command line of `ar`.
pub(crate) fn parse(arguments: &[String]) -> Result<Step, NotOurs> {
    let mut letters = Letters::default();
    let mut step = Step::new(Tool::Ar, Kind::Archive);
    let mut operands: Vec<&String> = Vec::new();
    let mut rest = arguments;
    let mut asks = false;
    while let Some(first) = rest.first() {
        let mut words = 1;
        if let Some(found) = find(&WORDS, rest)? {
            words = found.words;
            match found.row.role {
                Role::Thin => letters.modifiers.push('T'),
                Role::Plugin => {
                    step.inputs.push(path(found.text()));
                    step.caution.push(Caution::Plugin);
                }
                Role::Ask => asks = true,
                Role::Refuse(because) => return Err(NotOurs::unsupported(first, because)),
                Role::Ignore | Role::Deterministic | Role::Dated => {}
            }
        } else if first.starts_with("--") {
            return Err(NotOurs::UnknownOption {
                option: first.clone(),
            });
        } else if first.starts_with('-') || rest.len() == arguments.len() {
            // Only the first word may do without its dash.
            for letter in first.trim_start_matches('-').chars() {
                letters.take(letter, first)?;
            }
        } else {
            operands.push(first);
        }
        rest = rest.get(words..).unwrap_or_default();
    }
    step.environment = environment::names(Tool::Ar, false);
    if asks || (letters.operation.is_none() && letters.has('V')) {
        step.kind = Kind::Probe;
        step.stdout = true;
        return Ok(step);
    }
    let mut operands = operands.into_iter();
    if letters.has('a') || letters.has('b') || letters.has('i') {
        // The member to put others beside.
        operands.next().ok_or(NotOurs::NoInput)?;
    }
    if letters.has('N') {
        operands.next().ok_or(NotOurs::NoInput)?;
    }
    let archive = operands.next().ok_or(NotOurs::NoInput)?;
    let members: Vec<&String> = operands.collect();
    operate(&letters, archive, &members, &mut step)?;
    Ok(step)
}

fn operate(letters: &Letters, archive: &str, members: &[&String], step: &mut Step) -> Result<(), NotOurs> {
    if letters.has('v') {
        step.stdout = true;
    }
    match letters.operation {
        // What was in the archive before stays, but for what is replaced.
        Some('r' | 'q') => {
            step.sources = members.iter().map(|member| path(member)).collect();
            updates(archive, step);
            // Members of thin archives that are put into a thin archive are put themselves.
            if letters.has('T') || letters.has('L') {
                step.caution.push(Caution::InputsNameInputs);
            }
            if letters.has('u') || !letters.has('D') {
                step.caution.push(Caution::Timestamps);
            }
        }
        Some('d' | 'm') => {
            updates(archive, step);
            if !letters.has('D') {
                step.caution.push(Caution::Timestamps);
            }
        }
        Some('t' | 'p') => {
            step.kind = Kind::Probe;
            step.inputs.push(path(archive));
            step.stdout = true;
            if letters.operation == Some('p') {
                step.caution.push(Caution::InputsNameInputs);
            }
        }
        Some('x') => {
            if members.is_empty() || members.iter().any(|member| member.contains('/')) {
                return Err(NotOurs::unsupported(
                    "x",
                    "only the archive knows what comes out of it",
                ));
            }
            step.kind = Kind::Transform;
            step.inputs.push(path(archive));
            step.caution.push(Caution::InputsNameInputs);
            if letters.has('o') {
                step.caution.push(Caution::Timestamps);
            }
            for member in members {
                step.writes(member.as_str(), true);
            }
        }
        None if letters.has('s') => {
            step.kind = Kind::Index;
            updates(archive, step);
            if !letters.has('D') {
                step.caution.push(Caution::Timestamps);
            }
        }
        _ => return Err(NotOurs::NoInput),
    }
    Ok(())
}

/// The archive is read if it is there, and written.
fn updates(archive: &str, step: &mut Step) {
    step.inputs.push(path(archive));
    step.writes(archive, true);
    step.caution.push(Caution::Updates);
}

/// A command line of `ranlib`.
pub(crate) fn parse_ranlib(arguments: &[String]) -> Result<Step, NotOurs> {
    let mut step = Step::new(Tool::Ranlib, Kind::Index);
    let mut deterministic = false;
    let mut rest = arguments;
    while let Some(first) = rest.first() {
        let mut words = 1;
        if !first.starts_with('-') {
            updates(first, &mut step);
            step.caution.push(Caution::InPlace);
        } else {
            let found = find(&RANLIB, rest)?.ok_or_else(|| NotOurs::UnknownOption {
                option: first.clone(),
            })?;
            words = found.words;
            match found.row.role {
                Role::Deterministic => deterministic = true,
                Role::Dated => deterministic = false,
                Role::Plugin => {
                    step.inputs.push(path(found.text()));
                    step.caution.push(Caution::Plugin);
                }
                Role::Ask => step.kind = Kind::Probe,
                Role::Refuse(because) => return Err(NotOurs::unsupported(first, because)),
                Role::Ignore | Role::Thin => {}
            }
        }
        rest = rest.get(words..).unwrap_or_default();
    }
    step.environment = environment::names(Tool::Ranlib, false);
    if step.kind == Kind::Probe {
        step.stdout = true;
        step.outputs.clear();
        step.inputs.clear();
        step.caution.clear();
        return Ok(step);
    }
    if step.outputs.is_empty() {
        return Err(NotOurs::NoInput);
    }
    if !deterministic {
        step.caution.push(Caution::Timestamps);
    }
    Ok(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spelling_once() {
        crate::option::assert_no_duplicates(&WORDS);
        crate::option::assert_no_duplicates(&RANLIB);
    }
}
