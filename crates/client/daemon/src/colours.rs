//! Colours of compilers' messages. A compiler that runs behind the wrapper prints to a pipe, and so would give up its colours
//! where somebody looks. It is asked to keep them; what is kept of its messages is without.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use compiler::{Kind, Step, Tool};

/// What asks gcc and clang for colours, whatever they print to. It changes nothing else that they make.
const ASKS: &str = "-fdiagnostics-color=always";

/// Beginnings of options with which somebody has decided about colours or the form of messages, or by which the command line
/// gets into what is made. A response file may hold any.
const DECIDES: [&str; 9] = [
    "@",
    "-fdiagnostics-",
    "-fno-diagnostics-",
    "-fcolor-diagnostics",
    "-fno-color-diagnostics",
    "-fansi-escape-codes",
    "-frecord-",
    "-grecord-",
    "-fsave-optimization-record",
];

/// What a command gets besides so that its messages have the colours that they would have on the terminal where somebody
/// looks; nothing if they would have none.
pub(crate) fn asked_for<'a>(
    step: &Step,
    arguments: &[OsString],
    is_terminal: bool,
    variable: impl Fn(&str) -> Option<&'a OsStr>,
) -> Option<OsString> {
    let is_driver = matches!(step.tool, Tool::GccDriver | Tool::ClangDriver);
    let compiles = matches!(
        step.kind,
        Kind::Compile | Kind::Assemble | Kind::CompileToAssembly | Kind::Preprocess | Kind::SyntaxOnly
    );
    let has_colours = variable("TERM").is_some_and(|terminal| !terminal.is_empty() && terminal != "dumb")
        && variable("GCC_COLORS").is_none_or(|colours| !colours.is_empty())
        && variable("NO_COLOR").is_none();
    let is_decided = arguments.iter().skip(1).any(|argument| {
        let argument = argument.as_bytes();
        DECIDES
            .iter()
            .any(|option| argument.starts_with(option.as_bytes()))
    });
    (is_terminal && is_driver && compiles && has_colours && !is_decided).then(|| ASKS.into())
}

/// Whether they are, by one of these words.
pub(crate) fn are_asked_for(words: &[OsString]) -> bool {
    words.iter().any(|word| word == ASKS)
}

/// A text without colours: `ESC [`, numbers and semicolons, then `m` or `K`. `None` if something else of the kind is in it.
pub(crate) fn without(text: Vec<u8>) -> Option<Vec<u8>> {
    const ESCAPE: u8 = 0x1b;
    if !text.contains(&ESCAPE) {
        return Some(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_slice();
    while let Some(at) = rest.iter().position(|byte| *byte == ESCAPE) {
        plain.extend_from_slice(&rest[..at]);
        let sequence = rest[at + 1..].strip_prefix(b"[")?;
        let end = sequence
            .iter()
            .position(|byte| !byte.is_ascii_digit() && *byte != b';')?;
        if !matches!(sequence[end], b'm' | b'K') {
            return None;
        }
        rest = &sequence[end + 1..];
    }
    plain.extend_from_slice(rest);
    Some(plain)
}

#[cfg(test)]
mod tests {
    use compiler::{Invocation, NoResponseFiles, Parsed};

    use super::*;

    #[test]
    fn colours_are_asked_for_where_they_would_have_been() {
        let check = |words: &[&str], variables: &[(&str, &str)], is_terminal: bool, expected: bool| {
            let arguments: Vec<OsString> = words.iter().map(OsString::from).collect();
            let find = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| OsStr::new(*value))
            };
            let invocation = Invocation {
                argv: &arguments,
                cwd: "/p".as_ref(),
                env: &|name| find(name).map(OsString::from),
            };
            let Parsed::Step(step) = compiler::parse(&invocation, &NoResponseFiles) else {
                panic!("{words:?}")
            };
            let asked = asked_for(&step, &arguments, is_terminal, find);
            assert_eq!(asked.is_some(), expected, "{words:?} {variables:?}");
        };
        let compile = ["gcc", "-c", "a.c"];
        let terminal = ("TERM", "xterm");
        check(&compile, &[terminal], true, true);
        check(&["clang++", "-S", "a.cc"], &[terminal], true, true);
        check(&compile, &[terminal], false, false);
        check(&compile, &[], true, false);
        check(&compile, &[("TERM", "dumb")], true, false);
        check(&compile, &[terminal, ("GCC_COLORS", "")], true, false);
        check(&compile, &[terminal, ("GCC_COLORS", "error=01;31")], true, true);
        check(&compile, &[terminal, ("NO_COLOR", "1")], true, false);
        check(&["gcc", "a.o"], &[terminal], true, false);
        for decided in [
            "-fdiagnostics-color=never",
            "-fno-color-diagnostics",
            "-frecord-gcc-switches",
        ] {
            check(&["gcc", "-c", "a.c", decided], &[terminal], true, false);
        }
    }

    #[test]
    fn a_text_is_the_same_without_its_colours() {
        let check = |text: &str, expected: Option<&str>| {
            let plain = without(text.as_bytes().to_vec());
            assert_eq!(plain.as_deref(), expected.map(str::as_bytes), "{text:?}");
        };
        check("plain", Some("plain"));
        check(
            "\x1b[01m\x1b[Ka.c:\x1b[m\x1b[K in ‘\x1b[0;1;35mmain\x1b[0m’\n",
            Some("a.c: in ‘main’\n"),
        );
        check("a link \x1b]8;;x\x07", None);
        check("\x1b[2J", None);
        check("cut \x1b[01", None);
        check("cut \x1b", None);
    }
}
