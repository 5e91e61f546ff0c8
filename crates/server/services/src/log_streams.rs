//! Log streams: bytes that are read while they are still written.
//!
//! `stream.rs` is one of them, `reader.rs` who reads one, this file all of them together. They are written and read by
//! ByteStream (`byte_stream/log_stream.rs`), made by CreateLogStream, and for the outputs of running actions that
//! somebody reads (`execution/live_output.rs`).

mod create_log_stream;
mod reader;
mod room;
mod stream;

use std::collections::HashMap;
use std::sync::Arc;

use blob::{InstanceName, LogStreamName, LogStreamPart};
use parking_lot::Mutex;
use tasks::{CancellationToken, Group};
use tokio::time::Instant;
use tonic::{Code, Status};
use uuid::Uuid;

pub use self::create_log_stream::LogStreamService;
pub(crate) use self::reader::{LogReader, Next};
use self::room::Room;
pub(crate) use self::stream::{Keeps, LogStream};
use crate::limits::{LOG_STREAMS_MAX, LOG_STREAMS_SWEPT_EVERY};
use crate::status;

/// All log streams of a server, in its memory: a restart forgets them. Cheap to clone; all clones are one.
///
/// Their number and their bytes are bounded (`limits.rs`); a finished one is a blob, and takes no memory.
#[derive(Clone)]
pub struct LogStreams {
    shared: Arc<Shared>,
}

struct Shared {
    by_id: Mutex<HashMap<String, Arc<LogStream>>>,
    room: Arc<Room>,
    stopping: CancellationToken,
}

impl LogStreams {
    /// None yet. `group` gets the task that forgets those whose time is over.
    pub fn start(group: &Group) -> Self {
        let streams = LogStreams {
            shared: Arc::new(Shared {
                by_id: Mutex::default(),
                room: Arc::default(),
                stopping: group.stopping(),
            }),
        };
        group.spawn("log streams", streams.clone().sweep());
        streams
    }

    /// A new one. RESOURCE_EXHAUSTED if there are too many that are not finished.
    pub(crate) fn create(&self, instance: &InstanceName, keeps: Keeps) -> Result<Arc<LogStream>, Status> {
        let id = Uuid::new_v4().to_string();
        // From the system's source of randomness: as good as a key of 122 bits.
        let secret = Uuid::new_v4().to_string();
        let stream = LogStream::new(
            instance.clone(),
            id.clone(),
            secret,
            keeps,
            self.shared.room.clone(),
        );
        let stream = Arc::new(stream);
        let mut by_id = self.shared.by_id.lock();
        if by_id.len() >= LOG_STREAMS_MAX {
            let oldest = by_id
                .iter()
                .filter_map(|(id, stream)| Some((stream.finished_at()?, id.clone())))
                .min();
            let Some((_, oldest)) = oldest else {
                return Err(status::overloaded(format!(
                    "{LOG_STREAMS_MAX} log streams are being written already"
                )));
            };
            by_id.remove(&oldest);
        }
        by_id.insert(id, stream.clone());
        Ok(stream)
    }

    /// The stream with this name, for reading. NOT_FOUND if there is none, or none any more.
    pub(crate) fn to_read(&self, name: &LogStreamName) -> Result<Arc<LogStream>, Status> {
        self.find(name).ok_or_else(|| unknown(name))
    }

    /// The stream with this name, for writing, which takes the name with the secret: a wrong one is as good as an unknown
    /// stream.
    pub(crate) fn to_write(&self, name: &LogStreamName) -> Result<Arc<LogStream>, Status> {
        let LogStreamPart::Write { secret } = &name.part else {
            return Err(status::invalid(format!(
                "`{name}` is the name to read a log stream by; it is written by its write_resource_name"
            )));
        };
        let found = self.find(name).filter(|stream| stream.has_secret(secret));
        found.ok_or_else(|| unknown(name))
    }

    /// Forgets one. Whoever reads it gets what is kept, then the end; whoever writes it is told that it is gone.
    pub(crate) fn remove(&self, stream: &LogStream) {
        self.shared.by_id.lock().remove(stream.id());
        stream.close();
    }

    /// Fires when the server ends: nobody waits for a log stream then.
    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.shared.stopping
    }

    fn find(&self, name: &LogStreamName) -> Option<Arc<LogStream>> {
        let stream = self.shared.by_id.lock().get(&name.id).cloned();
        stream.filter(|stream| *stream.instance() == name.instance)
    }

    async fn sweep(self) {
        loop {
            tokio::select! {
                () = self.shared.stopping.cancelled() => return,
                () = tokio::time::sleep(LOG_STREAMS_SWEPT_EVERY) => self.forget_old(),
            }
        }
    }

    fn forget_old(&self) {
        let now = Instant::now();
        let mut old = Vec::new();
        self.shared.by_id.lock().retain(|_, stream| {
            let is_over = stream.is_over(now);
            if is_over {
                old.push(stream.clone());
            }
            !is_over
        });
        for stream in old {
            stream.close();
        }
    }
}

/// Without the secret, should the name have one.
fn unknown(name: &LogStreamName) -> Status {
    let name = LogStreamName {
        part: LogStreamPart::Read,
        ..name.clone()
    };
    let message = format!("log stream `{name}` is not known here (never made, or finished long ago)");
    status::status(Code::NotFound, message)
}

#[cfg(test)]
mod tests;
