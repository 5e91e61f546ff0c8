//! Well-known software from Debian's sources, as its authors publish it, built in a directory of one's choice.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::tools;

/// How a project is built. The scripts run in its directory, with `CC` and `CXX` set.
#[derive(Debug)]
pub struct Project {
    /// As `e2e/sources` knows it.
    pub name: &'static str,
    /// What comes once, before the first build; nothing for plain makefiles.
    pub configure: &'static str,
    /// Builds it.
    pub build: &'static str,
    /// Takes away what was built, not what was configured.
    pub clean: &'static str,
    /// A header that some of its sources read and others do not.
    pub header: &'static str,
    /// What comes out otherwise each time, also without farrier, or names the compiler by its path.
    pub changing: &'static [Changing],
    /// Whether another directory gets the same results.
    pub elsewhere: Elsewhere,
}

/// A file, or whole directories with their contents, by the end of its path: no product.
#[derive(Debug)]
pub struct Changing {
    /// One or more last components.
    pub path: &'static str,
    /// Why it is not the same each time.
    pub why: &'static str,
}

/// What another directory gets from the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// Everything.
    Everything,
    /// Not everything: the directory is in the results.
    NotEverything,
}

/// A pair of compilers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compilers {
    /// For C.
    pub c: &'static str,
    /// For C++.
    pub cxx: &'static str,
}

/// GCC's.
pub const GCC: Compilers = Compilers { c: "gcc", cxx: "g++" };
/// LLVM's.
pub const CLANG: Compilers = Compilers {
    c: "clang",
    cxx: "clang++",
};

impl Project {
    /// Its sources in a new directory.
    pub fn unpack(&self, directory: &Path) -> Result<()> {
        let package = tools::package()
            .join("../target/e2e/sources/download")
            .join(self.name);
        let entries = fs::read_dir(&package).with_context(|| {
            let name = self.name;
            format!(
                "{} is not there; run `e2e/sources --download {name}`",
                package.display()
            )
        })?;
        let paths = entries
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<Vec<_>>>()?;
        let description = paths
            .iter()
            .find(|path| path.extension().is_some_and(|end| end == "dsc"));
        // Without Debian's patches, which prepare some of them for Debian's own tools.
        let output = Command::new("dpkg-source")
            .args(["--no-check", "--skip-patches", "--extract"])
            .arg(description.context("no .dsc file")?)
            .arg(directory)
            .output()
            .context("dpkg-source does not start; run `e2e/sources --download`")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "dpkg-source: {}: {said}", output.status);
        Ok(())
    }

    /// Whether a file, by its path in the project, is a product that can be compared.
    pub fn is_compared(&self, path: &Path) -> bool {
        self.changing
            .iter()
            .all(|changing| !lies_in(path, Path::new(changing.path)))
    }
}

/// Whether `path` is a file that `end` names, or lies in a directory that `end` names.
fn lies_in(path: &Path, end: &Path) -> bool {
    path.ancestors().any(|ancestor| ancestor.ends_with(end))
}

impl Compilers {
    /// A script with these as `CC` and `CXX`.
    pub fn script(&self, script: &str) -> String {
        format!("export CC={} CXX={}; {script}", self.c, self.cxx)
    }
}

/// A path without `.` and `..`, by text alone.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                result.pop();
            }
            component => result.push(component),
        }
    }
    result
}
