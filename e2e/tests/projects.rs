//! Well-known software, built as it is, with and without farrier: the same to the byte, and known the second time.
//!
//! A few small projects on every change; `FARRIER_PROJECTS=redis cargo test -p e2e --test projects` or
//! `FARRIER_PROJECTS=all` for others.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use e2e::build::{User, hashes};
use e2e::dialects;
use e2e::farrier::Farrier;
use e2e::project::{CLANG, Changing, Compilers, Elsewhere, GCC, Project};
use e2e::recorder::Recorder;

/// Built on every change.
const SMALL: [&str; 3] = ["zlib", "lua", "fmt"];
/// More names, or `all`.
const CHOICE: &str = "FARRIER_PROJECTS";

const PROJECTS: [Project; 4] = [
    Project {
        name: "zlib",
        configure: "./configure",
        build: "make -j2",
        clean: "make clean",
        header: "inftrees.h",
        changing: &[Changing {
            path: "configure.log",
            why: "names temporary files",
        }],
        elsewhere: Elsewhere::Everything,
    },
    Project {
        name: "lua",
        configure: "",
        build: "make -j2 linux CC=\"$CC -std=gnu99\"",
        clean: "make clean",
        header: "src/lctype.h",
        changing: &[],
        elsewhere: Elsewhere::Everything,
    },
    Project {
        name: "fmt",
        configure: "cmake -B build -G Ninja -DFMT_TEST=OFF -DFMT_DOC=OFF",
        build: "ninja -C build",
        clean: "ninja -C build clean",
        header: "include/fmt/os.h",
        changing: &[
            Changing {
                path: "build/CMakeCache.txt",
                why: "names the compiler by its path",
            },
            Changing {
                path: "build/CMakeFiles/3.25.1",
                why: "names the compiler by its path",
            },
            Changing {
                path: "build/CMakeFiles/CMakeOutput.log",
                why: "names temporary files",
            },
            Changing {
                path: "build/CMakeFiles/CMakeError.log",
                why: "names temporary files",
            },
            Changing {
                path: "build/build.ninja",
                why: "names the compiler by its path",
            },
            Changing {
                path: "build/CMakeFiles/rules.ninja",
                why: "names the compiler by its path",
            },
            Changing {
                path: "build/.ninja_log",
                why: "holds times",
            },
            Changing {
                path: "build/.ninja_deps",
                why: "holds times",
            },
        ],
        // CMake names sources and directories by absolute paths.
        elsewhere: Elsewhere::NotEverything,
    },
    Project {
        name: "redis",
        configure: "",
        // Redis holds the time of its build, and that variable's time instead where it is set.
        build: "SOURCE_DATE_EPOCH=1 make -j2 -C src CC=\"$CC\" MALLOC=libc",
        clean: "make -C src distclean",
        header: "src/cluster.h",
        changing: &[],
        // Debug information.
        elsewhere: Elsewhere::NotEverything,
    },
];

/// The projects of this run.
fn chosen() -> Result<Vec<&'static Project>> {
    static ALL: &[Project] = &PROJECTS;
    let choice = std::env::var(CHOICE).unwrap_or_default();
    let names: Vec<&str> = match choice.as_str() {
        "" => SMALL.to_vec(),
        "all" => ALL.iter().map(|project| project.name).collect(),
        names => names.split(',').collect(),
    };
    let named = |name: &str| {
        let project = ALL.iter().find(|project| project.name == name);
        project.with_context(|| format!("{CHOICE}: no project `{name}`"))
    };
    names.into_iter().map(named).collect()
}

/// All files that can be compared, by their hashes.
fn products(project: &Project, directory: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let all = hashes(directory, &[""])?.into_iter();
    Ok(all.filter(|(path, _)| project.is_compared(path)).collect())
}

fn ensure_same(
    found: &BTreeMap<PathBuf, String>,
    expected: &BTreeMap<PathBuf, String>,
    when: &str,
) -> Result<()> {
    let paths = found.keys().chain(expected.keys());
    let mut different: Vec<_> = paths
        .filter(|path| found.get(*path) != expected.get(*path))
        .collect();
    different.dedup();
    ensure!(
        different.is_empty(),
        "{when}: not as without farrier: {different:?}"
    );
    Ok(())
}

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
    let mut dependents: Vec<_> = compilations
        .iter()
        .filter(|compilation| compilation.inputs.contains(&header))
        .map(|compilation| compilation.output.clone())
        .collect();
    dependents.sort();
    ensure!(
        !dependents.is_empty() && dependents.len() < compilations.len(),
        "the header is no example: {} of {} compilations read it",
        dependents.len(),
        compilations.len()
    );
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

/// Lua through a dialect's program: twice, with `clean` in between, by workers the first time.
fn check_lua(user: &dialects::User, prefix: &str) -> Result<usize> {
    let lua = &PROJECTS[1];
    let base = tempfile::Builder::new().prefix("farrier-projects-").tempdir()?;
    let tree = base.path().join("tree");
    let script = format!("make -j2 linux CC=\"{prefix} gcc -std=gnu99\"");
    lua.unpack(&tree)?;
    let recorder = Recorder::new(GCC)?;
    recorder.run(&tree, &GCC.script(lua.build), true)?;
    let expected = products(lua, &tree)?;
    for _ in 0..2 {
        recorder.run(&tree, &GCC.script(lua.clean), false)?;
        user.build(&tree, &script.replace("ROOT", &tree.display().to_string()))?;
        ensure_same(&products(lua, &tree)?, &expected, prefix)?;
    }
    // Two programs are linked.
    Ok(recorder.compilations()?.len() + 2)
}

#[test]
fn lua_is_built_behind_rewrapper() -> Result<()> {
    let farrier = Farrier::start()?;
    let user = dialects::User::of_reclient(farrier.address())?;
    user.succeeds(&["bootstrap"])?;
    let labels = "-labels=type=compile,compiler=clang,lang=cpp";
    let prefix = format!("rewrapper {labels} -exec_strategy=remote -exec_root=ROOT --");
    let steps = check_lua(&user, &prefix)?;
    let said = user.succeeds(&["bootstrap", "-shutdown"])?;
    ensure!(
        said.contains(&format!("{steps} cache hits, {steps} remote executions")),
        "{steps} steps: {said}"
    );
    Ok(())
}

#[test]
fn lua_is_built_behind_recc() -> Result<()> {
    let farrier = Farrier::start()?;
    let variables = [("RECC_SERVER", farrier.http_url()), ("RECC_LINK", "1".to_owned())];
    let user = dialects::User::new(&variables)?;
    let steps = check_lua(&user, "recc")?;
    let expected = [vec!["remote"; steps], vec!["hit"; steps]].concat();
    assert_eq!(user.steps_of_recc()?, expected);
    Ok(())
}
