//! Which files a tool reads that lists what is in files, and whether what it prints is its own.
//!
//! GNU's `nm` asks plugins about each file that it opens. Those of gcc and LLVM claim what is for their optimisers: such files
//! are left to the real tool, by words that no claimed file is without.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use compiler::Step;
use compiler::thin_archive::{Archive, members};

use super::why::Why;
use crate::limits::THIN_ARCHIVE_BYTES_MAX;

/// Archives within archives.
const DEPTH_MAX: usize = 16;
/// How much of a file is looked through at a time.
const PIECE_BYTES: usize = 256 << 10;

/// Beginnings of names of sections that plugins look for: gcc's for the linker's optimiser and for accelerators, LLVM's for
/// bitcode. What LLVM puts into every object is named `.llvm_`.
const CLAIMED: [&str; 3] = [".gnu.lto_", ".gnu.offload_lto_", ".llvm"];
const NOT_CLAIMED: &[u8] = b".llvm_";
/// How bitcode begins, which a member of an archive may be as a whole.
const BITCODE: &[u8] = b"BC\xc0\xde";
/// No word is longer, with the byte after it.
const WORD_BYTES_MAX: usize = 18;

/// Every file that the step reads beside response files.
pub(super) fn inputs(directory: &Path, step: &Step) -> Result<Vec<PathBuf>, Why> {
    let mut files = BTreeSet::new();
    for source in &step.sources {
        add(directory, source, 0, &mut files)?;
    }
    Ok(files.into_iter().collect())
}

/// Adds a file, and its members where it is an archive of names.
fn add(directory: &Path, path: &Path, depth: usize, files: &mut BTreeSet<PathBuf>) -> Result<(), Why> {
    let unknown = |why: &str| Err(Why::Inputs(format!("{}: {why}", path.display())));
    if depth > DEPTH_MAX {
        return unknown("archives name archives without end");
    }
    if !files.insert(path.to_owned()) {
        return Ok(());
    }
    let opened = directory.join(path);
    let unreadable = |error: io::Error| Why::Unreadable {
        path: opened.clone(),
        why: error.to_string(),
    };
    // Whoever opens a pipe waits for somebody else.
    if !std::fs::metadata(&opened).map_err(unreadable)?.is_file() {
        return unknown("no file");
    }
    let mut file = File::open(&opened).map_err(unreadable)?;
    let mut beginning = Vec::new();
    file.by_ref()
        .take(8)
        .read_to_end(&mut beginning)
        .map_err(unreadable)?;
    if beginning == b"!<thin>\n" {
        let mut table = beginning;
        file.take(THIN_ARCHIVE_BYTES_MAX)
            .read_to_end(&mut table)
            .map_err(unreadable)?;
        if table.len() as u64 > THIN_ARCHIVE_BYTES_MAX {
            return unknown("an archive of more names than are read");
        }
        let Ok(Archive::Thin(members)) = members(&table) else {
            return unknown("no archive");
        };
        let beside = path.parent().unwrap_or(Path::new(""));
        return members
            .iter()
            .try_for_each(|member| add(directory, &beside.join(&member.path), depth + 1, files));
    }
    let is_archive = beginning == b"!<arch>\n";
    if !is_archive && !beginning.starts_with(b"\x7fELF") {
        return unknown("neither ELF nor an archive: a plugin may read it");
    }
    let whole = beginning.as_slice().chain(file);
    match claimed(whole, is_archive, PIECE_BYTES).map_err(unreadable)? {
        Some(word) => unknown(&format!("it has `{word}` in it: a plugin may read it")),
        None => Ok(()),
    }
}

/// What a plugin may claim in a file, if it may.
fn claimed(mut file: impl Read, is_archive: bool, piece_bytes: usize) -> io::Result<Option<&'static str>> {
    let mut bytes = Vec::new();
    loop {
        let read = file.by_ref().take(piece_bytes as u64).read_to_end(&mut bytes)?;
        let found = claimed_in(&bytes, is_archive);
        if found.is_some() || read == 0 {
            return Ok(found);
        }
        // A word may go on in the next piece.
        bytes.drain(..bytes.len().saturating_sub(WORD_BYTES_MAX));
    }
}

