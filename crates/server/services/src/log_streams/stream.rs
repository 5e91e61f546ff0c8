//! One log stream: the bytes that are kept, who reads them, and how it ended.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use blob::{Blob, Digest, DigestFunction, InstanceName, LogStreamName, LogStreamPart};
use bytes::Bytes;
use cas::BlobStore;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Status};

use super::room::Room;
use crate::limits::{
    FOLLOWED_OUTPUT_BYTES_MAX, FOLLOWED_OUTPUT_WAIT_MAX, LOG_STREAM_BYTES_MAX, LOG_STREAM_FINISHED_MAX,
    LOG_STREAM_IDLE_MAX, LOG_STREAM_PIECE_BYTES_MAX,
};
use crate::status;

/// Append-only bytes with a name.
pub(crate) struct LogStream {
    instance: InstanceName,
    id: String,
    secret: String,
    keeps: Keeps,
    room: Arc<Room>,
    state: Mutex<State>,
    /// Something was appended or read, or it has ended.
    changed: watch::Sender<()>,
}

/// What is kept of more bytes than there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// The newest ones; nobody waits.
    Newest,
    /// Those that somebody has still to read: the writer waits, for whom that costs nothing. Offsets count from the start
    /// of something longer, of which the stream has what comes after `first`.
    ForReaders {
        /// The offset of the stream's first byte.
        first: u64,
    },
}

struct State {
    /// Offset of the first byte that can still be read.
    first: u64,
    /// What is committed.
    end: u64,
    /// From `first` to `end`, until it is stored. Its memory may be twice that.
    kept: VecDeque<u8>,
    ended: Option<Ended>,
    /// Of each reader, how far it is.
    readers: HashMap<u64, u64>,
    last_reader: u64,
    /// Calls that are writing.
    writers: usize,
    touched: Instant,
}

#[derive(Clone, Copy)]
enum Ended {
    /// By its writer, and in memory.
    Finished,
    /// By its writer, and here.
    Stored(Digest),
    /// By us: its time is over, or nobody wants it.
    Closed,
}

/// What a reader finds at an offset.
pub(super) enum Look {
    Bytes(Bytes),
    /// Nothing yet.
    Later,
    /// The stream has ended here.
    End,
    /// In this blob, from this offset on.
    Stored(Digest, u64),
    /// Nothing will come: it is no longer kept, past the end, or was never finished.
    Never(Status),
}

impl LogStream {
    pub(super) fn new(
        instance: InstanceName,
        id: String,
        secret: String,
        keeps: Keeps,
        room: Arc<Room>,
    ) -> Self {
        let first = match keeps {
            Keeps::Newest => 0,
            Keeps::ForReaders { first } => first,
        };
        let state = State {
            first,
            end: first,
            kept: VecDeque::new(),
            ended: None,
            readers: HashMap::new(),
            last_reader: 0,
            writers: 0,
            touched: Instant::now(),
        };
        LogStream {
            instance,
            id,
            secret,
            keeps,
            room,
            state: Mutex::new(state),
            changed: watch::channel(()).0,
        }
    }

