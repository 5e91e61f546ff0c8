//! A user whose builds are set up for reclient or recc: their programs, a home, a project.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::tools;

/// Where reproxy listens.
const REPROXY: &str = "reproxy.sock";

/// `bin`, `home`, `logs` and a small `project` in a directory of his own.
pub struct User {
    directory: TempDir,
    /// Of each command.
    pub variables: Vec<(String, String)>,
}

impl User {
    /// With these variables.
    pub fn new(variables: &[(&str, String)]) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("farrier-dialects-").tempdir()?;
        for name in ["bin", "home", "logs", "project"] {
            fs::create_dir(directory.path().join(name))?;
        }
        fs::write(directory.path().join("project/a.h"), "#define VALUE 1\n")?;
        let source = "#include \"a.h\"\n#include <stdio.h>\nint main(void) { return VALUE; }\n";
        fs::write(directory.path().join("project/a.c"), source)?;
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()));
        let user = User {
            variables: variables.collect(),
            directory,
        };
        let linked = Command::new(tools::dialects()?)
            .args(["link".as_ref(), user.at("bin").as_os_str()])
            .output();
        let linked = linked.context("farrier-dialects does not start")?;
        ensure!(linked.status.success(), "{linked:?}");
        std::os::unix::fs::symlink(tools::farrier()?, user.at("bin/farrier"))?;
        Ok(user)
    }

    /// Who uses reclient, with a server. `bootstrap` is still to be called.
    pub fn of_reclient(server: SocketAddr) -> Result<Self> {
        let mut user = User::new(&[
            ("RBE_service", server.to_string()),
            ("RBE_service_no_security", "true".to_owned()),
            ("RBE_service_no_auth", "true".to_owned()),
        ])?;
        let logs = user.at("logs").display().to_string();
        let address = format!("unix://{}", user.at(REPROXY).display());
        for (name, value) in [
            ("RBE_server_address", address),
            ("RBE_proxy_log_dir", logs.clone()),
            ("RBE_output_dir", logs),
        ] {
            user.variables.push((name.to_owned(), value));
        }
        Ok(user)
    }

    /// The same after `bootstrap`.
    pub fn of_running_reclient(server: SocketAddr) -> Result<Self> {
        let user = User::of_reclient(server)?;
        user.succeeds(&["bootstrap"])?;
        Ok(user)
    }

    /// Below his directory.
    pub fn at(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn command(&self, program: &Path, words: &[&str]) -> Command {
        let path = format!("{}:/usr/bin:/bin", self.at("bin").display());
        let mut command = Command::new(program);
        command.args(words).current_dir(self.at("project")).env_clear();
        command.stdin(Stdio::null());
        command.env("PATH", path).env("HOME", self.at("home"));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// One of the programs, in the project, with more variables.
    pub fn run(&self, words: &[&str], more: &[(&str, &str)]) -> Result<Output> {
        let mut command = self.command(&self.at("bin").join(words[0]), &words[1..]);
        command.envs(more.iter().copied());
        command
            .output()
            .with_context(|| format!("{words:?} does not start"))
    }

    /// The same, which must succeed; what it printed on standard error.
    pub fn succeeds(&self, words: &[&str]) -> Result<String> {
        let output = self.run(words, &[])?;
        self.said(&output, &format!("{words:?}"))
    }

    /// A script that must succeed, with the programs in the `PATH`, in a directory of one's choice.
    pub fn build(&self, directory: &Path, script: &str) -> Result<String> {
        let mut command = self.command(Path::new("/bin/sh"), &["-c", script]);
        let output = command.current_dir(directory).output();
        self.said(&output.context("sh does not start")?, script)
    }

    fn said(&self, output: &Output, what: &str) -> Result<String> {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.success(),
            "{what}: {}\n{}{said}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            self.logs()
        );
        Ok(said)
    }

    /// What reclient's log says of each command, in either form.
    pub fn log_of_commands(&self) -> Result<String> {
        let is_log = |path: &PathBuf| path.extension().is_some_and(|end| end == "rrpl" || end == "rpl");
        let log = files(&self.at("logs")).into_iter().find(is_log);
        Ok(fs::read_to_string(log.context("no log of commands")?)?)
    }

    /// How each command went, in order, as reclient's log says it, without the `STATUS_` before each. The daemon ends.
    pub fn statuses(&self) -> Result<Vec<String>> {
        self.succeeds(&["bootstrap", "-shutdown"])?;
        let log = self.log_of_commands()?;
        let words = log.split_whitespace();
        let statuses = words.filter_map(|word| word.strip_prefix("STATUS_"));
        Ok(statuses.map(str::to_owned).collect())
    }

    /// How the daemon of recc did each step so far; the daemon ends.
    pub fn steps_of_recc(&self) -> Result<Vec<String>> {
        Ok(self.reasons_of_recc()?.into_iter().map(|(how, _)| how).collect())
    }

    /// The same with why it was done like that, or nothing.
    pub fn reasons_of_recc(&self) -> Result<Vec<(String, String)>> {
        let socket = socket_in(&self.at("home/.cache/farrier")).context("no daemon of recc")?;
        let steps = self.run(&["farrier", "steps", "--json"], &[("FARRIER_SOCKET", &socket)]);
        self.run(&["farrier", "daemon", "stop"], &[("FARRIER_SOCKET", &socket)])?;
        let steps = steps?;
        let steps: Vec<serde_json::Value> =
            serde_json::from_slice(&steps.stdout).with_context(|| format!("{steps:?}"))?;
        let why = |step: &serde_json::Value| step["why"].as_str().unwrap_or_default().to_owned();
        let how = steps
            .iter()
            .map(|step| Some((step["how"].as_str()?.to_owned(), why(step))));
        how.collect::<Option<_>>()
            .with_context(|| format!("a step without an end: {steps:?}"))
    }

    /// For a test that fails.
    fn logs(&self) -> String {
        let logs = files(&self.at("logs"))
            .into_iter()
            .chain(files(&self.at("home/.cache/farrier")));
        let texts = logs.filter_map(|path| {
            Some(format!(
                "--- {}\n{}",
                path.display(),
                fs::read_to_string(&path).ok()?
            ))
        });
        texts.collect()
    }

    /// Compiles with `words` before the command and checks that the object is the one of a plain compilation.
    pub fn compile(&self, words: &[&str]) -> Result<String> {
        let object = self.at("project/a.o");
        let _ = fs::remove_file(&object);
        let said = self.succeeds(&[words, &["gcc", "-O2", "-c", "a.c", "-o", "a.o"]].concat())?;
        let plain = Command::new("gcc")
            .args(["-O2", "-c", "a.c", "-o", "plain.o"])
            .current_dir(self.at("project"))
            .status()?;
        ensure!(plain.success());
        ensure!(
            fs::read(&object)? == fs::read(self.at("project/plain.o"))?,
            "another object"
        );
        Ok(said)
    }
}

/// The files of a directory.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file())
        .collect()
}

/// The one socket of a directory.
fn socket_in(directory: &Path) -> Option<String> {
    let entries = fs::read_dir(directory)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()));
    let mut sockets = entries.filter(|path| path.extension().is_some_and(|end| end == "socket"));
    sockets.next().map(|path| path.display().to_string())
}

impl Drop for User {
    /// A test that fails leaves no daemon behind.
    fn drop(&mut self) {
        let end = |words: &[&str], variables: &[(&str, &str)]| {
            if let Err(error) = self.run(words, variables) {
                eprintln!("{error:#}");
            }
        };
        if let Some(socket) = socket_in(&self.at("home/.cache/farrier")) {
            end(&["farrier", "daemon", "stop"], &[("FARRIER_SOCKET", &socket)]);
        }
        if self.at(REPROXY).exists() {
            end(&["bootstrap", "-shutdown"], &[]);
        }
    }
}
