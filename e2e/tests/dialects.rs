//! Builds that are set up for reclient or recc, against farrier, with a server and a worker that are really there.

use std::fs;

use anyhow::{Context, Result, ensure};
use e2e::dialects::{User, files};
use e2e::farrier::Farrier;

#[test]
fn a_build_for_reclient_runs_from_bootstrap_to_its_metrics() -> Result<()> {
    let farrier = Farrier::start()?;
    let user = User::of_reclient(farrier.address())?;
    let said = user.succeeds(&["bootstrap"])?;
    ensure!(said.contains("Proxy started successfully."), "{said}");

    let root = format!("-exec_root={}", user.at("project").display());
    let rewrapper = [
        "rewrapper",
        "-labels=type=compile,compiler=clang,lang=cpp",
        &root,
        "-exec_strategy=remote",
        "--",
    ];
    for _ in 0..2 {
        user.compile(&rewrapper)?;
    }
    // What the compiler refuses is refused, with its words and its code.
    fs::write(user.at("project/bad.c"), "int f(void) { return y; }\n")?;
    let bad = user.run(
        &[&rewrapper[..], &["gcc", "-c", "bad.c", "-o", "bad.o"]].concat(),
        &[],
    )?;
    ensure!(bad.status.code() == Some(1), "{bad:?}");
    ensure!(
        String::from_utf8_lossy(&bad.stderr).contains("undeclared"),
        "{bad:?}"
    );

    let said = user.succeeds(&["bootstrap", "-shutdown"])?;
    ensure!(
        said.contains("RBE Stats:") && said.contains("1 cache hit"),
        "{said}"
    );
    let metrics = fs::read_to_string(user.at("logs/rbe_metrics.txt"))?;
    ensure!(metrics.contains("num_records: 3"), "{metrics}");
    ensure!(user.at("logs/rbe_metrics.pb").is_file());
    let log = files(&user.at("logs"))
        .into_iter()
        .find(|path| path.extension().is_some_and(|end| end == "rrpl" || end == "rpl"));
    let log = fs::read_to_string(log.context("no log of commands")?)?;
    ensure!(
        log.contains("STATUS_CACHE_HIT") && log.contains("STATUS_REMOTE_EXECUTION"),
        "{log}"
    );
    Ok(())
}

#[test]
fn a_build_for_recc_takes_and_gives_results() -> Result<()> {
    let farrier = Farrier::start()?;
    let user = User::new(&[("RECC_SERVER", farrier.http_url())])?;
    for _ in 0..2 {
        user.compile(&["recc"])?;
    }
    assert_eq!(user.steps_of_recc()?, ["remote", "hit"]);
    Ok(())
}
