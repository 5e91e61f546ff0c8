//! Debian's Linux kernel through `farrier run`: as without it to the bit, and answered from the cache the second time.
//!
//! Takes some minutes and wants the sources, so it has a command of its own:
//!
//!     e2e/sources --fetch linux && cargo test --release -p e2e --test kernel -- --ignored --nocapture

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use e2e::build::{Summary, User, hashes};
use e2e::tools;
use tempfile::TempDir;

/// What a kernel is made of, and the commands that made it.
const MADE: [&str; 5] = ["vmlinux", "bzImage", ".o", ".a", ".cmd"];

/// What is to be the same each time.
const PINNED: [(&str, &str); 4] = [
    ("KBUILD_BUILD_TIMESTAMP", "2026-01-01 00:00:00 UTC"),
    ("KBUILD_BUILD_USER", "user"),
    ("KBUILD_BUILD_HOST", "host"),
    ("KBUILD_BUILD_VERSION", "1"),
];

/// The most steps of a second build that may not be answered from the cache, for each hundred: questions about options
/// that derive other names from what they make.
const MISSED_PERCENT_MAX: u64 = 3;

struct Kernel {
    source: PathBuf,
    /// What is built where: always in the same place, whose name is in the commands.
    output: TempDir,
    user: User,
    words: Vec<String>,
}

impl Kernel {
    fn new(words: &[&str]) -> Result<Self> {
        let source = match std::env::var_os("FARRIER_KERNEL") {
            Some(source) => PathBuf::from(source),
            None => tools::package().join("../target/e2e/sources/linux"),
        };
        ensure!(
            source.join("Kbuild").is_file(),
            "no kernel in {}: run e2e/sources --fetch linux",
            source.display()
        );
        let mut user = User::new()?;
        user.environment = PINNED
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        Ok(Kernel {
            source,
            output: tempfile::Builder::new().prefix("farrier-kernel-").tempdir()?,
            user,
            words: words.iter().map(ToString::to_string).collect(),
        })
    }

    fn make<'a>(&'a self, output: &'a str, targets: &[&'a str]) -> Vec<&'a str> {
        let words = self.words.iter().map(String::as_str);
        ["make", output]
            .into_iter()
            .chain(words)
            .chain(targets.iter().copied())
            .collect()
    }

    fn output(&self) -> String {
        format!("O={}", self.output.path().join("out").display())
    }

    fn plain(&self, targets: &[&str]) -> Result<()> {
        let output = self.output();
        let words = self.make(&output, targets);
        let done = Command::new(words[0])
            .args(&words[1..])
            .current_dir(&self.source)
            .envs(PINNED)
            .output();
        let done = done.context("make does not start")?;
        ensure!(
            done.status.success(),
            "{words:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        Ok(())
    }

    fn farrier(&self, targets: &[&str]) -> Result<Summary> {
        let output = self.output();
        let words = self.make(&output, targets);
        let begun = Instant::now();
        let summary = self.user.build(&self.source, &[], &words)?;
        println!("{targets:?} in {:?}: {}", begun.elapsed(), summary.text);
        Ok(summary)
    }

    fn hashes(&self) -> Result<Vec<(PathBuf, String)>> {
        let made = hashes(&self.output.path().join("out"), &MADE)?;
        // What probes leave has process numbers in its name.
        let stays = |path: &Path| {
            !path
                .components()
                .any(|part| part.as_os_str().to_string_lossy().starts_with(".tmp_"))
        };
        Ok(made.into_iter().filter(|(path, _)| stays(path)).collect())
    }

    fn forget(&self) -> Result<()> {
        fs::remove_dir_all(self.output.path().join("out")).context("what was built")
    }
}

/// Plain, then cold, then again after `make clean`, then again from nothing.
fn check(config: &str, words: &[&str]) -> Result<()> {
    let kernel = Kernel::new(words)?;
    let begun = Instant::now();
    kernel.plain(&[config])?;
    kernel.plain(&["-j2"])?;
    println!("plain {config} {words:?} in {:?}", begun.elapsed());
    let expected = kernel.hashes()?;
    ensure!(expected.len() > 300, "only {} files", expected.len());

    let same = |what: &str, is_whole: bool| -> Result<()> {
        let made = kernel.hashes()?;
        let differs = |pair: &&(PathBuf, String)| !expected.contains(pair);
        let other: Vec<_> = made.iter().filter(differs).map(|(path, _)| path).collect();
        ensure!(
            other.is_empty(),
            "{what}: {} differ: {:?}",
            other.len(),
            &other[..other.len().min(20)]
        );
        ensure!(
            !is_whole || made.len() == expected.len(),
            "{what}: {} files",
            made.len()
        );
        Ok(())
    };
    let known = |summary: &Summary| {
        ensure!(
            (summary.steps - summary.cached) * 100 <= summary.steps * MISSED_PERCENT_MAX,
            "{}",
            summary.text
        );
        Ok(())
    };
    kernel.forget()?;
    kernel.farrier(&[config])?;
    kernel.farrier(&["-j2"])?;
    same("the first build", true)?;
    kernel.plain(&["clean"])?;
    known(&kernel.farrier(&["-j2"])?)?;
    // What only the configuration needs is not made again.
    same("after make clean", false)?;
    kernel.forget()?;
    kernel.farrier(&[config])?;
    known(&kernel.farrier(&["-j2"])?)?;
    same("from nothing", true)
}

#[test]
#[ignore = "takes minutes, and wants the sources of the kernel"]
fn a_tiny_kernel() -> Result<()> {
    check("tinyconfig", &[])
}

#[test]
#[ignore = "takes minutes, and wants the sources of the kernel"]
fn a_tiny_kernel_by_clang() -> Result<()> {
    check("tinyconfig", &["LLVM=1"])
}
