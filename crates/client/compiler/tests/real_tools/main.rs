//! The real gcc, clang and binutils against what is declared for them: whatever a command leaves behind must be declared,
//! and what is required must be there.
//!
//! A tool that is not installed is left out; `FARRIER_REAL_TOOLS` lists tools that must not be (`gcc,clang,ld`).

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod directory;
mod libraries;
mod reads;
#[path = "../support/mod.rs"]
mod support;
mod tables;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use compiler::{Invocation, Output, Parsed, Shape, parse};
use directory::{ARGS, LD_ARGS, LOCALE, files, is_installed, prepare, variable};
use support::{Held, rendered, words};
use tables::{BINUTILS, BOTH, CLANG, GCC, JAVAC, RUSTC};

#[test]
fn rustc_leaves_what_is_declared() {
    check_table("rustc", RUSTC);
}

#[test]
fn javac_leaves_what_is_declared() {
    check_table("javac", JAVAC);
}

/// Runs a command in a fresh directory and says what does not fit.
fn complaint(line: &str) -> Option<String> {
    let root = tempfile::tempdir().unwrap();
    let cwd = root.path().join("w");
    prepare(&cwd);
    let (line, input) = match line.split_once(" < ") {
        Some((line, input)) => (line, Some(input)),
        None => (line, None),
    };
    let before = files(&cwd);
    let argv = words(line);
    let mut command = Command::new(&argv[0]);
    command
        .args(&argv[1..])
        .current_dir(&cwd)
        .env(LOCALE.0, LOCALE.1)
        .stdin(match input {
            Some(input) => Stdio::from(fs::File::open(cwd.join(input)).unwrap()),
            None => Stdio::null(),
        })
        .stderr(Stdio::piped())
        .stdout(Stdio::piped());
    let output = command.output().unwrap();
    if !output.status.success() {
        return Some(format!("fails: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let appeared: Vec<PathBuf> = files(&cwd)
        .into_iter()
        .filter(|(path, time)| before.get(path) != Some(time))
        .map(|(path, _)| path)
        .collect();
    let held = Held(
        [("args.rsp", ARGS), ("ld.rsp", LD_ARGS)]
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .into(),
    );
    let invocation = Invocation {
        argv: &argv,
        cwd: &cwd,
        env: &variable,
    };
    let parsed = parse(&invocation, &held);
    let Parsed::Step(step) = &parsed else {
        return Some(rendered(&parsed));
    };
    let missing: Vec<&Output> = step
        .outputs
        .iter()
        .filter(|output| output.required && !cwd.join(&output.path).exists())
        .collect();
    let undeclared: Vec<&PathBuf> = appeared
        .iter()
        .filter(|path| {
            !step.outputs.iter().any(|output| match output.shape {
                Shape::File => output.path == **path,
                Shape::Directory => path.starts_with(&output.path),
            })
        })
        .collect();
    if !missing.is_empty() || !undeclared.is_empty() {
        return Some(format!(
            "missing {missing:?}, undeclared {undeclared:?}\n   {}",
            rendered(&parsed)
        ));
    }
    if step.stdin != input.is_some() {
        return Some("standard input".to_owned());
    }
    if step.stdout == output.stdout.is_empty() && step.kind != compiler::Kind::Probe {
        return Some(format!("standard output has {} bytes", output.stdout.len()));
    }
    None
}

fn check_table(tool: &str, table: &str) {
    if !is_installed(tool) || !is_installed("as") {
        eprintln!("{tool} is not installed: left out");
        return;
    }
    let lines: Vec<String> = table
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| line.replacen("CC", tool, 1))
        .collect();
    let complaints: Vec<String> = lines
        .iter()
        .filter_map(|line| Some(format!("{line}\n   {}", complaint(line)?)))
        .collect();
    assert!(
        complaints.is_empty(),
        "{} of {}:\n{}",
        complaints.len(),
        lines.len(),
        complaints.join("\n")
    );
}

#[test]
fn gcc_leaves_what_is_declared() {
    check_table("gcc", BOTH);
}

#[test]
fn gcc_with_options_of_its_own() {
    check_table("gcc", GCC);
}

#[test]
fn clang_leaves_what_is_declared() {
    check_table("clang", BOTH);
}

#[test]
fn clang_with_options_of_its_own() {
    check_table("clang", CLANG);
}

#[test]
fn binutils_leave_what_is_declared() {
    check_table("ld", BINUTILS);
}
