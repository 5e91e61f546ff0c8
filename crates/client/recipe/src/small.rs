//! Small programs that are done without starting them: `rm`, `mkdir`, `cat`.
//!
//! Each does all of what it is asked, or says `None`: then the program itself runs, and finds what there is left to do or
//! to complain about.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Where the programs are that these stand for.
const DIRECTORIES: [&str; 2] = ["/bin", "/usr/bin"];
/// More than a recipe puts together without looking at it.
const CAT_BYTES_MAX: u64 = 16 << 20;

/// Does a command, if it is one of these and nothing is in the way.
pub(crate) fn done(program: &Path, words: &[Vec<u8>]) -> Option<u8> {
    let directory = program.parent()?.to_str()?;
    if !DIRECTORIES.contains(&directory) {
        return None;
    }
    match program.file_name()?.as_bytes() {
        b"rm" => rm(words).map(|()| 0),
        b"mkdir" => mkdir(words).map(|()| 0),
        b"cat" => cat(words),
        _ => None,
    }
}

fn path(word: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(word))
}

/// The option, if it is the only one and first; no word after it is one.
fn option(words: &[Vec<u8>]) -> Option<(&[u8], &[Vec<u8>])> {
    let (option, rest) = words.split_first()?;
    let are_names = rest
        .iter()
        .all(|word| !word.is_empty() && !word.starts_with(b"-"));
    are_names.then_some((option, rest))
}

/// `rm -f`, and `-rf` of what is no directory or an empty one, or a small one.
fn rm(words: &[Vec<u8>]) -> Option<()> {
    let (option, names) = option(words)?;
    let is_deep = match option {
        b"-f" => false,
        b"-rf" | b"-fr" => true,
        _ => return None,
    };
    for name in names {
        // `rm` refuses these, whatever is there.
        if is_deep && matches!(path(name).file_name(), None) {
            return None;
        }
        match fs::remove_file(path(name)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) if is_deep && path(name).is_dir() && !path(name).is_symlink() => {
                fs::remove_dir_all(path(name)).ok()?;
            }
            Err(_) => return None,
        }
    }
    Some(())
}

/// `mkdir -p`
fn mkdir(words: &[Vec<u8>]) -> Option<()> {
    let (b"-p", names @ [_, ..]) = option(words)? else {
        return None;
    };
    names
        .iter()
        .try_for_each(|name| DirBuilder::new().recursive(true).create(path(name)))
        .ok()
}

/// `cat` of files.
fn cat(words: &[Vec<u8>]) -> Option<u8> {
    if words.is_empty() || words.iter().any(|word| word.is_empty() || word.starts_with(b"-")) {
        return None;
    }
    let mut text = Vec::new();
    for word in words {
        // What is no plain file may wait for something.
        let is_file = fs::metadata(path(word)).ok()?.is_file();
        let file = is_file.then(|| File::open(path(word)).ok()).flatten()?;
        file.take(CAT_BYTES_MAX).read_to_end(&mut text).ok()?;
        if text.len() as u64 >= CAT_BYTES_MAX {
            return None;
        }
    }
    match put_out(&text) {
        Ok(()) => Some(0),
        Err(error) => {
            eprintln!("cat: write error: {}", plainly(&error));
            Some(1)
        }
    }
}

/// Writes to standard output, at once.
pub(crate) fn put_out(text: &[u8]) -> io::Result<()> {
    let mut output = io::stdout();
    output.write_all(text).and_then(|()| output.flush())
}

/// An error in the system's words alone.
pub(crate) fn plainly(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
