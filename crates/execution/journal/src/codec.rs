//! Entries as bytes.

use std::sync::Arc;
use std::time::Duration;

use action::{Action, ActionDigest, Command, Platform};
use blob::{Digest, DigestFunction, InstanceName};
use prost::Message;
use reapi::execution::ExecuteResponse;
use scheduler::{Entry, Expected, Grant, LeaseId, OperationName, Shape, TaskId, Time, Work, WorkerId};
use worker_api::v1::Assignment;

use crate::v1 as proto;
use crate::v1::entry::What;

/// Appends the encoded entry.
pub(crate) fn encode(entry: &Entry, bytes: &mut Vec<u8>) {
    let what = match entry {
        Entry::Began {
            task,
            operation,
            priority,
            work,
        } => What::Began(proto::Began {
            task: task.as_u64(),
            priority: *priority,
            assignment: Some(assignment(operation, work)),
        }),
        Entry::Joined {
            task,
            operation,
            priority,
        } => What::Joined(proto::Joined {
            task: task.as_u64(),
            priority: *priority,
            operation_name: operation.to_string(),
        }),
        Entry::Granted(grant) => What::Granted(granted(grant)),
        Entry::Hedged(grant) => What::Hedged(granted(grant)),
        Entry::Ended {
            task,
            lease,
            worker_name,
            what,
            avoided,
        } => What::Ended(proto::Ended {
            task: task.as_u64(),
            lease_id: lease.as_u64(),
            worker_name: worker_name.clone(),
            what: what.clone(),
            avoided_worker_id: avoided.as_ref().map_or_else(String::new, WorkerId::to_string),
        }),
        Entry::Failed {
            task,
            worker_name,
            what,
            avoided,
        } => What::Failed(proto::Failed {
            task: task.as_u64(),
            worker_name: worker_name.clone(),
            what: what.clone(),
            avoided_worker_id: avoided.as_ref().map_or_else(String::new, WorkerId::to_string),
        }),
        Entry::Completed { task, response } => What::Completed(proto::Completed {
            task: task.as_u64(),
            response: Some((**response).clone()),
        }),
        Entry::Finished { operations, response } => What::Finished(proto::Finished {
            operation_names: operations.iter().map(OperationName::to_string).collect(),
            response: Some((**response).clone()),
        }),
        Entry::Forgotten(operation) => What::Forgotten(proto::Forgotten {
            operation_name: operation.to_string(),
        }),
        Entry::Past {
            operation,
            work,
            response,
        } => What::Past(proto::Past {
            assignment: Some(assignment(operation, work)),
            response: Some((**response).clone()),
        }),
        Entry::Away { worker, since } => What::Away(proto::Away {
            worker_id: worker.to_string(),
            since_us: since.as_micros(),
        }),
        Entry::Back(worker) => What::Back(proto::Back {
            worker_id: worker.to_string(),
        }),
        Entry::Learned { shape, expected } => What::Learned(proto::Learned {
            shape: shape.0,
            wall_us: u64::try_from(expected.wall.as_micros()).unwrap_or(u64::MAX),
            cpus: expected.cpus,
            memory_bytes: expected.memory_bytes,
        }),
        Entry::Bigger { task } => What::Bigger(proto::Bigger { task: task.as_u64() }),
        Entry::HandedBack { task } => What::HandedBack(proto::HandedBack { task: task.as_u64() }),
        Entry::Drain { pattern, on } => What::Drain(proto::Drain {
            pattern: pattern.clone(),
            on: *on,
        }),
        Entry::LeasesBelow(lease) => What::LeasesBelow(proto::LeasesBelow {
            lease_id: lease.as_u64(),
        }),
    };
    let entry = proto::Entry { what: Some(what) };
    entry.encode(bytes).expect("a Vec grows as it must");
}

