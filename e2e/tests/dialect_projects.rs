//! Well-known software behind the programs of each dialect, by workers: the same to the byte as without, known after
//! `clean`, and after a header has changed no more is done than what reads it.
//!
//! A few small projects on every change; `FARRIER_PROJECTS=redis,hello cargo test -p e2e --test dialect_projects` or
//! `FARRIER_PROJECTS=all` for others, with both compilers each.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::ops::RangeInclusive;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use e2e::dialects::User;
use e2e::farrier::Farrier;
use e2e::project::{CLANG, Compilers, GCC, Project};
use e2e::projects::{chosen, dependents, ensure_same, is_chosen, products};
use e2e::recorder::{Compilation, Recorder, THROUGH};
use e2e::tools::executable;

/// How many steps there are to be, and how many of them by workers.
#[derive(Debug)]
struct Counts {
    steps: usize,
    remote: RangeInclusive<usize>,
}

impl Counts {
    fn check(&self, hits: usize, remote: usize, said: &str) -> Result<()> {
        let is_right = hits + remote == self.steps && self.remote.contains(&remote);
        ensure!(is_right, "{self:?}: {hits} hits, {remote} by workers: {said}");
        Ok(())
    }
}

/// Configured, built, built again after `clean`, built once more after a header has changed. `launcher` are the words that
/// stand before a compiler.
fn check(user: &User, project: &Project, compilers: Compilers, launcher: &[&str]) -> Result<Counts> {
    let base = tempfile::Builder::new().prefix("farrier-projects-").tempdir()?;
    let base = fs::canonicalize(base.path())?;
    let tree = base.join("tree");
    let recorder = Recorder::new(compilers)?;
    project.unpack(&tree)?;
    // What is found out about a compiler is found out by itself; what is written down of it is the same with every launcher.
    let words = |words: &str| match is_cmake(project) {
        true => compilers.script(words),
        false => {
            let Compilers { c, cxx } = compilers;
            format!("export CC='{THROUGH} {c}' CXX='{THROUGH} {cxx}'; {words}")
        }
    };
    recorder.run(&tree, &words(project.configure), false)?;
    recorder.run(&tree, &words(project.build), true)?;
    let expected = products(project, &tree)?;
    let compilations = recorder.compilations()?;
    let header = tree.join(project.header);
    let dependents = dependents(&compilations, &header)?;
    // CMake has its launcher stand before compilations alone.
    let links = if is_cmake(project) { 0 } else { recorder.links()? };
    fs::remove_dir_all(&tree)?;

    project.unpack(&tree)?;
    let through = user.at("bin").join(THROUGH);
    executable(&through, "#!/bin/sh\nexec \"$@\"\n")?;
    let of = |language: &str| format!(" -DCMAKE_{language}_COMPILER_LAUNCHER={THROUGH}");
    let launchers = if is_cmake(project) {
        of("C") + &of("CXX")
    } else {
        String::new()
    };
    user.build(&tree, &(words(project.configure) + &launchers))?;
    let root = tree.display().to_string();
    let launcher = launcher.join(" ").replace("TREE", &root);
    executable(&through, &format!("#!/bin/sh\nexec {launcher} \"$@\"\n"))?;
    user.build(&tree, &words(project.build))?;
    ensure_same(&products(project, &tree)?, &expected, "the first build")?;
    recorder.run(&tree, &compilers.script(project.clean), false)?;
    user.build(&tree, &words(project.build))?;
    ensure_same(&products(project, &tree)?, &expected, "after clean")?;
    recorder.run(&tree, &compilers.script(project.clean), false)?;
    let mut file = fs::OpenOptions::new().append(true).open(&header)?;
    file.write_all(b"\n#define FARRIER_WAS_HERE 1\n")?;
    user.build(&tree, &words(project.build))?;
    // Where objects hold a checksum of the header, what is linked of them is another program.
    let mut found = products(project, &tree)?;
    found.remove(Path::new(project.header));
    let is_same = found.iter().all(|(path, hash)| expected.get(path) == Some(hash));
    counts(&recorder, &compilations, dependents.len(), links, is_same)
}

