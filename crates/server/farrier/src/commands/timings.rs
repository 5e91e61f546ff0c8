//! Where the time of an execution went.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;
use reapi::execution::ExecutedActionMetadata;

/// The steps that a server reported both ends of, in the order they happen.
pub(crate) fn steps(metadata: &ExecutedActionMetadata) -> Vec<(&'static str, Duration)> {
    [
        (
            "queued",
            &metadata.queued_timestamp,
            &metadata.worker_start_timestamp,
        ),
        (
            "fetched inputs",
            &metadata.input_fetch_start_timestamp,
            &metadata.input_fetch_completed_timestamp,
        ),
        (
            "ran",
            &metadata.execution_start_timestamp,
            &metadata.execution_completed_timestamp,
        ),
        (
            "stored outputs",
            &metadata.output_upload_start_timestamp,
            &metadata.output_upload_completed_timestamp,
        ),
        (
            "on the worker",
            &metadata.worker_start_timestamp,
            &metadata.worker_completed_timestamp,
        ),
    ]
    .into_iter()
    .filter_map(|(step, start, end)| Some((step, between(start.as_ref()?, end.as_ref()?)?)))
    .collect()
}

/// In one line.
pub(crate) fn line(metadata: &ExecutedActionMetadata) -> String {
    let steps = steps(metadata);
    let steps = steps
        .iter()
        .map(|(step, duration)| format!("{step} {}", seconds(*duration)));
    steps.collect::<Vec<_>>().join(", ")
}

/// A duration as people read it.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.3} s", duration.as_secs_f64())
}

/// `None` if a timestamp is nonsense or time ran backwards.
fn between(start: &Timestamp, end: &Timestamp) -> Option<Duration> {
    let (start, end) = (
        SystemTime::try_from(*start).ok()?,
        SystemTime::try_from(*end).ok()?,
    );
    end.duration_since(start).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_steps_with_both_ends_are_told() {
        let at = |seconds, nanos| Some(Timestamp { seconds, nanos });
        let metadata = ExecutedActionMetadata {
            queued_timestamp: at(100, 0),
            worker_start_timestamp: at(100, 2_000_000),
            execution_start_timestamp: at(101, 0),
            execution_completed_timestamp: at(103, 500_000_000),
            output_upload_start_timestamp: at(104, 0),
            output_upload_completed_timestamp: at(103, 0),
            ..Default::default()
        };
        assert_eq!(line(&metadata), "queued 0.002 s, ran 2.500 s");
        assert_eq!(line(&ExecutedActionMetadata::default()), "");
    }
}
