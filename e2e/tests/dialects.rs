//! Builds that are set up for reclient or recc, against farrier, with a server and a worker that are really there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use e2e::farrier::Farrier;
use e2e::tools;
use tempfile::TempDir;

/// A user of the dialects: their programs, a home, a project.
struct User {
    directory: TempDir,
    variables: Vec<(String, String)>,
}

impl User {
    fn new(variables: &[(&str, String)]) -> Result<Self> {
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

    fn at(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn run(&self, words: &[&str], more: &[(&str, &str)]) -> Result<Output> {
        let path = format!("{}:/usr/bin:/bin", self.at("bin").display());
        let mut command = Command::new(self.at("bin").join(words[0]));
        command
            .args(&words[1..])
            .current_dir(self.at("project"))
            .env_clear();
        command.env("PATH", path).env("HOME", self.at("home"));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.envs(more.iter().copied());
        command
            .output()
            .with_context(|| format!("{words:?} does not start"))
    }

    fn succeeds(&self, words: &[&str]) -> Result<String> {
        let output = self.run(words, &[])?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.success(),
            "{words:?}: {}\n{said}{}",
            output.status,
            self.logs()
        );
        Ok(said)
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
    fn compile(&self, words: &[&str]) -> Result<String> {
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

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file())
        .collect()
}

#[test]
fn a_build_for_reclient_runs_from_bootstrap_to_its_metrics() -> Result<()> {
    let farrier = Farrier::start()?;
    let sockets = tempfile::Builder::new().prefix("farrier-reclient-").tempdir()?;
    let address = format!("unix://{}", sockets.path().join("reproxy.sock").display());
    let mut user = User::new(&[
        ("RBE_server_address", address),
        ("RBE_service", farrier.address().to_string()),
        ("RBE_service_no_security", "true".to_owned()),
        ("RBE_service_no_auth", "true".to_owned()),
    ])?;
    let logs = user.at("logs").display().to_string();
    user.variables
        .push(("RBE_proxy_log_dir".to_owned(), logs.clone()));
    user.variables.push(("RBE_output_dir".to_owned(), logs));
    let said = user.succeeds(&["bootstrap"])?;
    ensure!(said.contains("Proxy started successfully."), "{said}");

    let root = format!("-exec_root={}", user.at("project").display());
    let rewrapper = [
        "rewrapper",
        "-labels=type=compile,compiler=clang,lang=cpp",
        &root,
        "-exec_strategy=remote",
        "--",
    ];
    for _ in 0..2 {
        user.compile(&rewrapper)?;
    }
    // What the compiler refuses is refused, with its words and its code.
    fs::write(user.at("project/bad.c"), "int f(void) { return y; }\n")?;
    let bad = user.run(
        &[&rewrapper[..], &["gcc", "-c", "bad.c", "-o", "bad.o"]].concat(),
        &[],
    )?;
    ensure!(bad.status.code() == Some(1), "{bad:?}");
    ensure!(
        String::from_utf8_lossy(&bad.stderr).contains("undeclared"),
        "{bad:?}"
    );

    let said = user.succeeds(&["bootstrap", "-shutdown"])?;
    ensure!(
        said.contains("RBE Stats:") && said.contains("1 cache hit"),
        "{said}"
    );
    let metrics = fs::read_to_string(user.at("logs/rbe_metrics.txt"))?;
    ensure!(metrics.contains("num_records: 3"), "{metrics}");
    ensure!(user.at("logs/rbe_metrics.pb").is_file());
    let log = files(&user.at("logs"))
        .into_iter()
        .find(|path| path.extension().is_some_and(|end| end == "rrpl" || end == "rpl"));
    let log = fs::read_to_string(log.context("no log of commands")?)?;
    ensure!(
        log.contains("STATUS_CACHE_HIT") && log.contains("STATUS_REMOTE_EXECUTION"),
        "{log}"
    );
    Ok(())
}

#[test]
fn a_build_for_recc_takes_and_gives_results() -> Result<()> {
    let farrier = Farrier::start()?;
    let user = User::new(&[("RECC_SERVER", farrier.http_url())])?;
    let outcome = (|| {
        for _ in 0..2 {
            user.compile(&["recc"])?;
        }
        let socket = files_with_sockets(&user.at("home/.cache/farrier")).context("no daemon of recc")?;
        let steps = user.run(&["farrier", "steps", "--json"], &[("FARRIER_SOCKET", &socket)])?;
        let steps: serde_json::Value =
            serde_json::from_slice(&steps.stdout).with_context(|| format!("{steps:?}"))?;
        let how = |step: usize| steps[step]["how"].as_str().unwrap_or_default().to_owned();
        assert_eq!([how(0), how(1)], ["remote", "hit"], "{steps}");
        anyhow::Ok(socket)
    })();
    if let Some(socket) = files_with_sockets(&user.at("home/.cache/farrier")) {
        user.run(&["farrier", "daemon", "stop"], &[("FARRIER_SOCKET", &socket)])?;
    }
    outcome.map(|_socket| ())
}

/// The one socket of a directory.
fn files_with_sockets(directory: &Path) -> Option<String> {
    let entries = fs::read_dir(directory)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()));
    let mut sockets = entries.filter(|path| path.extension().is_some_and(|end| end == "socket"));
    sockets.next().map(|path| path.display().to_string())
}
