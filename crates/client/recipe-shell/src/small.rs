//! Small programs that are done without starting them: `rm`, `mkdir`, `cat`.
//!
//! Each does all of what it is asked, or says `None`: then the program itself runs, and finds what there is left to do or
//! to complain about.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::Mode;
use rustix::process::umask;

use crate::said::{plainly, put_out, say};

/// Where the programs are that these stand for.
const DIRECTORIES: [&str; 2] = ["/bin", "/usr/bin"];
/// More than a recipe puts together without looking at it.
const CAT_BYTES_MAX: u64 = 16 << 20;
/// What a shell makes of SIGPIPE.
const EXIT_BROKEN_PIPE: u8 = 128 + 13;

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

/// `rm -f` of files, and `rm -rf`.
fn rm(words: &[Vec<u8>]) -> Option<()> {
    let (option, names) = option(words)?;
    let is_deep = match option {
        b"-f" => false,
        b"-rf" | b"-fr" => true,
        _ => return None,
    };
    for name in names {
        // `rm` refuses these, whatever is there.
        if is_deep && is_self_or_parent(name) {
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

/// Whether a name ends in `.` or `..`, or is the root.
fn is_self_or_parent(name: &[u8]) -> bool {
    let last = name.rsplit(|byte| *byte == b'/').find(|part| !part.is_empty());
    last.is_none_or(|last| matches!(last, b"." | b".."))
}

/// `mkdir -p`
fn mkdir(words: &[Vec<u8>]) -> Option<()> {
    let (b"-p", names @ [_, ..]) = option(words)? else {
        return None;
    };
    // `mkdir` can write to directories that it makes on the way, whatever the mask says.
    let mask = umask(Mode::empty());
    umask(mask);
    if mask.intersects(Mode::WUSR | Mode::XUSR) {
        return None;
    }
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
    let output = rustix::fs::fstat(rustix::stdio::stdout()).ok()?;
    let mut text = Vec::new();
    for word in words {
        // What is no plain file may wait for something, and what is the output as well grows while it is read.
        let found = fs::metadata(path(word)).ok()?;
        let is_output = (found.dev(), found.ino()) == (output.st_dev, output.st_ino);
        let is_read = found.is_file() && !is_output;
        let file = is_read.then(|| File::open(path(word)).ok()).flatten()?;
        file.take(CAT_BYTES_MAX).read_to_end(&mut text).ok()?;
        if text.len() as u64 >= CAT_BYTES_MAX {
            return None;
        }
    }
    match put_out(&text) {
        Ok(()) => Some(0),
        // This process is deaf to the signal that ends `cat` then.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Some(EXIT_BROKEN_PIPE),
        Err(error) => {
            say(&format!("cat: write error: {}", plainly(&error)));
            Some(1)
        }
    }
}
