//! Supervisors and worlds that are ready before a command comes: that they are used, replaced, never wrong and few.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use runner_api::{Outcome, RunRequest};
use tokio_util::sync::CancellationToken;

use crate::host::{
    Host, PATIENCE, children, descendants, eventually, first_marked, kill, mark, modes, shell,
};

#[tokio::test]
async fn a_spare_and_its_world_are_used_and_replaced() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let (build, mark) = (host.build().await, mark(30));
        let spares = host.spares(1..=8).await;
        let inits = children(spares[0]);
        let never = CancellationToken::new();
        let look = async {
            let command = first_marked(&mark).await;
            assert!(descendants(inits[0]).contains(&command));
            assert_eq!(children(spares[0]), inits);
            eventually("another takes its place", || {
                host.supervisors().iter().any(|pid| !spares.contains(pid))
            })
            .await;
            fs::write(build.root.join("end"), "").unwrap();
        };
        let script = format!("while [ ! -e end ]; do sleep 0.01; done & setsid sleep {mark} & wait %1");
        let (response, ()) = tokio::join!(host.try_run(shell(&build, &script), &never), look);
        assert_eq!(response.unwrap().outcome, Outcome::Exited(0));
        assert!(!host.spares(1..=8).await.contains(&spares[0]));
    }
}

#[tokio::test]
async fn what_a_spare_did_before_is_not_the_commands() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let build = host.build().await;
        host.spares(1..=8).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = || u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap();
        let before = now();
        let response = host.run(&build, shell(&build, ":")).await.response;
        assert!(before <= response.started_unix_ns);
        assert!(response.started_unix_ns <= response.finished_unix_ns && response.finished_unix_ns <= now());
        let usage = response.usage;
        assert!(
            usage.voluntary_switches < 50 && usage.user_us < 1_000_000,
            "{usage:?}"
        );
    }
}

#[tokio::test]
async fn a_killed_spare_or_world_does_no_harm() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let build = host.build().await;
        let run = async |number: u32| {
            let mut request = shell(&build, "echo ran");
            request.stdout_path.set_extension(number.to_string());
            let path = request.stdout_path.clone();
            let response = host.try_run(request, &CancellationToken::new()).await.unwrap();
            assert_eq!(response.outcome, Outcome::Exited(0));
            assert_eq!(fs::read_to_string(path).unwrap(), "ran\n");
        };
        for number in 0..4 {
            let spares = host.spares(1..=8).await;
            for spare in &spares {
                match number % 2 {
                    0 => kill(*spare),
                    // Its supervisor finds out when it needs it.
                    _ => children(*spare).into_iter().for_each(kill),
                }
            }
            if number % 2 == 0 {
                eventually("they are reaped", || {
                    !host.supervisors().iter().any(|pid| spares.contains(pid))
                })
                .await;
            }
            run(number).await;
        }
        host.spares(1..=8).await;
    }
}

#[tokio::test]
async fn what_a_ready_world_has_not_gets_one_that_does() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        // Another network.
        let build = host.build().await;
        host.spares(1..=8).await;
        let request = RunRequest {
            network: true,
            ..shell(&build, "readlink /proc/self/ns/net")
        };
        let own = fs::read_link("/proc/self/ns/net").unwrap();
        assert_eq!(
            host.run(&build, request).await.ok(),
            format!("{}\n", own.display())
        );
        // A request too long to be sent on.
        let build = host.build().await;
        host.spares(1..=8).await;
        let mut request = shell(&build, "echo $#");
        request
            .argv
            .extend((0..=2000).map(|number| format!("{number:0100}").into_bytes()));
        assert_eq!(host.run(&build, request).await.ok(), "2000\n");
        // A build directory that is not there: what a new world says about it.
        let build = host.build().await;
        host.spares(1..=8).await;
        let mut request = shell(&build, "true");
        request.input_root.push("missing");
        let Outcome::SetupFailed { message } = host.run(&build, request).await.response.outcome else {
            panic!("it ran")
        };
        assert!(
            message.starts_with("cloning the mount of") && message.contains("missing"),
            "{message}"
        );
        host.spares(1..=8).await;
    }
}

/// Mounts or unmounts on the host of this runner only, which must have a mount namespace of its own.
fn on_host_of(host: &Host, command: &[&str], path: &Path) {
    let done = Command::new("nsenter")
        .args(["--mount", "--target", &host.pid().to_string()])
        .args(command)
        .arg(path)
        .status();
    assert!(done.unwrap().success());
}

#[tokio::test]
async fn what_was_mounted_since_is_seen_and_what_was_unmounted_is_let_go() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    for mode in modes() {
        let tools = tempfile::tempdir().unwrap();
        fs::set_permissions(tools.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let tools = tools.path();
        let host = Host::start_on_own_mounts(*mode, &["--host-path", tools.to_str().unwrap()]).await;
        let capabilities = host.capabilities().await;
        let script = format!("cat input {}/tool", tools.display());
        let build = host.build().await;
        // As the runner sees it.
        let inside = |path: &Path| {
            PathBuf::from(format!(
                "/proc/{}/root/{}",
                host.pid(),
                path.strip_prefix("/").unwrap().display()
            ))
        };
        let put = |input: &str, tool: &str| {
            fs::write(inside(&build.root).join("input"), input).unwrap();
            fs::write(inside(tools).join("tool"), tool).unwrap();
        };
        put("under", "neath");
        host.spares(1..=8).await;

        for path in [&build.root, tools] {
            on_host_of(&host, &["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs"], path);
        }
        chown(
            inside(&build.root),
            Some(capabilities.action_uid),
            Some(capabilities.action_gid),
        )
        .unwrap();
        put("mounted ", "since");
        assert_eq!(
            host.run(&build, shell(&build, &script)).await.ok(),
            "mounted since"
        );

        // These have copied the mounts, and nobody runs anything that would replace them.
        host.spares(1..=8).await;
        for path in [&build.root, tools] {
            on_host_of(&host, &["umount"], path);
        }
        eventually("nobody has a copy of what was unmounted", || {
            descendants(host.pid()).is_empty()
        })
        .await;
        let mut request = shell(&build, &script);
        request.stdout_path.set_extension("2");
        let stdout = request.stdout_path.clone();
        host.run(&build, request).await;
        assert_eq!(fs::read_to_string(stdout).unwrap(), "underneath");
        host.spares(1..=8).await;
    }
}

#[tokio::test]
async fn an_idle_runner_is_small_however_much_ran() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        assert_eq!(host.spares(1..=1).await.len(), 1);
        let mut runs = tokio::task::JoinSet::new();
        for _ in 0..32 {
            let build = host.build().await;
            let (runner, request) = (host.runner.clone(), shell(&build, "sleep 0.2"));
            runs.spawn(async move {
                let never = CancellationToken::new();
                runner_api::Runner::run(&runner, request, &never).await.unwrap()
            });
        }
        while let Some(response) = runs.join_next().await {
            assert_eq!(response.unwrap().outcome, Outcome::Exited(0));
        }
        let spares = host.spares(8..=8).await;
        // And it stays so.
        tokio::time::timeout(PATIENCE, tokio::time::sleep(Duration::from_millis(100)))
            .await
            .unwrap();
        assert_eq!(host.supervisors(), spares);
        assert_eq!(descendants(host.pid()).len(), 16);
    }
}
