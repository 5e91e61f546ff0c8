//! make's job server: who waits for another machine gives his place to somebody else.
//!
//! A build with `-j8` has eight places, and a command that runs elsewhere needs none of them. The place goes back as one
//! byte into make's pipe, and is taken out again before this process ends: make counts.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// How far up the process tree make is looked for: make, a shell, a script or two.
const ANCESTORS_MAX: usize = 8;
/// A place. make does not care which byte it is.
const PLACE: &[u8] = b"+";

/// The place that this process has in its job server, if there is one.
#[derive(Default)]
pub(crate) struct JobServer {
    lent: Option<Ends>,
}

/// Both ends of make's pipe.
struct Ends {
    read: File,
}

/// How make says where its places are.
#[derive(Debug, PartialEq, Eq)]
enum Auth {
    /// A named pipe (make 4.4 and later).
    Fifo(PathBuf),
    /// Descriptors of make itself.
    Descriptors(u32, u32),
}

impl JobServer {
    /// Gives the place away. Does nothing without a job server, or when it is away already.
    pub(crate) fn lend(&mut self) {
        if self.lent.is_some() {
            return;
        }
        let auth = env::var_os("MAKEFLAGS").and_then(|flags| auth(&flags));
        self.lent = auth.and_then(|auth| try_to_lend(&auth).ok());
    }

    /// Waits until there is a place again. Does nothing if none was given away.
    pub(crate) fn take_back(&mut self) {
        let Some(mut ends) = self.lent.take() else { return };
        loop {
            match ends.read.read(&mut [0; 1]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Got it; or make has gone and its pipe with it.
                _ => return,
            }
        }
    }
}

fn try_to_lend(auth: &Auth) -> io::Result<Ends> {
    let (read, mut write) = match auth {
        Auth::Fifo(path) => {
            let fifo = OpenOptions::new().read(true).write(true).open(path)?;
            (fifo.try_clone()?, fifo)
        }
        Auth::Descriptors(read, write) => {
            let make = make_with(*read, *write).ok_or(io::ErrorKind::NotFound)?;
            let read = File::open(make.join(read.to_string()))?;
            (
                read,
                OpenOptions::new()
                    .write(true)
                    .open(make.join(write.to_string()))?,
            )
        }
    };
    write.write_all(PLACE)?;
    Ok(Ends { read })
}

/// The last word about it in `MAKEFLAGS`, as make itself reads them.
fn auth(flags: &OsStr) -> Option<Auth> {
    let last = |name: &[u8]| {
        let words = flags.as_bytes().split(|byte| *byte == b' ');
        words.filter_map(|word| word.strip_prefix(name)).next_back()
    };
    // The second was its name before make 4.2.
    let value = last(b"--jobserver-auth=").or_else(|| last(b"--jobserver-fds="))?;
    if let Some(path) = value.strip_prefix(b"fifo:") {
        return Some(Auth::Fifo(OsStr::from_bytes(path).into()));
    }
    let (read, write) = std::str::from_utf8(value).ok()?.split_once(',')?;
    Some(Auth::Descriptors(read.parse().ok()?, write.parse().ok()?))
}

/// The directory of descriptors of the make that has this pipe. It closes them for commands that are no makes
/// themselves, so they are found where they are still open.
fn make_with(read: u32, write: u32) -> Option<PathBuf> {
    let mut process = "self".to_owned();
    for _ in 0..ANCESTORS_MAX {
        process = parent_of(&process)?;
        let descriptors = Path::new("/proc").join(&process).join("fd");
        let pipe = |descriptor: u32| {
            let found = fs::metadata(descriptors.join(descriptor.to_string())).ok()?;
            found.file_type().is_fifo().then(|| (found.dev(), found.ino()))
        };
        let command = fs::read(Path::new("/proc").join(&process).join("comm")).ok()?;
        let is_make = command.trim_ascii_end().ends_with(b"make");
        if is_make && pipe(read).is_some() && pipe(read) == pipe(write) {
            return Some(descriptors);
        }
    }
    None
}

/// The fourth field of `stat`; the second is in parentheses and may contain anything.
fn parent_of(process: &str) -> Option<String> {
    let stat = fs::read_to_string(Path::new("/proc").join(process).join("stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let parent = after_name.split_ascii_whitespace().nth(1)?;
    (parent != "0").then(|| parent.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_counts() {
        let check = |flags: &str, expected| assert_eq!(auth(OsStr::new(flags)), expected, "{flags}");
        check("", None);
        check("k -j8", None);
        check(" -j8 --jobserver-auth=3,4", Some(Auth::Descriptors(3, 4)));
        check(
            "--jobserver-auth=3,4 --jobserver-auth=5,6 -- A=b",
            Some(Auth::Descriptors(5, 6)),
        );
        check("--jobserver-fds=3,4 -j", Some(Auth::Descriptors(3, 4)));
        check(
            " -j4 --jobserver-auth=fifo:/tmp/GMfifo1",
            Some(Auth::Fifo("/tmp/GMfifo1".into())),
        );
        check("--jobserver-auth=x,y", None);
        check("--jobserver-auth=-1,-1", None);
    }

    #[test]
    fn every_process_but_the_first_has_a_parent() {
        assert_eq!(
            parent_of("self"),
            Some(std::os::unix::process::parent_id().to_string())
        );
        assert_eq!(parent_of("1"), None);
    }

    #[test]
    fn a_place_goes_into_the_pipe_and_comes_back() {
        let directory = std::env::temp_dir().join(format!("farrier-job-server-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let fifo = directory.join("fifo");
        assert!(
            std::process::Command::new("mkfifo")
                .arg(&fifo)
                .status()
                .unwrap()
                .success()
        );
        let lent = try_to_lend(&Auth::Fifo(fifo.clone())).unwrap();
        let mut server = JobServer { lent: Some(lent) };
        // The pipe lives as long as somebody has it open; one place is in it, and is taken by who lent it.
        server.take_back();
        assert!(server.lent.is_none());
        fs::remove_dir_all(&directory).unwrap();
    }
}