/// Of three builds that do what was recorded: one that knows nothing, one that knows all, and one after a change of what `dependents`
/// read, which links the same things again if these stay the same.
fn counts(
    recorder: &Recorder,
    compilations: &[Compilation],
    dependents: usize,
    links: usize,
    is_same: bool,
) -> Result<Counts> {
    // Who asks about all sources asks about those that read the header.
    let questions = recorder.questions()?;
    // And some makefiles ask the same question again and again.
    let different = compilations.iter().map(|it| (&it.output, &it.inputs));
    let repeated = compilations.len() - different.collect::<BTreeSet<_>>().len();
    let all = compilations.len() + links + questions;
    let once = all - repeated + dependents + questions;
    let more = if is_same { 0 } else { links };
    Ok(Counts {
        steps: 3 * all,
        remote: once..=once + more,
    })
}

fn is_cmake(project: &Project) -> bool {
    project.configure.starts_with("cmake")
}

/// reclient's programs; what they say of the build at its end.
fn behind_rewrapper(project: &Project, compilers: Compilers) -> Result<()> {
    let farrier = Farrier::start()?;
    let user = User::of_running_reclient(farrier.address())?;
    let launcher = [
        "rewrapper",
        "-labels=type=compile,compiler=clang,lang=cpp",
        "-exec_strategy=remote",
        "-exec_root=TREE",
        "--",
    ];
    let counts = check(&user, project, compilers, &launcher)?;
    let said = user.succeeds(&["bootstrap", "-shutdown"])?;
    let before = |what: &str| {
        let (before, _) = said.split_once(what)?;
        before.split_whitespace().next_back()?.parse().ok()
    };
    let hits = before(" cache hits").with_context(|| said.clone())?;
    counts.check(hits, before(" remote executions").unwrap_or_default(), &said)
}

/// recc; what its daemon says of each step.
fn behind_recc(project: &Project, compilers: Compilers) -> Result<()> {
    let farrier = Farrier::start()?;
    let variables = [("RECC_SERVER", farrier.http_url()), ("RECC_LINK", "1".to_owned())];
    let user = User::new(&variables)?;
    // The exec root follows the project, which is not there yet.
    let launcher = ["env", "RECC_PROJECT_ROOT=TREE", "recc"];
    let counts = check(&user, project, compilers, &launcher)?;
    let steps = user.steps_of_recc()?;
    let count = |how: &str| steps.iter().filter(|step| *step == how).count();
    let said = steps.join(", ");
    ensure!(count("hit") + count("remote") == steps.len(), "{said}");
    counts.check(count("hit"), count("remote"), &said)
}

/// The projects of this run behind each dialect, on every change each with another compiler.
fn check_all(is_recc: bool, compilers: Compilers) -> Result<()> {
    for (number, project) in chosen()?.into_iter().enumerate() {
        let is_first = (number % 2 == 0) == is_recc;
        if is_chosen() || is_first == (compilers == GCC) {
            let dialect = if is_recc { "recc" } else { "rewrapper" };
            let done = match is_recc {
                true => behind_recc(project, compilers),
                false => behind_rewrapper(project, compilers),
            };
            done.with_context(|| format!("{} with {} behind {dialect}", project.name, compilers.c))?;
        }
    }
    Ok(())
}

#[test]
fn projects_are_built_by_gcc_behind_rewrapper() -> Result<()> {
    check_all(false, GCC)
}

#[test]
fn projects_are_built_by_clang_behind_rewrapper() -> Result<()> {
    check_all(false, CLANG)
}

#[test]
fn projects_are_built_by_gcc_behind_recc() -> Result<()> {
    check_all(true, GCC)
}

#[test]
fn projects_are_built_by_clang_behind_recc() -> Result<()> {
    check_all(true, CLANG)
}