/// The error says what is wrong.
pub(crate) fn decode(bytes: &[u8]) -> Result<Entry, String> {
    let entry = proto::Entry::decode(bytes).map_err(|error| error.to_string())?;
    Ok(
        match entry.what.ok_or("it is of a kind this version does not know")? {
            What::Began(began) => {
                let (operation, work) = work(began.assignment)?;
                Entry::Began {
                    task: TaskId::new(began.task),
                    operation,
                    priority: began.priority,
                    work,
                }
            }
            What::Joined(joined) => Entry::Joined {
                task: TaskId::new(joined.task),
                operation: OperationName::new(joined.operation_name),
                priority: joined.priority,
            },
            What::Granted(granted) => Entry::Granted(grant(granted)),
            What::Hedged(granted) => Entry::Hedged(grant(granted)),
            What::Ended(ended) => Entry::Ended {
                task: TaskId::new(ended.task),
                lease: LeaseId::new(ended.lease_id),
                worker_name: ended.worker_name,
                what: ended.what,
                avoided: avoided(ended.avoided_worker_id),
            },
            What::Failed(failed) => Entry::Failed {
                task: TaskId::new(failed.task),
                worker_name: failed.worker_name,
                what: failed.what,
                avoided: avoided(failed.avoided_worker_id),
            },
            What::Completed(completed) => Entry::Completed {
                task: TaskId::new(completed.task),
                response: response(completed.response)?,
            },
            What::Finished(finished) => Entry::Finished {
                operations: finished
                    .operation_names
                    .into_iter()
                    .map(OperationName::new)
                    .collect(),
                response: response(finished.response)?,
            },
            What::Forgotten(forgotten) => Entry::Forgotten(OperationName::new(forgotten.operation_name)),
            What::Past(past) => {
                let (operation, work) = work(past.assignment)?;
                Entry::Past {
                    operation,
                    work,
                    response: response(past.response)?,
                }
            }
            What::Away(away) => Entry::Away {
                worker: WorkerId::new(away.worker_id),
                since: Time::from_micros(away.since_us),
            },
            What::Back(back) => Entry::Back(WorkerId::new(back.worker_id)),
            What::Learned(learned) => Entry::Learned {
                shape: Shape(learned.shape),
                expected: Expected {
                    wall: Duration::from_micros(learned.wall_us),
                    cpus: learned.cpus,
                    memory_bytes: learned.memory_bytes,
                },
            },
            What::Bigger(bigger) => Entry::Bigger {
                task: TaskId::new(bigger.task),
            },
            What::HandedBack(back) => Entry::HandedBack {
                task: TaskId::new(back.task),
            },
            What::Drain(drain) => Entry::Drain {
                pattern: drain.pattern,
                on: drain.on,
            },
            What::LeasesBelow(leases) => Entry::LeasesBelow(LeaseId::new(leases.lease_id)),
        },
    )
}

fn granted(grant: &Grant) -> proto::Granted {
    proto::Granted {
        task: grant.task.as_u64(),
        lease_id: grant.lease.as_u64(),
        operation_name: grant.operation.to_string(),
        worker_id: grant.worker.to_string(),
        worker_name: grant.worker_name.clone(),
    }
}

fn grant(granted: proto::Granted) -> Grant {
    Grant {
        task: TaskId::new(granted.task),
        lease: LeaseId::new(granted.lease_id),
        operation: OperationName::new(granted.operation_name),
        worker: WorkerId::new(granted.worker_id),
        worker_name: granted.worker_name,
    }
}

fn avoided(id: String) -> Option<WorkerId> {
    Some(id).filter(|id| !id.is_empty()).map(WorkerId::new)
}

/// Work in the words in which it travels to workers and rests in the journal.
pub fn assignment(operation: &OperationName, work: &Work) -> Assignment {
    let digest = work.action_digest.digest();
    Assignment {
        operation_name: operation.to_string(),
        instance_name: work.instance.to_string(),
        digest_function: digest.function().to_proto() as i32,
        action_digest: Some(digest.to_proto()),
        action: Some(work.action.clone()),
        command: Some(work.command.clone()),
        timeout: Some(prost_types::Duration {
            seconds: i64::try_from(work.timeout.as_secs()).unwrap_or(i64::MAX),
            nanos: work.timeout.subsec_nanos() as i32,
        }),
        queued_timestamp: Some(work.queued_at),
        request_metadata: work.request_metadata.clone(),
        user: work.user.clone(),
    }
}

/// What follows from action and command is not written, but made anew.
fn work(assignment: Option<Assignment>) -> Result<(OperationName, Arc<Work>), String> {
    let assignment = assignment.ok_or("the assignment is missing")?;
    let function = DigestFunction::of_request(assignment.digest_function, assignment.action_digest.as_ref())
        .map_err(|error| error.to_string())?;
    let digest = Digest::required(function, assignment.action_digest.as_ref(), "action_digest")
        .map_err(|error| error.to_string())?;
    let action_proto = assignment.action.ok_or("the action is missing")?;
    let command_proto = assignment.command.ok_or("the command is missing")?;
    let action = Action::from_proto(function, &action_proto).map_err(|error| error.to_string())?;
    let command = Command::from_proto(&command_proto).map_err(|error| error.to_string())?;
    let timeout: Duration = assignment
        .timeout
        .unwrap_or_default()
        .try_into()
        .map_err(|_| "the timeout is negative")?;
    let work = Work {
        instance: InstanceName::new(&assignment.instance_name).map_err(|error| error.to_string())?,
        action_digest: ActionDigest::new(digest),
        platform: Platform::of(&action, &command),
        do_not_cache: action.do_not_cache(),
        action: action_proto,
        command: command_proto,
        timeout,
        request_metadata: assignment.request_metadata,
        user: assignment.user,
        queued_at: assignment.queued_timestamp.unwrap_or_default(),
    };
    Ok((OperationName::new(assignment.operation_name), Arc::new(work)))
}

fn response(response: Option<ExecuteResponse>) -> Result<Arc<ExecuteResponse>, String> {
    let response = response.ok_or("the response is missing")?;
    Ok(Arc::new(response))
}

#[cfg(test)]
pub(crate) mod tests;
