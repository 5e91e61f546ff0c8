//! The projects that tests build, and what of a build can be compared.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::build::hashes;
use crate::project::{Changing, Elsewhere, Project};
use crate::recorder::Compilation;

/// Built on every change.
pub const SMALL: [&str; 3] = ["zlib", "lua", "fmt"];
/// More names, or `all`.
const CHOICE: &str = "FARRIER_PROJECTS";

/// All of them.
pub const PROJECTS: [Project; 6] = [
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
        name: "hello",
        configure: "./configure --disable-nls --disable-dependency-tracking",
        build: "make -j2",
        clean: "make clean",
        header: "lib/quotearg.h",
        changing: &[
            Changing {
                path: "config.log",
                why: "holds times",
            },
            Changing {
                path: "config.status",
                why: "names the compiler as it was found",
            },
        ],
        // Debug information.
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
    Project {
        name: "sqlite",
        // By libtool, and as many sources instead of one that takes a minute.
        configure: "./configure --disable-amalgamation --disable-tcl --disable-readline",
        build: "make -j2",
        clean: "make clean",
        // A change of any source is in the version that all of it has.
        header: "sqlite_cfg.h",
        changing: &[
            Changing {
                path: "config.log",
                why: "holds times",
            },
            Changing {
                path: "config.status",
                why: "names the compiler as it was found",
            },
            Changing {
                path: "libtool",
                why: "names programs as they were found",
            },
        ],
        // Debug information.
        elsewhere: Elsewhere::NotEverything,
    },
];

/// Whether somebody has chosen the projects of this run.
pub fn is_chosen() -> bool {
    std::env::var_os(CHOICE).is_some_and(|choice| !choice.is_empty())
}

/// The projects of this run.
pub fn chosen() -> Result<Vec<&'static Project>> {
    let choice = std::env::var(CHOICE).unwrap_or_default();
    let names: Vec<&str> = match choice.as_str() {
        "" => SMALL.to_vec(),
        "all" => PROJECTS.iter().map(|project| project.name).collect(),
        names => names.split(',').collect(),
    };
    let all = names.into_iter().map(named);
    all.collect::<Result<_>>().context(CHOICE)
}

/// All files that can be compared, by their hashes.
pub fn products(project: &Project, directory: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let all = hashes(directory, &[""])?.into_iter();
    Ok(all.filter(|(path, _)| project.is_compared(path)).collect())
}

/// Fails with the names of those that differ.
pub fn ensure_same(
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

/// What the compilations that read a header make, in order. A header that all read, or none, says nothing.
pub fn dependents(compilations: &[Compilation], header: &PathBuf) -> Result<Vec<String>> {
    let reads = compilations
        .iter()
        .filter(|compilation| compilation.inputs.contains(header));
    let mut dependents: Vec<_> = reads.map(|compilation| compilation.output.clone()).collect();
    dependents.sort();
    ensure!(
        !dependents.is_empty() && dependents.len() < compilations.len(),
        "the header is no example: {} of {} compilations read it",
        dependents.len(),
        compilations.len()
    );
    Ok(dependents)
}

/// The project of this name.
pub fn named(name: &str) -> Result<&'static Project> {
    static ALL: &[Project] = &PROJECTS;
    let project = ALL.iter().find(|project| project.name == name);
    project.with_context(|| format!("no project `{name}`"))
}
