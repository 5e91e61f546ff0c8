//! recc against a daemon that does what it is told.

use std::fs;

use crate::support::{Place, script, text, with_input};
use daemon_api::{Answer, End, Report};
use settings::{Dialect, Settings, Strategy};

#[test]
fn a_command_is_asked_for_and_its_output_shown() {
    let place = Place::new();
    let daemon = place.daemon(
        "daemon",
        vec![
            Answer::SendInput,
            Answer::Output(b"out".to_vec()),
            Answer::ErrorOutput(b"err".to_vec()),
            Answer::Ended(End::Exited(9)),
        ],
    );
    fs::create_dir(place.path("work/recc")).unwrap();
    fs::write(
        place.path("work/recc/recc.conf"),
        "remote_platform_OSFamily=linux\ncache_only=1\n",
    )
    .unwrap();
    let mut recc = place.command("recc");
    recc.env("FARRIER_SOCKET", place.path("daemon"))
        .env("RECC_CACHE_ONLY", "")
        .args(["gcc", "-c", "a.c"]);
    let output = with_input(recc, b"typed");
    assert_eq!(output.status.code(), Some(9));
    assert_eq!(
        (text(&output.stdout), text(&output.stderr)),
        ("out".to_owned(), "err".to_owned())
    );
    let seen = daemon.join().unwrap();
    assert_eq!(seen.reports[0], Report::Input(b"typed".to_vec()));
    assert_eq!(seen.request.arguments, ["gcc", "-c", "a.c"]);
    let settings = Settings::from_pairs(&seen.request.settings).unwrap();
    assert_eq!(settings.dialect, Dialect::Recc);
    assert_eq!(settings.platform["OSFamily"], "linux");
    assert_eq!(settings.strategy, Some(Strategy::Remote), "the environment wins");
}

#[test]
fn files_have_an_order() {
    let place = Place::new();
    for (directory, text) in [
        (".recc", "action_salt=home\ninstance=home\nlink=1\n"),
        ("conf", "action_salt=conf\n"),
    ] {
        fs::create_dir(place.path(directory)).unwrap();
        fs::write(place.path(directory).join("recc.conf"), text).unwrap();
    }
    let daemon = place.daemon("daemon", vec![Answer::Ended(End::Exited(0))]);
    let status = place
        .command("recc")
        .env("FARRIER_SOCKET", place.path("daemon"))
        .env("RECC_CONFIG_DIRECTORY", place.path("conf"))
        .args(["gcc"])
        .status()
        .unwrap();
    assert!(status.success());
    let settings = Settings::from_pairs(&daemon.join().unwrap().request.settings).unwrap();
    assert_eq!(settings.salt.as_deref(), Some("conf"));
    assert_eq!(settings.handle_links, Some(true));
}

#[test]
fn without_a_daemon_the_command_runs_here() {
    let place = Place::new();
    let mut recc = place.command("recc");
    recc.env("FARRIER_SOCKET", place.path("nobody"))
        .args(["sh", "-c", "cat; exit 6"]);
    let output = with_input(recc, b"typed");
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(6), "typed".to_owned())
    );
    assert_eq!(text(&output.stderr), "", "nobody has to know");
}

#[test]
fn a_daemon_that_says_nothing_we_know_means_here() {
    let place = Place::new();
    let daemon = place.daemon("daemon", vec![]);
    let output = place
        .command("recc")
        .env("FARRIER_SOCKET", place.path("daemon"))
        .args(["echo", "here"])
        .output()
        .unwrap();
    assert!(output.status.success() && text(&output.stdout) == "here\n");
    daemon.join().unwrap();
}

#[test]
fn exit_codes_of_its_own() {
    let place = Place::new();
    let check = |variables: &[(&str, &str)], words: &[&str], expected: i32| {
        let output = place
            .command("recc")
            .env("FARRIER_SOCKET", place.path("nobody"))
            .envs(variables.iter().copied())
            .args(words)
            .output()
            .unwrap();
        assert_eq!(
            output.status.code(),
            Some(expected),
            "{words:?}: {}",
            text(&output.stderr)
        );
        text(&output.stderr)
    };
    assert!(check(&[], &[], 100).starts_with("USAGE: recc <command>"));
    assert!(check(&[], &["--speed"], 100).contains("unrecognized option '--speed'"));
    assert!(check(&[], &["there-is-no-such-program"], 101).contains("not found"));
    assert!(check(&[("RECC_LINK_CACHE_ONLY", "1")], &["true"], 100).contains("need RECC_LINK"));
    check(&[], &["--help"], 0);
    let file = place.path("written");
    let touch = ["touch", file.to_str().unwrap()];
    assert!(check(&[("RECC_NO_EXECUTE", "1")], &touch, 102).contains("RECC_NO_EXECUTE"));
    assert!(!file.exists(), "nothing runs");
    check(&[], &["-v"], 0);

    let daemon = place.daemon("daemon", vec![Answer::Output(b"half".to_vec())]);
    let output = place
        .command("recc")
        .env("FARRIER_SOCKET", place.path("daemon"))
        .arg("true")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(102));
    daemon.join().unwrap();
}

#[test]
fn a_link_stands_for_a_compiler() {
    let place = Place::new();
    let mut recc = place.command("recc-cat");
    recc.env("FARRIER_SOCKET", place.path("nobody"));
    let output = with_input(recc, b"typed");
    assert_eq!(text(&output.stdout), "typed");
}

/// A program in farrier's place that says how it was called, and listens.
const FARRIER: &str = "#!/bin/sh
echo \"$@\" >>\"$HOME/calls\"
exec python3 - \"$FARRIER_SOCKET\" <<'END'
import socket, struct, sys, time
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(64)
listener.settimeout(5)
while True:
    try:
        connection, _ = listener.accept()
    except socket.timeout:
        break
    header = connection.recv(5, socket.MSG_WAITALL)
    if len(header) < 5:
        continue
    length = struct.unpack('<I', header[:4])[0]
    while length > 0:
        length -= len(connection.recv(length))
    # Ended, by itself, with 42.
    connection.sendall(struct.pack('<IBII', 8, 6, 0, 42))
    connection.close()
END
";

#[test]
fn a_daemon_is_started_once_for_many() {
    let place = Place::new();
    fs::create_dir(place.path("bin")).unwrap();
    script(&place.path("bin/farrier"), FARRIER);
    let path = std::env::join_paths(
        [place.path("bin")]
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    )
    .unwrap();
    let children: Vec<_> = (0..8)
        .map(|_| {
            place
                .command("recc")
                .env("PATH", &path)
                .env("RECC_SERVER", "http://server:1")
                .env("RECC_INSTANCE", "main")
                .env("RECC_RETRY_LIMIT", "3")
                .args(["gcc", "-c", "a.c"])
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert_eq!(child.wait().unwrap().code(), Some(42));
    }
    let calls = fs::read_to_string(place.path("calls")).unwrap();
    assert_eq!(calls.lines().count(), 1, "{calls}");
    assert!(calls.starts_with("daemon start "), "{calls}");
    assert!(
        calls
            .trim_end()
            .ends_with(" --endpoint http://server:1 --instance main"),
        "{calls}"
    );
    let sockets = place.path(".cache/farrier");
    let log = fs::read_dir(&sockets)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|end| end == "log"));
    let log = fs::read_to_string(log.unwrap()).unwrap();
    assert!(log.contains("RECC_RETRY_LIMIT has no effect"), "{log}");
}
