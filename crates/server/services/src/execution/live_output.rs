//! The output of an action while it runs (checklist E31).
//!
//! Nothing travels unless somebody reads: a reader makes a log stream, the worker is told of it in its desired state and
//! appends to it what the command prints. When the action is over the rest comes from its result, which has all of it. A
//! reader of an attempt that was lost gets what it printed, then the end; whoever reads again reads the next attempt from
//! its start.

use std::sync::Arc;

use blob::{CommandOutput, Digest, LogStreamName, LogStreamPart};
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use reapi::execution::ExecuteResponse;
use scheduler::{OperationName, Work};
use tokio::sync::watch;
use tonic::{Code, Status};

use super::SchedulerActor;
use super::follows::Fate;
use crate::byte_stream::blob_from;
use crate::log_streams::{LogReader, LogStream, Next};
use crate::status;

type Data = BoxStream<'static, Result<Bytes, Status>>;

const OPERATIONS: &str = "operations/";
const LOG_STREAMS: &str = "logstreams/";

/// What an output of this operation is called on ByteStream: the same over restarts of the server.
pub(super) fn stream_name(operation: &OperationName, output: CommandOutput) -> String {
    let name = operation.as_str();
    let (instance, id) = name.rsplit_once(OPERATIONS).unwrap_or(("", name));
    format!("{instance}{LOG_STREAMS}{id}/{}", output.as_str())
}

fn operation_name(name: &LogStreamName) -> OperationName {
    let read = LogStreamName {
        part: LogStreamPart::Read,
        ..name.clone()
    };
    let read = read.to_string();
    let (instance, id) = read.rsplit_once(LOG_STREAMS).unwrap_or(("", &read));
    OperationName::new(format!("{instance}{OPERATIONS}{id}"))
}

/// Waits for the action to begin if it has not. NOT_FOUND if there is no such operation, or none any more.
pub(crate) fn read(
    actor: &SchedulerActor,
    name: &LogStreamName,
    output: CommandOutput,
    offset: u64,
) -> Result<Data, Status> {
    let operation = operation_name(name);
    let mut reader = Reader {
        changes: Some(actor.watch_operation(&operation)),
        actor: actor.clone(),
        operation,
        output,
        offset,
        place: Place::Before,
    };
    // What cannot be read is the answer to the call, not the end of a stream that seemed to begin well.
    reader.look()?;
    let pieces = stream::try_unfold(reader, |mut reader| async {
        let piece = reader.next().await?;
        Ok(piece.map(|piece| (piece, reader)))
    });
    Ok(pieces.boxed())
}

/// What there is to read of an operation's output.
pub(super) enum Outlook {
    /// No such operation.
    Unknown,
    /// Nothing just now: it is queued, or its result is being stored.
    Later,
    /// A worker has it.
    Live(Following),
    /// All there will ever be.
    Over(Arc<Work>, Arc<ExecuteResponse>),
}

/// One reader of a running attempt. Dropping it lets the worker know that it need not send any more.
pub(super) struct Following {
    pub(super) actor: SchedulerActor,
    pub(super) operation: OperationName,
    pub(super) work: Arc<Work>,
    pub(super) stream: Arc<LogStream>,
    pub(super) reader: LogReader,
    pub(super) fate: watch::Receiver<Fate>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.actor.unfollow(&self.operation, &self.stream);
    }
}

struct Reader {
    actor: SchedulerActor,
    operation: OperationName,
    output: CommandOutput,
    /// Of the next byte, from the start of the attempt's output.
    offset: u64,
    changes: Option<watch::Receiver<()>>,
    place: Place,
}

enum Place {
    /// Nobody runs it yet, or nobody any more.
    Before,
    Live(Box<Following>),
    /// The rest is in the result.
    Rest(Data),
}

