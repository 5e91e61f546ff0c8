//! The one thread that writes: it gathers what waits, writes it at once, syncs once, and tells everybody.
//!
//! It alone knows the segment in use, keeps the books of the room, and drops segments (`evict.rs`), so none of that
//! needs a lock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cas::StoreError;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::active::{Active, Placed};
use crate::footer::footer_bytes;
use crate::index::{Slot, Stamp};
use crate::key::Key;
use crate::leases::Ticket;
use crate::options::{Durability, on_disk_bytes};
use crate::record::{ALIGNMENT, Kind};
use crate::room::{Room, TakenRoom};
use crate::segment::{NewSegment, Segment, file_name};
use crate::store::{Booking, Store, now_ms};
use crate::volume::{Volume, VolumeFile};

/// Operations and bytes that are written together at most: enough to make a sync cheap for each, little enough that
/// nobody waits long for the others.
const BATCH_OPERATIONS_MAX: usize = 4096;
const BATCH_BYTES_MAX: usize = 8 << 20;

/// How an answer comes back.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the writer is asked to do.
pub(crate) enum Operation {
    /// Append a record.
    Append(Append),
    /// Set room aside for a segment of one large blob.
    Reserve { bytes: u64, reply: Reply<Room> },
    /// Make a finished segment of one blob visible.
    Publish(Publish),
}

pub(crate) struct Append {
    pub(crate) key: Key,
    pub(crate) kind: Kind,
    pub(crate) record: Vec<u8>,
    /// Whether an entry that is there already stays as it is.
    pub(crate) keep: bool,
    /// `None` for what is promised to nobody.
    pub(crate) ticket: Option<Ticket>,
    pub(crate) reply: Reply<()>,
    /// The room in the queue that this takes.
    pub(crate) permit: OwnedSemaphorePermit,
}

pub(crate) struct Publish {
    pub(crate) key: Key,
    pub(crate) ticket: Ticket,
    pub(crate) room: Room,
    /// Bytes of the file, and of the record in it.
    pub(crate) file_bytes: u64,
    pub(crate) record_bytes: u64,
    pub(crate) file: Arc<dyn VolumeFile>,
    pub(crate) reply: Reply<()>,
}

pub(crate) struct Writer {
    pub(crate) store: Arc<Store>,
    pub(crate) active: Option<Active>,
    /// Finished segments, the next to go first.
    pub(crate) order: BTreeMap<u64, Arc<Segment>>,
    pub(crate) next_order: u64,
    pub(crate) next_number: u64,
    /// Bytes of all segments and reservations.
    pub(crate) held_bytes: u64,
    /// Until when it is known that nothing can go.
    pub(crate) full_until: Duration,
}

/// An append that has its place and waits for the disk.
struct Waiting {
    append: Append,
    placed: Placed,
}

impl Writer {
    /// Works until every sender is gone, then finishes the segment in use.
    pub(crate) fn run(mut self, mut operations: mpsc::Receiver<Operation>) {
        while let Some(first) = operations.blocking_recv() {
            let mut batch = vec![first];
            let mut bytes = 0;
            while batch.len() < BATCH_OPERATIONS_MAX && bytes < BATCH_BYTES_MAX {
                let Ok(next) = operations.try_recv() else { break };
                if let Operation::Append(append) = &next {
                    bytes += append.record.len();
                }
                batch.push(next);
            }
            self.work(batch);
        }
        if let Err(error) = self.seal() {
            tracing::warn!(kind = self.store.name, %error, "the segment in use could not be finished; the next start reads it through");
        }
    }

    /// Does a batch. Every operation gets its answer.
    pub(crate) fn work(&mut self, batch: Vec<Operation>) {
        self.held_bytes -= self.store.counters.released_bytes.swap(0, Ordering::Relaxed);
        let mut waiting = Vec::new();
        let mut publishing = Vec::new();
        for operation in batch {
            match operation {
                Operation::Append(append) => self.place(append, &mut waiting),
                Operation::Reserve { bytes, reply } => answer(reply, self.reserve(bytes)),
                Operation::Publish(publish) => publishing.push(publish),
            }
        }
        self.settle(&mut waiting);
        self.publish(publishing);
        self.tell();
    }

