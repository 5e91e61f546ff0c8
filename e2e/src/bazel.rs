//! Real Bazel on a copy of our C++ project.
//!
//! Debian's Bazel is 4.2.3: it speaks REAPI 2.0 and knows no compression (`--experimental_remote_cache_compression`
//! came with Bazel 5), so zstd cannot be tested with it.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::execution_log::{self, Spawn};
use crate::{process_tree, tools, waiting};

/// How long one build may take before it is killed and counts as hung.
const BUILD_AT_MOST: Duration = Duration::from_secs(180);

/// One checkout of the project and one Bazel server that keeps it in memory: a machine of its own.
///
/// The server is killed and everything on disk removed when this is dropped.
#[derive(Debug)]
pub struct Bazel {
    directory: TempDir,
    options: Vec<String>,
}

/// What one call of Bazel did.
#[derive(Debug)]
pub struct Build {
    /// 0: success; 1: the build failed; 3: built, but a test failed.
    pub exit_code: i32,
    /// What it printed, on both streams.
    pub output: String,
    /// The processes it ran or was spared.
    pub spawns: Vec<Spawn>,
}

/// A call of Bazel that is under way.
#[derive(Debug)]
pub struct Running {
    client: Child,
    output_path: PathBuf,
    execution_log_path: PathBuf,
}

impl Bazel {
    /// A machine that executes remotely at this `grpc://` address, and nothing itself.
    pub fn remote(url: &str) -> Result<Self> {
        Self::with_options(vec![
            "--config=remote".to_owned(),
            format!("--remote_executor={url}"),
        ])
    }

    /// A machine that executes everything itself and shares results at this `grpc://` address.
    pub fn local_with_remote_cache(url: &str) -> Result<Self> {
        Self::with_options(vec![format!("--remote_cache={url}")])
    }

    /// A machine on its own.
    pub fn local() -> Result<Self> {
        Self::with_options(Vec::new())
    }

