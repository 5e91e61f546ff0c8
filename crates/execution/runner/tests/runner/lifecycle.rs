//! Who dies with whom, and that nothing is left.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use runner_api::{Outcome, Refusal, Reply, Request, RunError, RunRequest, Runner, read_frame, write_frame};
use tokio_util::sync::CancellationToken;

use crate::host::{
    Host, assert_invalid, children, clinging, descendants, eventually, kill, mark, modes, processes_marked,
    shell,
};

#[tokio::test]
async fn a_timeout_kills_the_whole_tree() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let (build, mark) = (host.build().await, mark(10));
        let request = RunRequest {
            timeout: Some(Duration::from_millis(1500)),
            ..shell(&build, &clinging(&mark))
        };
        let ran = host.run(&build, request).await;
        assert_eq!(ran.response.outcome, Outcome::TimedOut);
        assert_eq!(ran.stdout, "started\n");
        assert_eq!(processes_marked(&mark), []);
    }
}

#[tokio::test]
async fn what_a_command_leaves_behind_dies_with_it() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let mark = mark(11);
        let start = Instant::now();
        let script = format!(
            "setsid sleep {mark} & (setsid sh -c 'echo late; touch ready; exec sleep {mark}' &); \
             while [ ! -e ready ]; do sleep 0.01; done; echo end"
        );
        let ran = host.shell(&script).await;
        assert_eq!(ran.ok(), "late\nend\n");
        assert_eq!(processes_marked(&mark), []);
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "it waited for a process that holds the pipes"
        );
    }
}

#[tokio::test]
async fn cancelling_returns_when_all_is_dead() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let (build, mark) = (host.build().await, mark(12));
        let cancel = CancellationToken::new();
        let started = async {
            eventually("the command starts", || {
                fs::read_to_string(&build.stdout).is_ok_and(|said| said.contains("started"))
            })
            .await;
            assert!(!processes_marked(&mark).is_empty());
            cancel.cancel();
        };
        let (result, ()) = tokio::join!(host.try_run(shell(&build, &clinging(&mark)), &cancel), started);
        assert!(matches!(result, Err(RunError::Cancelled)), "{result:?}");
        assert_eq!(processes_marked(&mark), []);
        host.shell("true").await.ok();
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_takes_its_command_along() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let (build, mark) = (host.build().await, mark(13));
        let never = CancellationToken::new();
        let run = host.runner.run(shell(&build, &clinging(&mark)), &never);
        assert!(
            tokio::time::timeout(Duration::from_millis(500), run)
                .await
                .is_err(),
            "it ended by itself"
        );
        eventually("its processes die", || processes_marked(&mark).is_empty()).await;
    }
}

#[tokio::test]
async fn cancelled_before_the_request_is_complete() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let mut connection = UnixStream::connect(host.directory.path().join("socket")).unwrap();
        connection.write_all(&[100, 0, 0, 0, 1]).unwrap();
        connection.shutdown(std::net::Shutdown::Write).unwrap();
        let reply = read_frame(&mut connection).unwrap();
        assert_eq!(Reply::decode(&reply), Ok(Reply::Cancelled));
    }
}

#[tokio::test]
async fn foreign_bytes_are_refused() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        for bytes in [
            &[3, 0, 0, 0, 1, 77, 0][..],
            &[0xff; 40],
            b"GET / HTTP/1.1\r\n\r\n",
            &[1, 0, 0, 0, 9],
        ] {
            let mut connection = UnixStream::connect(host.directory.path().join("socket")).unwrap();
            connection.write_all(bytes).unwrap();
            let reply = Reply::decode(&read_frame(&mut connection).unwrap()).unwrap();
            assert_invalid(&reply);
        }
        host.shell("true").await.ok();
    }
}

