//! Before a build.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Child, ExitCode};
use std::time::{Duration, Instant, SystemTime};

use daemon_start::{Start, spawn};
use reclient::flags::tables::{CONNECTION, LOGGING, REPROXY};
use reclient_api::cmd::TimeInterval;
use reclient_api::proxy::AddProxyEventsRequest;

use super::{Bootstrap, CALL, Ended, end_reproxy};
use crate::client::Reproxy;
use crate::programs::credentials;
use crate::programs::flag_words::{passed_on, refused, without_effect};
use crate::programs::metrics::output_directory;
use crate::programs::process;

/// How often it is looked whether reproxy listens.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How long one look may take.
const LOOK_MAX: Duration = Duration::from_secs(1);
/// How much of what reproxy printed is shown when it has died.
const SHOWN_BYTES_MAX: usize = 4096;
/// What a reproxy that was killed ends with, as far as we can say.
const EXIT_KILLED: u8 = 1;

/// Starts reproxy; whatever is at its address is ended before, so that each build has a new one.
pub(super) async fn start(bootstrap: &Bootstrap) -> ExitCode {
    let began = SystemTime::now();
    without_effect(&bootstrap.flags)
        .iter()
        .for_each(|line| eprintln!("bootstrap: {line}"));
    if let Err(error) = credentials::check(&bootstrap.flags) {
        eprintln!("bootstrap: {}", error.why);
        return ExitCode::from(error.exit_code);
    }
    if let Some(why) = refused(&bootstrap.flags) {
        return CALL.wrong(&why);
    }
    let limit = seconds(bootstrap, "shutdown_seconds");
    if let Ended::Still(why) = end_reproxy(&bootstrap.address, &bootstrap.pid_file, limit).await {
        return CALL.wrong(&format!("{} is in use: {why}", bootstrap.address));
    }
    let start = match description(bootstrap) {
        Ok(start) => start,
        Err(why) => return CALL.wrong(&why),
    };
    // What is shown when it dies is of this start only.
    let printed_before = fs::metadata(&start.output).map_or(0, |found| found.len());
    let mut child = match spawn(&start) {
        Ok(child) => child,
        Err(error) => return CALL.wrong(&format!("{}: {error}", start.program.display())),
    };
    if let Err(error) = process::write(&bootstrap.pid_file, child.id()) {
        // Without it the shutdown cannot wait for its end, but works.
        eprintln!(
            "bootstrap: cannot write {}: {error}",
            bootstrap.pid_file.display()
        );
    }
    match wait(bootstrap, &mut child, seconds(bootstrap, "reproxy_wait_seconds")).await {
        Ok(reproxy) => {
            tell_time(&reproxy, began).await;
            eprintln!("Proxy started successfully.");
            ExitCode::SUCCESS
        }
        Err(NotUp::Died(code)) => {
            eprintln!(
                "bootstrap: reproxy has ended with {code}. What it printed ({}):",
                start.output.display()
            );
            eprintln!("{}", printed(&start, printed_before));
            ExitCode::from(code)
        }
        Err(NotUp::Slow(limit)) => CALL.wrong(&format!(
            "reproxy does not listen at {} after {} s; what it printed is in {}",
            bootstrap.address,
            limit.as_secs(),
            start.output.display()
        )),
        Err(NotUp::Unknown(error)) => CALL.wrong(&format!("cannot tell whether reproxy runs: {error}")),
    }
}

fn seconds(bootstrap: &Bootstrap, name: &str) -> Duration {
    Duration::from_secs(u64::try_from(bootstrap.flags.int(name)).unwrap_or_default())
}

fn description(bootstrap: &Bootstrap) -> Result<Start, String> {
    let flags = &bootstrap.flags;
    let program = match flags.path("re_proxy") {
        Some(program) => env::current_dir().unwrap_or_default().join(program),
        None => daemon_start::find_program("reproxy")
            .ok_or("there is no program reproxy beside this one; see -re_proxy")?,
    };
    let mut arguments = passed_on(flags, &[LOGGING, CONNECTION, REPROXY]);
    let config = flags
        .path("cfg")
        .map(|path| env::current_dir().unwrap_or_default().join(path));
    arguments.extend(config.map(|path| {
        let mut word = OsString::from("--cfg=");
        word.push(path);
        word
    }));
    // For both programs it is what bootstrap says, whoever reads the logs.
    arguments.push(format!("--log_format={}", flags.text("log_format")).into());
    if flags.path("credentials_helper").is_some() {
        arguments.push("--use_external_auth_token=true".into());
    }
    let proxy = env::var_os("RBE_HTTP_PROXY").filter(|proxy| !proxy.is_empty());
    let environment = proxy.map(|proxy| {
        [
            ("http_proxy".into(), proxy.clone()),
            ("https_proxy".into(), proxy),
        ]
    });
    Ok(Start {
        program,
        arguments,
        environment: environment.into_iter().flatten().collect(),
        output: absolute(output_directory(flags)).join("reproxy_outerr.log"),
    })
}

/// The daemon has another working directory.
fn absolute(path: PathBuf) -> PathBuf {
    env::current_dir().unwrap_or_default().join(path)
}

enum NotUp {
    Died(u8),
    Slow(Duration),
    Unknown(io::Error),
}

async fn wait(bootstrap: &Bootstrap, child: &mut Child, limit: Duration) -> Result<Reproxy, NotUp> {
    let deadline = Instant::now() + limit;
    loop {
        if let Ok(reproxy) = Reproxy::connect(&bootstrap.address, LOOK_MAX).await {
            return Ok(reproxy);
        }
        match child.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => {
                let code = status.code().and_then(|code| u8::try_from(code).ok());
                // Not a success: there is no reproxy.
                return Err(NotUp::Died(code.filter(|code| *code != 0).unwrap_or(EXIT_KILLED)));
            }
            Err(error) => return Err(NotUp::Unknown(error)),
        }
        if Instant::now() >= deadline {
            return Err(NotUp::Slow(limit));
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

async fn tell_time(reproxy: &Reproxy, began: SystemTime) {
    let interval = TimeInterval {
        from: Some(began.into()),
        to: Some(SystemTime::now().into()),
    };
    let event_times = [("BootstrapStartup".to_owned(), interval)].into();
    if let Err(error) = reproxy.add_events(AddProxyEventsRequest { event_times }).await {
        eprintln!(
            "bootstrap: the time of the start will not be in the metrics: {}",
            error.message()
        );
    }
}

/// The end of what reproxy has printed since it was started.
fn printed(start: &Start, before: u64) -> String {
    let bytes = fs::read(&start.output).unwrap_or_default();
    let new = bytes
        .get(usize::try_from(before).unwrap_or(usize::MAX)..)
        .unwrap_or_default();
    let shown = &new[new.len().saturating_sub(SHOWN_BYTES_MAX)..];
    String::from_utf8_lossy(shown).trim_end().to_owned()
}
