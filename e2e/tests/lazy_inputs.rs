//! Inputs that come when they are opened, as a user meets them. As root: nobody else may mount.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::farrier::Farrier;
use e2e::{process_tree, tools, waiting};

const PATIENCE: Duration = Duration::from_secs(30);

fn exec(farrier: &Farrier, directory: &Path, words: &[&str]) -> Result<Command> {
    let mut command = Command::new(tools::farrier()?);
    command
        .args(["exec", "--endpoint", &farrier.http_url()])
        .args(words)
        .current_dir(directory)
        .stdin(Stdio::null());
    Ok(command)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What is mounted below farrier's directory.
fn mounts(farrier: &Farrier) -> Result<Vec<String>> {
    let below = fs::canonicalize(farrier.data_directory())?;
    let table = fs::read_to_string("/proc/self/mounts")?;
    let at = table.lines().filter_map(|line| line.split(' ').nth(1));
    let ours = at.filter(|at| Path::new(at).starts_with(&below));
    Ok(ours.map(str::to_owned).collect())
}

#[test]
fn a_user_sees_what_a_command_has_read_and_a_hit_says_the_same() -> Result<()> {
    let mut farrier = Farrier::start()?;
    farrier.worker()?;
    let project = tempfile::tempdir()?;
    fs::write(project.path().join("read"), "content")?;
    fs::write(project.path().join("unread"), "other")?;
    let words = [
        "--observe",
        "-i",
        "read",
        "-i",
        "unread",
        "-o",
        "made",
        "--",
        "/bin/sh",
        "-c",
        "cat read; test -e absent; cp read made; echo x > beside",
    ];
    for how in ["remote", "cache hit"] {
        let output = exec(&farrier, project.path(), &words)?.output()?;
        let text = said(&output);
        ensure!(
            output.status.success() && output.stdout == b"content",
            "{output:?}"
        );
        ensure!(text.contains(how), "{text}");
        for line in [
            "1 input files were read",
            "files read:\nfarrier:   read\n",
            "farrier:   absent\n",
            "farrier:   beside\n",
        ] {
            ensure!(text.contains(line), "{line}: {text}");
        }
        ensure!(!text.contains("unread") && !text.contains("made\n"), "{text}");
    }
    let below = farrier.descendants();
    farrier.interrupt()?;
    farrier.ends_without(&below, PATIENCE)?;
    ensure!(mounts(&farrier)?.is_empty(), "{:?}", mounts(&farrier)?);
    Ok(())
}

#[test]
fn a_worker_that_is_killed_leaves_nothing_that_hinders_the_next() -> Result<()> {
    let mut farrier = Farrier::start_with(&["--lazy-inputs", "always", "--slots", "2"])?;
    let project = tempfile::tempdir()?;
    fs::write(project.path().join("input"), "content")?;
    let script = |script: &'static str| ["-i", "input", "--no-cache", "--", "/bin/sh", "-c", script];
    let mut waits = exec(&farrier, project.path(), &script("cat input; sleep 300"))?
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    for _ in 0..2 {
        let worker = farrier.worker()?;
        waiting::until("the action has its inputs", PATIENCE, || {
            let ready = mounts(&farrier)?.len() == 2 && runs(&farrier, "sleep");
            Ok(ready.then_some(()))
        })?;
        process_tree::kill(worker.pid);
        waiting::until("the worker is gone", PATIENCE, || {
            Ok((!process_tree::still_runs(&worker)).then_some(()))
        })?;
        let output = exec(
            &farrier,
            project.path(),
            &script("cat input; rm input; echo more > input; cat input"),
        )?
        .output()?;
        ensure!(
            output.status.success() && output.stdout == b"contentmore\n",
            "{output:?}"
        );
    }
    leave(&mut waits)?;
    let below = farrier.descendants();
    farrier.interrupt()?;
    farrier.ends_without(&below, PATIENCE)?;
    ensure!(mounts(&farrier)?.is_empty(), "{:?}", mounts(&farrier)?);
    Ok(())
}

fn runs(farrier: &Farrier, program: &str) -> bool {
    let mut below = farrier.descendants().into_iter();
    below.any(|process| process.arguments.first().is_some_and(|word| word == program))
}

fn leave(child: &mut Child) -> Result<()> {
    child.kill()?;
    child.wait().context("cannot wait for farrier exec")?;
    Ok(())
}
