//! `farrier up` and `farrier join` with unusual options and impossible ones.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// Far more than any step takes, so that a hang is a failure and not a wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// Of the right shape, and of no server.
const TOKEN: &str = "--token=0123456789abcdef0123456789abcdef.0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

async fn farrier(words: &[OsString]) -> Output {
    let running = Command::new(env!("CARGO_BIN_EXE_farrier"))
        .args(words)
        .env_remove("FARRIER_WORKER_TOKEN")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    timeout(PATIENCE, running)
        .await
        .expect("it ends in time")
        .unwrap()
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `farrier up` in this data directory, for one command.
async fn up_once(data_directory: &Path, options: &[&str], command: &[&str]) -> Output {
    let mut up = words(&["up", "--listen=127.0.0.1:0", "--cas-size=1GiB", "--data-dir"]);
    up.push(data_directory.into());
    up.extend(words(options));
    up.extend(words(&["--once", "--"]));
    up.extend(words(command));
    farrier(&up).await
}

#[tokio::test]
async fn data_directories_may_have_long_and_odd_names() {
    let scratch = tempfile::tempdir().unwrap();
    let long = OsString::from("d".repeat(200));
    for name in [long.as_os_str(), OsStr::from_bytes(b"caf\xe9 data")] {
        let output = up_once(&scratch.path().join(name), &[], &["echo", "from a worker"]).await;
        assert!(output.status.success(), "{name:?}: {}", stderr(&output));
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("\nfrom a worker\n"),
            "{output:?}"
        );
    }
}

#[tokio::test]
async fn a_worker_that_cannot_work_with_its_options_ends_up() {
    let scratch = tempfile::tempdir().unwrap();
    // A token that no header can carry: the first thing that only the worker itself finds out.
    std::fs::write(scratch.path().join("own-worker-token"), "two\nlines").unwrap();
    let output = up_once(scratch.path(), &[], &["true"]).await;
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(said.matches("worker option token").count(), 1, "{said}");
    assert!(said.contains("it is not started again"), "{said}");
}

#[tokio::test]
async fn options_that_cannot_be_are_refused_with_the_reason() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = format!("--data-dir={}", scratch.path().display());
    let missing_file = format!("--token-file={}/nothing", scratch.path().display());
    for (refused, said) in [
        (&["up", "--slots=257"][..], "from 0 to 256 slots"),
        (&["up", "--slots=99999999999"], "from 0 to 256 slots"),
        (
            &["join", "http://127.0.0.1:1", TOKEN, "--slots=257"],
            "from 1 to 256 slots",
        ),
        (
            &["join", "http://127.0.0.1:1", TOKEN, "--slots=0"],
            "from 1 to 256 slots",
        ),
        (
            &["up", "--instance=a", "--instance=b", "--instance=a"],
            "\"a\" is given twice",
        ),
        (
            &["up", "--default-timeout=2h", "--max-timeout=1h"],
            "--max-timeout",
        ),
        (&["join", "http://127.0.0.1:1", &directory], "--token is missing"),
        (
            &["join", "http://127.0.0.1:1", "--token=0123456789abcdef"],
            "does not say which server may be trusted",
        ),
        (&["up", "--tls-cert=/nothing"], "--tls-key"),
        (
            &["up", "--tls-cert=/nothing", "--tls-key=/nothing", &directory],
            "/nothing",
        ),
        (&["up", "--worker-certificates=0s"], "1s to a year"),
        (
            &["queue", "--endpoint=https://127.0.0.1:1", "--tls-ca=/nothing"],
            "/nothing",
        ),
        (&["join", "http://127.0.0.1:1", &missing_file], "nothing"),
        (
            &["join", "ftp://127.0.0.1:1", TOKEN, &directory],
            "ftp://127.0.0.1:1",
        ),
    ] {
        let output = farrier(&words(refused)).await;
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{refused:?}: {told}");
        assert!(told.contains(said), "{refused:?}: {told}");
    }
    let mut odd = words(&["exec", "--", "echo"]);
    odd.push(OsStr::from_bytes(b"caf\xe9").into());
    let output = farrier(&odd).await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        stderr(&output).contains(r#"word 4 is "caf\xE9""#),
        "{}",
        stderr(&output)
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_once() {
    let scratch = tempfile::tempdir().unwrap();
    let mut join = words(&["join", "http://127.0.0.1:1", TOKEN, "--data-dir"]);
    join.push(scratch.path().into());
    let output = farrier(&join).await;
    // Not an error of the options: the next attempt may find the server.
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = stderr(&output);
    assert_eq!(told.matches("cannot connect to").count(), 1, "{told}");
}

/// A data directory below what actions see of the machine (`/opt`), and a worker that is not root, whose user's files
/// actions can read: they see nothing of the directory, nor of the environment of farrier.
#[tokio::test]
async fn an_action_finds_no_secret_of_its_worker() {
    let Ok(scratch) = tempfile::tempdir_in("/opt") else {
        return println!("not tried: nothing can be made in /opt");
    };
    std::fs::set_permissions(scratch.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let data = scratch.path().join("data");
    std::fs::create_dir(&data).unwrap();
    // As a pattern, so that the action's own command line does not hold it.
    let script = format!(
        "cd {data}/.. && ls -A data; cat data/worker-token data/*/worker-token 2>/dev/null; \
         cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep canary-[4]711; env; echo end",
        data = data.display()
    );
    for user in [None, Some("65534")] {
        let mut up = match user {
            None => Command::new(env!("CARGO_BIN_EXE_farrier")),
            Some(user) => {
                std::os::unix::fs::chown(&data, user.parse().ok(), user.parse().ok()).unwrap();
                let mut up = Command::new("setpriv");
                up.args(["--clear-groups", "--reuid", user, "--regid", user]);
                up.arg(env!("CARGO_BIN_EXE_farrier"));
                up
            }
        };
        let place = data.join(user.unwrap_or("own"));
        let running = up
            .args([
                "up",
                "--listen=127.0.0.1:0",
                "--cas-size=1GiB",
                "--once",
                "--data-dir",
            ])
            .arg(&place)
            .args(["--", "sh", "-c", &script])
            .env("FARRIER_SECRET", "canary-4711")
            .env("HOME", &data)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = timeout(PATIENCE, running)
            .await
            .expect("it ends in time")
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{user:?}: {said}{}", stderr(&output));
        // The banner before it shows the token, to whoever started this.
        let (_, said) = said.split_once("; echo end\n").expect("the command is shown");
        assert!(said.contains("\nend\n"), "{said}");
        assert!(!said.contains("canary-4711"), "{user:?}: {said}");
        let token = std::fs::read_to_string(place.join("worker-token")).unwrap();
        assert!(
            !token.trim().is_empty() && !said.contains(token.trim()),
            "{user:?}: {said}"
        );
    }
}