    fn with_options(options: Vec<String>) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("bazel-e2e-").tempdir()?;
        copy(&tools::package().join("bazel"), directory.path())?;
        Ok(Self { directory, options })
    }

    /// Where the project's source files are, to be changed at will.
    pub fn project(&self) -> PathBuf {
        self.directory.path().join("project")
    }

    /// Runs `bazel COMMAND` with the project's configuration and these further words, and waits for its end.
    pub fn run(&self, command: &str, words: &[&str]) -> Result<Build> {
        self.start(command, words)?.finish()
    }

    /// Starts `bazel COMMAND` and does not wait.
    pub fn start(&self, command: &str, words: &[&str]) -> Result<Running> {
        let output_path = self.directory.path().join("output");
        let execution_log_path = self.directory.path().join("execution.json");
        // A log of the call before must not be taken for this one's.
        if execution_log_path.exists() {
            fs::remove_file(&execution_log_path)?;
        }
        let output = File::create(&output_path)?;
        let mut bazel = self.command(command)?;
        bazel.args(&self.options);
        // Without this, Bazel would put symlinks into the project.
        bazel.arg("--symlink_prefix=/");
        bazel.arg(format!(
            "--execution_log_json_file={}",
            execution_log_path.display()
        ));
        bazel.args(words);
        bazel
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0);
        let client = bazel.spawn().context("Bazel does not start")?;
        Ok(Running {
            client,
            output_path,
            execution_log_path,
        })
    }

    /// `bazel clean`: forgets every output and every local result.
    pub fn clean(&self) -> Result<()> {
        let output = self
            .command("clean")?
            .stdin(Stdio::null())
            .output()
            .context("Bazel does not start")?;
        if !output.status.success() {
            bail!(
                "`bazel clean` failed: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }

    /// A file or folder that was built, by its path below `bazel-bin`.
    pub fn built(&self, path: &str) -> Result<PathBuf> {
        Ok(self
            .execution_root()?
            .join("bazel-out/k8-fastbuild/bin")
            .join(path))
    }

    /// The log of a test, by its package and name: `outcomes/endless_test`.
    pub fn test_log(&self, test: &str) -> Result<String> {
        let path = self
            .execution_root()?
            .join("bazel-out/k8-fastbuild/testlogs")
            .join(test)
            .join("test.log");
        fs::read_to_string(&path).with_context(|| format!("Bazel left no log {}", path.display()))
    }

    /// `bazel-4`, its own server, and the words that come before any other option.
    fn command(&self, command: &str) -> Result<Command> {
        let mut bazel = Command::new(tools::bazel()?);
        bazel.current_dir(self.project());
        bazel.arg(format!("--output_user_root={}", self.user_root().display()));
        // Somebody's own settings must not change what is tested.
        bazel.arg("--nohome_rc");
        bazel.args(["--host_jvm_args=-Xmx768m", "--max_idle_secs=60"]);
        bazel.arg(command);
        Ok(bazel)
    }

    fn user_root(&self) -> PathBuf {
        self.directory.path().join("user-root")
    }

    /// The only folder in the user root that holds an execution root: there is one project per machine.
    fn execution_root(&self) -> Result<PathBuf> {
        for entry in fs::read_dir(self.user_root())? {
            let root = entry?.path().join("execroot/gauge");
            if root.exists() {
                return Ok(root);
            }
        }
        bail!("Bazel has not built anything yet")
    }

    fn kill_servers(&self) {
        let Ok(entries) = fs::read_dir(self.user_root()) else {
            return;
        };
        for output_base in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let pid = fs::read_to_string(output_base.join("server/server.pid.txt"));
            if let Some(pid) = pid.ok().and_then(|text| text.trim().parse().ok()) {
                process_tree::kill_tree(pid);
            }
        }
    }
}

impl Drop for Bazel {
    fn drop(&mut self) {
        self.kill_servers();
        // Bazel makes what it built read-only, which keeps anyone but root from removing it.
        let freed = Command::new("chmod")
            .args(["-R", "u+w"])
            .arg(self.directory.path())
            .status();
        if !freed.is_ok_and(|status| status.success()) {
            eprintln!(
                "cannot make {} writable to remove it",
                self.directory.path().display()
            );
        }
    }
}

impl Running {
    /// Waits for the end of the build; an error if it takes too long.
    pub fn finish(mut self) -> Result<Build> {
        let status = waiting::end_of(&mut self.client, BUILD_AT_MOST)?;
        let output = fs::read(&self.output_path)?;
        let output = String::from_utf8_lossy(&output).into_owned();
        let Some(status) = status else {
            bail!("Bazel hangs; it was killed after {BUILD_AT_MOST:?}. It said:\n{output}");
        };
        let exit_code = status
            .code()
            .with_context(|| format!("Bazel was killed: {status}\n{output}"))?;
        let spawns = match exit_code {
            0 | 1 | 3 => execution_log::read(&self.execution_log_path).with_context(|| output.clone())?,
            _ => bail!("Bazel itself failed with code {exit_code}:\n{output}"),
        };
        Ok(Build {
            exit_code,
            output,
            spawns,
        })
    }

    /// Ctrl-C: for the whole group of processes, as a terminal sends it.
    pub fn interrupt(&self) -> Result<()> {
        let group = Pid::from_raw(self.client.id().cast_signed()).context("no process has number 0")?;
        kill_process_group(group, Signal::INT).context("cannot interrupt Bazel")
    }

    /// Waits for its end, whatever that is.
    pub fn ended(mut self) -> Result<()> {
        let ended = waiting::end_of(&mut self.client, BUILD_AT_MOST)?;
        ended.map(drop).context("Bazel does not end")
    }

    /// Whether the build still runs.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.client.try_wait()?.is_none())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Killed when it hangs; an ordinary end has been waited for already, and then these do nothing.
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

impl Build {
    /// Checks that the build succeeded.
    #[track_caller]
    pub fn assert_success(&self) -> &Self {
        assert_eq!(self.exit_code, 0, "the build failed:\n{}", self.output);
        self
    }

    /// Checks that every process, and at least `at_least` of them, was run by `runner`.
    #[track_caller]
    pub fn assert_all_spawns(&self, runner: &str, at_least: usize) -> &Self {
        self.assert_spawns_by(&[runner], at_least)
    }

    /// The same for one of several ways to run.
    #[track_caller]
    pub fn assert_spawns_by(&self, runners: &[&str], at_least: usize) -> &Self {
        let others: Vec<_> = self
            .spawns
            .iter()
            .filter(|spawn| !runners.contains(&spawn.runner.as_str()))
            .collect();
        assert!(
            others.is_empty(),
            "not run by {runners:?}: {others:#?}\n{}",
            self.output
        );
        assert!(
            self.spawns.len() >= at_least,
            "only {} processes instead of {at_least}:\n{}",
            self.spawns.len(),
            self.output
        );
        self
    }

    /// Checks that Bazel printed `text`.
    #[track_caller]
    pub fn assert_said(&self, text: &str) -> &Self {
        assert!(
            self.output.contains(text),
            "Bazel did not say `{text}`:\n{}",
            self.output
        );
        self
    }
}

/// Copies a folder of plain files.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
