//! Which commands are understood here, and with which words; everything else that belongs to a shell is left to one.

use crate::parse::parse;
use crate::script::{Body, Part, Simple, Word, literal};
use crate::tokens::NotOurs;
use crate::traps::Event;

/// Words that begin or end something that is not done here, where a command is due.
const RESERVED: [&[u8]; 14] = [
    b"in", b"then", b"elif", b"else", b"fi", b"do", b"done", b"case", b"esac", b"for", b"while", b"until",
    b"!", b"}",
];

/// Commands that `/bin/sh` does itself, and so do we.
const DONE: [&[u8]; 12] = [
    b":", b"true", b"false", b"echo", b"printf", b"test", b"[", b"set", b"trap", b"exit", b"cd", b"kill",
];

/// Commands that `/bin/sh` does itself, and we do not.
const LEFT: [&[u8]; 31] = [
    b".",
    b"alias",
    b"bg",
    b"break",
    b"builtin",
    b"chdir",
    b"command",
    b"continue",
    b"eval",
    b"exec",
    b"export",
    b"fg",
    b"fc",
    b"getopts",
    b"hash",
    b"history",
    b"jobs",
    b"local",
    b"pwd",
    b"read",
    b"readonly",
    b"return",
    b"shift",
    b"source",
    b"times",
    b"type",
    b"ulimit",
    b"umask",
    b"unalias",
    b"unset",
    b"wait",
];

/// Variables that change how a shell, or this client, does its work.
const MEANINGFUL: [&str; 8] = ["PATH", "IFS", "PWD", "OLDPWD", "CDPATH", "HOME", "ENV", "OPTIND"];

pub(crate) fn is_reserved(word: &[u8]) -> bool {
    RESERVED.contains(&word)
}

/// Whether the shell does this command itself.
pub(crate) fn is_in_shell(name: &[u8]) -> bool {
    DONE.contains(&name) || LEFT.contains(&name)
}

/// Whether the command prints its words and does nothing else.
pub(crate) fn is_text(simple: &Simple) -> bool {
    simple.assignments.is_empty()
        && simple
            .name()
            .is_some_and(|name| matches!(name.as_slice(), b"echo" | b"printf"))
}

/// Whether the word may become none, or several.
pub(crate) fn is_split(word: &[Part]) -> bool {
    word.iter()
        .any(|part| matches!(part, Part::Variable { is_quoted: false, .. }))
}

/// Whether a command is one that is certain to be done here as `/bin/sh` would.
pub(crate) fn check(simple: &Simple) -> Result<(), NotOurs> {
    if simple
        .assignments
        .iter()
        .any(|(name, _)| MEANINGFUL.contains(&name.as_str()) || name.starts_with("FARRIER_"))
    {
        return Err(NotOurs("a variable that means something"));
    }
    if simple.words.is_empty() {
        return Ok(());
    }
    let set: Vec<&str> = simple.assignments.iter().map(|(name, _)| name.as_str()).collect();
    let uses_set = |part: &Part| matches!(part, Part::Variable { name, .. } if set.contains(&name.as_str()));
    if simple
        .assignments
        .iter()
        .flat_map(|(_, value)| value)
        .any(uses_set)
    {
        return Err(NotOurs("variables of a command that use each other"));
    }
    let name = simple.name().ok_or(NotOurs("a command from a variable"))?;
    if name.is_empty() {
        return Err(NotOurs("a command without a name"));
    }
    if LEFT.contains(&name.as_slice()) {
        return Err(NotOurs("a command of the shell's own"));
    }
    if !DONE.contains(&name.as_slice()) {
        return Ok(());
    }
    if !simple.assignments.is_empty() {
        return Err(NotOurs("variables for a command of the shell's own"));
    }
    let words = &simple.words[1..];
    let literals = || words.iter().map(|word| literal(word)).collect::<Option<Vec<_>>>();
    let is_known = match name.as_slice() {
        b":" | b"true" | b"false" => true,
        b"echo" => words.iter().all(|word| !has_escapes(word)),
        b"printf" => is_printf(words),
        b"test" => is_test(words),
        b"[" => words
            .split_last()
            .is_some_and(|(last, words)| literal(last).as_deref() == Some(b"]") && is_test(words)),
        b"set" => literals().is_some_and(|words| words == [b"-e"]),
        b"exit" => literals().is_some_and(|words| match words.as_slice() {
            [] => true,
            [status] => status.len() <= 3 && std::str::from_utf8(status).is_ok_and(|text| text.parse::<u8>().is_ok()),
            _ => false,
        }),
        b"cd" => literals().is_some_and(|words| {
            matches!(words.as_slice(), [directory] if !directory.is_empty() && !directory.starts_with(b"-") && !directory.starts_with(b"//"))
        }),
        b"kill" => is_own_end(words),
        b"trap" => return check_trap(words),
        _ => false,
    };
    match is_known {
        true => Ok(()),
        false => Err(NotOurs("words of a command of the shell's own")),
    }
}