fn claimed_in(bytes: &[u8], is_archive: bool) -> Option<&'static str> {
    let mut at = bytes;
    while let Some(found) = at.iter().position(|byte| *byte == b'.') {
        let name = &at[found..];
        // What may be the other word is looked at again when more of it is there; each name has a byte after it.
        if let Some(word) = CLAIMED.iter().find(|word| name.starts_with(word.as_bytes()))
            && !name.starts_with(NOT_CLAIMED)
            && name.len() > word.len()
        {
            return Some(word);
        }
        at = &at[found + 1..];
    }
    (is_archive && bytes.windows(BITCODE.len()).any(|window| window == BITCODE)).then_some("bitcode")
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::process::Command;

    use compiler::{Invocation, NoResponseFiles, Parsed};

    use super::*;

    #[test]
    fn what_a_plugin_may_claim_is_found_wherever_it_is() {
        let check = |bytes: &[u8], of_object: Option<&str>, of_archive: Option<&str>| {
            for piece_bytes in [1, 2, 7, 1 << 20] {
                let found = |is_archive| claimed(bytes, is_archive, piece_bytes).unwrap();
                assert_eq!(
                    (found(false), found(true)),
                    (of_object, of_archive),
                    "{} by {piece_bytes}",
                    bytes.escape_ascii()
                );
            }
        };
        check(b"", None, None);
        check(
            b"\x7fELF\0.text\0.rela.text\0.llvm_addrsig\0.gnu.hash\0",
            None,
            None,
        );
        let lto = Some(".gnu.lto_");
        check(b"x..gnu.lto_.symtab.12\0", lto, lto);
        let offload = Some(".gnu.offload_lto_");
        check(b"\0.gnu.offload_lto_.opts\0", offload, offload);
        let llvm = Some(".llvm");
        check(b".llvm_addrsig\0.llvmbc\0", llvm, llvm);
        check(b"\0.llvm.lto\0", llvm, llvm);
        check(b"....BC\xc0\xde....", None, Some("bitcode"));
    }

    /// What is read of a command, or why it is left to the real tool.
    fn found(directory: &Path, words: &[&str]) -> Result<Vec<PathBuf>, String> {
        let argv: Vec<OsString> = words.iter().map(OsString::from).collect();
        let invocation = Invocation {
            argv: &argv,
            cwd: directory,
            env: &|_| None,
        };
        let Parsed::Step(step) = compiler::parse(&invocation, &NoResponseFiles) else {
            panic!("{words:?}")
        };
        inputs(directory, &step).map_err(|why| why.label())
    }

    #[test]
    fn members_of_thin_archives_are_read_and_what_is_not_sure_is_left_to_the_tool() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let run = |words: &[&str]| {
            let mut command = Command::new(words[0]);
            let status = command.args(&words[1..]).current_dir(directory).status();
            assert!(status.unwrap().success(), "{words:?}");
        };
        std::fs::create_dir(directory.join("d")).unwrap();
        for name in ["a", "b", "d/c"] {
            let source = format!("{name}.s");
            std::fs::write(directory.join(&source), ".globl x\nx:\n").unwrap();
            run(&["as", &source, "-o", &format!("{name}.o")]);
        }
        run(&["ar", "rcD", "d/whole.a", "b.o"]);
        run(&["ar", "rcTD", "d/thin.a", "a.o", "d/c.o", "d/whole.a"]);
        std::fs::write(directory.join("text"), "x").unwrap();
        std::fs::write(directory.join("a.out"), "\x7fELF .gnu.lto_x").unwrap();
        std::fs::write(directory.join("bitcode.a"), b"!<arch>\nBC\xc0\xde").unwrap();
        std::fs::write(directory.join("short.a"), "!<thin>\nx").unwrap();
        let check = |words: &str, expected: Result<&[&str], &str>| {
            let words: Vec<_> = words.split(' ').collect();
            let expected = expected.map(|files| files.iter().map(PathBuf::from).collect());
            assert_eq!(
                found(directory, &words),
                expected.map_err(str::to_owned),
                "{words:?}"
            );
        };
        check("nm a.o b.o a.o", Ok(&["a.o", "b.o"]));
        check("nm d/whole.a", Ok(&["d/whole.a"]));
        let members = ["d/../a.o", "d/c.o", "d/thin.a", "d/whole.a"];
        check("nm d/thin.a", Ok(&members));
        for words in ["nm text", "nm", "nm a.o bitcode.a", "nm short.a", "nm d"] {
            check(words, Err("unknown inputs"));
        }
        check("nm no-such.o", Err("unreadable input"));
        std::fs::remove_file(directory.join("d/c.o")).unwrap();
        check("nm d/thin.a", Err("unreadable input"));
    }
}