    /// Lets others see what is held. Comes before an answer, so that whoever has it sees what came of it.
    fn tell(&self) {
        self.store
            .counters
            .held_bytes
            .store(self.held_bytes, Ordering::Relaxed);
    }

    /// Gives a record its place in the segment in use, or in a new one.
    fn place(&mut self, append: Append, waiting: &mut Vec<Waiting>) {
        if append.keep && self.is_kept(&append) {
            // On behalf of whoever sent it: this thread works for no build.
            if let Some(ticket) = append.ticket {
                self.store.promise_under(ticket, append.key);
            }
            return answer(append.reply, Ok(()));
        }
        if append.kind == Kind::Tombstone && self.is_back(append.key, waiting) {
            return answer(append.reply, Ok(()));
        }
        if let Err(error) = self.make_place(append.record.len() as u64, waiting) {
            return answer(append.reply, Err(error));
        }
        let active = self.active.as_mut().expect("make_place made one");
        let placed = active.push(append.key, append.kind, &append.record);
        waiting.push(Waiting { append, placed });
    }

    /// Whether somebody else was faster. A recipe does not count: it is replaced by the whole.
    fn is_kept(&self, append: &Append) -> bool {
        let there = self.store.index.get(append.key);
        there.is_some_and(|slot| !slot.stamp.is_recipe())
    }

    /// Whether an entry that was dropped has been put again since: a tombstone behind it would end it with the next start.
    fn is_back(&mut self, key: Key, waiting: &mut Vec<Waiting>) -> bool {
        self.settle(waiting);
        self.store.index.get(key).is_some()
    }

    /// Makes sure that the segment in use takes a record of so many bytes. What waits for the one before is settled.
    fn make_place(&mut self, record_bytes: u64, waiting: &mut Vec<Waiting>) -> Result<(), StoreError> {
        if self
            .active
            .as_ref()
            .is_some_and(|active| active.fits(record_bytes))
        {
            return Ok(());
        }
        self.settle(waiting);
        self.seal()?;
        let room_bytes = self.room_for(record_bytes);
        self.make_room(room_bytes)?;
        // What was carried forward went into a segment that may have room left.
        if self
            .active
            .as_ref()
            .is_some_and(|active| active.fits(record_bytes))
        {
            return Ok(());
        }
        self.seal()?;
        self.open_segment(room_bytes)
    }

    /// Bytes of the segment that a record of so many bytes may begin: that of all, or its own if it is larger.
    pub(crate) fn room_for(&self, record_bytes: u64) -> u64 {
        self.store
            .sizes
            .segment_bytes
            .max(on_disk_bytes(record_bytes + footer_bytes(1)))
    }

    /// Begins a new segment. Its room has been made, or is that which is kept spare.
    pub(crate) fn open_segment(&mut self, room_bytes: u64) -> Result<(), StoreError> {
        let volume = self.emptiest_volume();
        let number = self.take_number();
        let name = file_name(number);
        let failed = |error| write_failed(&volume.path().join(&name).display(), room_bytes, error);
        let file = volume.create(&name).map_err(failed)?;
        if self.is_durable() {
            volume.sync_names().map_err(failed)?;
        }
        let segment = self.store.segments.add(NewSegment {
            number,
            is_solo: false,
            created_ms: now_ms(),
            created_lease: self.store.leases.last_number(),
            volume,
            bytes: room_bytes,
            file: Some(file.clone()),
        });
        self.held_bytes += room_bytes;
        self.active = Some(Active::new(segment, file));
        Ok(())
    }

    /// Writes and syncs what has its place, makes it visible and answers. After this nothing waits.
    fn settle(&mut self, waiting: &mut Vec<Waiting>) {
        if waiting.is_empty() {
            return;
        }
        let written = self.flush();
        self.tell();
        for Waiting { append, placed } in waiting.drain(..) {
            let Append {
                key,
                kind,
                ticket,
                reply,
                permit,
                ..
            } = append;
            let done = match &written {
                Ok(()) if kind == Kind::Tombstone => Ok(()),
                Ok(()) => {
                    self.show(key, kind, placed.segment, placed.offset, placed.length, ticket);
                    Ok(())
                }
                Err(error) => Err(error.clone()),
            };
            answer(reply, done);
            drop(permit);
        }
    }

