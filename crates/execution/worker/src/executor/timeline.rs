//! When each part of an action's life began and ended (E29).

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prost_types::{Any, Timestamp};
use reapi::execution::ExecutedActionMetadata;
use runner_api::{Outcome, ResourceUsage, RunResponse};
use worker_api::v1 as proto;

/// Timestamps that never run backwards, whatever the clocks of server and worker think of each other: the wall clock
/// is read once, and not before the time of queueing; from there on the monotonic clock counts.
pub(super) struct Timeline {
    base: Duration,
    since: Instant,
    metadata: ExecutedActionMetadata,
}

impl Timeline {
    /// The worker starts on an action now.
    pub(super) fn start(worker: &str, queued: Option<Timestamp>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let queued_at = queued.as_ref().map_or(Duration::ZERO, since_epoch);
        let mut timeline = Timeline {
            base: now.max(queued_at),
            since: Instant::now(),
            metadata: Default::default(),
        };
        timeline.metadata.worker = worker.to_owned();
        timeline.metadata.queued_timestamp = queued;
        timeline.metadata.worker_start_timestamp = timeline.now();
        timeline
    }

    pub(super) fn input_fetch_starts(&mut self) {
        self.metadata.input_fetch_start_timestamp = self.now();
    }

    pub(super) fn input_fetch_completed(&mut self) {
        self.metadata.input_fetch_completed_timestamp = self.now();
        self.metadata.execution_start_timestamp = self.metadata.input_fetch_completed_timestamp;
    }

    /// The command has ended, after the time that the runner measured. `shares_memory`: it had no bound of its own.
    pub(super) fn execution_completed(&mut self, run: &RunResponse, shares_memory: bool) {
        let ran = run.ran;
        let completed = self.base + self.since.elapsed();
        let fetched = self
            .metadata
            .input_fetch_completed_timestamp
            .as_ref()
            .map_or(Duration::ZERO, since_epoch);
        self.metadata.execution_start_timestamp = Some(timestamp(completed.saturating_sub(ran).max(fetched)));
        self.metadata.execution_completed_timestamp = Some(timestamp(completed));
        let crowded_out = shares_memory && run.outcome == Outcome::OutOfMemory;
        // By the clock that the timeout counts by (E14), not by the host's, which may be set meanwhile.
        self.metadata.virtual_execution_duration = run.time_counted().try_into().ok();
        self.metadata.auxiliary_metadata = Any::from_msg(&usage(&run.usage, crowded_out))
            .into_iter()
            .collect();
    }

    /// What a command has read of its inputs, which may be large: to be said last, so that it travels once.
    pub(super) fn observed(&mut self, observed: &proto::ObservedInputs) {
        self.metadata.auxiliary_metadata.extend(Any::from_msg(observed));
    }

    /// A persistent process has answered, after this time. What it used meanwhile is not known for one action alone.
    pub(super) fn request_completed(&mut self, ran: Duration) {
        self.metadata.execution_completed_timestamp = self.now();
        self.metadata.virtual_execution_duration = ran.try_into().ok();
    }

    pub(super) fn output_upload_starts(&mut self) {
        self.metadata.output_upload_start_timestamp = self.now();
    }

    pub(super) fn output_upload_completed(&mut self) {
        self.metadata.output_upload_completed_timestamp = self.now();
    }

    /// As far as it is known.
    pub(super) fn metadata(&self) -> &ExecutedActionMetadata {
        &self.metadata
    }

    /// The worker is done.
    pub(super) fn finish(mut self) -> ExecutedActionMetadata {
        self.metadata.worker_completed_timestamp = self.now();
        self.metadata
    }

    fn now(&self) -> Option<Timestamp> {
        Some(timestamp(self.base + self.since.elapsed()))
    }
}

fn timestamp(since_epoch: Duration) -> Timestamp {
    Timestamp {
        seconds: since_epoch.as_secs() as i64,
        nanos: since_epoch.subsec_nanos() as i32,
    }
}

fn since_epoch(timestamp: &Timestamp) -> Duration {
    let nanos = timestamp.nanos.clamp(0, 999_999_999) as u32;
    Duration::new(timestamp.seconds.max(0) as u64, nanos)
}

fn usage(usage: &ResourceUsage, crowded_out: bool) -> proto::ResourceUsage {
    let time = |us| Duration::from_micros(us).try_into().ok();
    proto::ResourceUsage {
        user_time: time(usage.user_us),
        system_time: time(usage.system_us),
        max_rss_bytes: usage.max_rss_bytes,
        minor_faults: usage.minor_faults,
        major_faults: usage.major_faults,
        in_blocks: usage.in_blocks,
        out_blocks: usage.out_blocks,
        voluntary_switches: usage.voluntary_switches,
        involuntary_switches: usage.involuntary_switches,
        memory_peak_bytes: usage.memory_peak_bytes,
        crowded_out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every time of the metadata, in the order in which they have to be.
    fn times(metadata: &ExecutedActionMetadata) -> Vec<Duration> {
        let times = [
            &metadata.queued_timestamp,
            &metadata.worker_start_timestamp,
            &metadata.input_fetch_start_timestamp,
            &metadata.input_fetch_completed_timestamp,
            &metadata.execution_start_timestamp,
            &metadata.execution_completed_timestamp,
            &metadata.output_upload_start_timestamp,
            &metadata.output_upload_completed_timestamp,
            &metadata.worker_completed_timestamp,
        ];
        times
            .into_iter()
            .map(|time| since_epoch(time.as_ref().expect("every time is set")))
            .collect()
    }

    #[test]
    fn times_never_run_backwards_even_if_the_servers_clock_is_ahead_and_the_runners_jumps() {
        let ahead = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(3600);
        let mut timeline = Timeline::start("w", Some(timestamp(ahead)));
        timeline.input_fetch_starts();
        timeline.input_fetch_completed();
        timeline.execution_completed(
            &RunResponse {
                outcome: Outcome::Exited(0),
                usage: ResourceUsage {
                    user_us: 1_500_000,
                    max_rss_bytes: 7,
                    ..Default::default()
                },
                // Somebody has set the host's clock back by an hour.
                started_unix_ns: 3_601_000_000_000,
                finished_unix_ns: 61_000_000_000,
                ran: Duration::from_secs(60),
                stdout_truncated: false,
                stderr_truncated: false,
                processes_refused: 0,
                clock_stopped_ns: 0,
            },
            true,
        );
        timeline.output_upload_starts();
        timeline.output_upload_completed();
        let metadata = timeline.finish();
        let times = times(&metadata);
        assert!(times.is_sorted(), "{times:?}");
        assert_eq!(times[0], ahead);
        assert_eq!(metadata.virtual_execution_duration.unwrap().seconds, 60);
        let usage: proto::ResourceUsage = metadata.auxiliary_metadata[0].to_msg().unwrap();
        assert_eq!(
            (usage.user_time.unwrap().nanos, usage.max_rss_bytes),
            (500_000_000, 7)
        );
    }
}
