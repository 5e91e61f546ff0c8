//! Every number the scheduler obeys.

use std::collections::BTreeMap;
use std::time::Duration;

use blob::InstanceName;

/// Durations and bounds. `Default` is what the server uses.
#[derive(Clone, Debug)]
pub struct SchedulerOptions {
    /// How long a lease lives after its worker's last message.
    pub lease_duration: Duration,
    /// How long a worker whose stream broke may take to come back and keep its leases.
    pub reconnect_grace: Duration,
    /// How long after the first event operations that no worker matches wait for one to connect (checklist E4).
    pub startup_grace: Duration,
    /// How long a platform counts as possible after its last worker was lost or began to drain.
    pub worker_memory: Duration,
    /// How long a connected worker may leave a lease it was given out of its reports before the task is taken away.
    pub unreported_max: Duration,
    /// How long an operation without watchers lives (E15).
    pub abandon_after: Duration,
    /// The same where the last one left on purpose. Longer than clients take to come back after a time limit of their
    /// own for a call.
    pub let_go_after: Duration,
    /// How often a task is tried when workers are lost or fail; at least one.
    pub attempts_max: u32,
    /// An action seems to be stuck when it takes so many times as long as its like have taken,
    pub stuck_times: u32,
    /// and not less than this.
    pub stuck_min: Duration,
    /// How many slots what runs for an instance may take before it gets nothing new. Others have all they can get.
    pub quotas: BTreeMap<InstanceName, u32>,
    /// How long a finished operation can be looked at (E8).
    pub finished_retention: Duration,
    /// How many finished operations are kept; the oldest go first.
    pub finished_max: usize,
    /// About how many bytes finished operations hold together.
    pub finished_bytes_max: u64,
    /// How many operations may be queued or executing.
    pub operations_max: usize,
    /// About how many bytes the work of queued and executing operations holds together.
    pub operations_bytes_max: u64,
    /// How many distinct platforms may have tasks at once.
    pub platforms_max: usize,
    /// How many workers may be connected; as many distinct property sets of lost workers are remembered.
    pub workers_max: usize,
    /// How many patterns of names of workers out of service there may be.
    pub drains_max: usize,
    /// How many slots one worker may have; what it announces beyond is not used.
    pub slots_max: u32,
    /// How many properties one worker may announce; what it announces beyond is not used.
    pub worker_properties_max: usize,
}

impl Default for SchedulerOptions {
    fn default() -> Self {
        SchedulerOptions {
            lease_duration: Duration::from_secs(30),
            // Longer than a worker's longest pause between two tries.
            reconnect_grace: Duration::from_secs(5),
            startup_grace: Duration::from_secs(15),
            worker_memory: Duration::from_secs(60),
            unreported_max: Duration::from_secs(60),
            abandon_after: Duration::from_secs(60),
            let_go_after: Duration::from_secs(10),
            attempts_max: 3,
            // A lost or frozen worker is noticed sooner by its lease.
            stuck_times: 4,
            stuck_min: Duration::from_secs(60),
            quotas: BTreeMap::new(),
            finished_retention: Duration::from_secs(600),
            finished_max: 10_000,
            finished_bytes_max: 256 << 20,
            operations_max: 200_000,
            operations_bytes_max: 1 << 30,
            platforms_max: 1_000,
            workers_max: 10_000,
            drains_max: 1_000,
            slots_max: 4_096,
            worker_properties_max: 1_000,
        }
    }
}
