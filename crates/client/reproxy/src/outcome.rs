//! What came of a command, in reclient's words.

use std::path::Path;
use std::time::SystemTime;

use daemon_api::Request;
use prost_types::Timestamp;
use reclient::labels::label_digest;
use reclient_api::cmd::{CommandResult, TimeInterval, command_result_status};
use reclient_api::log::{CompletionStatus, LocalMetadata, LogRecord, RemoteMetadata};
use reclient_api::proxy::{RemoteFallbackInfo, RunResponse};
use settings::{Settings, Strategy};

use crate::wire::command;

/// The time of everything, in the log.
const PROXY_EXECUTION: &str = "ProxyExecution";
/// How this program is called in logs; whatever the caller calls itself.
const TOOL_NAME: &str = "re-client";

/// How a command ended, or why it did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It ran, or its result was known.
    Ended {
        /// Its code; 128 and the signal if it was killed.
        exit_code: i32,
        /// The result was known.
        is_cache_hit: bool,
    },
    /// `exec_timeout` was over.
    Timeout,
    /// `reclient_timeout` was over.
    RemoteTimeout,
    /// The caller has gone, or the daemon ends.
    Interrupted,
    /// It could not run elsewhere, for this reason.
    RemoteError(String),
    /// It could not run here, for this reason.
    LocalError(String),
}

impl Ending {
    /// The exit code that a wrapper ends with.
    pub fn exit_code(&self) -> i32 {
        match self {
            Ending::Ended { exit_code, .. } => *exit_code,
            Ending::Timeout => 142,
            Ending::RemoteTimeout => 59,
            Ending::Interrupted => 8,
            Ending::RemoteError(_) => 45,
            Ending::LocalError(_) => 35,
        }
    }

    /// The status of the result.
    pub fn status(&self) -> command_result_status::Value {
        use command_result_status::Value;
        match self {
            Ending::Ended {
                exit_code: 0,
                is_cache_hit,
            } => match is_cache_hit {
                true => Value::CacheHit,
                false => Value::Success,
            },
            Ending::Ended { .. } => Value::NonZeroExit,
            Ending::Timeout | Ending::RemoteTimeout => Value::Timeout,
            Ending::Interrupted => Value::Interrupted,
            Ending::RemoteError(_) => Value::RemoteError,
            Ending::LocalError(_) => Value::LocalError,
        }
    }

    /// The word for it and the reason, where there is no result.
    fn complaint(&self) -> Option<(&'static str, &str)> {
        match self {
            Ending::Ended { .. } => None,
            Ending::Timeout => Some(("TimeoutResultStatus", "exec_timeout is over")),
            Ending::RemoteTimeout => Some(("TimeoutResultStatus", "reclient_timeout is over")),
            Ending::Interrupted => Some(("InterruptedResultStatus", "interrupted")),
            Ending::RemoteError(why) => Some(("RemoteErrorResultStatus", why)),
            Ending::LocalError(why) => Some(("LocalErrorResultStatus", why)),
        }
    }

    /// As the result of a message.
    pub fn result(&self) -> CommandResult {
        CommandResult {
            status: self.status().into(),
            exit_code: self.exit_code(),
            msg: self
                .complaint()
                .map_or_else(String::new, |(_, why)| why.to_owned()),
        }
    }

    /// What a wrapper prints on standard error when nothing else was printed.
    pub fn line(&self, execution_id: &str) -> Option<String> {
        let (status, why) = self.complaint()?;
        Some(format!("reclient[{execution_id}]: {status}: {why}\n"))
    }
}

/// What came of a run elsewhere before the command ran here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// How it ended.
    pub ending: Ending,
    /// What it printed.
    pub output: Vec<u8>,
    /// What it printed on standard error.
    pub error_output: Vec<u8>,
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq)]
pub struct RunOutcome {
    /// How it ended.
    pub ending: Ending,
    /// What it printed.
    pub output: Vec<u8>,
    /// What it printed on standard error.
    pub error_output: Vec<u8>,
    /// Names this run.
    pub execution_id: String,
    /// What is written down of it.
    pub record: LogRecord,
    /// Set if it was tried elsewhere and ran here then.
    pub fallback: Option<Fallback>,
}

