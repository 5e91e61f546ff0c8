//! Who reads a log stream: an offset that moves on. No task and no buffer: a reader that stops reading costs nothing.

use std::sync::Arc;

use blob::Digest;
use bytes::Bytes;
use tokio::sync::watch;
use tonic::Status;

use super::LogStream;
use super::stream::Look;

/// A place in a log stream.
pub(crate) struct LogReader {
    stream: Arc<LogStream>,
    changes: watch::Receiver<()>,
    number: u64,
    offset: u64,
}

/// What comes next.
pub(crate) enum Next {
    /// These bytes.
    Bytes(Bytes),
    /// All the rest is in this blob, from this offset on.
    Stored(Digest, u64),
    /// Nothing: the stream has ended.
    End,
}

impl LogReader {
    /// Begins at `offset`, which may be past what is written yet.
    pub(crate) fn new(stream: Arc<LogStream>, offset: u64) -> Self {
        LogReader {
            changes: stream.changes(),
            number: stream.reader_came(offset),
            stream,
            offset,
        }
    }

    /// What is there already, without waiting. OUT_OF_RANGE if it is no longer kept, ABORTED if the writer
    /// has left a stream unfinished.
    pub(crate) fn ready(&mut self) -> Result<Option<Next>, Status> {
        // First, so that what comes after the look is not slept through.
        self.changes.mark_unchanged();
        Ok(Some(match self.stream.look(self.offset) {
            Look::Later => return Ok(None),
            Look::Never(status) => return Err(status),
            Look::End => Next::End,
            Look::Stored(digest, offset) => Next::Stored(digest, offset),
            Look::Bytes(bytes) => {
                self.offset += bytes.len() as u64;
                self.stream.reader_is_at(self.number, self.offset);
                Next::Bytes(bytes)
            }
        }))
    }

    /// Returns when there may be more to see.
    pub(crate) async fn changed(&mut self) {
        // The sender lives as long as the stream.
        let _changed = self.changes.changed().await;
    }

    /// Waits for what comes next.
    pub(crate) async fn next(&mut self) -> Result<Next, Status> {
        loop {
            if let Some(next) = self.ready()? {
                return Ok(next);
            }
            self.changed().await;
        }
    }
}

impl Drop for LogReader {
    fn drop(&mut self) {
        self.stream.reader_left(self.number);
    }
}
