//! What a person sees while waiting, on standard error.

use std::io::IsTerminal;

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

fn describe(metadata: &ExecuteOperationMetadata) -> String {
    let worker = metadata
        .partial_execution_metadata
        .as_ref()
        .map_or("", |partial| partial.worker.as_str());
    match (execution_stage::Value::try_from(metadata.stage), worker) {
        (Ok(execution_stage::Value::CacheCheck), _) => "looking in the action cache".to_owned(),
        (Ok(execution_stage::Value::Queued), _) => "queued".to_owned(),
        (Ok(execution_stage::Value::Executing), "") => "executing".to_owned(),
        (Ok(execution_stage::Value::Executing), worker) => format!("executing on {worker}"),
        (Ok(execution_stage::Value::Completed), _) => "completed".to_owned(),
        _ => "accepted".to_owned(),
    }
}