impl RunOutcome {
    /// As the answer of the service. The record is a part of it only if it was asked for.
    pub fn response(self, with_record: bool) -> RunResponse {
        let mut stderr = self.error_output;
        if self.output.is_empty() && stderr.is_empty() {
            stderr.extend(
                self.ending
                    .line(&self.execution_id)
                    .unwrap_or_default()
                    .into_bytes(),
            );
        }
        RunResponse {
            result: Some(self.ending.result()),
            stdout: self.output,
            stderr,
            execution_id: self.execution_id,
            action_log: with_record.then_some(self.record),
            remote_fallback_info: self.fallback.map(|fallback| RemoteFallbackInfo {
                exit_code: fallback.ending.exit_code(),
                result_status: fallback.ending.status().into(),
                stdout: fallback.output,
                stderr: fallback.error_output,
            }),
        }
    }
}

/// What a record is made of.
pub struct Facts<'a> {
    /// The command.
    pub request: &'a Request,
    /// Its settings.
    pub settings: &'a Settings,
    /// How it ended.
    pub ending: &'a Ending,
    /// Names this run.
    pub execution_id: &'a str,
    /// When it was asked for.
    pub began: SystemTime,
    /// When the answer was there.
    pub ended: SystemTime,
    /// What happened elsewhere, if anything was asked there.
    pub remote: Option<RemoteMetadata>,
    /// What happened here: all but what follows from the other facts.
    pub local: LocalMetadata,
}

/// The record of a command.
pub fn record(facts: Facts<'_>) -> LogRecord {
    let Facts {
        request,
        settings,
        ending,
        execution_id,
        began,
        ended,
        remote,
        mut local,
    } = facts;
    let mut command = command(request, settings);
    let digest = label_digest(&settings.labels);
    if let Some(identifiers) = &mut command.identifiers {
        identifiers.command_id = match identifiers.command_id.as_str() {
            "" => format!("{digest}-{}", execution_id.split('-').next().unwrap_or_default()),
            given => format!("{digest}-{given}"),
        };
        identifiers.tool_name = TOOL_NAME.to_owned();
        identifiers.tool_version = env!("CARGO_PKG_VERSION").to_owned();
        identifiers.execution_id = execution_id.to_owned();
    }
    let times = TimeInterval {
        from: Some(Timestamp::from(began)),
        to: Some(Timestamp::from(ended)),
    };
    local.event_times.insert(PROXY_EXECUTION.to_owned(), times);
    local.labels = settings.labels.clone();
    if settings.log_env {
        let text = |text: &std::ffi::OsString| text.to_string_lossy().into_owned();
        local.environment = request
            .environment
            .iter()
            .map(|(name, value)| (text(name), text(value)))
            .collect();
    }
    let result = ending.result();
    if local.executed_locally && local.result.is_none() {
        local.result = Some(result.clone());
    }
    LogRecord {
        command: Some(command),
        completion_status: completion_status(ending, settings.strategy, local.executed_locally).into(),
        result: Some(result),
        remote_metadata: remote,
        local_metadata: Some(local),
    }
}

/// The status of the result first; only a success depends on how it came about.
pub fn completion_status(
    ending: &Ending,
    strategy: Option<Strategy>,
    executed_locally: bool,
) -> CompletionStatus {
    use command_result_status::Value;
    match ending.status() {
        Value::Unknown => CompletionStatus::StatusUnknown,
        Value::CacheHit => CompletionStatus::StatusCacheHit,
        Value::NonZeroExit => CompletionStatus::StatusNonZeroExit,
        Value::Timeout => CompletionStatus::StatusTimeout,
        Value::Interrupted => CompletionStatus::StatusInterrupted,
        Value::RemoteError => CompletionStatus::StatusRemoteFailure,
        Value::LocalError => CompletionStatus::StatusLocalFailure,
        Value::Success => match (strategy, executed_locally) {
            (Some(Strategy::Racing), true) => CompletionStatus::StatusRacingLocal,
            (Some(Strategy::Racing), false) => CompletionStatus::StatusRacingRemote,
            (Some(Strategy::RemoteLocalFallback), true) => CompletionStatus::StatusLocalFallback,
            (Some(Strategy::Local), _) | (_, true) => CompletionStatus::StatusLocalExecution,
            (_, false) => CompletionStatus::StatusRemoteExecution,
        },
    }
}

/// Writes the record where the command's settings want it.
pub fn write_action_log(path: &Path, record: &LogRecord) -> std::io::Result<()> {
    let text = reclient::text_proto::to_text(record).map_err(std::io::Error::other)?;
    std::fs::write(path, text)
}

#[cfg(test)]
mod tests;
