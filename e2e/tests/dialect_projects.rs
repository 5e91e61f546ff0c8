//! Well-known software behind the programs of each dialect, by workers: the same to the byte as without, known after
//! `clean`, and after a header has changed no more is done than what reads it.

use std::fs;
use std::io::Write as _;

use anyhow::{Context, Result, ensure};
use e2e::dialects::User;
use e2e::farrier::Farrier;
use e2e::project::{CLANG, Compilers, GCC, Project};
use e2e::projects::{dependents, ensure_same, named, products};
use e2e::recorder::Recorder;

/// Steps by how they were answered.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    hits: usize,
    remote: usize,
}

/// Configured, built, built again after `clean`, built once more after a header has changed. `launcher` are the words that
/// stand before a compiler; `links`: how many links of the project go through it.
fn check(
    user: &User,
    project: &Project,
    compilers: Compilers,
    launcher: &[&str],
    links: usize,
) -> Result<Counts> {
    let base = tempfile::Builder::new().prefix("farrier-projects-").tempdir()?;
    let base = fs::canonicalize(base.path())?;
    let tree = base.join("tree");
    let recorder = Recorder::new(compilers)?;
    project.unpack(&tree)?;
    recorder.run(&tree, &compilers.script(project.configure), false)?;
    recorder.run(&tree, &compilers.script(project.build), true)?;
    let expected = products(project, &tree)?;
    let compilations = recorder.compilations()?;
    let header = tree.join(project.header);
    let dependents = dependents(&compilations, &header)?;
    fs::remove_dir_all(&tree)?;

    project.unpack(&tree)?;
    let root = tree.display().to_string();
    let launcher: Vec<_> = launcher.iter().map(|word| word.replace("TREE", &root)).collect();
    let (configure, build) = scripts(project, compilers, &launcher);
    user.build(&tree, &configure)?;
    for _ in 0..2 {
        recorder.run(&tree, &compilers.script(project.clean), false)?;
        user.build(&tree, &build)?;
        ensure_same(&products(project, &tree)?, &expected, &build)?;
    }
    recorder.run(&tree, &compilers.script(project.clean), false)?;
    let mut file = fs::OpenOptions::new().append(true).open(&header)?;
    file.write_all(b"\n#define FARRIER_WAS_HERE 1\n")?;
    user.build(&tree, &build)?;
    let all = compilations.len() + links;
    Ok(Counts {
        hits: 2 * all - dependents.len(),
        remote: all + dependents.len(),
    })
}

/// CMake is told of a launcher when it configures; makefiles take a compiler of several words.
fn scripts(project: &Project, compilers: Compilers, launcher: &[String]) -> (String, String) {
    let script = |script: &str| compilers.script(script);
    match project.configure.starts_with("cmake") {
        true => {
            let launcher = launcher.join(";");
            let of = |language: &str| format!(" '-DCMAKE_{language}_COMPILER_LAUNCHER={launcher}'");
            let configure = format!("{}{}{}", project.configure, of("C"), of("CXX"));
            (script(&configure), script(project.build))
        }
        false => {
            let before = launcher.join(" ");
            let compilers = format!(
                "export CC='{before} {}' CXX='{before} {}'; ",
                compilers.c, compilers.cxx
            );
            let plain = |words: &str| format!("{compilers}{words}");
            // What is found out about a compiler is found out by itself.
            (script(project.configure), plain(project.build))
        }
    }
}

/// reclient's programs; what they say of the build at its end.
fn behind_rewrapper(name: &str, compilers: Compilers, links: usize) -> Result<()> {
    let farrier = Farrier::start()?;
    let user = User::of_reclient(farrier.address())?;
    user.succeeds(&["bootstrap"])?;
    let launcher = [
        "rewrapper",
        "-labels=type=compile,compiler=clang,lang=cpp",
        "-exec_strategy=remote",
        "-exec_root=TREE",
        "--",
    ];
    let counts = check(&user, named(name)?, compilers, &launcher, links)?;
    let said = user.succeeds(&["bootstrap", "-shutdown"])?;
    let Counts { hits, remote } = counts;
    ensure!(
        said.contains(&format!("{hits} cache hits, {remote} remote executions")),
        "{counts:?}: {said}"
    );
    Ok(())
}

/// recc; what its daemon says of each step.
fn behind_recc(name: &str, compilers: Compilers, links: usize) -> Result<()> {
    let farrier = Farrier::start()?;
    let variables = [("RECC_SERVER", farrier.http_url()), ("RECC_LINK", "1".to_owned())];
    let user = User::new(&variables)?;
    // The exec root follows the project, which is not there yet.
    let launcher = ["env", "RECC_PROJECT_ROOT=TREE", "recc"];
    let counts = check(&user, named(name)?, compilers, &launcher, links)?;
    let steps = user.steps_of_recc()?;
    let count = |how: &str| steps.iter().filter(|step| *step == how).count();
    let found = Counts {
        hits: count("hit"),
        remote: count("remote"),
    };
    ensure!(
        found == counts && steps.len() == counts.hits + counts.remote,
        "{counts:?}: {steps:?}"
    );
    Ok(())
}

/// Two programs are linked.
const LINKS_OF_LUA: usize = 2;

#[test]
fn lua_is_built_behind_rewrapper() -> Result<()> {
    behind_rewrapper("lua", CLANG, LINKS_OF_LUA)
}

#[test]
fn lua_is_built_behind_recc() -> Result<()> {
    behind_recc("lua", GCC, LINKS_OF_LUA)
}

/// CMake asks compilers about themselves without the launcher, and makes a library without a compiler.
#[test]
fn fmt_is_built_behind_rewrapper() -> Result<()> {
    behind_rewrapper("fmt", GCC, 0).context("with gcc")
}

#[test]
fn fmt_is_built_behind_recc() -> Result<()> {
    behind_recc("fmt", CLANG, 0).context("with clang")
}