impl Reader {
    /// Goes on from [`Place::Before`] if it can.
    fn look(&mut self) -> Result<(), Status> {
        if let Some(changes) = &mut self.changes {
            changes.mark_unchanged();
        }
        match self.actor.follow(&self.operation, self.output, self.offset)? {
            Outlook::Unknown => {
                let message = format!(
                    "operation `{}` is not known here (finished long ago, or before a restart)",
                    self.operation
                );
                return Err(status::status(Code::NotFound, message));
            }
            Outlook::Later => {}
            Outlook::Live(following) => self.place = Place::Live(Box::new(following)),
            Outlook::Over(work, response) => self.place = Place::Rest(self.rest(&work, &response)?),
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            match &mut self.place {
                Place::Before => {
                    if let Some(changes) = &mut self.changes {
                        // The sender lives as long as this receiver.
                        let _changed = changes.changed().await;
                    }
                    self.look()?;
                }
                Place::Rest(rest) => return rest.try_next().await,
                Place::Live(following) => {
                    let ready = following.reader.ready();
                    // Looked at afterwards: a stream is closed only when the fate is known.
                    let fate = following.fate.borrow_and_update().clone();
                    match (ready, fate) {
                        (Ok(Some(Next::Bytes(bytes))), _) => {
                            self.offset += bytes.len() as u64;
                            return Ok(Some(bytes));
                        }
                        (_, Fate::Finished(response)) if response.result.is_some() => {
                            let work = following.work.clone();
                            self.place = Place::Rest(self.rest(&work, &response)?);
                        }
                        (Err(status), _) => return Err(status),
                        (Ok(Some(_)), _) => return Ok(None),
                        (Ok(None), Fate::Runs) => tokio::select! {
                            () = following.reader.changed() => {}
                            // The sender goes with a fate, which is seen then.
                            _ = following.fate.changed() => {}
                        },
                        // What has just come is read before the end.
                        (Ok(None), _) => following.reader.changed().await,
                    }
                }
            }
        }
    }

    /// What the result has of the output, from here on.
    fn rest(&self, work: &Work, response: &ExecuteResponse) -> Result<Data, Status> {
        let Some(result) = &response.result else {
            return Ok(stream::empty().boxed());
        };
        let (raw, digest) = match self.output {
            CommandOutput::Stdout => (&result.stdout_raw, &result.stdout_digest),
            CommandOutput::Stderr => (&result.stderr_raw, &result.stderr_digest),
        };
        let function = work.action_digest.digest().function();
        let digest = match digest {
            // What is inlined is all of it.
            Some(digest) if raw.is_empty() => {
                Some(Digest::from_proto(function, digest).map_err(status::digest_error)?)
            }
            _ => None,
        };
        let size_bytes = digest.map_or(raw.len() as u64, |digest| digest.size_bytes());
        if self.offset > size_bytes {
            let (offset, output) = (self.offset, self.output.as_str());
            let message = format!("read_offset {offset} is outside of the {size_bytes} bytes of {output}");
            return Err(status::status(Code::OutOfRange, message));
        }
        Ok(match digest {
            Some(digest) => {
                let instance = self.actor.instances().get(&work.instance)?;
                blob_from(instance.cas.clone(), digest, self.offset)
            }
            // Within the bytes, as was just checked.
            None => stream::iter([Ok(raw.slice(self.offset as usize..))]).boxed(),
        })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.changes = None;
        self.actor.unwatch_operation(&self.operation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_an_operations_outputs_lead_back_to_it() {
        let id = "0e02b2c3-58cc-4372-a567-0e02b2c3d479";
        for (operation, output) in [
            (format!("operations/{id}"), CommandOutput::Stdout),
            (format!("team/logstreams/operations/{id}"), CommandOutput::Stderr),
        ] {
            let operation = OperationName::new(operation);
            let name = stream_name(&operation, output);
            let parsed = LogStreamName::parse(&name).unwrap();
            assert_eq!(parsed.part, LogStreamPart::Output(output));
            assert_eq!(operation_name(&parsed), operation);
        }
    }
}
