//! What `-M` printed: the prerequisites of one rule.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// The prerequisites of `target: a b \` in Make's spelling.
pub fn prerequisites(text: &[u8]) -> Vec<PathBuf> {
    let behind = text
        .windows(2)
        .position(|pair| pair[0] == b':' && pair[1].is_ascii_whitespace());
    let Some(colon) = behind else { return Vec::new() };
    let mut paths = Vec::new();
    let mut path = Vec::new();
    let mut bytes = text[colon + 1..].iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.peek()) {
            (b'\\', Some(b'\n')) => {
                bytes.next();
                finish(&mut path, &mut paths);
            }
            (b'\\', Some(next @ (b' ' | b'#' | b'\\'))) if *next != b'\\' => {
                path.push(*next);
                bytes.next();
            }
            (b'$', Some(b'$')) => {
                path.push(b'$');
                bytes.next();
            }
            (b' ' | b'\n' | b'\t', _) => finish(&mut path, &mut paths),
            (byte, _) => path.push(byte),
        }
    }
    finish(&mut path, &mut paths);
    paths
}

fn finish(path: &mut Vec<u8>, paths: &mut Vec<PathBuf>) {
    if !path.is_empty() {
        paths.push(PathBuf::from(OsStr::from_bytes(path)));
        path.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        let expect = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(
            prerequisites(b"a.o: a.c b.h \\\n c.h\n"),
            expect(&["a.c", "b.h", "c.h"])
        );
        assert_eq!(
            prerequisites(b"x: a\\ b.h $$c \\#d\n"),
            expect(&["a b.h", "$c", "#d"])
        );
        assert_eq!(prerequisites(b"x:\n"), expect(&[]));
    }
}
