//! How commands end, and what is said about it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use runner_api::{LOG_MARKER_BYTES_MAX, Outcome, RunError, RunRequest};
use tokio_util::sync::CancellationToken;

use crate::host::{Host, PATIENCE, modes, request, shell};

fn not_started(errno: i32, path: &str) -> Outcome {
    Outcome::NotStarted {
        errno,
        path: path.into(),
    }
}

#[tokio::test]
async fn exit_codes_and_output() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let ran = host.shell("echo out; echo err >&2; exit 7").await;
        assert_eq!(ran.response.outcome, Outcome::Exited(7));
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("out\n", "err\n"));
        assert!(!ran.response.stdout_truncated && !ran.response.stderr_truncated);
        assert!(ran.response.started_unix_ns <= ran.response.finished_unix_ns);
    }
}

#[tokio::test]
async fn a_signal_is_not_an_exit() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        for signal in [6, 9, 11, 15] {
            let ran = host.shell(&format!("echo before; kill -{signal} $$")).await;
            assert_eq!(ran.response.outcome, Outcome::Signaled(signal));
            assert_eq!(ran.stdout, "before\n");
        }
    }
}

#[tokio::test]
async fn time_and_memory_are_counted() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        // The 64 MiB are in a child, which must count too.
        let script = "dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null; i=0; \
                      while [ $i -lt 100000 ]; do i=$((i+1)); done";
        let ran = host.shell(script).await;
        let usage = ran.response.usage;
        ran.ok();
        assert!(usage.user_us + usage.system_us > 10_000, "{usage:?}");
        assert!(usage.max_rss_bytes > 64 << 20, "{usage:?}");
        assert!(
            usage.minor_faults > 0 && usage.voluntary_switches > 0,
            "{usage:?}"
        );
    }
}

#[tokio::test]
async fn a_timeout_keeps_the_log() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let build = host.build().await;
        let script = "echo before; echo complaint >&2; while :; do :; done";
        let timeout = Duration::from_millis(1000);
        let start = Instant::now();
        let ran = host
            .run(
                &build,
                RunRequest {
                    timeout: Some(timeout),
                    ..shell(&build, script)
                },
            )
            .await;
        assert!(start.elapsed() >= timeout);
        assert_eq!(ran.response.outcome, Outcome::TimedOut);
        assert_eq!(
            (ran.stdout.as_str(), ran.stderr.as_str()),
            ("before\n", "complaint\n")
        );
        // What it used until then is known although nobody waited for it.
        let usage = ran.response.usage;
        assert!(usage.user_us > 5_000, "{usage:?}");
        let took = ran.response.finished_unix_ns - ran.response.started_unix_ns;
        assert!(
            (1_000_000_000..PATIENCE.as_nanos() as u64).contains(&took),
            "{took} ns"
        );
    }
}

#[tokio::test]
async fn without_a_timeout_a_command_may_take_its_time() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let build = host.build().await;
        host.run(
            &build,
            RunRequest {
                timeout: None,
                ..shell(&build, "sleep 0.2")
            },
        )
        .await
        .ok();
    }
}

#[tokio::test]
async fn executables_are_found_as_reapi_says() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let build = host.build().await;
        for (path, content, mode) in [
            ("tool", "#!/bin/sh\necho root tool\n", 0o755),
            ("sub/tool", "#!/bin/sh\necho sub tool\n", 0o755),
            ("sub/bin/tool", "#!/bin/sh\necho path tool\n", 0o755),
            ("sub/denied/tool", "#!/bin/sh\necho never\n", 0o644),
            ("sub/plain", "echo no shebang\n", 0o755),
            ("sub/data", "text", 0o644),
        ] {
            let path = build.root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let cases = [
            ("./tool", "/bin", Ok("sub tool\n")),
            ("../tool", "/bin", Ok("root tool\n")),
            ("/build/tool", "/bin", Ok("root tool\n")),
            ("tool", "/bin:bin", Ok("path tool\n")),
            ("tool", "/nonexistent:denied:bin", Ok("path tool\n")),
            ("tool", "/bin:", Ok("sub tool\n")),
            ("tool", "/bin", Err(not_started(libc::ENOENT, "tool"))),
            ("tool", "/bin:denied", Err(not_started(libc::EACCES, "tool"))),
            ("tool", "", Ok("sub tool\n")),
            ("./none", "/bin", Err(not_started(libc::ENOENT, "./none"))),
            ("./data", "/bin", Err(not_started(libc::EACCES, "./data"))),
            ("./bin", "/bin", Err(not_started(libc::EACCES, "./bin"))),
            ("./plain", "/bin", Err(not_started(libc::ENOEXEC, "./plain"))),
            (
                "./data/tool",
                "/bin",
                Err(not_started(libc::ENOTDIR, "./data/tool")),
            ),
        ];
        for (argv0, path, expected) in cases {
            let _ = (fs::remove_file(&build.stdout), fs::remove_file(&build.stderr));
            let request = RunRequest {
                env: vec![(b"PATH".to_vec(), path.into())],
                working_directory: "sub".into(),
                ..request(&build, &[argv0])
            };
            let ran = host.run(&build, request).await;
            match expected {
                Ok(stdout) => assert_eq!(ran.ok(), stdout, "{argv0} in {path}"),
                Err(outcome) => assert_eq!(ran.response.outcome, outcome, "{argv0} in {path}"),
            }
        }
    }
}

#[tokio::test]
async fn without_a_path_there_is_a_default() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let build = host.build().await;
        let request = RunRequest {
            env: vec![],
            ..request(&build, &["env"])
        };
        assert_eq!(
            host.run(&build, request).await.ok(),
            "",
            "and it is not put into the environment"
        );
    }
}

