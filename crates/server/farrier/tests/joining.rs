//! `farrier join` against a running `farrier up`: tokens, certificates, restarts.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// Far more than any step takes, so that a hang is a failure and not a wait.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// One server on a port of its own, and what lies around it.
struct Up {
    scratch: tempfile::TempDir,
    port: u16,
    options: Vec<String>,
    server: Child,
}

impl Up {
    async fn start(options: &[&str]) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        let server = serve(scratch.path(), port, &options).await;
        Up {
            scratch,
            port,
            options,
            server,
        }
    }

    async fn restart(&mut self) {
        self.server.kill().await.unwrap();
        self.server = serve(self.scratch.path(), self.port, &self.options).await;
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn token(&self) -> String {
        fs::read_to_string(self.scratch.path().join("data/worker-token")).unwrap()
    }

    /// A worker's directory.
    fn place(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn join(&self, name: &str, words: &[&str]) -> Command {
        let mut command = farrier(&[
            "join",
            &self.endpoint(),
            "--log=info",
            "--slots=1",
            "--cache-size=1GiB",
        ]);
        command.arg(format!("--name={name}"));
        command.arg(format!("--data-dir={}", self.place(name).display()));
        command.args(words);
        command
    }

    /// A worker that lives, with what it says in a file.
    fn joined(&self, name: &str, words: &[&str]) -> Child {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.place(&format!("{name}.log")))
            .unwrap();
        self.join(name, words)
            .stderr(log)
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    async fn until_said(&self, name: &str, what: &str, times: usize) {
        let log = self.place(&format!("{name}.log"));
        let said = || fs::read_to_string(&log).unwrap_or_default();
        for _ in 0..PATIENCE.as_millis() / PAUSE.as_millis() {
            if said().matches(what).count() >= times {
                return;
            }
            sleep(PAUSE).await;
        }
        panic!("`{what}` is not said:\n{}", said());
    }

    /// Runs an action, on whichever worker there is.
    async fn runs(&self, what: &str) {
        let endpoint = format!("--endpoint={}", self.endpoint());
        let output = output(farrier(&["exec", &endpoint, "--", "echo", what])).await;
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{what}\n"));
    }
}

fn farrier(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farrier"));
    command
        .args(words)
        .env_remove("FARRIER_WORKER_TOKEN")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn serve(scratch: &Path, port: u16, options: &[String]) -> Child {
    let mut command = farrier(&["up", "--slots=0", "--cas-size=1GiB"]);
    command.arg(format!("--listen=127.0.0.1:{port}"));
    command.arg(format!("--data-dir={}", scratch.join("data").display()));
    let server = command.args(options).stdout(Stdio::null()).spawn().unwrap();
    for _ in 0..PATIENCE.as_millis() / PAUSE.as_millis() {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return server;
        }
        sleep(PAUSE).await;
    }
    panic!("the server does not start");
}

async fn output(mut command: Command) -> Output {
    timeout(PATIENCE, command.output())
        .await
        .expect("it ends in time")
        .unwrap()
}

/// What a worker says that cannot work with what it was told.
async fn refused(command: Command) -> String {
    let output = output(command).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    said
}

#[tokio::test]
async fn a_token_is_needed_once_and_certificates_survive_restarts_on_both_sides() {
    let mut up = Up::start(&[]).await;
    let token = format!("--token={}", up.token());
    let mut worker = up.joined("a", &[&token]);
    up.until_said("a", "connected to the server", 1).await;
    up.runs("one").await;
    // The server comes back, as the same one.
    up.restart().await;
    up.until_said("a", "connected to the server", 2).await;
    up.runs("two").await;
    // The worker comes back, without its token.
    worker.kill().await.unwrap();
    let mut worker = up.joined("a", &[]);
    up.until_said("a", "connected to the server", 3).await;
    up.runs("three").await;
    worker.kill().await.unwrap();

    let mut other_name = farrier(&["join", &up.endpoint(), "--name=b"]);
    other_name.arg(format!("--data-dir={}", up.place("a").display()));
    let said = refused(other_name).await;
    assert!(said.contains("is for the name `a`, not for `b`"), "{said}");
}

#[tokio::test]
async fn who_has_the_wrong_token_or_meets_the_wrong_server_is_told_what_to_do() {
    let up = Up::start(&[]).await;
    let (secret, fingerprint) = up
        .token()
        .split_once('.')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let stolen = format!("--token={}.{fingerprint}", "0".repeat(64));
    let said = refused(up.join("a", &[&stolen])).await;
    assert!(said.contains("wrong worker token"), "{said}");
    let elsewhere = format!("--token={secret}.{}", "0".repeat(64));
    let said = refused(up.join("a", &[&elsewhere])).await;
    assert!(said.contains("not the server that the token is for"), "{said}");
    let cut = format!("--token={secret}");
    let said = refused(up.join("a", &[&cut])).await;
    assert!(said.contains("Paste the whole line"), "{said}");
    assert!(!up.place("a").join("identity.pem").exists(), "nobody has joined");
    // Only to the server that it is for is the secret shown, when workers are drained too.
    let endpoint = format!("--endpoint={}", up.endpoint());
    let said = refused(farrier(&["drain", "x", &endpoint, &elsewhere])).await;
    assert!(said.contains("not the server that the token is for"), "{said}");
    let right = format!("--token={secret}.{fingerprint}");
    assert!(
        output(farrier(&["drain", "x", &endpoint, &right]))
            .await
            .status
            .success()
    );
}

#[tokio::test]
async fn the_token_alone_takes_no_work_and_neither_does_anybody_without_tls() {
    let up = Up::start(&[]).await;
    let token = format!("--token={}", up.token());
    let said = refused(up.join("a", &[&token, "--same-machine"])).await;
    assert!(said.contains("workers come over TLS"), "{said}");
    let own = up.scratch.path().join("data/own-worker-token");
    let mut worker = up.joined(
        "b",
        &["--same-machine", &format!("--token-file={}", own.display())],
    );
    up.until_said("b", "connected to the server", 1).await;
    worker.kill().await.unwrap();
}

#[tokio::test]
async fn a_certificate_is_renewed_in_time_and_one_that_has_ended_needs_the_token() {
    let up = Up::start(&["--worker-certificates=6s"]).await;
    let token = format!("--token={}", up.token());
    let mut worker = up.joined("a", &[&token]);
    up.until_said("a", "the certificate is renewed", 3).await;
    // The connections of its first certificates have ended, and nothing was lost by it.
    up.until_said("a", "connected to the server", 2).await;
    up.runs("still here").await;
    worker.kill().await.unwrap();
    sleep(Duration::from_secs(7)).await;
    let said = refused(up.join("a", &[])).await;
    assert!(said.contains("was good until"), "{said}");
    let mut worker = up.joined("a", &[&token]);
    up.until_said("a", "connected to the server", 3).await;
    worker.kill().await.unwrap();
}

/// The user of a worker that is not root.
const WORKER: u32 = 61_000;

#[tokio::test]
async fn a_worker_that_is_not_root_uses_a_runner_that_somebody_else_started() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can be two users");
        return;
    }
    let up = Up::start(&[]).await;
    let token = format!("--token={}", up.token());
    fs::set_permissions(up.scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(up.place("w")).unwrap();
    std::os::unix::fs::chown(up.place("w"), Some(WORKER), Some(WORKER)).unwrap();
    let socket = up.place("runner.sock");
    let at = format!("--runner=unix:{}", socket.display());

    let runner = |client: &str| {
        let socket = socket.display().to_string();
        let words = [
            "runner",
            "--socket",
            &socket,
            "--sandbox",
            "best-effort",
            "--client-uid",
            client,
        ];
        farrier(&words).spawn().unwrap()
    };
    let mut other = runner("61001");
    until(|| socket.exists()).await;
    let mut stranger = up.join("w", &[&token, &at]);
    stranger.uid(WORKER).gid(WORKER);
    let said = refused(stranger).await;
    assert!(said.contains("may not use this runner"), "{said}");
    other.kill().await.unwrap();

    let mut runner = runner("61000");
    until(|| std::os::unix::net::UnixStream::connect(&socket).is_ok()).await;
    let log = fs::File::create(up.place("w.log")).unwrap();
    let mut worker = up.join("w", &[&token, &at]);
    let mut worker = worker.uid(WORKER).gid(WORKER).stderr(log).spawn().unwrap();
    up.until_said("w", "connected to the server", 1).await;
    let endpoint = format!("--endpoint={}", up.endpoint());
    // An input that is an output too, and things that are closed to all others.
    fs::write(up.place("in"), "before\n").unwrap();
    let script =
        "umask 077; echo after >> in; mkdir -p out/deep; echo made > out/deep/file; echo said; id -u >&2";
    let mut exec = farrier(&[
        "exec", &endpoint, "--input", "in", "--output", "in", "--output", "out", "--", "sh", "-c", script,
    ]);
    exec.current_dir(up.scratch.path());
    let output = output(exec).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "said\n");
    assert_eq!(fs::read_to_string(up.place("in")).unwrap(), "before\nafter\n");
    assert_eq!(fs::read_to_string(up.place("out/deep/file")).unwrap(), "made\n");
    // Nothing stays behind that the worker could not remove.
    let builds = up.place("w/builds");
    until(|| fs::read_dir(&builds).unwrap().next().is_none()).await;
    worker.kill().await.unwrap();
    runner.kill().await.unwrap();
}