    pub(crate) fn instance(&self) -> &InstanceName {
        &self.instance
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// What readers call it.
    pub(crate) fn read_name(&self) -> String {
        self.name(LogStreamPart::Read)
    }

    /// What its writer calls it. Whoever knows it may write.
    pub(crate) fn write_name(&self) -> String {
        let secret = self.secret.clone();
        self.name(LogStreamPart::Write { secret })
    }

    fn name(&self, part: LogStreamPart) -> String {
        let name = LogStreamName {
            instance: self.instance.clone(),
            id: self.id.clone(),
            part,
        };
        name.to_string()
    }

    pub(super) fn has_secret(&self, secret: &str) -> bool {
        crate::workers::equal_in_constant_time(secret.as_bytes(), self.secret.as_bytes())
    }

    /// Bytes committed, and whether no more can follow.
    pub(crate) fn progress(&self) -> (u64, bool) {
        let state = self.state.lock();
        (state.end, state.ended.is_some())
    }

    /// Whether a reader at `offset` would get all that follows.
    pub(crate) fn reaches(&self, offset: u64) -> bool {
        let state = self.state.lock();
        state.ended.is_none() && state.first <= offset
    }

    /// Bytes may be appended at `offset`, and nowhere else. FAILED_PRECONDITION once the stream is finished.
    pub(crate) fn check_offset(&self, offset: u64) -> Result<(), Status> {
        self.check(&self.state.lock(), offset)
    }

    fn check(&self, state: &State, offset: u64) -> Result<(), Status> {
        match state.ended {
            None if offset == state.end => Ok(()),
            None => Err(status::status(
                Code::OutOfRange,
                format!(
                    "write_offset {offset} is not where the log stream ends: {} bytes are committed",
                    state.end
                ),
            )),
            Some(Ended::Closed) => Err(status::status(
                Code::NotFound,
                format!("nobody wants log stream `{}` any more", self.read_name()),
            )),
            Some(Ended::Finished | Ended::Stored(_)) => Err(status::status(
                Code::FailedPrecondition,
                format!(
                    "log stream `{}` is finished; nothing can be appended",
                    self.read_name()
                ),
            )),
        }
    }

    /// Commits bytes that follow the first `offset` ones.
    pub(crate) async fn append(&self, mut offset: u64, bytes: &[u8]) -> Result<(), Status> {
        for piece in bytes.chunks(LOG_STREAM_PIECE_BYTES_MAX) {
            self.append_piece(offset, piece).await?;
            offset += piece.len() as u64;
        }
        Ok(())
    }

    async fn append_piece(&self, offset: u64, piece: &[u8]) -> Result<(), Status> {
        let give_up_at = Instant::now() + FOLLOWED_OUTPUT_WAIT_MAX;
        let mut changes = self.changed.subscribe();
        loop {
            let is_late = Instant::now() >= give_up_at;
            {
                let mut state = self.state.lock();
                self.check(&state, offset)?;
                if self.make_room(&mut state, piece.len(), is_late) {
                    state.kept.extend(piece);
                    state.end += piece.len() as u64;
                    state.touched = Instant::now();
                    drop(state);
                    self.changed.send_replace(());
                    return Ok(());
                }
            }
            if is_late || self.keeps == Keeps::Newest {
                return Err(status::overloaded(
                    "the log streams of this server hold as many bytes as they may",
                ));
            }
            // Either way it is looked at again. The sender lives as long as this stream.
            let _changed_or_late = timeout_at(give_up_at, changes.changed()).await;
        }
    }

    /// Takes room for so many bytes, if need be at the cost of older ones; whether there is enough.
    fn make_room(&self, state: &mut State, bytes: usize, is_late: bool) -> bool {
        let bytes_max = match self.keeps {
            Keeps::Newest => LOG_STREAM_BYTES_MAX,
            Keeps::ForReaders { .. } => FOLLOWED_OUTPUT_BYTES_MAX,
        };
        let droppable = match self.keeps {
            Keeps::ForReaders { .. } if !is_late => {
                let read = state.readers.values().copied().min().unwrap_or(state.end);
                read.clamp(state.first, state.end) - state.first
            }
            _ => state.kept.len() as u64,
        };
        let excess = (state.kept.len() + bytes).saturating_sub(bytes_max);
        if excess as u64 > droppable {
            return false;
        }
        if self.room.take(bytes) {
            self.drop_oldest(state, excess);
            return true;
        }
        // As much room as is needed, out of its own.
        let swapped = bytes.max(excess);
        if swapped as u64 > droppable {
            return false;
        }
        self.drop_oldest(state, swapped);
        self.room.take(bytes)
    }

    fn drop_oldest(&self, state: &mut State, bytes: usize) {
        state.kept.drain(..bytes);
        state.first += bytes as u64;
        // Whose bytes these were is waited for no more.
        state.readers.retain(|_, at| *at >= state.first);
        self.room.give_back(bytes);
    }

    /// Nothing follows. Stores what is kept, so that it takes no memory any more; where that fails it stays in memory.
    pub(crate) async fn finish(&self, store: &dyn BlobStore) {
        let bytes: Bytes = {
            let mut state = self.state.lock();
            if state.ended.is_some() {
                return;
            }
            state.ended = Some(Ended::Finished);
            state.touched = Instant::now();
            state.kept.iter().copied().collect::<Vec<u8>>().into()
        };
        self.changed.send_replace(());
        let blob = Blob::from_bytes(DigestFunction::Sha256, bytes);
        let digest = blob.digest();
        if let Err(error) = store.put(blob).await {
            tracing::warn!(%error, stream = self.read_name(), "a finished log stream stays in memory");
            return;
        }
        let mut state = self.state.lock();
        if let Some(Ended::Finished) = state.ended {
            state.ended = Some(Ended::Stored(digest));
            self.room.give_back(state.kept.len());
            state.kept = VecDeque::new();
        }
    }

    /// Nothing follows, and nobody new comes.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        if state.ended.is_none() {
            state.ended = Some(Ended::Closed);
            drop(state);
            self.changed.send_replace(());
        }
    }

    /// Returns when the stream is closed.
    pub(crate) async fn closed(&self) {
        let mut changes = self.changed.subscribe();
        while !matches!(self.state.lock().ended, Some(Ended::Closed)) {
            // The sender lives as long as this stream.
            let _changed = changes.changed().await;
        }
    }

    /// When its writer finished it.
    pub(super) fn finished_at(&self) -> Option<Instant> {
        let state = self.state.lock();
        state.ended.is_some().then_some(state.touched)
    }

    /// Whether it need not be remembered any longer. What is read of actions is removed by its readers.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let state = self.state.lock();
        let quiet = now.saturating_duration_since(state.touched);
        match state.ended {
            Some(_) => quiet >= LOG_STREAM_FINISHED_MAX,
            None => self.keeps == Keeps::Newest && state.writers == 0 && quiet >= LOG_STREAM_IDLE_MAX,
        }
    }

    /// A call writes: while it does, the stream is not idle.
    pub(crate) fn writing(self: &Arc<Self>) -> Writing {
        self.state.lock().writers += 1;
        Writing { stream: self.clone() }
    }

    pub(super) fn look(&self, offset: u64) -> Look {
        let state = self.state.lock();
        if offset < state.first || (offset > state.end && state.ended.is_some()) {
            return Look::Never(status::status(
                Code::OutOfRange,
                format!(
                    "read_offset {offset} is outside of what is kept of this log: bytes {} to {}",
                    state.first, state.end
                ),
            ));
        }
        match state.ended {
            Some(Ended::Stored(digest)) => Look::Stored(digest, offset - state.first),
            _ if offset < state.end => {
                let start = (offset - state.first) as usize;
                let end = state.kept.len().min(start + LOG_STREAM_PIECE_BYTES_MAX);
                Look::Bytes(state.kept.range(start..end).copied().collect::<Vec<u8>>().into())
            }
            Some(Ended::Closed) if self.keeps == Keeps::Newest => Look::Never(status::status(
                Code::Aborted,
                "this log was never finished: its writer has been silent for too long",
            )),
            Some(_) => Look::End,
            None => Look::Later,
        }
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(super) fn reader_came(&self, offset: u64) -> u64 {
        let mut state = self.state.lock();
        state.last_reader += 1;
        let reader = state.last_reader;
        state.readers.insert(reader, offset);
        reader
    }

    pub(super) fn reader_is_at(&self, reader: u64, offset: u64) {
        self.state.lock().readers.insert(reader, offset);
        self.readers_changed();
    }

    pub(super) fn reader_left(&self, reader: u64) {
        self.state.lock().readers.remove(&reader);
        self.readers_changed();
    }

    fn readers_changed(&self) {
        if self.keeps != Keeps::Newest {
            self.changed.send_replace(());
        }
    }
}

impl Drop for LogStream {
    fn drop(&mut self) {
        self.room.give_back(self.state.get_mut().kept.len());
    }
}

/// A call that writes.
pub(crate) struct Writing {
    stream: Arc<LogStream>,
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut state = self.stream.state.lock();
        state.writers -= 1;
        state.touched = Instant::now();
    }
}