    /// Everything placed so far is on the disk, as durably as was asked for. After a failure the segment is not used
    /// any more: what a failed sync left behind cannot be told, and trying again would say "done" about nothing.
    pub(crate) fn flush(&mut self) -> Result<(), StoreError> {
        let is_durable = self.is_durable();
        let Some(active) = &mut self.active else {
            return Ok(());
        };
        let flushed = active.flush(is_durable);
        if let Err(error) = &flushed {
            tracing::error!(kind = self.store.name, segment = active.segment().path(), %error,
                "writing failed; the segment is closed and another one begun");
            self.abandon();
        }
        flushed
    }

    /// Makes a written record visible.
    fn show(&mut self, key: Key, kind: Kind, segment: u32, offset: u64, length: u64, ticket: Option<Ticket>) {
        let number = ticket.map_or(crate::leases::NOBODY, |ticket| ticket.number);
        let slot = Slot {
            segment,
            offset: (offset / ALIGNMENT) as u32,
            length: (length / ALIGNMENT) as u32,
            stamp: Stamp::new(number, kind == Kind::Recipe),
        };
        let before = self.store.index.insert(key, slot, |_| false);
        let Some(ticket) = ticket else { return };
        let mut booking = Booking::new(ticket);
        booking.took(segment, length);
        if let Some(before) = before {
            booking.left(before.stamp.lease(), before.length_bytes());
        }
        self.store.book(booking);
    }

    /// Finishes the segment in use.
    pub(crate) fn seal(&mut self) -> Result<(), StoreError> {
        self.flush()?;
        let Some(active) = self.active.take() else {
            return Ok(());
        };
        let is_durable = self.is_durable();
        self.held_bytes -= active.room_bytes();
        let (segment, sealed) = active.seal(self.store.keys.seed(), is_durable);
        self.held_bytes += segment.bytes();
        match sealed {
            Ok(None) => {
                self.forget(&segment);
                return Ok(());
            }
            Ok(Some(())) => {}
            // Its records are as good as before; only the next start takes longer.
            Err(error) => {
                tracing::warn!(kind = self.store.name, segment = segment.path(), %error,
                    "a segment has no footer; the next start reads it through");
            }
        }
        self.enqueue(segment);
        Ok(())
    }

    /// Gives up the segment in use after a failure.
    fn abandon(&mut self) {
        if let Some(active) = self.active.take() {
            self.held_bytes -= active.room_bytes();
            let segment = active.abandon(self.store.keys.seed());
            self.held_bytes += segment.bytes();
            self.enqueue(segment);
        }
    }

    /// The youngest of all.
    pub(crate) fn enqueue(&mut self, segment: Arc<Segment>) {
        segment.set_place(self.next_order);
        self.order.insert(self.next_order, segment);
        self.next_order += 1;
    }

    /// Takes an empty or emptied segment away, which has no place in the order any more.
    pub(crate) fn forget(&mut self, segment: &Arc<Segment>) {
        self.store.segments.remove(segment.id);
        self.held_bytes -= segment.bytes();
        if let Err(error) = segment.volume.remove(&segment.name()) {
            tracing::warn!(segment = segment.path(), %error, "a segment that is no longer needed cannot be removed; the next start reads it again");
        }
    }

    fn reserve(&mut self, bytes: u64) -> Result<Room, StoreError> {
        self.make_room(bytes)?;
        self.held_bytes += bytes;
        let (number, volume) = (self.take_number(), self.emptiest_volume());
        Ok(Room::new(self.store.clone(), number, volume, bytes))
    }

    /// Makes large blobs visible; their files have been synced by whoever wrote them, their names are synced here.
    fn publish(&mut self, publishing: Vec<Publish>) {
        let mut named: Vec<Result<(), StoreError>> = Vec::new();
        if !publishing.is_empty() && self.is_durable() {
            for volume in &self.store.volumes {
                let concerned = publishing
                    .iter()
                    .any(|publish| publish.room.volume().path() == volume.path());
                if concerned && let Err(error) = volume.sync_names() {
                    named.push(Err(write_failed(&volume.path().display(), 0, error)));
                }
            }
        }
        let failure = named.into_iter().find_map(Result::err);
        for publish in publishing {
            let Publish {
                key,
                ticket,
                room,
                file_bytes,
                record_bytes,
                file,
                reply,
            } = publish;
            let TakenRoom {
                number,
                volume,
                bytes: reserved_bytes,
            } = room.take();
            self.held_bytes -= reserved_bytes;
            let bytes = on_disk_bytes(file_bytes);
            self.held_bytes += bytes;
            let segment = self.store.segments.add(NewSegment {
                number,
                is_solo: true,
                created_ms: now_ms(),
                created_lease: self.store.leases.last_number(),
                volume,
                bytes,
                file: Some(file),
            });
            let published = match &failure {
                Some(error) => {
                    self.forget(&segment);
                    Err(error.clone())
                }
                None => {
                    self.show(key, Kind::Blob, segment.id, 0, record_bytes, Some(ticket));
                    self.enqueue(segment);
                    Ok(())
                }
            };
            self.tell();
            answer(reply, published);
        }
    }

