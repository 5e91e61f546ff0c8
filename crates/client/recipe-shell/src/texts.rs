//! `echo`, `printf` and `test`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Access, access};

/// What `echo` prints: its words hold no backslash.
pub(crate) fn echo(words: &[Vec<u8>]) -> Vec<u8> {
    let (words, ends): (_, &[u8]) = match words.split_first() {
        Some((first, rest)) if first == b"-n" => (rest, b""),
        _ => (words, b"\n"),
    };
    [words.join(&b' '), ends.to_vec()].concat()
}

/// What `printf` prints: the format, for as long as there are words for it.
pub(crate) fn printf(words: &[Vec<u8>]) -> Vec<u8> {
    let Some((format, words)) = words.split_first() else {
        return Vec::new();
    };
    let mut text = Vec::new();
    let mut words = words.iter();
    loop {
        let before = words.len();
        let mut bytes = format.iter();
        while let Some(byte) = bytes.next() {
            match (byte, bytes.clone().next()) {
                (b'%', Some(b's')) => {
                    bytes.next();
                    text.extend(words.next().into_iter().flatten());
                }
                (b'\\', Some(escape)) => {
                    bytes.next();
                    text.push(match escape {
                        b'n' => b'\n',
                        b't' => b'\t',
                        other => *other,
                    });
                }
                (b'%', Some(b'%')) => {
                    bytes.next();
                    text.push(b'%');
                }
                (byte, _) => text.push(*byte),
            }
        }
        if words.len() == 0 || words.len() == before {
            return text;
        }
    }
}

/// Whether what `test` asks is so.
pub(crate) fn test(words: &[Vec<u8>]) -> bool {
    match words {
        [text] => !text.is_empty(),
        [question, about] => asked(question, about),
        [left, operator, right] => (left == right) == (operator == b"="),
        _ => false,
    }
}

fn asked(question: &[u8], about: &[u8]) -> bool {
    let path = Path::new(OsStr::from_bytes(about));
    let metadata = || std::fs::metadata(path);
    let may = |how| access(path, how).is_ok();
    match question {
        b"-n" => !about.is_empty(),
        b"-z" => about.is_empty(),
        b"-e" => metadata().is_ok(),
        b"-f" => metadata().is_ok_and(|found| found.is_file()),
        b"-d" => metadata().is_ok_and(|found| found.is_dir()),
        b"-s" => metadata().is_ok_and(|found| found.len() > 0),
        b"-r" => may(Access::READ_OK),
        b"-w" => may(Access::WRITE_OK),
        b"-x" => may(Access::EXEC_OK),
        // `-h`, `-L`
        _ => std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()),
    }
}
