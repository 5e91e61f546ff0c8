//! Where the programs are that the tests start, and programs that they make.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, bail};

/// The folder of this package.
pub fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Debian's Bazel 4.
pub fn bazel() -> Result<PathBuf> {
    installed(PathBuf::from("/usr/bin/bazel-4"))
}

/// A program with this text, a script as a rule.
pub fn executable(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

/// buildbox-casd, as `e2e/install` unpacked it.
pub fn buildbox_casd() -> Result<PathBuf> {
    installed(package().join("../target/e2e/buildbox-casd"))
}

/// BuildStream, as `e2e/install` installed it.
pub fn buildstream() -> Result<PathBuf> {
    installed(package().join("../target/e2e/venv/bin/bst"))
}

/// The S3 server of moto, as `e2e/install` installed it.
pub fn moto_server() -> Result<PathBuf> {
    installed(package().join("../target/e2e/moto/bin/moto_server"))
}

/// The `farrier` of this checkout, built in the same profile as the tests; or, to test one that is installed, the
/// program that the environment variable `FARRIER_E2E_BINARY` names.
///
/// Built here and now: a test that drives yesterday's server says nothing. Cargo answers at once when nothing
/// changed.
pub fn farrier() -> Result<PathBuf> {
    if let Some(program) = std::env::var_os("FARRIER_E2E_BINARY") {
        return Ok(PathBuf::from(program));
    }
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT
        .get_or_init(|| build(&["--bin", "farrier"], "farrier").map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(|error| anyhow!(error))
}

/// The programs of other people's dialects, in one; beside `farrier` like it.
pub fn dialects() -> Result<PathBuf> {
    if let Some(program) = std::env::var_os("FARRIER_E2E_BINARY") {
        return Ok(PathBuf::from(program).with_file_name("farrier-dialects"));
    }
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let words = ["--bin", "farrier-dialects"];
    BUILT
        .get_or_init(|| build(&words, "farrier-dialects").map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(|error| anyhow!(error))
}

/// The shell for recipes, beside `farrier` like the others.
pub fn shell() -> Result<PathBuf> {
    if let Some(program) = std::env::var_os("FARRIER_E2E_BINARY") {
        return Ok(PathBuf::from(program).with_file_name("farrier-sh"));
    }
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT
        .get_or_init(|| build(&["--bin", "farrier-sh"], "farrier-sh").map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(|error| anyhow!(error))
}

/// The worker's tool for tests of persistent workers.
pub fn persistent_tool() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let words = ["--example", "persistent_tool"];
    BUILT
        .get_or_init(|| build(&words, "examples/persistent_tool").map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(|error| anyhow!(error))
}

fn installed(program: PathBuf) -> Result<PathBuf> {
    if !program.exists() {
        bail!("{} is not installed; run `e2e/install`", program.display());
    }
    Ok(program)
}

/// Builds a program, which then is at `program` in the folder of this profile. Selected out of the whole workspace, its
/// dependencies are the ones that are there already.
fn build(target: &[&str], program: &str) -> Result<PathBuf> {
    // The test program is `target/<profile>/deps/<name>-<hash>`.
    let test = std::env::current_exe().context("this test does not know its own path")?;
    let folder = test
        .ancestors()
        .nth(2)
        .context("this test does not lie in a target folder")?;
    let profile = folder
        .file_name()
        .and_then(|name| name.to_str())
        .context("the target folder has no profile")?;
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--workspace"]).args(target);
    build.arg(match profile {
        "debug" => "--profile=dev".to_owned(),
        other => format!("--profile={other}"),
    });
    build
        .arg("--target-dir")
        .arg(folder.parent().context("the profile folder has no parent")?);
    let status = build
        .current_dir(package())
        .status()
        .context("cargo does not start")?;
    if !status.success() {
        bail!("`cargo build --workspace {}` failed: {status}", target.join(" "));
    }
    Ok(folder.join(program))
}
