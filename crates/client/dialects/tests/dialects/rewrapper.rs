//! rewrapper against a daemon that does what it is told.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::process::Stdio;

use crate::support::{Place, real, text, with_input};
use daemon_api::{Answer, End, Report};
use settings::{Settings, Strategy};

#[test]
fn a_command_is_asked_for_and_its_output_shown() {
    let place = Place::new();
    let daemon = place.reproxy(vec![
        Answer::Alive,
        Answer::Output(b"out".to_vec()),
        Answer::ErrorOutput(b"err".to_vec()),
        Answer::Ended(End::Exited(7)),
    ]);
    let output = place
        .command("rewrapper")
        .env("RBE_exec_strategy", "racing")
        .arg(place.address())
        .args([
            &format!("-exec_root={}", place.path("").display()),
            "--output_files=work/a.o",
        ])
        .args(["--", "cc", "-c", "a.c"])
        .output()
        .unwrap();
    assert_eq!(
        (text(&output.stdout), text(&output.stderr)),
        ("out".to_owned(), "err".to_owned())
    );
    assert_eq!(output.status.code(), Some(7));

    let request = daemon.join().unwrap().request;
    assert_eq!(request.arguments, ["cc", "-c", "a.c"]);
    assert_eq!(request.directory, real(&place.path("work")));
    assert!(
        request
            .environment
            .iter()
            .any(|(name, _)| name == "RBE_exec_strategy")
    );
    let settings = Settings::from_pairs(&request.settings).unwrap();
    assert_eq!(settings.strategy, Some(Strategy::Racing));
    assert_eq!(settings.exec_root, Some(real(&place.path(""))));
    assert_eq!(settings.output_files, [std::path::PathBuf::from("work/a.o")]);
}

#[test]
fn output_is_shown_when_it_comes() {
    let place = Place::new();
    let mut rewrapper = place.command("rewrapper");
    // The daemon ends the command only when its input has ended, and that ends when the output has been seen.
    let daemon = place.reproxy(vec![
        Answer::Output(b"early".to_vec()),
        Answer::SendInput,
        Answer::Ended(End::Exited(0)),
    ]);
    let mut child = rewrapper
        .arg(place.address())
        .args(["--", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut early = [0; 5];
    child.stdout.as_mut().unwrap().read_exact(&mut early).unwrap();
    assert_eq!(&early, b"early");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    daemon.join().unwrap();
}

#[test]
fn input_is_passed_on() {
    let place = Place::new();
    let daemon = place.reproxy(vec![Answer::SendInput, Answer::Ended(End::Exited(0))]);
    let mut rewrapper = place.command("rewrapper");
    rewrapper.arg(place.address()).args(["--", "cat"]);
    let input = vec![b'x'; 200_000];
    assert!(with_input(rewrapper, &input).status.success());
    let reports = daemon.join().unwrap().reports;
    let mut got = Vec::new();
    for report in reports {
        let Report::Input(piece) = report else {
            panic!("{report:?}")
        };
        got.extend(piece);
    }
    assert_eq!(got, input);
}

#[test]
fn exit_codes_are_the_command_s() {
    for (end, expected) in [
        (End::Exited(0), 0),
        (End::Exited(45), 45),
        (End::Exited(142), 142),
        (End::Killed(9), 137),
    ] {
        let place = Place::new();
        let daemon = place.reproxy(vec![Answer::Ended(end)]);
        let status = place
            .command("rewrapper")
            .arg(place.address())
            .args(["--", "cc"])
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(expected), "{end:?}");
        daemon.join().unwrap();
    }
}

#[test]
fn what_runs_here_runs_behind_the_local_wrapper() {
    let place = Place::new();
    let daemon = place.reproxy(vec![
        Answer::Run {
            program: "/bin/sh".into(),
            through: Vec::new(),
            more: vec!["one more".into()],
            apart: false,
        },
        Answer::Alive,
    ]);
    let mut rewrapper = place.command("rewrapper");
    rewrapper.arg(place.address()).args([
        "-local_wrapper=env",
        "-exec_strategy=local",
        "--",
        "sh",
        "-c",
        "cat; echo \" $0\"; exit 4",
    ]);
    let output = with_input(rewrapper, b"typed");
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(4), "typed one more\n".to_owned())
    );
    let reports = daemon.join().unwrap().reports;
    assert!(matches!(reports[0], Report::Started { .. }), "{reports:?}");
    let Report::Ran { end, output, .. } = &reports[1] else {
        panic!("{reports:?}")
    };
    assert_eq!(
        (*end, output.as_deref()),
        (End::Exited(4), Some(&b"typed one more\n"[..]))
    );
}

#[test]
fn what_the_daemon_says_of_a_run_counts() {
    let place = Place::new();
    let daemon = place.reproxy(vec![
        Answer::Waiting,
        Answer::TakeBack,
        Answer::Run {
            program: "/bin/sh".into(),
            through: Vec::new(),
            more: Vec::new(),
            apart: true,
        },
        Answer::Alive,
        Answer::ErrorOutput(b"too late".to_vec()),
        Answer::Ended(End::Exited(142)),
    ]);
    // The fourth field is the parent, the fifth the group.
    let words = [
        "--",
        "sh",
        "-c",
        "cut -d' ' -f4,5 /proc/self/stat; echo $$; kill $$",
    ];
    let mut rewrapper = place.command("rewrapper");
    let output = rewrapper.arg(place.address()).args(words).output().unwrap();
    assert_eq!(
        (output.status.code(), text(&output.stderr)),
        (Some(142), "too late".to_owned())
    );
    let printed = text(&output.stdout);
    let numbers: Vec<_> = printed.split_whitespace().collect();
    assert_eq!(numbers[1], numbers[2], "it leads its group: {printed}");
    let reports = daemon.join().unwrap().reports;
    assert_eq!(reports[0], Report::TakenBack);
}