#[tokio::test]
async fn only_the_same_user_and_root_may_connect() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let host = Host::start(crate::host::Mode::Privileged).await;
    let socket = host.directory.path().join("socket");
    let python =
        "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(s.recv(999))";
    let connect = || {
        use std::os::unix::process::CommandExt;
        let mut command = std::process::Command::new("python3");
        command
            .args(["-c", python])
            .arg(&socket)
            .uid(65_534)
            .gid(65_534)
            .output()
            .unwrap()
    };
    assert!(String::from_utf8_lossy(&connect().stderr).contains("Permission denied"));
    // And if somebody opens the socket's mode, the runner still asks who is there.
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    let refused = String::from_utf8_lossy(&connect().stdout).into_owned();
    assert!(
        refused.contains("user 65534 may not use this runner"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_killed_runner_leaves_no_process() {
    for mode in modes() {
        let mut host = Host::start(*mode).await;
        let (build, mark) = (host.build().await, mark(14));
        let never = CancellationToken::new();
        let runner_pid = host.pid();
        let mut all = Vec::new();
        let kill = async {
            eventually("the command starts", || processes_marked(&mark).len() >= 6).await;
            eventually("there is a spare too", || children(runner_pid).len() >= 2).await;
            all = descendants(runner_pid);
            assert!(all.len() >= 10, "{all:?}");
            host.process.kill().unwrap();
        };
        let (result, ()) = tokio::join!(host.runner.run(shell(&build, &clinging(&mark)), &never), kill);
        assert!(matches!(result, Err(RunError::Lost { .. })), "{result:?}");
        eventually("its processes die", || processes_marked(&mark).is_empty()).await;
        eventually("supervisors, spares and inits die", || {
            all.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists())
        })
        .await;
        host.process = std::process::Command::new("true").spawn().unwrap();
    }
}

#[tokio::test]
async fn a_killed_supervisor_takes_its_command_along() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let (build, mark) = (host.build().await, mark(15));
        let never = CancellationToken::new();
        let killing = async {
            eventually("the command starts", || processes_marked(&mark).len() >= 6).await;
            let marked = processes_marked(&mark);
            let has_it = |supervisor: &&i32| descendants(**supervisor).contains(&marked[0]);
            kill(*host.supervisors().iter().find(has_it).unwrap());
        };
        let (result, ()) = tokio::join!(host.runner.run(shell(&build, &clinging(&mark)), &never), killing);
        assert!(matches!(result, Err(RunError::Lost { .. })), "{result:?}");
        eventually("its processes die", || processes_marked(&mark).is_empty()).await;
        host.shell("true").await.ok();
    }
}

#[tokio::test]
async fn the_end_of_standard_input_is_the_end() {
    for mode in modes() {
        let mut host = Host::start_with(*mode, &["--exit-with-stdin"]).await;
        let (build, mark) = (host.build().await, mark(16));
        let never = CancellationToken::new();
        // Ctrl-C at a terminal reaches the runner too; whoever started it wants to drain first.
        let interrupted = std::process::Command::new("kill")
            .args(["-INT", &host.pid().to_string()])
            .status();
        assert!(interrupted.unwrap().success());
        let stdin = host.process.stdin.take();
        let close = async {
            eventually("the command starts", || processes_marked(&mark).len() >= 6).await;
            drop(stdin);
        };
        let (result, ()) = tokio::join!(host.runner.run(shell(&build, &clinging(&mark)), &never), close);
        assert!(matches!(result, Err(RunError::Lost { .. })), "{result:?}");
        assert!(host.process.wait().unwrap().success());
        assert_eq!(processes_marked(&mark), []);
        assert!(!host.directory.path().join("socket").exists());
        host.process = std::process::Command::new("true").spawn().unwrap();
    }
}

#[tokio::test]
async fn a_dead_runners_socket_is_replaced_and_a_live_ones_is_not() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let binary = env!("CARGO_BIN_EXE_farrier-runner");
        let socket = host.directory.path().join("socket");
        let second = || {
            std::process::Command::new(binary)
                .arg("--socket")
                .arg(&socket)
                .output()
                .unwrap()
        };
        let refused = second();
        assert!(String::from_utf8_lossy(&refused.stderr).contains("another runner is serving there"));
        assert!(!refused.status.success());
        host.shell("true").await.ok();

        let stale = host.directory.path().join("stale");
        drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
        let mut third = std::process::Command::new(binary)
            .arg("--socket")
            .arg(&stale)
            .arg("--exit-with-stdin")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut connection = None;
        eventually("the third runner answers", || {
            connection = UnixStream::connect(&stale).ok();
            connection.is_some()
        })
        .await;
        let mut connection = connection.unwrap();
        write_frame(&mut connection, &Request::Hello.encode()).unwrap();
        assert!(matches!(
            Reply::decode(&read_frame(&mut connection).unwrap()),
            Ok(Reply::Capabilities(_))
        ));
        drop(third.stdin.take());
        assert!(third.wait().unwrap().success());
    }
}

