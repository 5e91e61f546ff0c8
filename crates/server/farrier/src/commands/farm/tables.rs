//! For people.

use std::fmt::Write;

use admin_api::v1::{
    ActionQueue, GetQueueResponse, GetWorkersResponse, PlatformProperty, RunningAction, WorkerStatus,
};

use super::state;
use crate::byte_size::ByteSize;

/// Longest command that is shown, in characters.
const COMMAND_CHARS_MAX: usize = 80;

/// One line for each worker, and one for each action below it.
pub(super) fn workers(response: &GetWorkersResponse) -> String {
    if response.workers.is_empty() {
        return "no workers; `farrier join` adds this machine\n".to_owned();
    }
    let mut text = "WORKER                   STATE         SLOTS                MEMORY  OFFERS\n".to_owned();
    for worker in &response.workers {
        let memory = match worker.memory_bytes {
            0 => "-".to_owned(),
            bytes => format!("{}/{}", ByteSize(worker.memory_bytes_used), ByteSize(bytes)),
        };
        let slots = format!("{}/{}", worker.slots_used, worker.slots);
        let line = format!(
            "{:<24} {:<9} {slots:>9} {memory:>21}  {}",
            worker.name,
            state(worker),
            offers(worker)
        );
        text.push_str(line.trim_end());
        text.push('\n');
        for action in &worker.actions {
            let _ = writeln!(text, "  {:<17} {}", action.phase, command(action));
        }
    }
    text
}

/// The sums, then one line for each queue, then what is special about it.
pub(super) fn queue(response: &GetQueueResponse) -> String {
    let totals = response.totals.unwrap_or_default();
    let mut text = format!(
        "{} waiting, {} running, {} being stored; {} operations\n\
         since the start: {} operations, {} shared, {} refused, {} cancelled; {} runs, {} lost, {} again, {} beside a stuck one, {} done\n",
        response.queued,
        response.running,
        response.publishing,
        response.operations_live,
        totals.operations,
        totals.merged,
        totals.refused,
        totals.cancelled,
        totals.granted,
        totals.lost,
        totals.retried,
        totals.hedged,
        totals.published,
    );
    if response.queues.is_empty() {
        return text;
    }
    text.push_str("\n WAITING  RUNNING  WORKERS  SLOTS     MEMORY  PLATFORM\n");
    for queue in &response.queues {
        let _ = writeln!(
            text,
            "{:>8} {:>8} {:>8} {:>6} {:>10}  {}",
            queue.queued,
            queue.running,
            queue.workers,
            queue.slots,
            memory(queue),
            properties(&queue.platform, "any")
        );
        if !queue.reason.is_empty() {
            let _ = writeln!(text, "           the first {}", queue.reason);
        }
    }
    text
}

fn offers(worker: &WorkerStatus) -> String {
    let mut text = properties(&worker.properties, "");
    for resource in &worker.resources {
        let _ = write!(text, " {}={}/{}", resource.name, resource.used, resource.amount);
    }
    text
}

fn memory(queue: &ActionQueue) -> String {
    match queue.memory_bytes {
        0 => "?".to_owned(),
        bytes => ByteSize(bytes).to_string(),
    }
}

fn properties(properties: &[PlatformProperty], none: &str) -> String {
    if properties.is_empty() {
        return none.to_owned();
    }
    let pairs = properties
        .iter()
        .map(|property| format!("{}={}", property.name, property.value));
    pairs.collect::<Vec<_>>().join(" ")
}

fn command(action: &RunningAction) -> String {
    let words = action.arguments.join(" ");
    match words.char_indices().nth(COMMAND_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use admin_api::v1::worker_status::State;
    use admin_api::v1::{ResourceStatus, Totals};

    use super::*;

    fn property(name: &str, value: &str) -> PlatformProperty {
        PlatformProperty {
            name: name.to_owned(),
            value: value.to_owned(),
        }
    }

    #[test]
    fn workers_with_what_they_run() {
        let worker = WorkerStatus {
            name: "host-7".to_owned(),
            state: State::Ready.into(),
            properties: vec![property("OSFamily", "linux")],
            slots: 8,
            slots_used: 3,
            memory_bytes: 16 << 30,
            memory_bytes_used: 1 << 30,
            resources: vec![ResourceStatus {
                name: "gpu".to_owned(),
                amount: 2,
                used: 1,
            }],
            actions: vec![RunningAction {
                phase: "executing".to_owned(),
                arguments: vec!["cc".to_owned(), "-c".to_owned(), "x".repeat(100)],
                ..RunningAction::default()
            }],
            ..WorkerStatus::default()
        };
        let away = WorkerStatus {
            name: "gone".to_owned(),
            state: State::Away.into(),
            ..WorkerStatus::default()
        };
        let text = workers(&GetWorkersResponse {
            workers: vec![worker, away],
        });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1],
            "host-7                   ready           3/8          1 GiB/16 GiB  OSFamily=linux gpu=1/2"
        );
        assert!(
            lines[2].starts_with("  executing         cc -c xxx") && lines[2].ends_with('…'),
            "{text}"
        );
        assert_eq!(
            lines[3],
            "gone                     away            0/0                     -"
        );
        assert_eq!(
            workers(&GetWorkersResponse::default()),
            "no workers; `farrier join` adds this machine\n"
        );
    }

    #[test]
    fn queues_with_what_the_first_waits_for() {
        let text = queue(&GetQueueResponse {
            operations_live: 3,
            queued: 2,
            running: 1,
            queues: vec![ActionQueue {
                slots: 4,
                memory_bytes: 2 << 30,
                queued: 2,
                running: 1,
                workers: 5,
                reason: "waits for 4 free slots".to_owned(),
                ..ActionQueue::default()
            }],
            totals: Some(Totals {
                operations: 9,
                ..Totals::default()
            }),
            ..GetQueueResponse::default()
        });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "2 waiting, 1 running, 0 being stored; 3 operations");
        assert_eq!(lines[4], "       2        1        5      4      2 GiB  any");
        assert_eq!(lines[5], "           the first waits for 4 free slots");
    }
}
