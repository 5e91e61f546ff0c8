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
}

/// Where a command is.
pub(crate) fn find(name: &[u8]) -> Option<PathBuf> {
    if name.contains(&b'/') {
        return Some(PathBuf::from(OsStr::from_bytes(name)));
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|directory| directory.join(OsStr::from_bytes(name)))
        .find(|path| {
            path.metadata()
                .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        })
}

/// Says that a command is not there, or nowhere where it could be executed.
pub(crate) fn not_found(name: &[u8], line: usize) -> u8 {
    let path = env::var_os("PATH")
        .filter(|_| !name.contains(&b'/'))
        .unwrap_or_default();
    if env::split_paths(&path).any(|directory| directory.join(OsStr::from_bytes(name)).exists()) {
        complain(
            line,
            &format!("{}: Permission denied", String::from_utf8_lossy(name)),
        );
        return EXIT_NOT_EXECUTABLE;
    }
    complain(line, &format!("{}: not found", String::from_utf8_lossy(name)));
    EXIT_NOT_FOUND
}

/// As the shell says it.
pub(crate) fn complain(line: usize, what: &str) {
    let _ = io::stdout().flush();
    // Nobody is left to tell that it cannot be told.
    let _ = writeln!(io::stderr(), "{REAL_SHELL}: {line}: {what}");
}

impl External<'_> {
    /// Does it, and says how it ended.
    pub(crate) fn run(&self) -> u8 {
        if self.is_wrapped() && self.input.is_none() && !self.may_read_input() {
            let call = InProcess {
                arguments: &self.words,
                set: &self.set,
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

    /// Becomes it, unless this process has to answer for it itself. Returns only if nothing has become of that.
    pub(crate) fn replace(&self) {
        if self.is_wrapped() || self.input.is_some() {
            return;
        }
        let _ = io::stdout().flush();
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
        self.words[1..]
            .iter()
            .any(|word| word == "-" || word == "/dev/stdin")
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .arg0(&self.words[0])
            .envs(self.set.iter().map(|(name, value)| (name, value)));
        command
    }

    fn waited(&self, command: &mut Command) -> io::Result<ExitStatus> {
        let _ = io::stdout().flush();
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
            io::ErrorKind::NotFound => not_found(name, self.line),
            _ => {
                let what = crate::small::plainly(error);
                complain(self.line, &format!("{}: {what}", self.words[0].display()));
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
            if let Some((_, name)) = SIGNALS.iter().find(|(number, _)| *number == signal) {
                let dumped = if status.core_dumped() {
                    " (core dumped)"
                } else {
                    ""
                };
                // As above.
                let _ = writeln!(io::stderr(), "{name}{dumped}");
            }
            EXIT_SIGNAL + signal
        }
    };
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// What a shell says of a command that a signal ended. It says nothing of an interrupt and of a broken pipe.
const SIGNALS: [(i32, &str); 10] = [
    (1, "Hangup"),
    (3, "Quit"),
    (4, "Illegal instruction"),
    (5, "Trace/breakpoint trap"),
    (6, "Aborted"),
    (7, "Bus error"),
    (8, "Floating point exception"),
    (9, "Killed"),
    (11, "Segmentation fault"),
    (15, "Terminated"),
];
