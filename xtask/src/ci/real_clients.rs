//! The tests of `e2e/`: built with the whole workspace, as everything here, then run program by program.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{command, patience, prepare};
use crate::tidy::root;

/// How the step names this.
pub(super) const COMMAND: &str = "every test of e2e";

/// One test at a time: they measure, kill what they find below themselves, and fill the machine as it is.
const ARGUMENTS: &str = "--test-threads=1";

/// What the slowest program needs three times over. One that needs more hangs.
const PROGRAM_AT_MOST: Duration = Duration::from_secs(15 * 60);

/// Builds and runs all of them, and says how long each took.
pub(super) fn run() -> Result<()> {
    for program in programs()? {
        let started = Instant::now();
        let name = program.file_name().unwrap_or_default().display();
        println!("\n--- {name}");
        let mut command = Command::new(&program);
        prepare(&mut command)?;
        // Where cargo would have started it.
        command.arg(ARGUMENTS).current_dir(root().join("e2e"));
        let status = patience::end_of(&mut command, PROGRAM_AT_MOST).with_context(|| name.to_string())?;
        ensure!(status.success(), "{name} failed: {status}");
        println!("--- {name}: passed in {} s", started.elapsed().as_secs());
    }
    Ok(())
}

fn programs() -> Result<Vec<PathBuf>> {
    let mut build =
        command("cargo test --workspace --locked --no-run --message-format=json-render-diagnostics")?;
    let output = build
        .stderr(Stdio::inherit())
        .output()
        .context("cargo does not start")?;
    ensure!(output.status.success(), "cargo failed: {}", output.status);
    let messages = String::from_utf8(output.stdout).context("what cargo says is no text")?;
    let mut programs = Vec::new();
    for message in messages.lines() {
        let message: Value = serde_json::from_str(message).context("what cargo says is no JSON")?;
        programs.extend(test_of_e2e(&message));
    }
    ensure!(!programs.is_empty(), "cargo named no test of e2e");
    Ok(programs)
}

/// The program, if a message of cargo's says that one of these was built.
fn test_of_e2e(message: &Value) -> Option<PathBuf> {
    let is_ours = message["package_id"].as_str()?.contains("/e2e#");
    let is_test = message["profile"]["test"] == true;
    let program = message["executable"].as_str()?;
    (is_ours && is_test).then(|| program.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tests_of_e2e_are_known_among_what_cargo_says() {
        let message = |package: &str, is_test: bool, executable: Value| {
            let package = format!("path+file:///farrier/{package}#0.1.0");
            json!({ "package_id": package, "profile": { "test": is_test }, "executable": executable })
        };
        for (message, expected) in [
            (message("e2e", true, json!("/t/up-1")), Some("/t/up-1")),
            (message("e2e", true, Value::Null), None),
            (message("e2e", false, json!("/t/e2e")), None),
            (message("crates/server/farrier", true, json!("/t/up-2")), None),
            (json!({ "reason": "build-finished", "success": true }), None),
        ] {
            assert_eq!(test_of_e2e(&message), expected.map(PathBuf::from), "{message}");
        }
    }
}