async fn until(is_so: impl Fn() -> bool) {
    for _ in 0..PATIENCE.as_millis() / PAUSE.as_millis() {
        if is_so() {
            return;
        }
        sleep(PAUSE).await;
    }
    panic!("it does not come about");
}

#[tokio::test]
async fn a_notice_makes_a_worker_leave_and_what_it_ran_goes_on_elsewhere() {
    let up = Up::start(&[]).await;
    let token = format!("--token={}", up.token());
    let notice = up.place("notice");
    let mut spot = up.joined(
        "spot",
        &[&token, &format!("--spot-notice=file:{}", notice.display())],
    );
    up.until_said("spot", "connected to the server", 1).await;
    let endpoint = format!("--endpoint={}", up.endpoint());
    let executing = farrier(&["exec", &endpoint, "--", "sh", "-c", "sleep 8; echo done"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    timeout(PATIENCE, async {
        while !output_of(&["queue", "--json", &endpoint])
            .await
            .contains("\"running\":1")
        {
            sleep(PAUSE).await;
        }
    })
    .await
    .expect("it runs in time");
    let _other = up.joined("other", &[&token]);
    up.until_said("other", "connected to the server", 1).await;
    fs::write(&notice, "4").unwrap();
    let left = timeout(PATIENCE, spot.wait()).await.expect("it leaves").unwrap();
    assert!(left.success(), "{left}");
    let output = timeout(PATIENCE, executing.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "done\n");
    let queue = output_of(&["queue", "--json", &endpoint]).await;
    assert!(
        queue.contains("\"handed_back\":1") && queue.contains("\"lost\":0"),
        "{queue}"
    );
}

async fn output_of(words: &[&str]) -> String {
    let output = output(farrier(words)).await;
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// An action that relies on tools of this name.
fn relying_on(up: &Up, tools: &str) -> Command {
    let endpoint = format!("--endpoint={}", up.endpoint());
    let tools = format!("--platform=host-tools={tools}");
    farrier(&["exec", &endpoint, &tools, "--", "echo", "with my tools"])
}

/// One that relies on the tools of this machine runs on its worker. Somebody may be installing packages meanwhile: then once
/// more, with what there is now.
async fn runs_with_own_tools(up: &Up) {
    let mut tools = host_tools::HostTools::of_this_machine();
    for _ in 0..PATIENCE.as_millis() / PAUSE.as_millis() {
        let Some(here) = tools.fingerprint().unwrap() else {
            sleep(PAUSE).await;
            continue;
        };
        let mut action = relying_on(up, here.as_str());
        match timeout(PATIENCE / 4, action.output()).await {
            Ok(output) if output.as_ref().is_ok_and(|output| output.status.success()) => {
                assert_eq!(
                    String::from_utf8_lossy(&output.unwrap().stdout),
                    "with my tools\n"
                );
                return;
            }
            failed => assert_ne!(tools.fingerprint().unwrap(), Some(here), "{failed:?}"),
        }
    }
    panic!("the packages of this machine never come to rest");
}

#[tokio::test]
async fn an_action_runs_where_the_tools_are_that_it_relies_on() {
    let up = Up::start(&[]).await;
    let token = format!("--token={}", up.token());
    let mut found = up.joined("found", &[&token]);
    up.until_said("found", "connected to the server", 1).await;
    let refusal = refused(relying_on(&up, "0123456789abcdef")).await;
    assert!(
        refusal.contains("none offers host-tools=0123456789abcdef"),
        "{refusal}"
    );
    if Path::new("/var/lib/dpkg/status").exists() {
        runs_with_own_tools(&up).await;
    }
    // Who relies on nothing runs anywhere.
    up.runs("anything").await;
    let mut named = up.joined("named", &[&token, "--host-tools=by-name"]);
    up.until_said("named", "connected to the server", 1).await;
    let output = output(relying_on(&up, "by-name")).await;
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "with my tools\n",
        "{output:?}"
    );
    found.kill().await.unwrap();
    named.kill().await.unwrap();
}
