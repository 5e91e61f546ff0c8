//! What a person sees while waiting, on standard error.

use std::io::IsTerminal;

use admin_api::v1::Waiting;
use parking_lot::Mutex;
use reapi::execution::{ActionResult, ExecuteOperationMetadata, execution_stage};

use crate::commands::timings;

/// Says what happens: to nobody, in one line at the end, or step by step.
pub(super) struct Progress {
    quiet: bool,
    verbose: bool,
    /// Steps are shown to people: on a terminal, or when asked for.
    steps: bool,
    /// The stage that was last told, so that repetitions are not.
    told: Mutex<Option<String>>,
}

impl Progress {
    pub(super) fn new(quiet: bool, verbose: bool) -> Self {
        let steps = !quiet && (verbose || std::io::stderr().is_terminal());
        Progress {
            quiet,
            verbose,
            steps,
            told: Mutex::default(),
        }
    }

    /// Something that must be said.
    pub(super) fn say(&self, text: &str) {
        eprintln!("farrier: {text}");
    }

    /// The line at the end.
    pub(super) fn summary(&self, text: &str) {
        if !self.quiet {
            self.say(text);
        }
    }

    /// One step of many.
    pub(super) fn step(&self, text: impl FnOnce() -> String) {
        if self.steps {
            self.say(&text());
        }
    }

    /// The server's own steps.
    pub(super) fn stage(&self, metadata: &ExecuteOperationMetadata) {
        let stage = describe(metadata);
        let mut told = self.told.lock();
        if told.as_ref() != Some(&stage) {
            self.step(|| stage.clone());
            *told = Some(stage);
        }
    }

    /// Where the time went.
    pub(super) fn timings(&self, result: &ActionResult) {
        let Some(metadata) = &result.execution_metadata else {
            return;
        };
        let line = timings::line(metadata);
        if self.verbose && !line.is_empty() {
            self.say(&line);
        }
    }
}

/// What a farrier tells about an action that waits.
fn waiting(metadata: &ExecuteOperationMetadata) -> Option<Waiting> {
    let partial = metadata.partial_execution_metadata.as_ref()?;
    let told = partial.auxiliary_metadata.iter();
    told.filter_map(|any| any.to_msg::<Waiting>().ok()).next()
}

fn describe_waiting(waiting: &Waiting) -> String {
    let Waiting {
        reason,
        ahead,
        more_ahead,
        attempt: _,
        estimate,
    } = waiting;
    let text = match (ahead, more_ahead) {
        (0, false) => reason.clone(),
        (ahead, false) => format!("{reason}; {ahead} before it"),
        (0, true) => format!("{reason}; others before it"),
        (ahead, true) => format!("{reason}; more than {ahead} before it"),
    };
    match estimate {
        Some(estimate) => format!("{text}; about {} s to go", estimate.seconds.max(0) + 1),
        None => text,
    }
}

fn describe(metadata: &ExecuteOperationMetadata) -> String {
    let worker = metadata
        .partial_execution_metadata
        .as_ref()
        .map_or("", |partial| partial.worker.as_str());
    match (execution_stage::Value::try_from(metadata.stage), worker) {
        (Ok(execution_stage::Value::CacheCheck), _) => "looking in the action cache".to_owned(),
        (Ok(execution_stage::Value::Queued), _) => match waiting(metadata) {
            Some(waiting) => format!("queued: {}", describe_waiting(&waiting)),
            None => "queued".to_owned(),
        },
        (Ok(execution_stage::Value::Executing), "") => "executing".to_owned(),
        (Ok(execution_stage::Value::Executing), worker) => format!("executing on {worker}"),
        (Ok(execution_stage::Value::Completed), _) => "completed".to_owned(),
        _ => "accepted".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use prost::{Message, Name};
    use reapi::execution::ExecutedActionMetadata;

    use super::*;

    fn queued(waiting: Option<Waiting>) -> ExecuteOperationMetadata {
        let any = |waiting: Waiting| prost_types::Any {
            type_url: Waiting::type_url(),
            value: waiting.encode_to_vec(),
        };
        ExecuteOperationMetadata {
            stage: execution_stage::Value::Queued as i32,
            partial_execution_metadata: Some(ExecutedActionMetadata {
                auxiliary_metadata: waiting.map(any).into_iter().collect(),
                ..ExecutedActionMetadata::default()
            }),
            ..ExecuteOperationMetadata::default()
        }
    }

    #[test]
    fn a_queue_is_described_as_far_as_the_server_tells() {
        let waiting = |ahead, more_ahead| Waiting {
            reason: "waits for a worker".into(),
            ahead,
            more_ahead,
            attempt: 1,
            estimate: None,
        };
        let described = |waiting| describe(&queued(waiting));
        assert_eq!(described(None), "queued");
        assert_eq!(described(Some(waiting(0, false))), "queued: waits for a worker");
        assert_eq!(
            described(Some(waiting(3, false))),
            "queued: waits for a worker; 3 before it"
        );
        assert_eq!(
            described(Some(waiting(100, true))),
            "queued: waits for a worker; more than 100 before it"
        );
        assert_eq!(
            described(Some(waiting(0, true))),
            "queued: waits for a worker; others before it"
        );
        let soon = Waiting {
            estimate: Some(prost_types::Duration {
                seconds: 6,
                nanos: 500_000_000,
            }),
            ..waiting(2, false)
        };
        assert_eq!(
            described(Some(soon)),
            "queued: waits for a worker; 2 before it; about 7 s to go"
        );
    }
}
