//! The user's commands against a real `farrier up`: the program as people run it.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// Far more than any step takes, so that a hang is a failure and not a wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server with one worker, and a directory to work in. Killed when dropped; its worker and runner then end by
/// themselves.
struct Up {
    server: Child,
    /// Kept, so that the server has somebody to print to.
    _printed: Lines<BufReader<ChildStdout>>,
    endpoint: String,
    directory: TempDir,
}

impl Up {
    async fn start() -> Self {
        let directory = TempDir::new().unwrap();
        fs::create_dir(directory.path().join("work")).unwrap();
        let (server, _printed, endpoint) = serve(directory.path(), "127.0.0.1:0").await;
        Up {
            server,
            _printed,
            endpoint,
            directory,
        }
    }

    /// As after a crash: killed, then started anew on the same data and the same port.
    async fn crash_and_restart(&mut self) {
        self.server.kill().await.unwrap();
        let address = self.endpoint.trim_start_matches("grpc://").to_owned();
        (self.server, self._printed, self.endpoint) = serve(self.directory.path(), &address).await;
    }

    fn work(&self) -> std::path::PathBuf {
        self.directory.path().join("work")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farrier"));
        command
            .args(words)
            .current_dir(self.work())
            .env("FARRIER_ENDPOINT", &self.endpoint)
            .env_remove("FARRIER_INSTANCE")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, words: &[&str]) -> Output {
        timeout(PATIENCE, self.command(words).output())
            .await
            .expect("it ends in time")
            .unwrap()
    }

