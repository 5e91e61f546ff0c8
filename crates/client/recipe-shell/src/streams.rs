//! Redirections: this process's own descriptors are put on files for as long as a command lasts, as shells do it.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout, stderr, stdin, stdout};

use crate::expand::Variables;
use crate::said::{complain, plainly};
use crate::script::{Redirection, Target};

/// Descriptors below it are for commands.
const FIRST_OWN: i32 = 10;

/// Puts descriptors back when it goes.
#[derive(Debug, Default)]
pub(crate) struct Redirected(Vec<(u8, OwnedFd)>);

impl Redirected {
    /// Does what is asked for, in its order. If that cannot be, says so, and where the error output is by then.
    pub(crate) fn new(
        redirections: &[Redirection],
        line: usize,
        variables: &Variables,
        status: u8,
    ) -> Option<Self> {
        let mut redirected = Redirected::default();
        for redirection in redirections {
            if let Err(error) = redirected.one(redirection, variables, status) {
                complain(line, &error);
                return None;
            }
        }
        Some(redirected)
    }

    /// The error is as the shell says it.
    fn one(&mut self, redirection: &Redirection, variables: &Variables, status: u8) -> Result<(), Vec<u8>> {
        let Redirection { descriptor, to } = redirection;
        let open = |word, options: &mut OpenOptions, verb: &str| {
            let name = variables.whole(word, status);
            let file = options.open(OsStr::from_bytes(&name)).map(OwnedFd::from);
            file.map_err(|error| {
                let error = told(&error, verb == "create");
                [b"cannot ", verb.as_bytes(), b" ", &name, b": ", error.as_bytes()].concat()
            })
        };
        let new = match to {
            Target::Read(word) => open(word, File::options().read(true), "open")?,
            Target::Write(word) => open(
                word,
                File::options().write(true).create(true).truncate(true),
                "create",
            )?,
            Target::Append(word) => open(word, File::options().append(true).create(true), "create")?,
            Target::Same(other) => keep(*other).map_err(as_text)?,
        };
        let old = keep(*descriptor).map_err(as_text)?;
        self.0.push((*descriptor, old));
        put(&new, *descriptor).map_err(as_text)
    }
}

fn as_text(error: io::Error) -> Vec<u8> {
    plainly(&error).into_bytes()
}

impl Drop for Redirected {
    fn drop(&mut self) {
        for (descriptor, old) in self.0.drain(..).rev() {
            // The descriptor is there, and so is the old one.
            let _ = put(&old, descriptor);
        }
    }
}

fn of(descriptor: u8) -> BorrowedFd<'static> {
    match descriptor {
        0 => stdin(),
        1 => stdout(),
        _ => stderr(),
    }
}

fn keep(descriptor: u8) -> io::Result<OwnedFd> {
    Ok(fcntl_dupfd_cloexec(of(descriptor), FIRST_OWN)?)
}

fn put(file: &impl AsFd, descriptor: u8) -> io::Result<()> {
    let file = file.as_fd();
    match descriptor {
        0 => dup2_stdin(file)?,
        1 => dup2_stdout(file)?,
        _ => dup2_stderr(file)?,
    }
    Ok(())
}

/// As the shell words it.
fn told(error: &io::Error, is_made: bool) -> String {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT) if is_made => "Directory nonexistent".to_owned(),
        Some(Errno::NOENT) => "No such file".to_owned(),
        Some(Errno::NOTDIR) if is_made => "Directory nonexistent".to_owned(),
        Some(Errno::NOTDIR) => "No such file".to_owned(),
        _ => plainly(error),
    }
}
