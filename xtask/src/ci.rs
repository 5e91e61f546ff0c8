//! `cargo xtask ci`: installs what the tests need and runs every check, in the order that fails fastest.
//!
//! Most of its time goes into building. So every step that builds selects the whole workspace, which gives all of them the
//! same features of the same dependencies: a package selected alone would have most of its dependencies built once more.

mod disk;
mod installation;
mod patience;
mod real_clients;

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use self::installation::Installation;
use crate::tidy::root;

/// The release of cargo-deny that CI uses.
const DENY_VERSION: &str = "^0.20";
/// What no command here takes, by far, also where nothing is built yet. One that does hangs.
const COMMAND_AT_MOST: Duration = Duration::from_secs(40 * 60);
/// The steps that go on while tools are fetched; those after them start these tools.
const STEPS_WITHOUT_TOOLS: [&str; 5] = ["format", "tidy", "protocol code", "lints", "program"];

/// One step: what it is called, and what runs, one after the other.
struct Step {
    name: &'static str,
    commands: &'static [&'static str],
}

/// What users get, as `README.md` builds it, with the checks that tests have. The real clients meet this one.
pub(crate) const PROGRAM: &str =
    "cargo build --profile ci --locked -p farrier -p wrapper -p recipe-shell -p dialects";

const STEPS: [Step; 9] = [
    Step {
        name: "format",
        commands: &["cargo fmt --all --check"],
    },
    Step {
        name: "tidy",
        commands: &["cargo xtask tidy"],
    },
    Step {
        name: "protocol code",
        commands: &["cargo xtask proto --check"],
    },
    Step {
        name: "lints",
        commands: &["cargo clippy --workspace --all-targets --locked -- -D warnings"],
    },
    Step {
        name: "program",
        commands: &[PROGRAM],
    },
    Step {
        name: "tests",
        commands: &["cargo test --workspace --exclude e2e --locked"],
    },
    Step {
        name: "tests without root",
        commands: &["e2e/without_root"],
    },
    Step {
        name: "documents",
        commands: &["cargo doc --workspace --no-deps --locked"],
    },
    Step {
        name: "real clients",
        commands: &[PROGRAM, real_clients::COMMAND],
    },
];

/// Runs everything, or only the steps named.
pub(crate) fn run(only: &[&str]) -> Result<()> {
    let names = || {
        let named = STEPS.iter().map(|step| step.name);
        std::iter::once("install").chain(named).chain(["deny"])
    };
    if let Some(unknown) = only.iter().find(|name| !names().any(|step| step == **name)) {
        let names: Vec<&str> = names().collect();
        bail!("no step `{unknown}`; there are: {}", names.join(", "));
    }
    let wanted = |name: &str| only.is_empty() || only.contains(&name);
    let started = Instant::now();
    println!("{}", disk::said(&root())?);
    let mut installation = None;
    if wanted("install") {
        // Before any compiler runs: this may replace one.
        run_step(&Step {
            name: "install",
            commands: &["e2e/install packages"],
        })?;
        installation = Some(Installation::start()?);
    }
    for step in STEPS.iter().filter(|step| wanted(step.name)) {
        let is_due = |installation: &mut Installation| {
            !STEPS_WITHOUT_TOOLS.contains(&step.name) || installation.has_ended()
        };
        if let Some(installation) = installation.take_if(is_due) {
            installation.end()?;
        }
        run_step(step)?;
    }
    if let Some(installation) = installation {
        installation.end()?;
    }
    if wanted("deny") {
        deny()?;
    }
    println!("\nci: all passed in {} s", started.elapsed().as_secs());
    Ok(())
}

fn run_step(step: &Step) -> Result<()> {
    let Step { name, commands } = step;
    let started = Instant::now();
    for command in *commands {
        println!("\n=== {name}: {command}");
        match *command {
            real_clients::COMMAND => real_clients::run()?,
            command => run_command(name, command)?,
        }
    }
    println!("=== {name}: passed in {} s", started.elapsed().as_secs());
    Ok(())
}

fn run_command(name: &str, words: &str) -> Result<()> {
    run_command_with(name, words, &[], COMMAND_AT_MOST)
}

/// Runs a command as a step does, with these variables too. One that takes longer is ended.
pub(crate) fn run_command_with(
    name: &str,
    words: &str,
    environment: &[(&str, &str)],
    at_most: Duration,
) -> Result<()> {
    let mut command = command(words)?;
    command.envs(environment.iter().copied());
    let status = patience::end_of(&mut command, at_most);
    let status = status.with_context(|| format!("{name}: {words}"))?;
    ensure!(status.success(), "{name} failed: {status}");
    Ok(())
}

fn command(words: &str) -> Result<Command> {
    let mut words = words.split_whitespace();
    let program = words.next().context("an empty step")?;
    let program = match program.contains('/') {
        true => root().join(program),
        false => program.into(),
    };
    let mut command = Command::new(program);
    command.args(words);
    prepare(&mut command)?;
    Ok(command)
}

/// Where every command runs, and with which variables.
fn prepare(command: &mut Command) -> Result<()> {
    command
        .current_dir(root())
        .env("RUSTDOCFLAGS", "-D warnings")
        // Tests that compare with real tools do not leave these out.
        .env("FARRIER_REAL_TOOLS", "gcc,clang,ld")
        .env("FARRIER_E2E_BINARY", target()?.join("ci/farrier"));
    Ok(())
}

/// Where cargo builds: this program lies in `target/<profile>/`.
fn target() -> Result<PathBuf> {
    let program = env::current_exe().context("this program does not know its own path")?;
    let target = program.ancestors().nth(2);
    Ok(target
        .context("this program lies in no target folder")?
        .to_owned())
}

/// Licences, bans and sources of everything that comes from outside. The advisory database is not fetched: what CI
/// says must depend on the commit alone; `cargo deny check advisories` is for people and releases.
fn deny() -> Result<()> {
    let installed = Command::new("cargo").args(["deny", "--version"]).output();
    if !installed.is_ok_and(|output| output.status.success()) {
        // Unoptimised: it is built in half the time, and runs for a second.
        let install = format!("cargo install cargo-deny --debug --locked --version {DENY_VERSION}");
        println!("\n=== install cargo-deny: {install}");
        run_command("install cargo-deny", &install)?;
    }
    run_step(&Step {
        name: "deny",
        commands: &["cargo deny --offline check bans licenses sources"],
    })
}