#[tokio::test]
async fn a_missing_working_directory_is_named() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let build = host.build().await;
        let request = RunRequest {
            working_directory: "a/b".into(),
            ..shell(&build, "true")
        };
        assert_eq!(
            host.run(&build, request).await.response.outcome,
            not_started(libc::ENOENT, "a/b")
        );
    }
}

#[tokio::test]
async fn a_missing_build_directory_is_the_workers_trouble() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let build = host.build().await;
        let request = RunRequest {
            input_root: "/nonexistent/root".into(),
            ..shell(&build, "true")
        };
        let Outcome::SetupFailed { message } = host.run(&build, request).await.response.outcome else {
            panic!("it ran")
        };
        assert!(message.contains("/nonexistent/root"), "{message}");
    }
}

#[tokio::test]
async fn a_log_that_exists_is_not_overwritten() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let build = host.build().await;
        fs::write(&build.stderr, "precious").unwrap();
        let ran = host.run(&build, shell(&build, "echo no >&2")).await;
        let Outcome::SetupFailed { message } = ran.response.outcome else {
            panic!("it ran")
        };
        assert!(
            message.contains("stderr") && message.contains("exists"),
            "{message}"
        );
        assert_eq!(ran.stderr, "precious");
    }
}

#[tokio::test]
async fn an_impossible_request_is_refused() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let build = host.build().await;
        let long_path = ":".repeat(5000).into_bytes();
        let request = RunRequest {
            env: vec![(b"PATH".to_vec(), long_path)],
            ..request(&build, &["true"])
        };
        let error = host
            .try_run(request, &CancellationToken::new())
            .await
            .unwrap_err();
        assert!(
            matches!(&error, RunError::Refused { message } if message.contains("PATH has more than")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn output_past_the_bound_is_dropped_and_said() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let build = host.build().await;
        let script = "head -c 20000000 /dev/zero | tr '\\0' x; echo short >&2";
        let request = RunRequest {
            output_log_bytes_max: 100_000,
            ..shell(&build, script)
        };
        let ran = host.run(&build, request).await;
        assert_eq!(
            ran.response.outcome,
            Outcome::Exited(0),
            "the writer is not stopped"
        );
        assert!(ran.response.stdout_truncated && !ran.response.stderr_truncated);
        assert_eq!(ran.stderr, "short\n");
        assert!(ran.stdout.len() <= 100_000 + LOG_MARKER_BYTES_MAX);
        let (kept, marker) = ran.stdout.split_at(100_000);
        assert!(kept.bytes().all(|byte| byte == b'x'));
        assert_eq!(
            marker,
            "\n[farrier: stdout cut after 100000 bytes; the other 19900000 bytes were dropped]\n"
        );
    }
}

#[tokio::test]
async fn bytes_that_are_no_text_are_kept() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let build = host.build().await;
        host.run(&build, shell(&build, "printf '\\377\\000\\200x'"))
            .await
            .ok();
        assert_eq!(fs::read(&build.stdout).unwrap(), b"\xff\0\x80x");
    }
}

#[tokio::test]
async fn large_and_odd_arguments_arrive() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let build = host.build().await;
        let mut huge = request(
            &build,
            &[
                "/bin/sh",
                "-c",
                "printf '%s ' $#; printf '%s' \"$1\"",
                "sh",
                "a b\n\"'\\",
            ],
        );
        huge.argv
            .extend((0..30_000).map(|number| format!("argument-{number:030}").into_bytes()));
        assert_eq!(host.run(&build, huge).await.ok(), "30001 a b\n\"'\\");

        let build = host.build().await;
        let mut too_large = request(&build, &["/bin/echo"]);
        too_large.argv.push(vec![b'x'; 200_000]);
        assert_eq!(
            host.run(&build, too_large).await.response.outcome,
            not_started(libc::E2BIG, "/bin/echo")
        );
    }
}

#[tokio::test]
async fn the_environment_is_exact() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let build = host.build().await;
        let env: [(&[u8], &[u8]); 4] = [
            (b"B", b"2"),
            (b"A", b"x=y z"),
            (b"EMPTY", b""),
            (b"odd name!", b"\xff"),
        ];
        let request = RunRequest {
            env: env
                .iter()
                .map(|(name, value)| (name.to_vec(), value.to_vec()))
                .collect(),
            ..request(&build, &["/usr/bin/env", "-0"])
        };
        host.run(&build, request).await.ok();
        let found = fs::read(&build.stdout).unwrap();
        let found: BTreeSet<&[u8]> = found
            .split(|byte| *byte == 0)
            .filter(|entry| !entry.is_empty())
            .collect();
        assert_eq!(
            found,
            BTreeSet::from([&b"B=2"[..], b"A=x=y z", b"EMPTY=", b"odd name!=\xff"])
        );
    }
}

#[tokio::test]
async fn outputs_stay_in_the_build_directory() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let build = host.build().await;
        fs::create_dir(build.root.join("src")).unwrap();
        fs::write(build.root.join("src/in"), "input").unwrap();
        let request = RunRequest {
            working_directory: PathBuf::from("src"),
            ..shell(&build, "pwd; cat in > ../out; umask")
        };
        assert_eq!(host.run(&build, request).await.ok(), "/build/src\n0022\n");
        assert_eq!(fs::read_to_string(build.root.join("out")).unwrap(), "input");
    }
}

#[tokio::test]
async fn every_command_is_started_through_what_the_runner_was_given() {
    for mode in modes() {
        let through = ["--through", "/usr/bin/env", "--through", "THROUGH=it"];
        let host = Host::start_with(*mode, &through).await;
        assert_eq!(host.shell("echo $THROUGH").await.ok(), "it\n");
        // In a world that was made in advance too.
        assert_eq!(host.shell("echo $THROUGH").await.ok(), "it\n");
    }
}
