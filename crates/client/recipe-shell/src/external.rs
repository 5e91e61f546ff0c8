//! Commands that are programs: asked of the daemon, where a link to the wrapper stands for them, else started.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use wrapper::{InProcess, OFF_VARIABLE, TOOLS_VARIABLE};

use crate::said::{REAL_SHELL, complain, of_signal, plainly, say};
use crate::xargs;

/// Tools that are watched, of `farrier run --observe`.
const OBSERVE_VARIABLE: &str = "FARRIER_OBSERVE";
/// What shells say of commands that are not there, or cannot be executed.
pub(crate) const EXIT_NOT_FOUND: u8 = 127;
const EXIT_NOT_EXECUTABLE: u8 = 126;
/// Added to the number of the signal that ended a command.
const EXIT_SIGNAL: i32 = 128;
/// A script that does not say who reads it.
const ENOEXEC: i32 = 8;

/// A program and how it is started.
#[derive(Debug)]
pub(crate) struct External<'a> {
    pub(crate) program: PathBuf,
    /// Its name first.
    pub(crate) words: Vec<OsString>,
    /// Variables that differ from this process's.
    pub(crate) set: Vec<(OsString, OsString)>,
    /// What it reads, where that is not this process's standard input.
    pub(crate) input: Option<&'a [u8]>,
    pub(crate) line: usize,
    /// The recipe is nothing else: this process may become it.
    pub(crate) is_alone: bool,
}

/// Where a command is.
pub(crate) fn find(name: &[u8]) -> Option<PathBuf> {
    if name.contains(&b'/') {
        return Some(PathBuf::from(OsStr::from_bytes(name)));
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|directory| directory.join(OsStr::from_bytes(name)))
        .find(|path| is_executable(path))
}

pub(crate) fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Says that a command is not there, or nowhere where it could be executed.
pub(crate) fn not_found(name: &[u8], line: usize) -> u8 {
    let path = env::var_os("PATH")
        .filter(|_| !name.contains(&b'/'))
        .unwrap_or_default();
    if env::split_paths(&path).any(|directory| directory.join(OsStr::from_bytes(name)).exists()) {
        complain(line, &[name, b": Permission denied"].concat());
        return EXIT_NOT_EXECUTABLE;
    }
    complain(line, &[name, b": not found"].concat());
    EXIT_NOT_FOUND
}

impl External<'_> {
    /// Does it, and says how it ended.
    pub(crate) fn run(&self) -> u8 {
        if self.is_wrapped() && self.input.is_none() && !self.may_read_input() {
            let call = InProcess {
                arguments: &self.words,
                set: &self.set,
                may_replace: self.is_alone,
            };
            return call.run();
        }
        match self.waited(self.command()) {
            Ok(status) => told(status),
            Err(error) if error.raw_os_error() == Some(ENOEXEC) => {
                let mut shell = Command::new(REAL_SHELL);
                shell
                    .arg(&self.program)
                    .args(&self.words[1..])
                    .envs(self.changes());
                self.waited(shell).map_or_else(|error| self.cannot(&error), told)
            }
            Err(error) => self.cannot(&error),
        }
    }

    /// Does it for `xargs`, which tells how it ended in its own way.
    pub(crate) fn run_for_xargs(&self) -> u8 {
        let name = self.words[0].display();
        match self.waited(self.command()) {
            Ok(status) => xargs::status(status, &name.to_string()),
            Err(error) => {
                say(&format!("xargs: {name}: {}", plainly(&error)));
                match error.kind() {
                    io::ErrorKind::NotFound => EXIT_NOT_FOUND,
                    _ => EXIT_NOT_EXECUTABLE,
                }
            }
        }
    }

    /// Becomes it, unless this process has to answer for it itself. Returns only if nothing has become of that.
    pub(crate) fn replace(&self) {
        if self.is_wrapped() || self.input.is_some() {
            return;
        }
        // What is wrong with it is found again by who tries to start it.
        let _ = self.command().exec();
    }

    /// Whether the daemon is to be asked: the wrapper stands for the program, or would if that were called by its name alone.
    fn is_wrapped(&self) -> bool {
        let Some(links) = env::var_os(TOOLS_VARIABLE).filter(|_| env::var_os(OFF_VARIABLE).is_none()) else {
            return false;
        };
        let is_link = self.program.parent().is_some_and(|at| at.as_os_str() == links);
        is_link || env::var_os(OBSERVE_VARIABLE).is_some_and(|names| is_among(&self.program, &names))
    }

    /// What is read of standard input here is lost for the commands after it.
    fn may_read_input(&self) -> bool {
        let names_input = |word: &OsString| {
            word == "-"
                || word.to_string_lossy().contains("/dev/stdin")
                || word.to_string_lossy().contains("/fd/")
        };
        self.words[1..].iter().any(names_input)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg0(&self.words[0])
            .args(&self.words[1..])
            .envs(self.changes());
        command
    }

    fn changes(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        self.set.iter().map(|(name, value)| (name, value))
    }

    fn waited(&self, mut command: Command) -> io::Result<ExitStatus> {
        let Some(input) = self.input else {
            return command.status();
        };
        let mut child = command.stdin(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take();
        thread::scope(|scope| {
            scope.spawn(|| {
                // Who does not read it all does not want it.
                stdin.map(|mut stdin| stdin.write_all(input))
            });
            child.wait()
        })
    }

    fn cannot(&self, error: &io::Error) -> u8 {
        let name = self.words[0].as_bytes();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => not_found(name, self.line),
            _ => {
                let what = plainly(error);
                complain(self.line, &[name, b": ", what.as_bytes()].concat());
                EXIT_NOT_EXECUTABLE
            }
        }
    }
}

/// Whether a program is one of those whose names a list has.
fn is_among(program: &Path, names: &OsStr) -> bool {
    let name = program.file_name().map(OsStr::as_bytes);
    names
        .as_bytes()
        .split(|byte| *byte == b',')
        .any(|listed| Some(listed) == name)
}

/// The status of a command that has ended, after a word about the signal that ended it.
fn told(status: ExitStatus) -> u8 {
    let code = match status.signal() {
        None => status.code().unwrap_or(i32::from(EXIT_NOT_EXECUTABLE)),
        Some(signal) => {
            if let Some(name) = of_signal(signal) {
                let dumped = if status.core_dumped() {
                    " (core dumped)"
                } else {
                    ""
                };
                say(&format!("{name}{dumped}"));
            }
            EXIT_SIGNAL + signal
        }
    };
    u8::try_from(code).unwrap_or(u8::MAX)
}
