//! A real runner process, and commands to give it.
#![allow(
    dead_code,
    reason = "every test file is a program of its own and uses a part of this"
)]

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use runner_api::{
    Capabilities, Outcome, Refusal, Reply, Root, RunError, RunRequest, RunResponse, Runner, UnixRunner,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Nothing in these tests takes nearly as long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Whose runner it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Root's.
    Privileged,
    /// An ordinary user's: `nobody` when the tests run as root, otherwise whoever runs them.
    Rootless,
}

const NOBODY: u32 = 65_534;

/// The modes that can be tested here. Both, as root.
pub(crate) fn modes() -> &'static [Mode] {
    match rustix::process::geteuid().is_root() {
        true => &[Mode::Privileged, Mode::Rootless],
        false => &[Mode::Rootless],
    }
}

/// A runner process. Killed when dropped.
pub(crate) struct Host {
    pub(crate) mode: Mode,
    pub(crate) process: Child,
    pub(crate) runner: UnixRunner,
    pub(crate) directory: TempDir,
    runs: AtomicU32,
}

/// A build directory and where the logs go.
pub(crate) struct Build {
    pub(crate) root: PathBuf,
    pub(crate) stdout: PathBuf,
    pub(crate) stderr: PathBuf,
}

/// What a command did.
pub(crate) struct Ran {
    pub(crate) response: RunResponse,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Its standard output; it must have exited with 0.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        let Ran {
            response,
            stdout,
            stderr,
        } = self;
        assert_eq!(
            response.outcome,
            Outcome::Exited(0),
            "stdout: {stdout}\nstderr: {stderr}"
        );
        stdout
    }
}

impl Host {
    /// With the whole sandbox.
    pub(crate) async fn start(mode: Mode) -> Host {
        Host::start_with(mode, &["--sandbox", "require"]).await
    }

    pub(crate) async fn start_with(mode: Mode, args: &[&str]) -> Host {
        Host::start_by(mode, Command::new(env!("CARGO_BIN_EXE_farrier-runner")), args).await
    }

    /// As root only: in a mount namespace of its own, so that mounting there is no other test's business.
    pub(crate) async fn start_on_own_mounts(mode: Mode, args: &[&str]) -> Host {
        let mut command = Command::new("unshare");
        command.arg("--mount");
        if mode == Mode::Rootless {
            let nobody = NOBODY.to_string();
            command.args([
                "setpriv",
                "--clear-groups",
                "--reuid",
                &nobody,
                "--regid",
                &nobody,
            ]);
        }
        command.arg(env!("CARGO_BIN_EXE_farrier-runner"));
        Host::start_by(mode, command, args).await
    }

