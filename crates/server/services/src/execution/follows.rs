//! Which outputs of running actions are read just now, and where they come in. Beside the scheduler, which knows nothing
//! of it.

use std::collections::HashMap;
use std::sync::Arc;

use blob::CommandOutput;
use reapi::execution::ExecuteResponse;
use scheduler::{Desired, LeaseId, OperationName, OperationView, Stage, WorkerId};
use tokio::sync::watch;
use tonic::Status;
use worker_api::v1 as proto;

use crate::limits::FOLLOWED_OUTPUTS_MAX;
use crate::log_streams::{Keeps, LogStream, LogStreams};
use crate::status;

/// The attempts that somebody reads: none, most of the time. Their log streams are counted and bounded with all others.
#[derive(Default)]
pub(super) struct Follows {
    by_operation: HashMap<OperationName, Attempt>,
    by_lease: HashMap<LeaseId, Vec<OperationName>>,
}

/// One attempt at one operation.
struct Attempt {
    lease: LeaseId,
    worker: WorkerId,
    fate: watch::Sender<Fate>,
    followed: Vec<Followed>,
}

/// A part of one output, from the stream's first byte on.
struct Followed {
    output: CommandOutput,
    stream: Arc<LogStream>,
    first: u64,
    readers: usize,
}

/// What became of an attempt.
#[derive(Clone)]
pub(crate) enum Fate {
    /// Its worker has it, or its result is being stored.
    Runs,
    /// It was lost; there may be another one.
    Lost,
    /// The operation is over.
    Finished(Arc<ExecuteResponse>),
}

impl Follows {
    /// Adds a reader at `offset` of an output. The stream comes from those of the same attempt if one still has what is
    /// wanted; otherwise it is a new one, and the worker has to be told.
    pub(super) fn follow(
        &mut self,
        operation: &OperationName,
        holder: (LeaseId, WorkerId),
        (output, offset): (CommandOutput, u64),
        make: impl FnOnce(Keeps) -> Result<Arc<LogStream>, Status>,
    ) -> Result<(Arc<LogStream>, watch::Receiver<Fate>), Status> {
        let (lease, worker) = holder;
        let attempt = self.by_operation.entry(operation.clone()).or_insert_with(|| {
            self.by_lease.entry(lease).or_default().push(operation.clone());
            Attempt {
                lease,
                worker,
                fate: watch::channel(Fate::Runs).0,
                followed: Vec::new(),
            }
        });
        let fate = attempt.fate.subscribe();
        let fits = |followed: &&mut Followed| followed.output == output && followed.stream.reaches(offset);
        if let Some(followed) = attempt.followed.iter_mut().find(fits) {
            followed.readers += 1;
            return Ok((followed.stream.clone(), fate));
        }
        let made = match attempt.followed.len() < FOLLOWED_OUTPUTS_MAX {
            true => make(Keeps::ForReaders { first: offset }),
            false => Err(status::overloaded(format!(
                "the output of `{operation}` is read at {FOLLOWED_OUTPUTS_MAX} different places already"
            ))),
        };
        let stream = match made {
            Ok(stream) => stream,
            Err(status) => {
                self.forget_if_unread(operation);
                return Err(status);
            }
        };
        attempt.followed.push(Followed {
            output,
            stream: stream.clone(),
            first: offset,
            readers: 1,
        });
        Ok((stream, fate))
    }

    /// Takes a reader away. Answers the worker to be told if the stream had no other.
    pub(super) fn unfollow(
        &mut self,
        operation: &OperationName,
        stream: &Arc<LogStream>,
        streams: &LogStreams,
    ) -> Option<WorkerId> {
        let attempt = self.by_operation.get_mut(operation)?;
        let at = attempt
            .followed
            .iter()
            .position(|followed| Arc::ptr_eq(&followed.stream, stream))?;
        attempt.followed[at].readers -= 1;
        if attempt.followed[at].readers > 0 {
            return None;
        }
        streams.remove(&attempt.followed.swap_remove(at).stream);
        let worker = attempt.worker.clone();
        self.forget_if_unread(operation);
        Some(worker)
    }

    /// To be called whenever an operation has changed: an attempt that is over is told to its readers. Answers the
    /// worker that need not send any more.
    pub(super) fn changed(
        &mut self,
        name: &OperationName,
        streams: &LogStreams,
        look: impl FnOnce() -> (Option<OperationView>, Option<LeaseId>),
    ) -> Option<WorkerId> {
        // Most are not read: a look at an operation costs more than this.
        let attempt = self.by_operation.get(name)?;
        let fate = match look() {
            (
                Some(OperationView {
                    response: Some(response),
                    ..
                }),
                _,
            ) => Fate::Finished(response),
            (Some(view), None) if view.stage == Stage::Executing => return None,
            (Some(_), Some(lease)) if lease == attempt.lease => return None,
            _ => Fate::Lost,
        };
        attempt.fate.send_replace(fate);
        for followed in &attempt.followed {
            streams.remove(&followed.stream);
        }
        let worker = attempt.worker.clone();
        self.forget(name);
        Some(worker)
    }

    /// What a worker is to send, by lease; nothing for most.
    pub(super) fn wanted(&self, desired: &Desired) -> HashMap<LeaseId, Vec<proto::FollowedOutput>> {
        let mut wanted = HashMap::new();
        if self.by_lease.is_empty() {
            return wanted;
        }
        for (lease, _, _) in desired {
            let operations = self.by_lease.get(lease).into_iter().flatten();
            let attempts = operations.filter_map(|operation| self.by_operation.get(operation));
            let outputs: Vec<_> = attempts
                .flat_map(|attempt| &attempt.followed)
                .map(to_proto)
                .collect();
            if !outputs.is_empty() {
                wanted.insert(*lease, outputs);
            }
        }
        wanted
    }

    fn forget_if_unread(&mut self, name: &OperationName) {
        if self
            .by_operation
            .get(name)
            .is_some_and(|attempt| attempt.followed.is_empty())
        {
            self.forget(name);
        }
    }

    fn forget(&mut self, name: &OperationName) {
        let Some(attempt) = self.by_operation.remove(name) else {
            return;
        };
        if let Some(operations) = self.by_lease.get_mut(&attempt.lease) {
            operations.retain(|operation| operation != name);
            if operations.is_empty() {
                self.by_lease.remove(&attempt.lease);
            }
        }
    }
}

fn to_proto(followed: &Followed) -> proto::FollowedOutput {
    let output = match followed.output {
        CommandOutput::Stdout => proto::followed_output::Output::Stdout,
        CommandOutput::Stderr => proto::followed_output::Output::Stderr,
    };
    proto::FollowedOutput {
        output: output as i32,
        offset: followed.first,
        write_resource_name: followed.stream.write_name(),
    }
}
