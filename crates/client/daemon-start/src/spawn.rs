//! One process, detached.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How often it is looked whether the daemon listens.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// The daemon must hold no pipe of the build that starts it: what reads to the end of that pipe would wait for the daemon.
/// Descriptors that a build hands down (those of make's job server, of scripts) have one digit; everything else is closed by
/// whoever opened it. The shell is replaced by the daemon, so the process number stays.
const CLOSING: &str = "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; exec \"$@\"";

/// A daemon to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables that it has besides those of this process.
    pub environment: Vec<(OsString, OsString)>,
    /// What it prints goes to the end of this file.
    pub output: PathBuf,
}

/// There is no daemon.
#[derive(Debug)]
pub enum NotStarted {
    /// It could not be started, or not be waited for.
    Failed(io::Error),
    /// It has ended already.
    Ended(ExitStatus),
    /// It does not listen yet.
    Slow(Duration),
}

impl fmt::Display for NotStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotStarted::Failed(error) => write!(f, "the daemon cannot be started: {error}"),
            NotStarted::Ended(status) => write!(f, "the daemon ended when it was started: {status}"),
            NotStarted::Slow(waited) => write!(f, "the daemon does not listen after {} s", waited.as_secs()),
        }
    }
}

impl std::error::Error for NotStarted {}

/// A program of this name: beside the name that this one was called by, which may be a link; beside this one itself; else
/// the first in `PATH`.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let called = env::args_os().next().map(PathBuf::from);
    let called = called.filter(|called| called.components().count() > 1);
    let called = called.and_then(|called| std::path::absolute(called).ok());
    let beside = [called, env::current_exe().ok()];
    let beside = beside
        .iter()
        .flatten()
        .filter_map(|this| Some(this.parent()?.join(name)));
    let path = env::var_os("PATH").unwrap_or_default();
    let in_path = env::split_paths(&path).map(|directory| directory.join(name));
    beside.chain(in_path).find(|candidate| is_program(candidate))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Starts it in a process group of its own, in the root directory, without input. The directory of the output is made.
pub fn spawn(start: &Start) -> Result<Child, NotStarted> {
    let try_to = || {
        if let Some(directory) = start.output.parent() {
            fs::create_dir_all(directory)?;
        }
        let output = OpenOptions::new().create(true).append(true).open(&start.output)?;
        Command::new("/bin/sh")
            .args(["-c", CLOSING, "sh"])
            .arg(&start.program)
            .args(&start.arguments)
            .envs(start.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // A directory that is in use can be neither removed nor unmounted.
            .current_dir("/")
            .process_group(0)
            .spawn()
    };
    try_to().map_err(NotStarted::Failed)
}

/// Waits until `is_ready`, at most for `limit`. `child` is the daemon, if this process has started it.
pub fn wait_for(
    mut child: Option<&mut Child>,
    is_ready: &dyn Fn() -> bool,
    limit: Duration,
) -> Result<(), NotStarted> {
    let deadline = Instant::now() + limit;
    loop {
        if is_ready() {
            return Ok(());
        }
        if let Some(child) = &mut child {
            match child.try_wait() {
                // It may have found another that was first: then that one is what is waited for.
                Ok(Some(status)) if status.success() => {}
                Ok(Some(status)) => return Err(NotStarted::Ended(status)),
                Ok(None) => {}
                Err(error) => return Err(NotStarted::Failed(error)),
            }
        }
        if Instant::now() >= deadline {
            return Err(NotStarted::Slow(limit));
        }
        thread::sleep(LOOK_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(directory: &Path, script: &str) -> Start {
        Start {
            program: "/bin/sh".into(),
            arguments: ["-c", script].map(OsString::from).into(),
            environment: vec![("WORD".into(), "set".into())],
            output: directory.join("made/out.log"),
        }
    }

    #[test]
    fn it_is_detached_and_its_output_kept() {
        let directory = tempfile::tempdir().unwrap();
        let start = start(directory.path(), "echo $WORD; echo $$; pwd; cat");
        let mut child = spawn(&start).unwrap();
        let number = child.id();
        assert!(child.wait().unwrap().success());
        let output = fs::read_to_string(&start.output).unwrap();
        let lines: Vec<_> = output.lines().collect();
        assert_eq!(lines, ["set", &number.to_string(), "/"]);
    }

    #[test]
    fn descriptors_of_the_build_are_closed() {
        let build = "exec 7</dev/null; ls /proc/self/fd; echo; exec sh -c \"$0\" sh ls /proc/self/fd";
        let output = Command::new("sh").args(["-c", build, CLOSING]).output().unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        let (before, after) = output.split_once("\n\n").unwrap();
        let is_open = |listing: &str| listing.lines().any(|line| line == "7");
        assert!(is_open(before) && !is_open(after), "{output}");
    }

    #[test]
    fn it_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let long = Duration::from_secs(60);
        let there = directory.path().join("there");

        let mut child = spawn(&start(directory.path(), &format!("touch {}", there.display()))).unwrap();
        assert!(wait_for(Some(&mut child), &|| there.exists(), long).is_ok());
        child.wait().unwrap();

        let mut child = spawn(&start(directory.path(), "exit 3")).unwrap();
        let error = wait_for(Some(&mut child), &|| false, long).unwrap_err();
        assert!(
            matches!(error, NotStarted::Ended(status) if status.code() == Some(3)),
            "{error}"
        );

        let error = wait_for(None, &|| false, Duration::ZERO).unwrap_err();
        assert!(matches!(error, NotStarted::Slow(_)), "{error}");

        let missing = Start {
            output: "/proc/there-is-no-such-directory/log".into(),
            ..start(directory.path(), "true")
        };
        assert!(matches!(spawn(&missing), Err(NotStarted::Failed(_))));
    }

    #[test]
    fn programs_are_found() {
        assert!(find_program("sh").is_some());
        assert_eq!(find_program("there-is-no-such-program"), None);
    }
}
