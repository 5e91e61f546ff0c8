//! A daemon that does what it is told, and programs to call it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::{self, JoinHandle};

use daemon_api::{Answer, Report, Request, read_frame, write_frame};
use tempfile::TempDir;

/// What a daemon saw.
pub(crate) struct Seen {
    pub(crate) request: Request,
    pub(crate) reports: Vec<Report>,
}

/// The programs as they are called.
const NAMES: [&str; 9] = [
    "rewrapper",
    "recc",
    "recc-cat",
    "reproxy",
    "bootstrap",
    "reproxystatus",
    "dumpstats",
    "reproxytool",
    "farrier-dialects",
];

/// A directory with programs and sockets.
pub(crate) struct Place {
    directory: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Away from where it was built: there may be a real `farrier` beside it, which would be found first.
        let built = env!("CARGO_BIN_EXE_farrier-dialects");
        let program = directory.path().join("programs/farrier-dialects");
        fs::create_dir(directory.path().join("programs")).unwrap();
        if fs::hard_link(built, &program).is_err() {
            fs::copy(built, &program).unwrap();
        }
        for name in NAMES {
            symlink(&program, directory.path().join(name)).unwrap();
        }
        fs::create_dir(directory.path().join("work")).unwrap();
        Place { directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A program of ours, called in `work` with nothing of this process's environment but `PATH`.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.path(program));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.directory.path())
            .current_dir(self.path("work"))
            .stdin(Stdio::null());
        command
    }

    /// A daemon at this socket that takes one conversation, gives these answers, and then reads reports until the other side
    /// has gone. `SendInput` is followed by reading until the input ends.
    pub(crate) fn daemon(&self, socket: &str, answers: Vec<Answer>) -> JoinHandle<Seen> {
        let listener = UnixListener::bind(self.path(socket)).unwrap();
        thread::spawn(move || converse(listener.accept().unwrap().0, answers))
    }

    /// The same as reproxy at `unix:///<place>/reproxy.sock`.
    pub(crate) fn reproxy(&self, answers: Vec<Answer>) -> JoinHandle<Seen> {
        self.daemon("reproxy.sock.farrier", answers)
    }

    /// Where [`Place::reproxy`] is.
    pub(crate) fn address(&self) -> String {
        format!("-server_address=unix://{}", self.path("reproxy.sock").display())
    }
}

fn converse(mut stream: UnixStream, answers: Vec<Answer>) -> Seen {
    let request = read_frame(&mut stream).unwrap().unwrap();
    let mut reports = Vec::new();
    for answer in answers {
        write_frame(&mut stream, &answer).unwrap();
        // What the other side says now, until it has said all of it.
        let is_heard = |report: &Report| match &answer {
            Answer::SendInput => *report == Report::Input(Vec::new()),
            Answer::TakeBack => *report == Report::TakenBack,
            _ => matches!(report, Report::Ran { .. }),
        };
        let mut is_over = !matches!(answer, Answer::SendInput | Answer::TakeBack | Answer::Run { .. });
        while !is_over {
            let report = read_frame(&mut stream).unwrap().unwrap();
            is_over = is_heard(&report);
            reports.push(report);
        }
    }
    Seen { request, reports }
}

/// Runs it with this standard input.
pub(crate) fn with_input(mut command: Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A program of a shell's words. It is written by another process: one of this process that starts at the same time would
/// keep it open, and a program that is open for writing cannot be executed.
pub(crate) fn script(path: &Path, text: &str) {
    let made = Command::new("sh")
        .args(["-c", "printf %s \"$1\" >\"$2\" && chmod +x \"$2\"", "sh", text])
        .arg(path)
        .status();
    assert!(made.unwrap().success());
}

/// The path as the system has it, without links.
pub(crate) fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap()
}
