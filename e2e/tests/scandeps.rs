//! `scandeps_server`, started and asked as reclient's reproxy does it.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::dialects::User;
use e2e::waiting;
use reclient_api::scandeps::CppProcessInputsRequest;
use reclient_api::scandeps::cpp_deps_scanner_client::CppDepsScannerClient;
use tonic::transport::{Channel, Endpoint};

/// Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program; ended with the test.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(user: &User) -> Result<Self> {
        let address = format!("unix://{}", user.at("scan.sock").display());
        let process = Command::new(user.at("bin/scandeps_server"))
            .args(["--server_address", &address, "--noenable_deps_cache"])
            .arg(format!("--cache_dir={}", user.at("home/scans").display()))
            .arg("--deps_cache_max_mb=256")
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::null())
            .spawn()
            .context("scandeps_server does not start")?;
        Ok(Server { process, address })
    }

    fn client(&self, runtime: &tokio::runtime::Runtime) -> Result<CppDepsScannerClient<Channel>> {
        let endpoint = Endpoint::from_shared(self.address.clone())?;
        waiting::until("somebody listens", PATIENCE, || {
            Ok(runtime
                .block_on(endpoint.connect())
                .ok()
                .map(CppDepsScannerClient::new))
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn it_tells_what_a_compiler_would_read_and_ends_when_it_is_told() -> Result<()> {
    let user = User::new(&[])?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let request = |words: &[&str]| CppProcessInputsRequest {
        command: words.iter().map(ToString::to_string).collect(),
        filename: "a.c".to_owned(),
        directory: user.at("project").display().to_string(),
        cmd_env: vec!["PATH=/usr/bin:/bin".to_owned()],
        exec_id: "id".to_owned(),
    };
    let mut server = Server::start(&user)?;
    let mut client = server.client(&runtime)?;
    // Clang's words for it are reclient's own.
    let of_reclient = "-o /dev/null -M -MT a.o -Xclang -Eonly -Xclang -sys-header-deps -Wno-error -c a.c";
    let of_clang: Vec<_> = std::iter::once("clang").chain(of_reclient.split(' ')).collect();
    for words in [vec!["gcc", "-c", "a.c", "-o", "a.o"], of_clang] {
        let answer = runtime
            .block_on(client.process_inputs(request(&words)))?
            .into_inner();
        let has = |end: &str| answer.dependencies.iter().any(|path| path.ends_with(end));
        ensure!(answer.error.is_empty(), "{words:?}: {answer:?}");
        ensure!(
            has("a.c") && has("a.h") && has("stdio.h"),
            "{words:?}: {answer:?}"
        );
    }
    // A header that comes to be there is found the next time.
    fs::write(user.at("project/b.h"), "")?;
    fs::write(user.at("project/a.h"), "#include \"b.h\"\n#define VALUE 1\n")?;
    let again = request(&["gcc", "-c", "a.c", "-o", "a.o"]);
    let answer = runtime.block_on(client.process_inputs(again))?.into_inner();
    ensure!(
        answer.dependencies.iter().any(|path| path.ends_with("b.h")),
        "{answer:?}"
    );
    let unknown = runtime
        .block_on(client.process_inputs(request(&["python3", "a.c"])))?
        .into_inner();
    ensure!(
        !unknown.error.is_empty() && unknown.dependencies.is_empty(),
        "{unknown:?}"
    );

    let last = runtime.block_on(client.shutdown(()))?.into_inner();
    ensure!(
        (last.completed_actions, last.running_actions) == (4, 0),
        "{last:?}"
    );
    drop(client);
    let ended = waiting::until("it ends", PATIENCE, || Ok(server.process.try_wait()?))?;
    ensure!(ended.success(), "{ended}");
    ensure!(user.at("home/scans").is_dir(), "nothing outlives it");
    Ok(())
}
