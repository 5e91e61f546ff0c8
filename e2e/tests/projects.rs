//! Well-known software, built as it is, with and without farrier: the same to the byte, and known the second time.
//!
//! A few small projects on every change; `FARRIER_PROJECTS=redis cargo test -p e2e --test projects` or
//! `FARRIER_PROJECTS=all` for others.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use e2e::build::User;
use e2e::project::{CLANG, Compilers, Elsewhere, GCC, Project};
use e2e::projects::{chosen, dependents, ensure_same, products};
use e2e::recorder::Recorder;

/// One project through all that may happen to it.
fn check(project: &Project, compilers: Compilers) -> Result<()> {
    let base = tempfile::Builder::new().prefix("farrier-projects-").tempdir()?;
    let tree = base.path().join("tree");
    let script = |script: &str| compilers.script(script);

    project.unpack(&tree)?;
    let recorder = Recorder::new(compilers)?;
    recorder.run(&tree, &script(project.configure), false)?;
    recorder.run(&tree, &script(project.build), true)?;
    let expected = products(project, &tree)?;
    let compilations = recorder.compilations()?;
    let header = tree.join(project.header);
    let dependents = dependents(&compilations, &header)?;
    fs::remove_dir_all(&tree)?;

    // The same path again: it may be in the products.
    let user = User::new()?;
    let build = |directory: &Path, what: &str| user.build(directory, &[], &["sh", "-c", &script(what)]);
    project.unpack(&tree)?;
    if !project.configure.is_empty() {
        build(&tree, project.configure)?;
    }
    let first = build(&tree, project.build)?;
    ensure!(
        first.steps >= compilations.len() as u64 && first.here + first.cached == first.steps,
        "{}",
        first.text
    );
    ensure_same(&products(project, &tree)?, &expected, "the first build")?;

    recorder.run(&tree, &script(project.clean), false)?;
    let again = build(&tree, project.build)?;
    ensure!(
        again.counts() == (first.steps, first.steps, 0, 0),
        "{}",
        again.text
    );
    ensure_same(&products(project, &tree)?, &expected, "after clean")?;

    let other = base.path().join("another/tree");
    fs::create_dir(base.path().join("another"))?;
    project.unpack(&other)?;
    if !project.configure.is_empty() {
        build(&other, project.configure)?;
    }
    let elsewhere = build(&other, project.build)?;
    let found = match elsewhere.cached == elsewhere.steps {
        true => Elsewhere::Everything,
        false => Elsewhere::NotEverything,
    };
    ensure!(
        found == project.elsewhere && elsewhere.steps == first.steps,
        "in another directory: {}",
        elsewhere.text
    );
    if found == Elsewhere::Everything {
        ensure_same(&products(project, &other)?, &expected, "in another directory")?;
    }

    recorder.run(&tree, &script(project.clean), false)?;
    fs::OpenOptions::new()
        .append(true)
        .open(&header)?
        .write_all(b"\n#define FARRIER_WAS_HERE 1\n")?;
    let changed = build(&tree, project.build)?;
    let steps = user.steps()?;
    let ran = steps.into_iter().filter(|(_, how)| how != "hit");
    let mut ran: Vec<_> = ran.map(|(name, _)| name).collect();
    ran.sort();
    // What comes after them is known, where they become the same. Where they do not, it is made again: clang's debug
    // information holds a checksum of each header.
    let mut found = products(project, &tree)?;
    found.remove(Path::new(project.header));
    if found.iter().any(|(path, hash)| expected.get(path) != Some(hash)) {
        ran.retain(|name| compilations.iter().any(|compilation| compilation.output == *name));
    }
    ensure!(
        ran == dependents,
        "after a change of {}: {ran:?} instead of {dependents:?}\n{}",
        project.header,
        changed.text
    );
    Ok(())
}

fn check_all(compilers: Compilers) -> Result<()> {
    for project in chosen()? {
        let what = || format!("{} with {}", project.name, compilers.c);
        check(project, compilers).with_context(what)?;
    }
    Ok(())
}

#[test]
fn gcc_builds_projects_as_without_farrier() -> Result<()> {
    check_all(GCC)
}

#[test]
fn clang_builds_projects_as_without_farrier() -> Result<()> {
    check_all(CLANG)
}
