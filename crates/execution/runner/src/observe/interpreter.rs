//! What runs a program: the kernel looks for it by itself.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Enough of a program to see what runs it.
const PROGRAM_HEAD_BYTES: u64 = 4096;

/// The program that runs a program, perhaps seen from where it is started: of a script, and of whatever is linked at its start.
pub(super) fn interpreter(path: &Path) -> Option<PathBuf> {
    let mut head = Vec::new();
    let mut file = File::open(path).ok()?.take(PROGRAM_HEAD_BYTES);
    file.read_to_end(&mut head).ok()?;
    let path = match head.strip_prefix(b"#!") {
        Some(line) => {
            let line = line.split(|byte| *byte == b'\n').next()?;
            let mut words = line.split(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
            words.find(|word| !word.is_empty())?
        }
        None => linked_at_start(&head)?,
    };
    Some(PathBuf::from(OsString::from_vec(path.to_vec())))
}

/// The loader that a program of 64 bits names, at the place that its table of segments says.
fn linked_at_start(head: &[u8]) -> Option<&[u8]> {
    const INTERPRETER: u32 = 3;
    if !head.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let half = |at: usize| Some(u16::from_le_bytes(head.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| {
        let bytes = head.get(at..at.checked_add(8)?)?.try_into().ok()?;
        usize::try_from(u64::from_le_bytes(bytes)).ok()
    };
    let (table, size, count) = (long(32)?, usize::from(half(54)?), usize::from(half(56)?));
    for entry in 0..count {
        let at = table.checked_add(entry.checked_mul(size)?)?;
        if word(at)? == INTERPRETER {
            let (offset, length) = (long(at.checked_add(8)?)?, long(at.checked_add(32)?)?);
            let name = head.get(offset..offset.checked_add(length)?)?;
            return name.strip_suffix(b"\0");
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_runs_a_program_is_found() {
        let scratch = tempfile::tempdir().unwrap();
        let check = |text: &[u8], expected: Option<&str>| {
            let path = scratch.path().join("program");
            fs::write(&path, text).unwrap();
            assert_eq!(interpreter(&path), expected.map(PathBuf::from));
        };
        check(b"#!/bin/sh -e\n", Some("/bin/sh"));
        check(b"#! /usr/bin/env python3", Some("/usr/bin/env"));
        check(b"#!relative\n", Some("relative"));
        check(b"echo\n", None);
        check(b"", None);
        check(b"\x7fELF\x02\x01\x01", None);
        let shell = fs::canonicalize("/bin/sh").unwrap();
        let loader = interpreter(&shell).unwrap();
        assert!(loader.to_string_lossy().contains("ld-linux"), "{loader:?}");
        assert_eq!(interpreter(&loader), None);
    }
}