/// What `echo` may take for more than it is.
fn has_escapes(word: &Word) -> bool {
    word.iter()
        .any(|part| matches!(part, Part::Text(text) if text.contains(&b'\\')))
}

/// A format of `%s` and plain escapes, for any words.
fn is_printf(words: &[Word]) -> bool {
    let Some(format) = words.first().and_then(|word| literal(word)) else {
        return false;
    };
    let mut bytes = format.iter();
    while let Some(byte) = bytes.next() {
        let is_known = match byte {
            b'%' => matches!(bytes.next(), Some(b's' | b'%')),
            b'\\' => matches!(bytes.next(), Some(b'n' | b't' | b'\\')),
            _ => true,
        };
        if !is_known {
            return false;
        }
    }
    !format.starts_with(b"-")
}

fn is_test(words: &[Word]) -> bool {
    if words.iter().any(|word| is_split(word)) {
        return false;
    }
    let operator = |at: usize| words.get(at).and_then(|word| literal(word)).unwrap_or_default();
    let is_unary = |name: &[u8]| {
        matches!(
            name,
            b"-n" | b"-z" | b"-e" | b"-f" | b"-d" | b"-s" | b"-r" | b"-w" | b"-x" | b"-h" | b"-L"
        )
    };
    match words.len() {
        // A word that could be an operator is no simple question.
        1 => !operator(0).starts_with(b"-") && operator(0) != b"!",
        2 => is_unary(&operator(0)),
        3 => matches!(operator(1).as_slice(), b"=" | b"!=") && !matches!(operator(0).as_slice(), b"!" | b"("),
        _ => false,
    }
}

/// `kill -s NAME $$`: how a trap goes on to what would have happened without it.
fn is_own_end(words: &[Word]) -> bool {
    let [option, name, process] = words else {
        return false;
    };
    literal(option).as_deref() == Some(b"-s")
        && literal(name).is_some_and(|name| Event::parse(&name).is_some_and(|event| event != Event::Exit))
        && process.as_slice() == [Part::Process]
}

fn check_trap(words: &[Word]) -> Result<(), NotOurs> {
    let unknown = NotOurs("a trap that is not known here");
    let (action, events) = words.split_first().ok_or(unknown)?;
    let are_known = events
        .iter()
        .all(|event| literal(event).is_some_and(|event| Event::parse(&event).is_some()));
    if events.is_empty() || !are_known {
        return Err(unknown);
    }
    match self::action(action).ok_or(unknown)?.as_slice() {
        b"" => Err(NotOurs("a signal that is ignored")),
        b"-" => Ok(()),
        // A number is a signal, not an action.
        text if text.iter().all(u8::is_ascii_digit) => Err(unknown),
        text => {
            let mut refused = None;
            parse(text)?.each(0, &mut |pipeline, _| {
                if let Body::Simple(simple) = &pipeline.command.body {
                    refused = refused.or(not_in_traps(simple));
                }
            });
            refused.map_or(Ok(()), Err)
        }
    }
}

/// Why a command is not done here in a trap.
fn not_in_traps(simple: &Simple) -> Option<NotOurs> {
    let first = || simple.words.get(1).and_then(|word| literal(word));
    match simple.name().as_deref() {
        Some(b"trap") if first().as_deref() != Some(b"-") => Some(NotOurs("a trap within a trap")),
        // It means the status of before the trap, not the last one.
        Some(b"exit") if simple.words.len() == 1 => Some(NotOurs("an exit without a status in a trap")),
        _ => None,
    }
}

/// What a trap does, as far as that is known before: with some process number in the place of the real one.
pub(crate) fn action(word: &[Part]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    for part in word {
        match part {
            Part::Text(part) => text.extend(part),
            Part::Process => text.extend(b"1"),
            Part::Empty => {}
            Part::Variable { .. } | Part::Status => return None,
        }
    }
    Some(text)
}
