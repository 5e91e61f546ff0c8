//! When the kernel does not give everything, and when nothing is asked of it.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use runner_api::{Mechanism, Outcome, RunRequest, Runner, UidMode, UnixRunner};
use tokio_util::sync::CancellationToken;

use crate::host::{Build, Host, eventually, mark, modes, processes_marked, shell};

#[tokio::test]
async fn switched_off_nothing_is_confined_but_all_is_killed() {
    for mode in modes() {
        let host = Host::start_with(*mode, &["--sandbox", "off"]).await;
        let capabilities = host.capabilities().await;
        assert_eq!(capabilities.uid_mode, UidMode::Rootless);
        assert!(!capabilities.hardlinks_safe);
        assert!(capabilities.has(Mechanism::NoNewPrivs));
        assert_eq!(capabilities.missing().count(), Mechanism::ALL.len() - 1);

        let build = host.build().await;
        let ran = host
            .run(
                &build,
                shell(&build, "id -u; pwd; grep NoNewPrivs /proc/self/status"),
            )
            .await;
        let expected = format!(
            "{}\n{}\nNoNewPrivs:\t1\n",
            capabilities.action_uid,
            build.root.display()
        );
        assert_eq!(ran.ok(), expected);

        let (build, mark) = (host.build().await, mark(20));
        let script = format!(
            "setsid sleep {mark} & (setsid sh -c 'trap \"\" TERM; (setsid sleep {mark} &); sleep {mark}' &); \
             echo started; sleep {mark}"
        );
        let request = RunRequest {
            timeout: Some(Duration::from_millis(1500)),
            ..shell(&build, &script)
        };
        let ran = host.run(&build, request).await;
        assert_eq!(ran.response.outcome, Outcome::TimedOut);
        assert_eq!(ran.stdout, "started\n");
        assert_eq!(processes_marked(&mark), []);

        let ran = host
            .shell(&format!("setsid sleep {mark} & sleep 0.1; exit 3"))
            .await;
        assert_eq!(ran.response.outcome, Outcome::Exited(3));
        assert_eq!(processes_marked(&mark), []);
    }
}

#[tokio::test]
async fn a_command_that_kills_its_init_has_killed_itself() {
    for mode in modes() {
        let host = Host::start_with(*mode, &["--sandbox", "off"]).await;
        let ran = host.shell("kill -9 $PPID; sleep 100").await;
        assert_eq!(ran.response.outcome, Outcome::Signaled(9));
    }
}

pub(crate) fn build_in(directory: &Path) -> Build {
    let root = directory.join("root");
    std::fs::create_dir(&root).unwrap();
    Build {
        root,
        stdout: directory.join("stdout"),
        stderr: directory.join("stderr"),
    }
}

/// Starts a runner in a user namespace that has run out of namespaces of one kind.
pub(crate) fn without(namespaces: &str, socket: &Path, sandbox: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c"]);
    command.arg(format!(
        "echo 0 > /proc/sys/user/max_{namespaces}_namespaces; exec \"$0\" \"$@\""
    ));
    command
        .arg(env!("CARGO_BIN_EXE_farrier-runner"))
        .arg("--socket")
        .arg(socket)
        .args(["--sandbox", sandbox]);
    command.stdin(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A runner that may make no mount namespaces: the host's files are there, and only who owns them says who may write.
#[tokio::test]
async fn without_a_tree_of_its_own_a_command_writes_where_it_stands_and_nowhere_else() {
    // Not in /tmp, which is anybody's scratch space.
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    let socket = directory.path().join("socket");
    let mut process = without("mnt", &socket, "best-effort")
        .arg("--exit-with-stdin")
        .spawn()
        .unwrap();
    eventually("the runner is ready", || socket.exists()).await;
    let runner = UnixRunner::new(&socket);
    let capabilities = runner.capabilities().await.unwrap();
    assert!(!capabilities.has(Mechanism::MountNamespace) && capabilities.has(Mechanism::Landlock));
    let outside = directory.path().join("outside");
    std::fs::write(&outside, "as it was").unwrap();
    let build = build_in(directory.path());
    let script = "mkdir a b && echo x > a/x && mv a/x b/y && rm -r a && echo done; echo x >> ../outside || echo closed; \
                  rm ../outside || echo kept; touch ../new || echo none; cat ../outside";
    let response = runner
        .run(shell(&build, script), &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(response.outcome, Outcome::Exited(0));
    let said = std::fs::read_to_string(&build.stdout).unwrap();
    assert_eq!(said, "done\nclosed\nkept\nnone\nas it was");
    drop(process.stdin.take());
    assert!(process.wait().unwrap().success());
}

#[tokio::test]
async fn what_is_required_and_missing_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let output = without("user", &directory.path().join("socket"), "require")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        said.contains("user namespace: cloning a process with new namespaces: No space left"),
        "{said}"
    );
    assert!(
        said.contains("(sysctl user.max_user_namespaces=0 forbids it)"),
        "{said}"
    );
    assert!(said.contains("--sandbox best-effort"), "{said}");
}

#[tokio::test]
async fn best_effort_serves_with_what_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let mut process = without("user", &socket, "best-effort")
        .arg("--exit-with-stdin")
        .spawn()
        .unwrap();
    eventually("the runner is ready", || socket.exists()).await;
    let runner = UnixRunner::new(&socket);
    let capabilities = runner.capabilities().await.unwrap();
    let missing: Vec<_> = capabilities.missing().map(|(mechanism, _)| mechanism).collect();
    assert_eq!(missing, [Mechanism::UserNamespace, Mechanism::NoNestedNamespaces]);
    assert_eq!(capabilities.uid_mode, UidMode::Rootless);
    assert!(!capabilities.hardlinks_safe);

    // What is left still holds.
    let build = build_in(directory.path());
    let script = "id -u; pwd; grep CapEff /proc/self/status; mount -t tmpfs x /tmp 2>/dev/null && echo mounted; \
                  touch /etc/x 2>/dev/null && echo wrote; ls /tmp; echo $$";
    let response = runner
        .run(shell(&build, script), &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(response.outcome, Outcome::Exited(0));
    let said = std::fs::read_to_string(&build.stdout).unwrap();
    assert_eq!(said, "0\n/build\nCapEff:\t0000000000000000\n2\n");

    drop(process.stdin.take());
    assert!(process.wait().unwrap().success());
    let mut said = String::new();
    process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(
        said.contains("farrier runner: commands run without user namespace: cloning"),
        "{said}"
    );
}

#[tokio::test]
async fn wrong_usage_is_explained() {
    let output = Command::new(env!("CARGO_BIN_EXE_farrier-runner"))
        .arg("--sockets")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said.starts_with("farrier-runner: unknown argument \"--sockets\"\n\nusage: --socket PATH"),
        "{said}"
    );
}
