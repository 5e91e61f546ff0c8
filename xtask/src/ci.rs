//! `cargo xtask ci`: installs what the tests need and runs every check, in the order that fails fastest.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::tidy::root;

/// The release of cargo-deny that CI uses.
const DENY_VERSION: &str = "^0.20";

/// One step: what it is called, and what runs.
type Step = (&'static str, &'static [&'static str]);

const STEPS: [Step; 10] = [
    ("install", &["e2e/install"]),
    ("format", &["cargo", "fmt", "--all", "--check"]),
    ("tidy", &["cargo", "xtask", "tidy"]),
    ("protocol code", &["cargo", "xtask", "proto", "--check"]),
    (
        "lints",
        &[
            "cargo",
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ],
    ),
    (
        "program",
        &[
            "cargo",
            "build",
            "--release",
            "--locked",
            "-p",
            "farrier",
            "-p",
            "wrapper",
        ],
    ),
    (
        "tests",
        &["cargo", "test", "--workspace", "--exclude", "e2e", "--locked"],
    ),
    ("tests without root", &["e2e/without_root"]),
    (
        "documents",
        &["cargo", "doc", "--workspace", "--no-deps", "--locked"],
    ),
    (
        "real clients",
        &[
            "cargo",
            "test",
            "--package",
            "e2e",
            "--locked",
            "--",
            "--test-threads=1",
        ],
    ),
];

/// Runs everything, or only the steps named.
pub(crate) fn run(only: &[&str]) -> Result<()> {
    if let Some(unknown) = only
        .iter()
        .find(|name| **name != "deny" && !STEPS.iter().any(|(step, _)| step == *name))
    {
        let names: Vec<&str> = STEPS.iter().map(|(name, _)| *name).chain(["deny"]).collect();
        bail!("no step `{unknown}`; there are: {}", names.join(", "));
    }
    let wanted = |name: &str| only.is_empty() || only.contains(&name);
    let started = Instant::now();
    for (name, words) in STEPS.iter().filter(|(name, _)| wanted(name)) {
        step(name, words)?;
    }
    if wanted("deny") {
        deny()?;
    }
    println!("\nci: all passed in {} s", started.elapsed().as_secs());
    Ok(())
}

fn step(name: &str, words: &[&str]) -> Result<()> {
    println!("\n=== {name}: {}", words.join(" "));
    let started = Instant::now();
    let (program, arguments) = words.split_first().context("an empty step")?;
    let program = if program.contains('/') {
        root().join(program).into_os_string()
    } else {
        program.into()
    };
    let status = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .env("RUSTDOCFLAGS", "-D warnings")
        // Tests that compare with real tools do not leave these out.
        .env("FARRIER_REAL_TOOLS", "gcc,clang,ld")
        .status()
        .with_context(|| format!("{name}: cannot start"))?;
    ensure!(status.success(), "{name} failed: {status}");
    println!("=== {name}: passed in {} s", started.elapsed().as_secs());
    Ok(())
}

/// Licences, bans and sources of everything that comes from outside. The advisory database is not fetched: what CI
/// says must depend on the commit alone; `cargo deny check advisories` is for people and releases.
fn deny() -> Result<()> {
    let installed = Command::new("cargo").args(["deny", "--version"]).output();
    if !installed.is_ok_and(|output| output.status.success()) {
        step(
            "install cargo-deny",
            &[
                "cargo",
                "install",
                "cargo-deny",
                "--locked",
                "--version",
                DENY_VERSION,
            ],
        )?;
    }
    step(
        "deny",
        &[
            "cargo",
            "deny",
            "--offline",
            "check",
            "bans",
            "licenses",
            "sources",
        ],
    )
}