#[test]
fn without_a_daemon_it_says_so() {
    let place = Place::new();
    let output = place
        .command("rewrapper")
        .arg(place.address())
        .args(["--", "true"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(
        message.starts_with("Reproxy is not running at unix:///"),
        "{message}"
    );
    assert!(!message.ends_with('\n'));
}

#[test]
fn a_dead_socket_is_tried_for_dial_timeout() {
    let place = Place::new();
    drop(std::os::unix::net::UnixListener::bind(place.path("reproxy.sock.farrier")).unwrap());
    let output = place
        .command("rewrapper")
        .arg(place.address())
        .args(["-dial_timeout=10ms", "--", "true"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("within dial_timeout"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_daemon_that_goes_is_asked_again_unless_the_command_has_begun() {
    let place = Place::new();
    let daemon = place.reproxy(vec![Answer::Output(b"half".to_vec())]);
    let output = place
        .command("rewrapper")
        .arg(place.address())
        .args(["--", "true"])
        .output()
        .unwrap();
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(1), "half".to_owned())
    );
    daemon.join().unwrap();

    let place = Place::new();
    let listener = std::os::unix::net::UnixListener::bind(place.path("reproxy.sock.farrier")).unwrap();
    let daemon = std::thread::spawn(move || {
        drop(listener.accept().unwrap());
        let (mut stream, _) = listener.accept().unwrap();
        let _: Option<daemon_api::Request> = daemon_api::read_frame(&mut stream).unwrap();
        daemon_api::write_frame(&mut stream, &Answer::Ended(End::Exited(3))).unwrap();
    });
    let status = place
        .command("rewrapper")
        .arg(place.address())
        .args(["--", "true"])
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(3));
    daemon.join().unwrap();
}

#[test]
fn offline_is_the_command_itself() {
    let place = Place::new();
    let mut rewrapper = place.command("rewrapper");
    rewrapper.args(["--offline", "sh", "-c", "cat; echo err >&2; exit 5"]);
    let output = with_input(rewrapper, b"typed");
    assert_eq!(output.status.code(), Some(5));
    assert_eq!(
        (text(&output.stdout), text(&output.stderr)),
        ("typed".to_owned(), "err\n".to_owned())
    );
    let status = place
        .command("rewrapper")
        .args(["--offline", "there-is-no-such-program"])
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(127));
}

#[test]
fn wrong_calls_end_with_one() {
    let place = Place::new();
    let check = |words: &[&str], expected: &str| {
        let output = place.command("rewrapper").args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        let message = text(&output.stderr);
        assert!(message.contains(expected), "{words:?}: {message}");
    };
    check(&[], "no command");
    check(&["-labels=type=tool", "--"], "no command");
    check(&["-speed", "x"], "flag provided but not defined: -speed");
    check(&["-exec_strategy=lerc", "cc"], "exec_strategy \"lerc\"");
    check(&["-fail_on_mismatch", "cc"], "needs compare");
    check(&["cc"], "server_address is empty");
    check(&["-exec_root=/nowhere", "cc"], "not below the exec root");
    check(
        &["-cfg=/nowhere", "cc"],
        "cannot read the configuration file /nowhere",
    );
}

#[test]
fn a_configuration_and_a_link_to_the_directory_work() {
    let place = Place::new();
    let daemon = place.reproxy(vec![Answer::Ended(End::Exited(0))]);
    symlink(place.path("work"), place.path("link")).unwrap();
    let config = format!(
        "# shared\nproxy_log_dir=/tmp\nserver_address=unix://{}\nexec_root={}\n",
        place.path("reproxy.sock").display(),
        place.path("").display()
    );
    fs::write(place.path("re.cfg"), config).unwrap();
    let status = place
        .command("rewrapper")
        .current_dir(place.path("link"))
        .env("RBE_cfg", place.path("re.cfg"))
        .args(["--", "cc"])
        .status()
        .unwrap();
    assert!(status.success());
    let request = daemon.join().unwrap().request;
    assert_eq!(request.directory, real(&place.path("work")));
}

#[test]
fn version_and_help() {
    let place = Place::new();
    for flag in ["-version", "--version_sdk"] {
        let output = place.command("rewrapper").arg(flag).output().unwrap();
        assert!(output.status.success() && text(&output.stdout).contains(env!("CARGO_PKG_VERSION")));
    }
    let output = place.command("rewrapper").arg("-help").output().unwrap();
    assert!(output.status.success() && text(&output.stderr).contains("-exec_strategy"));
}

#[test]
fn one_program_with_many_names() {
    let place = Place::new();
    let status = place
        .command("farrier-dialects")
        .arg("link")
        .arg(place.path("links"))
        .status()
        .unwrap();
    assert!(status.success());
    let output = std::process::Command::new(place.path("links/rewrapper"))
        .arg("-version")
        .output()
        .unwrap();
    assert!(output.status.success());
    let output = place
        .command("farrier-dialects")
        .args(["recc", "--version"])
        .output()
        .unwrap();
    assert!(text(&output.stdout).starts_with("recc version"));
    let output = place.command("farrier-dialects").arg("make").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("rewrapper"));
}