    fn take_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    fn emptiest_volume(&self) -> Arc<dyn Volume> {
        let mut held = vec![0; self.store.volumes.len()];
        if held.len() > 1 {
            for segment in self.store.segments.all() {
                let at = self
                    .store
                    .volumes
                    .iter()
                    .position(|volume| volume.path() == segment.volume.path());
                if let Some(at) = at {
                    held[at] += segment.bytes();
                }
            }
        }
        let emptiest = (0..held.len()).min_by_key(|at| held[*at]).unwrap_or(0);
        self.store.volumes[emptiest].clone()
    }

    fn is_durable(&self) -> bool {
        self.store.options.durability == Durability::Disk
    }
}

/// Answers; whoever asked may have gone.
fn answer<T>(reply: Reply<T>, result: Result<T, StoreError>) {
    let _gone = reply.send(result).is_err();
}

/// What a failure to write `size_bytes` means to the caller.
pub(crate) fn write_failed(
    what: &dyn std::fmt::Display,
    size_bytes: u64,
    error: std::io::Error,
) -> StoreError {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => StoreError::NoSpace {
            size_bytes,
            reason: format!("{error} at {what}; free some, or give the store a smaller capacity"),
        },
        _ => StoreError::io(format!("writing {what}"), error),
    }
}

#[cfg(test)]
mod tests {
    use blob::{Digest, DigestFunction};
    use tokio::sync::Semaphore;

    use super::*;
    use crate::encode::{Compression, encode_record};
    use crate::format::read_or_write_format;
    use crate::record::Header;
    use crate::recover::{Recovered, recover};
    use crate::simulated::SimulatedVolume;

    fn opened(volume: &SimulatedVolume) -> Recovered {
        let options = crate::DiskOptions::new("", 4 << 20);
        let keys = read_or_write_format(volume).expect("nothing fails here");
        recover("blobs", options, keys, vec![Arc::new(volume.clone())]).expect("nothing fails here")
    }

    #[test]
    fn what_was_put_again_is_not_buried() {
        let digest = Digest::of(DigestFunction::Sha256, b"back again");
        let append = |store: &Store, kind: Kind| {
            let content: &[u8] = if kind == Kind::Blob { b"back again" } else { b"" };
            let header = Header {
                kind,
                digest,
                content_bytes: content.len() as u64,
                stored_bytes: 0,
                scope: 0,
            };
            let permit = Arc::new(Semaphore::new(1)).try_acquire_owned();
            Operation::Append(Append {
                key: store.keys.of(0, &digest),
                kind,
                record: encode_record(&header, content, Compression::None),
                keep: kind == Kind::Blob,
                ticket: None,
                reply: oneshot::channel().0,
                permit: permit.expect("it is free"),
            })
        };
        // Damage was found, and before that could be written down somebody put the blob: in the same batch, or before.
        for together in [true, false] {
            let volume = SimulatedVolume::new();
            let Recovered { store, mut writer } = opened(&volume);
            let (put, tombstone) = (append(&store, Kind::Blob), append(&store, Kind::Tombstone));
            if together {
                writer.work(vec![put, tombstone]);
            } else {
                writer.work(vec![put]);
                writer.work(vec![tombstone]);
            }
            let restarted = opened(&volume).store;
            let key = restarted.keys.of(0, &digest);
            assert!(restarted.index.get(key).is_some(), "together: {together}");
            // And one that nobody put again is.
            store.index.remove_if(store.keys.of(0, &digest), |_| true);
            writer.work(vec![append(&store, Kind::Tombstone)]);
            assert!(opened(&volume).store.index.get(key).is_none());
        }
    }
}