    async fn start_by(mode: Mode, mut command: Command, args: &[&str]) -> Host {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        command
            .arg("--socket")
            .arg(&socket)
            .args(args)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped());
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        if mode == Mode::Rootless && rustix::process::geteuid().is_root() {
            chown(directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
            if command.get_program() != "unshare" {
                command.uid(NOBODY).gid(NOBODY);
            }
        }
        let mut process = command.spawn().unwrap();
        let start = Instant::now();
        while !socket.exists() {
            if let Some(status) = process.try_wait().unwrap() {
                let mut said = String::new();
                process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                panic!("the runner ended with {status}: {said}");
            }
            assert!(start.elapsed() < PATIENCE, "the runner does not become ready");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Host {
            mode,
            process,
            runner: UnixRunner::new(socket),
            directory,
            runs: AtomicU32::new(0),
        }
    }

    pub(crate) async fn capabilities(&self) -> Capabilities {
        self.runner.capabilities().await.unwrap()
    }

    pub(crate) fn pid(&self) -> i32 {
        self.process.id().try_into().unwrap()
    }

    /// Pids of the runner's supervisors, waiting ones too, oldest first.
    pub(crate) fn supervisors(&self) -> Vec<i32> {
        children(self.pid())
    }

    /// Waits until nothing runs and `count` supervisors wait, each with the init of a world and nothing more.
    pub(crate) async fn spares(&self, count: std::ops::RangeInclusive<usize>) -> Vec<i32> {
        let mut spares = Vec::new();
        eventually("only spares are left", || {
            spares = self.supervisors();
            count.contains(&spares.len()) && spares.iter().all(|spare| waits_with_a_world(*spare))
        })
        .await;
        spares
    }

    /// A fresh, empty build directory as a worker would make it: under a directory that is closed to others, itself
    /// owned by the commands' user.
    pub(crate) async fn build(&self) -> Build {
        let capabilities = self.capabilities().await;
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        let closed = self.directory.path().join(format!("worker-{number}"));
        let root = closed.join("root");
        fs::create_dir_all(&root).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        if rustix::process::geteuid().is_root() {
            chown(
                &root,
                Some(capabilities.action_uid),
                Some(capabilities.action_gid),
            )
            .unwrap();
            if self.mode == Mode::Rootless {
                chown(&closed, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        Build {
            root,
            stdout: closed.join("stdout"),
            stderr: closed.join("stderr"),
        }
    }

    /// Runs a shell script in a fresh build directory.
    pub(crate) async fn shell(&self, script: &str) -> Ran {
        let build = self.build().await;
        self.run(&build, shell(&build, script)).await
    }

    pub(crate) async fn run(&self, build: &Build, request: RunRequest) -> Ran {
        let response = self.try_run(request, &CancellationToken::new()).await.unwrap();
        let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        Ran {
            response,
            stdout: read(&build.stdout),
            stderr: read(&build.stderr),
        }
    }

    pub(crate) async fn try_run(
        &self,
        request: RunRequest,
        cancel: &CancellationToken,
    ) -> Result<RunResponse, RunError> {
        tokio::time::timeout(PATIENCE, self.runner.run(request, cancel))
            .await
            .expect("the runner does not answer")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// A reply that says that nobody could run this.
#[track_caller]
pub(crate) fn assert_invalid(reply: &Reply) {
    let invalid = |refusal: &Refusal| *refusal == Refusal::Invalid;
    assert!(
        matches!(reply, Reply::Refused { refusal, .. } if invalid(refusal)),
        "{reply:?}"
    );
}

/// A request for a command with an ordinary environment and no limits that matter.
pub(crate) fn request(build: &Build, argv: &[&str]) -> RunRequest {
    RunRequest {
        argv: argv.iter().map(|argument| argument.as_bytes().to_vec()).collect(),
        env: vec![(b"PATH".to_vec(), b"/usr/bin:/bin".to_vec())],
        input_root: build.root.clone(),
        working_directory: PathBuf::new(),
        timeout: Some(PATIENCE),
        stdout_path: build.stdout.clone(),
        stderr_path: build.stderr.clone(),
        output_log_bytes_max: 1 << 20,
        root: Root::Host,
        image: None,
        input_root_place: None,
        input_root_base: None,
        user: None,
        network: false,
        memory_bytes_max: None,
        processes_max: None,
        processors_max: None,
    }
}

pub(crate) fn shell(build: &Build, script: &str) -> RunRequest {
    request(build, &["/bin/sh", "-c", script])
}

/// Runs a shell script in a fresh build directory, within limits.
pub(crate) async fn run_with(host: &Host, script: &str, limit: impl FnOnce(&mut RunRequest)) -> Ran {
    let build = host.build().await;
    let mut request = shell(&build, script);
    limit(&mut request);
    host.run(&build, request).await
}

/// Leaves processes behind in every way there is, then waits.
pub(crate) fn clinging(mark: &str) -> String {
    format!(
        "sleep {mark} & setsid sleep {mark} & (setsid sh -c 'trap \"\" TERM HUP INT; sleep {mark}; sleep {mark}' &) ; \
         (setsid sh -c '(setsid sleep {mark} &) ' &); sh -c 'kill -STOP $$' {mark} & echo started; sleep {mark}"
    )
}

/// Pids of all processes of the host whose command line contains `mark`.
pub(crate) fn processes_marked(mark: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let Some(pid) = entry
            .unwrap()
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let mut line = Vec::new();
        let read =
            File::open(format!("/proc/{pid}/cmdline")).and_then(|mut file| file.read_to_end(&mut line));
        if read.is_ok() && String::from_utf8_lossy(&line).contains(mark) {
            found.push(pid);
        }
    }
    found
}

/// The control groups of a runner, wherever they are.
pub(crate) fn groups_of(runner: i32) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name() == format!("farrier-{runner}").as_str() {
                    found.push(entry.path());
                }
                open.push(entry.path());
            }
        }
    }
    found
}

/// Kills a process that these tests started.
pub(crate) fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Pids of a process's children, oldest first; none if it is gone.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

/// Pids of everything below a process.
pub(crate) fn descendants(pid: i32) -> Vec<i32> {
    let mut found = children(pid);
    let mut index = 0;
    while let Some(parent) = found.get(index) {
        found.extend(children(*parent));
        index += 1;
    }
    found
}

/// Whether it has an init that has built its tree and does nothing.
fn waits_with_a_world(supervisor: i32) -> bool {
    let inits = children(supervisor);
    let asleep = |pid| {
        fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| status.contains("State:\tS"))
    };
    // Set when its tree is built, among the last things it does before it waits.
    let no_new_privs = |pid| {
        fs::read_to_string(format!("/proc/{pid}/status"))
            .is_ok_and(|status| status.contains("NoNewPrivs:\t1"))
    };
    inits.len() == 1
        && inits.iter().all(|init| {
            children(*init).is_empty() && no_new_privs(*init) && asleep(*init) && asleep(supervisor)
        })
}

/// Waits until `condition` holds; says `what` did not happen if it never does.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "it never happened that {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The number of the first process that has this word, once there is one. Looked for once: while a shell becomes its command, it
/// has no words for a moment, but the same number.
pub(crate) async fn first_marked(mark: &str) -> i32 {
    let mut first = None;
    eventually("the command runs", || {
        first = processes_marked(mark).first().copied();
        first.is_some()
    })
    .await;
    first.unwrap()
}

/// A word that no other test has, for `sleep` to carry in its command line.
pub(crate) fn mark(number: u32) -> String {
    format!("3600.{:07}{number:02}", std::process::id())
}
