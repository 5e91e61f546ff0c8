//! Debian's Linux kernel, made in a place of its own: plainly, and through `farrier run`.
//!
//! The sources are those that `e2e/sources --fetch linux` unpacks, or those in `FARRIER_KERNEL`.

mod boot;
mod check;
mod given;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

pub use self::boot::boot;
pub use self::check::check;
pub use self::given::Given;
use crate::build::{Step, Summary, User, hashes};
use crate::tools;

/// What a kernel is made of, what of it is installed, and the commands that made it.
const MADE: [&str; 10] = [
    "vmlinux",
    "Image",
    "bzImage",
    "System.map",
    "Module.symvers",
    ".o",
    ".a",
    ".ko",
    ".gcno",
    ".cmd",
];

/// What is to be the same each time.
const PINNED: [(&str, &str); 4] = [
    ("KBUILD_BUILD_TIMESTAMP", "2026-01-01 00:00:00 UTC"),
    ("KBUILD_BUILD_USER", "user"),
    ("KBUILD_BUILD_HOST", "host"),
    ("KBUILD_BUILD_VERSION", "1"),
];

/// How a kernel is configured and made.
#[derive(Clone, Copy, Debug)]
pub struct Configuration {
    /// What make is asked for first.
    pub target: &'static str,
    /// Lines that change the configuration then. `GIVEN` stands for the directory of [`Given`].
    pub more: &'static str,
    /// Words of every make.
    pub words: &'static [&'static str],
}

/// A tree, and a directory that it is always built in: its name is in the commands.
#[derive(Debug)]
pub struct Kernel {
    /// The sources.
    pub source: PathBuf,
    /// What the configuration names.
    pub given: Given,
    place: TempDir,
    configuration: Configuration,
    /// More directories of the `PATH`, before all others.
    pub path: Vec<PathBuf>,
}

/// What came of a build through farrier.
#[derive(Debug)]
pub struct Built {
    /// What it said at its end.
    pub summary: Summary,
    /// What became of each command.
    pub steps: Vec<Step>,
    /// How long it took.
    pub took: Duration,
}

impl Kernel {
    /// Nothing is made yet.
    pub fn new(configuration: Configuration) -> Result<Self> {
        let source = match std::env::var_os("FARRIER_KERNEL") {
            Some(source) => PathBuf::from(source),
            None => tools::package().join("../target/e2e/sources/linux"),
        };
        ensure!(
            source.join("Kbuild").is_file(),
            "no kernel in {}: run e2e/sources --fetch linux",
            source.display()
        );
        // A short name: it is on every command line.
        let place = tempfile::Builder::new().prefix("farrier-kernel-").tempdir()?;
        let given = Given::new(&place.path().join("given"))?;
        let more = configuration
            .more
            .replace("GIVEN", &given.directory().display().to_string());
        fs::write(place.path().join("more.config"), more)?;
        Ok(Kernel {
            source: source.canonicalize()?,
            given,
            place,
            configuration,
            path: Vec::new(),
        })
    }

    /// Where everything is but the sources.
    pub fn place(&self) -> &Path {
        self.place.path()
    }

    /// What was made.
    pub fn output(&self) -> PathBuf {
        self.place().join("out")
    }

    /// `make` with these words, as a line for the shell.
    pub fn make(&self, words: &str) -> String {
        let output = self.output();
        format!(
            "make O={} {} {words}\n",
            output.display(),
            self.configuration.words.join(" ")
        )
    }

    /// The lines that configure it.
    pub fn configure(&self) -> String {
        let (output, place) = (self.output(), self.place().display());
        [
            self.make(self.configuration.target),
            format!("cat {place}/more.config >>{}/.config\n", output.display()),
            self.make("olddefconfig"),
        ]
        .concat()
    }

    /// Runs lines in the tree without farrier, and says how long that took and what was printed as errors.
    pub fn plain(&self, script: &str) -> Result<(Duration, String)> {
        let begun = Instant::now();
        let done = Command::new("sh")
            .args(["-ec", script])
            .current_dir(&self.source)
            .stdin(Stdio::null())
            .envs(self.environment()?)
            .output()
            .context("sh does not start")?;
        let errors = String::from_utf8_lossy(&done.stderr).into_owned();
        ensure!(done.status.success(), "{script}: {}\n{errors}", done.status);
        Ok((begun.elapsed(), errors))
    }

    /// Runs lines in the tree through farrier.
    pub fn farrier(&self, user: &User, script: &str) -> Result<Built> {
        self.farrier_with(&[], user, script)
    }

    /// The same, with options of `farrier run`.
    pub fn farrier_with(&self, options: &[&str], user: &User, script: &str) -> Result<Built> {
        let begun = Instant::now();
        let output = user
            .farrier(&[&["run"], options, &["--", "sh", "-ec", script]].concat())?
            .envs(self.environment()?)
            .current_dir(&self.source)
            .stdin(Stdio::null())
            .output()
            .context("farrier does not start")?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{script}: {}\n{text}", output.status);
        Ok(Built {
            summary: Summary::parse(&text)?,
            steps: user.steps_told()?,
            took: begun.elapsed(),
        })
    }

    /// The hashes of everything that was made, but what probes leave: that has process numbers in its name.
    pub fn hashes(&self) -> Result<Vec<(PathBuf, String)>> {
        let made = hashes(&self.output(), &MADE)?;
        let is_of_a_probe = |path: &Path| {
            path.components()
                .any(|part| part.as_os_str().to_string_lossy().starts_with(".tmp_"))
        };
        Ok(made
            .into_iter()
            .filter(|(path, _)| !is_of_a_probe(path))
            .collect())
    }

    /// Removes everything that was made.
    pub fn forget(&self) -> Result<()> {
        fs::remove_dir_all(self.output()).context("what was built")
    }

    fn environment(&self) -> Result<Vec<(&'static str, OsString)>> {
        let path = std::env::var_os("PATH").context("there is no PATH")?;
        let all = self.path.iter().cloned().chain(std::env::split_paths(&path));
        let pinned = PINNED.map(|(name, value)| (name, OsString::from(value)));
        Ok([("PATH", std::env::join_paths(all)?)]
            .into_iter()
            .chain(pinned)
            .collect())
    }
}

/// An error that names files if `made` has others than `expected`, or with other contents.
pub fn ensure_same(what: &str, made: &[(PathBuf, String)], expected: &[(PathBuf, String)]) -> Result<()> {
    let only = |these: &[(PathBuf, String)], those: &[(PathBuf, String)]| -> Vec<PathBuf> {
        let those: std::collections::BTreeSet<_> = those.iter().collect();
        let only = these.iter().filter(|file| !those.contains(file));
        only.map(|(path, _)| path.clone()).collect()
    };
    for (whose, other) in [
        ("made and not expected", only(made, expected)),
        ("expected and not made", only(expected, made)),
    ] {
        ensure!(
            other.is_empty(),
            "{what}: {} files are {whose}: {:?}",
            other.len(),
            &other[..other.len().min(20)]
        );
    }
    Ok(())
}
