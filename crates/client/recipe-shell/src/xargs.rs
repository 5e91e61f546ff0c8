//! `xargs COMMAND WORD…` of a text that is here already.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use crate::said::say;

/// More would be divided among several calls.
const BYTES_MAX: usize = 64 << 10;

/// The command's words, where `xargs` would run it once.
pub(crate) fn words(words: &[Vec<u8>], text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let is_command = words.first().is_some_and(|first| !first.starts_with(b"-"));
    let is_plain = |byte: &u8| match byte {
        b'\'' | b'"' | b'\\' => false,
        b' ' | b'\t' | b'\n' => true,
        byte => byte.is_ascii_graphic(),
    };
    let bytes: usize = words.iter().map(Vec::len).sum::<usize>() + text.len();
    if !is_command || !text.iter().all(is_plain) || bytes > BYTES_MAX {
        return None;
    }
    let more = text
        .split(|byte| matches!(byte, b' ' | b'\t' | b'\n'))
        .filter(|word| !word.is_empty());
    Some(
        words
            .iter()
            .map(Vec::as_slice)
            .chain(more)
            .map(<[u8]>::to_vec)
            .collect(),
    )
}

/// Of `xargs` whose command failed, told it to stop, or was ended by a signal.
const EXIT_FAILED: u8 = 123;
const EXIT_STOPPED: u8 = 124;
const EXIT_KILLED: u8 = 125;
/// By which a command tells it to stop.
const STOPS: i32 = 255;

/// What `xargs` makes of its command's end, and says of it.
pub(crate) fn status(ended: ExitStatus, name: &str) -> u8 {
    match (ended.code(), ended.signal()) {
        (Some(0), _) => 0,
        (Some(STOPS), _) => {
            say(&format!("xargs: {name}: exited with status {STOPS}; aborting"));
            EXIT_STOPPED
        }
        (Some(_), _) => EXIT_FAILED,
        (None, signal) => {
            say(&format!(
                "xargs: {name}: terminated by signal {}",
                signal.unwrap_or_default()
            ));
            EXIT_KILLED
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&[&str]>) {
        let command = ["ar", "x"].map(|word| word.as_bytes().to_vec());
        let expected = expected.map(|words| words.iter().map(|word| word.as_bytes().to_vec()).collect());
        assert_eq!(words(&command, text.as_bytes()), expected, "{text}");
    }

    #[test]
    fn words_are_divided_and_quotes_are_left() {
        check("a b\n c ", Some(&["ar", "x", "a", "b", "c"]));
        check("", Some(&["ar", "x"]));
        check("a 'b c'", None);
        check("a\\ b", None);
        check(&"long ".repeat(20_000), None);
    }
}
