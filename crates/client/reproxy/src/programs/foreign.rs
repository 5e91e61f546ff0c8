//! rewrapper with a reproxy that is not ours: one call, all of the output at the end.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use daemon_api::Request;
use reclient::address::Address;
use reclient::rewrapper::Ask;
use reclient_api::log::LogRecord;
use reclient_api::proxy::{RunRequest, RunResponse};
use settings::Settings;
use tonic::Code;

use crate::client::Reproxy;
use crate::outcome::write_action_log;
use crate::programs::EXIT_WRONG;
use crate::programs::runtime::block_on;
use crate::wire::run_request;

/// How long to wait before the second try, and how long at most before any other.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(15);
/// What may be another time.
const RETRIED: [Code; 6] = [
    Code::Cancelled,
    Code::Unknown,
    Code::DeadlineExceeded,
    Code::Aborted,
    Code::Unavailable,
    Code::ResourceExhausted,
];

/// Has the command run there.
pub fn run(address: &Address, request: &Request, ask: &Ask) -> ExitCode {
    let run = run_request(request, &ask.settings);
    let called = block_on(call(address, &run, ask.dial_timeout));
    let answer = called.unwrap_or_else(|error| Err(error.to_string()));
    match answer {
        Ok(answer) => show(answer, &ask.settings),
        Err(why) => {
            eprintln!("rewrapper: {why}");
            ExitCode::from(EXIT_WRONG)
        }
    }
}

async fn call(address: &Address, run: &RunRequest, limit: Duration) -> Result<RunResponse, String> {
    let deadline = Instant::now() + limit;
    let mut wait = RETRY_FIRST;
    loop {
        let why = match Reproxy::connect(address, RETRY_MAX).await {
            Err(error) => error.to_string(),
            Ok(reproxy) => match reproxy.run(run.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(status) if RETRIED.contains(&status.code()) => status.to_string(),
                Err(status) => return Err(format!("reproxy at {address}: {}", status.message())),
            },
        };
        if Instant::now() + wait > deadline {
            return Err(format!(
                "cannot reach reproxy at {address} within dial_timeout: {why}"
            ));
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_MAX);
    }
}

fn show(answer: RunResponse, settings: &Settings) -> ExitCode {
    if let (Some(path), Some(record)) = (&settings.action_log, &answer.action_log)
        && let Err(error) = write_action_log(path, record)
    {
        eprintln!("rewrapper: cannot write {}: {error}", path.display());
        return ExitCode::from(EXIT_WRONG);
    }
    if settings.compare && settings.fail_on_mismatch && answer.action_log.as_ref().is_some_and(has_mismatch) {
        eprintln!("rewrapper: outputs of several runs are not equal");
        return ExitCode::from(EXIT_WRONG);
    }
    // Somebody who does not want to read is no failure of the command.
    let _ = io::stdout().write_all(&answer.stdout);
    let _ = io::stderr().write_all(&answer.stderr);
    match answer.result {
        Some(result) => ExitCode::from((result.exit_code & 0xff) as u8),
        None => {
            eprintln!("rewrapper: an answer without a result");
            ExitCode::from(EXIT_WRONG)
        }
    }
}

fn has_mismatch(record: &LogRecord) -> bool {
    let verification = record
        .local_metadata
        .as_ref()
        .and_then(|local| local.verification.as_ref());
    verification
        .is_some_and(|verification| verification.total_mismatches > verification.total_ignored_mismatches)
}

#[cfg(test)]
mod tests {
    use reclient_api::log::{LocalMetadata, Verification};

    use super::*;

    #[test]
    fn mismatches_that_are_not_ignored_count() {
        let check = |mismatches, ignored, expected| {
            let record = LogRecord {
                local_metadata: Some(LocalMetadata {
                    verification: Some(Verification {
                        total_mismatches: mismatches,
                        total_ignored_mismatches: ignored,
                        ..Verification::default()
                    }),
                    ..LocalMetadata::default()
                }),
                ..LogRecord::default()
            };
            assert_eq!(has_mismatch(&record), expected);
        };
        check(0, 0, false);
        check(2, 2, false);
        check(2, 1, true);
        assert!(!has_mismatch(&LogRecord::default()));
    }
}
