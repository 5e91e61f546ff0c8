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

use crate::small::{plainly, say};
use crate::xargs;

/// The shell that everything is left to which is not done here.
pub(crate) const REAL_SHELL: &str = "/bin/sh";
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

/// As the shell says it.
pub(crate) fn complain(line: usize, what: &[u8]) {
    let said = [format!("{REAL_SHELL}: {line}: ").as_bytes(), what, b"\n"].concat();
    // Nobody is left to tell that it cannot be told.
    let _ = io::stderr().write_all(&said);
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
        let mut command = self.command(&self.program);
        match self.waited(&mut command) {
            Ok(status) => told(status),
            Err(error) if error.raw_os_error() == Some(ENOEXEC) => {
                let mut command = self.command(Path::new(REAL_SHELL));
                command
                    .arg0(REAL_SHELL)
                    .args([&self.program])
                    .args(&self.words[1..]);
                self.waited(&mut command)
                    .map_or_else(|error| self.cannot(&error), told)
            }
            Err(error) => self.cannot(&error),
        }
    }

    /// Does it for `xargs`, which tells how it ended in its own way.
    pub(crate) fn run_for_xargs(&self) -> u8 {
        if self.is_wrapped() {
            return xargs::status(self.run());
        }
        let name = self.words[0].display();
        let ended = self.waited(&mut self.command(&self.program));
        let (status, said) = match ended.map(|status| (status.code(), status.signal())) {
            Ok((Some(255), _)) => (255, format!("{name}: exited with status 255; aborting")),
            Ok((Some(code), _)) => return xargs::status(u8::try_from(code).unwrap_or(u8::MAX)),
            Ok((None, signal)) => {
                let said = format!("{name}: terminated by signal {}", signal.unwrap_or_default());
                say(&format!("xargs: {said}"));
                return xargs::EXIT_KILLED;
            }
            Err(error) => {
                say(&format!("xargs: {name}: {}", plainly(&error)));
                return match error.kind() {
                    io::ErrorKind::NotFound => EXIT_NOT_FOUND,
                    _ => EXIT_NOT_EXECUTABLE,
                };
            }
        };
        say(&format!("xargs: {said}"));
        xargs::status(status)
    }

    /// Becomes it, unless this process has to answer for it itself. Returns only if nothing has become of that.
    pub(crate) fn replace(&self) {
        if self.is_wrapped() || self.input.is_some() {
            return;
        }
        // What is wrong with it is found again by who tries to start it.
        let _ = self.command(&self.program).args(&self.words[1..]).exec();
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

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .arg0(&self.words[0])
            .envs(self.set.iter().map(|(name, value)| (name, value)));
        command
    }

    fn waited(&self, command: &mut Command) -> io::Result<ExitStatus> {
        if command.get_args().len() == 0 {
            command.args(&self.words[1..]);
        }
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
            if let Some(name) = said_of(signal) {
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

/// What a shell says of a command that a signal ended. It says nothing of an interrupt and of a broken pipe.
fn said_of(signal: i32) -> Option<String> {
    let known = SIGNALS.iter().find(|(number, _)| *number == signal);
    match (known, signal) {
        (Some((_, name)), _) => Some((*name).to_owned()),
        (None, REAL_TIME_FIRST..) => Some(format!("Real-time signal {}", signal - REAL_TIME_FIRST)),
        (None, _) => None,
    }
}

/// The first that has no name; the C library keeps two before it to itself.
const REAL_TIME_FIRST: i32 = 34;

const SIGNALS: [(i32, &str); 21] = [
    (1, "Hangup"),
    (3, "Quit"),
    (4, "Illegal instruction"),
    (5, "Trace/breakpoint trap"),
    (6, "Aborted"),
    (7, "Bus error"),
    (8, "Floating point exception"),
    (9, "Killed"),
    (10, "User defined signal 1"),
    (11, "Segmentation fault"),
    (12, "User defined signal 2"),
    (14, "Alarm clock"),
    (15, "Terminated"),
    (16, "Stack fault"),
    (24, "CPU time limit exceeded"),
    (25, "File size limit exceeded"),
    (26, "Virtual timer expired"),
    (27, "Profiling timer expired"),
    (29, "I/O possible"),
    (30, "Power failure"),
    (31, "Bad system call"),
];