#[tokio::test]
async fn two_hundred_runs_leave_nothing_but_spares() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        host.shell("true").await.ok();
        let state = || {
            let count = |path: String| fs::read_dir(path).unwrap().count();
            let mut mounts = String::new();
            fs::File::open(format!("/proc/{}/mountinfo", host.pid()))
                .unwrap()
                .read_to_string(&mut mounts)
                .unwrap();
            // The runner has a socket to each spare.
            (
                count(format!("/proc/{}/fd", host.pid())) - host.supervisors().len(),
                mounts.lines().count(),
            )
        };
        host.spares(1..=8).await;
        let mut before = state();
        // A spare may just be on its way.
        eventually("the first spares are there", || {
            std::thread::sleep(Duration::from_millis(50));
            let earlier = std::mem::replace(&mut before, state());
            before == earlier
        })
        .await;
        let build = host.build().await;
        for number in 0..50 {
            let script = format!("echo {number}; setsid sleep 100 & exit 0");
            let runs = (0..4).map(|lane| {
                let mut request = shell(&build, &script);
                request.stdout_path.set_extension(format!("{number}-{lane}"));
                request.stderr_path.set_extension(format!("{number}-{lane}"));
                let host = &host;
                async move { host.try_run(request, &CancellationToken::new()).await.unwrap() }
            });
            let mut runs = runs.map(Box::pin).collect::<Vec<_>>();
            for run in &mut runs {
                assert_eq!(run.as_mut().await.outcome, Outcome::Exited(0));
            }
        }
        host.spares(1..=8).await;
        eventually("everything is as before", || state() == before).await;
    }
}

#[tokio::test]
async fn one_too_many_is_refused() {
    let mode = modes()[0];
    let host = Host::start(mode).await;
    // A connection without a request occupies a place as well.
    let connect = || UnixStream::connect(host.directory.path().join("socket")).unwrap();
    let mut held: Vec<UnixStream> = (0..runner::RUNS_MAX).map(|_| connect()).collect();
    let mut refused = connect();
    let reply = Reply::decode(&read_frame(&mut refused).unwrap()).unwrap();
    let Reply::Refused {
        refusal: Refusal::Busy,
        message,
    } = reply
    else {
        panic!("{reply:?}")
    };
    assert_eq!(message, "256 commands are running, which is the most");
    let error = host.runner.capabilities().await.unwrap_err();
    assert!(matches!(error, RunError::Busy { .. }), "{error}");
    held.clear();
    let runner = &host.runner;
    let start = Instant::now();
    while let Err(error) = runner.capabilities().await {
        assert!(
            matches!(error, RunError::Busy { .. }) && start.elapsed() < crate::host::PATIENCE,
            "{error}"
        );
    }
}

#[tokio::test]
async fn many_at_once() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let mut builds = Vec::new();
        for _ in 0..32 {
            builds.push(host.build().await);
        }
        let never = CancellationToken::new();
        let mut runs = tokio::task::JoinSet::new();
        for (number, build) in builds.into_iter().enumerate() {
            let (runner, never) = (host.runner.clone(), never.clone());
            let request = shell(&build, &format!("echo {number} > out; cat out; exit {number}"));
            runs.spawn(async move {
                let response = runner.run(request, &never).await.unwrap();
                (
                    number,
                    response.outcome,
                    fs::read_to_string(&build.stdout).unwrap(),
                )
            });
        }
        while let Some(ran) = runs.join_next().await {
            let (number, outcome, stdout) = ran.unwrap();
            assert_eq!(
                (outcome, stdout),
                (Outcome::Exited(number as i32), format!("{number}\n"))
            );
        }
    }
}