    /// Runs what must succeed; what it printed.
    async fn print(&self, words: &[&str]) -> String {
        let output = self.run(words).await;
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

async fn serve(directory: &Path, address: &str) -> (Child, Lines<BufReader<ChildStdout>>, String) {
    let mut server = Command::new(env!("CARGO_BIN_EXE_farrier"))
        .args([
            "up",
            "--listen",
            address,
            "--cas-size=1GiB",
            "--worker-cache-size=1GiB",
            "--data-dir",
        ])
        .arg(directory.join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let endpoint = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some(("endpoint", endpoint)) = line.trim().split_once(char::is_whitespace) {
                return endpoint.trim().to_owned();
            }
        }
        panic!("the server ended without saying where it is");
    };
    let endpoint = timeout(PATIENCE, endpoint)
        .await
        .expect("the server starts in time");
    (server, lines, endpoint)
}

fn exit_code(output: &Output) -> i32 {
    output.status.code().expect("it was not killed")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_command_runs_remotely_as_it_would_here() {
    let up = Up::start().await;
    fs::create_dir_all(up.work().join("src/sub")).unwrap();
    fs::write(up.work().join("src/sub/in"), "three\none\ntwo\n").unwrap();
    let words = [
        "exec",
        "-i",
        "src",
        "-o",
        "out/sorted",
        "-o",
        "out/tree",
        "--env=LC_ALL=C",
        "--",
        "sh",
        "-c",
        "sort src/sub/in > out/sorted; mkdir -p out/tree/empty; ln -s ../sorted out/tree/link; \
             printf 'to\\000stdout'; echo to stderr >&2",
    ];
    for how in ["remote", "cache hit"] {
        let output = up.run(&words).await;
        assert_eq!(exit_code(&output), 0, "{output:?}");
        assert_eq!(output.stdout, b"to\0stdout");
        let stderr = stderr(&output);
        assert!(
            stderr.starts_with("to stderr\n") && stderr.contains(&format!("farrier: {how}, ")),
            "{stderr}"
        );
        assert_eq!(
            fs::read_to_string(up.work().join("out/sorted")).unwrap(),
            "one\nthree\ntwo\n"
        );
        assert_eq!(
            fs::read_to_string(up.work().join("out/tree/link")).unwrap(),
            "one\nthree\ntwo\n"
        );
        fs::remove_dir_all(up.work().join("out")).unwrap();
    }
    let mut again = words.to_vec();
    again.insert(1, "--skip-cache");
    again.insert(1, "--quiet");
    let output = up.run(&again).await;
    assert_eq!((exit_code(&output), stderr(&output).as_str()), (0, "to stderr\n"));
}

#[tokio::test]
async fn every_way_to_end_has_its_exit_code() {
    let up = Up::start().await;
    for (words, code, said) in [
        (&["--", "sh", "-c", "exit 7"][..], 7, "remote, "),
        (&["--", "sh", "-c", "kill -9 $$"], 137, "remote, "),
        (
            &["--timeout=500ms", "--", "sh", "-c", "echo before >&2; sleep 60"],
            124,
            "before",
        ),
        (&["--", "no-such-program"], 127, "no-such-program"),
        (&["--input=no-such-file", "--", "true"], 125, "no-such-file"),
        (&["--endpoint=127.0.0.1:1", "--", "true"], 125, "cannot connect"),
        (&["--instance=nobody", "--", "true"], 125, "nobody"),
        (&["--priority=2000000000", "--", "true"], 125, "priority"),
    ] {
        let output = up.run(&[&["exec"], words].concat()).await;
        assert_eq!(exit_code(&output), code, "{words:?}: {output:?}");
        assert!(stderr(&output).contains(said), "{words:?}: {output:?}");
    }
}

#[tokio::test]
async fn files_and_trees_go_there_and_come_back() {
    let up = Up::start().await;
    let tree = up.work().join("tree");
    fs::create_dir_all(tree.join("a/b")).unwrap();
    fs::write(tree.join("a/b/large"), vec![7; 5_000_000]).unwrap();
    fs::write(tree.join("a/small"), "small").unwrap();
    std::os::unix::fs::symlink("a/small", tree.join("link")).unwrap();
    for function in ["--digest-function=sha256", "--digest-function=blake3"] {
        let printed = up
            .print(&["cas", "put", function, "tree", "tree/a/b/large"])
            .await;
        let digests: Vec<&str> = printed.lines().collect();
        assert_eq!(digests.len(), 2);
        let listing = up.print(&["cas", "ls", digests[0]]).await;
        let paths: Vec<_> = listing
            .lines()
            .map(|line| line.split_whitespace().nth(3).unwrap())
            .collect();
        assert_eq!(paths, ["link", "a/", "a/small", "a/b/", "a/b/large"], "{listing}");
        up.print(&["cas", "get", digests[0], "--tree", "back"]).await;
        assert_eq!(
            fs::read(up.work().join("back/a/b/large")).unwrap(),
            vec![7; 5_000_000]
        );
        assert_eq!(fs::read_to_string(up.work().join("back/link")).unwrap(), "small");
        up.print(&["cas", "get", digests[1], "-o", "large"]).await;
        assert_eq!(fs::read(up.work().join("large")).unwrap(), vec![7; 5_000_000]);
        fs::remove_dir_all(up.work().join("back")).unwrap();
    }
    let mut piped = up.command(&["cas", "put", "-"]);
    piped.stdin(fs::File::open(tree.join("a/small")).unwrap());
    let piped = timeout(PATIENCE, piped.output())
        .await
        .expect("it ends in time")
        .unwrap();
    let digest = String::from_utf8(piped.stdout).unwrap();
    assert_eq!(up.print(&["cas", "get", digest.trim()]).await, "small");

    fs::create_dir(up.work().join("empty")).unwrap();
    let empty = up.print(&["cas", "put", "empty"]).await;
    let output = up.run(&["cas", "ls", empty.trim()]).await;
    assert_eq!((exit_code(&output), output.stdout.len()), (0, 0), "{output:?}");
    assert!(stderr(&output).contains("is an empty directory"), "{output:?}");
    // Protobuf reads it as a message with one unknown field of 32 bytes.
    fs::write(up.work().join("text"), format!("z {}", "x".repeat(32))).unwrap();
    let text = up.print(&["cas", "put", "text"]).await;

    let absent = format!("{}/5", "a".repeat(64));
    for words in [
        &["cas", "get", &absent][..],
        &["cas", "ls", text.trim()],
        &["cas", "ls", digest.trim()],
        &["cas", "ls", &absent],
    ] {
        let output = up.run(words).await;
        assert_eq!(exit_code(&output), 1, "{words:?}: {output:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[tokio::test]
async fn an_action_is_shown_and_survives_a_crash_of_the_server() {
    let mut up = Up::start().await;
    fs::write(up.work().join("in"), "content").unwrap();
    let words = [
        "exec",
        "--verbose",
        "-i",
        "in",
        "-o",
        "out",
        "--",
        "sh",
        "-c",
        "cp in out; echo done",
    ];
    let output = up.run(&words).await;
    let stderr = stderr(&output);
    let digest = stderr
        .lines()
        .find_map(|line| line.strip_prefix("farrier: action "))
        .expect("it is told");
    let shown = up.print(&["action", "show", digest]).await;
    for part in [
        "$ sh -c 'cp in out; echo done'",
        "1 files of 7 bytes",
        "exit code       0",
        "out (file ",
        "| done",
    ] {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
    up.crash_and_restart().await;
    fs::remove_file(up.work().join("out")).unwrap();
    let output = up.run(&words).await;
    assert!(self::stderr(&output).contains("cache hit"), "{output:?}");
    assert_eq!(fs::read_to_string(up.work().join("out")).unwrap(), "content");
    let absent = format!("{}/5", "a".repeat(64));
    let output = up.run(&["action", "show", &absent]).await;
    assert_eq!(exit_code(&output), 1);
}

#[tokio::test]
async fn a_command_outlives_a_crash_of_the_server() {
    let mut up = Up::start().await;
    let mut command = up.command(&[
        "exec",
        "--verbose",
        "--no-cache",
        "--",
        "sh",
        "-c",
        "sleep 1; echo end",
    ]);
    let mut running = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(running.stderr.take().unwrap()).lines();
    let executing = async {
        while let Some(line) = told.next_line().await.unwrap() {
            if line.contains("executing on") {
                return;
            }
        }
        panic!("it ended before it was executed");
    };
    timeout(PATIENCE, executing)
        .await
        .expect("it is executed in time");
    up.crash_and_restart().await;
    let rest = async {
        let mut rest = String::new();
        while let Some(line) = told.next_line().await.unwrap() {
            rest.push_str(&line);
        }
        (running.wait_with_output().await.unwrap(), rest)
    };
    let (output, rest) = timeout(PATIENCE, rest).await.expect("it ends in time");
    assert_eq!(
        (exit_code(&output), &output.stdout[..]),
        (0, &b"end\n"[..]),
        "{rest}"
    );
    assert!(rest.contains("the connection broke"), "{rest}");
}

/// From one server to another by files, by reading through and with the results of actions; and what is left on the disk
/// of one that has stopped.
#[tokio::test]
async fn blobs_and_results_move_and_what_is_stored_is_looked_after() {
    let (mut one, other) = (Up::start().await, Up::start().await);
    let tree = one.work().join("tree");
    fs::create_dir_all(tree.join("a")).unwrap();
    fs::write(tree.join("a/large"), vec![7; 3_000_000]).unwrap();
    fs::write(tree.join("small"), "small").unwrap();
    let root = one.print(&["cas", "put", "tree"]).await;
    let root = root.trim();
    let verified = one.print(&["cas", "verify", "--tree", root]).await;
    assert!(verified.starts_with("4 blobs are there"), "{verified}");
    let absent = other.run(&["cas", "verify", root]).await;
    assert!(
        exit_code(&absent) != 0 && String::from_utf8_lossy(&absent.stdout).contains("missing"),
        "{absent:?}"
    );

    let files = one.work().join("files");
    let files = files.to_str().unwrap();
    one.print(&["cas", "export", "--tree", "-o", files, root]).await;
    let imported = other.print(&["cas", "import", files]).await;
    assert!(
        imported.contains("4 blobs, of which 4 were missing"),
        "{imported}"
    );
    other.print(&["cas", "verify", "--tree", root]).await;

    let words = [
        "exec",
        "--verbose",
        "-o",
        "out",
        "--",
        "sh",
        "-c",
        "mkdir out; echo made > out/file; echo said",
    ];
    let ran = stderr(&one.run(&words).await);
    let action = ran
        .lines()
        .find_map(|line| line.strip_prefix("farrier: action "))
        .expect("it is told");
    let migrated = one
        .print(&[
            "cas",
            "migrate",
            &one.endpoint,
            &other.endpoint,
            "--actions",
            action,
        ])
        .await;
    assert!(
        migrated.contains("and 1 results copied; 0 were not there"),
        "{migrated}"
    );
    let again = stderr(&other.run(&words).await);
    assert!(again.contains("farrier: cache hit, "), "{again}");
    assert_eq!(
        fs::read_to_string(other.work().join("out/file")).unwrap(),
        "made\n"
    );

    let data = one.work().parent().unwrap().join("data");
    let data = data.to_str().unwrap();
    let busy = one.run(&["cas", "stat", "--data-dir", data]).await;
    assert!(
        exit_code(&busy) != 0 && stderr(&busy).contains("in use"),
        "{busy:?}"
    );

    // A running server tells the same about itself, and more.
    let stat = one.print(&["cas", "stat"]).await;
    assert!(
        stat.contains("results  1 entries") && stat.contains("next to make room:"),
        "{stat}"
    );
    let listed = one.print(&["cas", "du", "--bytes"]).await;
    assert!(
        listed.lines().any(|line| line.starts_with("blob")) && listed.contains("(unnamed)"),
        "{listed}"
    );
    let scrubbed = one.print(&["cas", "scrub", "--rate=1GiB"]).await;
    assert!(
        scrubbed.starts_with("blobs: ") && scrubbed.contains("results: 1 entries"),
        "{scrubbed}"
    );
    one.server.kill().await.unwrap();
    let listed = one.print(&["cas", "du", "--bytes", "--data-dir", data]).await;
    assert!(
        listed.lines().any(|line| line.starts_with("blob")) && listed.contains("(unnamed)"),
        "{listed}"
    );
    let stat = one.print(&["cas", "stat", "--data-dir", data]).await;
    assert!(stat.contains("results  1 entries"), "{stat}");
    let scrubbed = one.print(&["cas", "scrub", "--data-dir", data]).await;
    assert!(scrubbed.contains("0 damaged"), "{scrubbed}");
    let nobody = one.run(&["cas", "stat"]).await;
    assert!(
        exit_code(&nobody) != 0 && stderr(&nobody).contains("--data-dir"),
        "{nobody:?}"
    );
}
