//! Servers that answer wrongly, slowly or not at all: the build succeeds all the same, and its outputs are those of a plain
//! build.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::build::User;
use e2e::liar::{Liar, Lie, Listening, OBJECT, Teller};

const COMPILE: [&str; 5] = ["gcc", "-c", "a.c", "-o", OBJECT];

fn project() -> Result<tempfile::TempDir> {
    let directory = tempfile::tempdir()?;
    fs::write(directory.path().join("a.c"), "int f(void) { return 1; }\n")?;
    Ok(directory)
}

fn plain(directory: &Path) -> Result<Vec<u8>> {
    let status = Command::new(COMPILE[0])
        .args(&COMPILE[1..])
        .current_dir(directory)
        .status()
        .context("gcc does not start")?;
    ensure!(status.success());
    Ok(fs::read(directory.join(OBJECT))?)
}

/// Two builds, the second with whatever the first has left: neither takes anything from a liar.
fn check(lie: Lie, teller: Teller) -> Result<()> {
    let expected = plain(project()?.path())?;
    let liar = Liar::new(lie, teller);
    let listening = Listening::start(liar.clone())?;
    let user = User::new()?;
    let endpoint = format!("http://{}", listening.address);
    let strategy = match teller {
        Teller::ActionCache => "local",
        Teller::Execution => "remote_local_fallback",
    };
    let options = ["--endpoint", &endpoint, "--strategy", strategy];
    for _ in 0..2 {
        let project = project()?;
        let build = user.build(project.path(), &options, &COMPILE)?;
        let found = fs::read(project.path().join(OBJECT))?;
        ensure!(found == expected, "another object: {}", build.text);
        ensure!(build.remote == 0, "the liar is believed: {}", build.text);
        let made: Vec<_> = fs::read_dir(project.path())?.collect::<Result<_, _>>()?;
        ensure!(made.len() == 2, "something is left behind: {made:?}");
    }
    ensure!(liar.heard() > 0, "nobody has heard the lie");
    Ok(())
}

/// Those that can be told anywhere.
const LIES: [Lie; 8] = [
    Lie::OtherBytes,
    Lie::Truncated,
    Lie::NoSuchBlob,
    Lie::OutputMissing,
    Lie::OtherOutput,
    Lie::OtherSize,
    Lie::NoDigest,
    Lie::Full,
];

fn check_all(lies: &[Lie], teller: Teller) -> Result<()> {
    for lie in lies {
        check(*lie, teller).with_context(|| format!("{lie:?}"))?;
    }
    Ok(())
}

#[test]
fn nothing_is_taken_from_an_action_cache_that_lies_or_is_full() -> Result<()> {
    check_all(&LIES, Teller::ActionCache)
}

#[test]
fn an_action_cache_that_is_slow_is_not_waited_for() -> Result<()> {
    check_all(&[Lie::SlowResults, Lie::SlowBlobs], Teller::ActionCache)
}

#[test]
fn nothing_is_taken_from_workers_that_lie() -> Result<()> {
    check_all(&LIES, Teller::Execution)
}
