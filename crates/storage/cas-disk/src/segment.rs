//! Segments: files of records, each written once from beginning to end and dropped as a whole.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::volume::{Volume, VolumeFile};

/// Files that are open at the same time; beyond it the one opened longest ago is closed. Whoever reads from it keeps
/// it until he has finished.
const OPEN_FILES_MAX: usize = 1024;
const SUFFIX: &str = ".segment";

/// One file of records.
pub(crate) struct Segment {
    /// What the index calls it; used again after it has gone.
    pub(crate) id: u32,
    /// Its name; never used again. A higher one is younger.
    pub(crate) number: u64,
    /// Holds one large blob and nothing else.
    pub(crate) is_solo: bool,
    /// Milliseconds since 1970.
    pub(crate) created_ms: u64,
    pub(crate) volume: Arc<dyn Volume>,
    /// The lease number given out last before it was made, or was last counted as young.
    since: AtomicU32,
    /// When that was, in milliseconds since 1970.
    young_ms: AtomicU64,
    /// Where it stands among those that make room, lowest first; behind all of them while it is in use.
    place: AtomicU64,
    /// What it counts for: its room while it is in use, then its length.
    bytes: AtomicU64,
    file: Mutex<Option<Arc<dyn VolumeFile>>>,
}

impl Segment {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn set_bytes(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn since(&self) -> u32 {
        self.since.load(Ordering::Relaxed)
    }

    pub(crate) fn young_ms(&self) -> u64 {
        self.young_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn count_as_young(&self, lease: u32, now_ms: u64) {
        self.since.store(lease, Ordering::Relaxed);
        self.young_ms.store(now_ms, Ordering::Relaxed);
    }

    pub(crate) fn place(&self) -> u64 {
        self.place.load(Ordering::Relaxed)
    }

    pub(crate) fn set_place(&self, place: u64) {
        self.place.store(place, Ordering::Relaxed);
    }

    pub(crate) fn name(&self) -> String {
        file_name(self.number)
    }

    /// For errors and logs.
    pub(crate) fn path(&self) -> String {
        self.volume.path().join(self.name()).display().to_string()
    }
}

pub(crate) fn file_name(number: u64) -> String {
    format!("{number:016x}{SUFFIX}")
}

/// The number of the segment in a file of this name.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    (file_name(number) == name).then_some(number)
}

/// All segments of a store, by id.
#[derive(Default)]
pub(crate) struct Segments {
    by_id: RwLock<Vec<Option<Arc<Segment>>>>,
    free: Mutex<Vec<u32>>,
    opened: Mutex<VecDeque<Arc<Segment>>>,
}

/// What a new segment is told about itself.
pub(crate) struct NewSegment {
    pub(crate) number: u64,
    pub(crate) is_solo: bool,
    pub(crate) created_ms: u64,
    pub(crate) created_lease: u32,
    pub(crate) volume: Arc<dyn Volume>,
    pub(crate) bytes: u64,
    pub(crate) file: Option<Arc<dyn VolumeFile>>,
}

impl Segments {
    /// Adds a segment.
    pub(crate) fn add(&self, new: NewSegment) -> Arc<Segment> {
        let NewSegment {
            number,
            is_solo,
            created_ms,
            created_lease,
            volume,
            bytes,
            file,
        } = new;
        let is_open = file.is_some();
        let mut by_id = self.by_id.write();
        let id = self.free.lock().pop().unwrap_or_else(|| {
            by_id.push(None);
            (by_id.len() - 1) as u32
        });
        let segment = Arc::new(Segment {
            id,
            number,
            is_solo,
            created_ms,
            volume,
            since: AtomicU32::new(created_lease),
            young_ms: AtomicU64::new(created_ms),
            place: AtomicU64::new(u64::MAX),
            bytes: AtomicU64::new(bytes),
            file: Mutex::new(file),
        });
        by_id[id as usize] = Some(segment.clone());
        drop(by_id);
        if is_open {
            self.note_open(&segment);
        }
        segment
    }

    pub(crate) fn get(&self, id: u32) -> Option<Arc<Segment>> {
        self.by_id.read().get(id as usize)?.clone()
    }

    /// Forgets a segment that no entry is in any more.
    pub(crate) fn remove(&self, id: u32) {
        if let Some(place) = self.by_id.write().get_mut(id as usize)
            && place.take().is_some()
        {
            self.free.lock().push(id);
        }
        self.opened.lock().retain(|segment| segment.id != id);
    }

    pub(crate) fn all(&self) -> Vec<Arc<Segment>> {
        self.by_id.read().iter().flatten().cloned().collect()
    }

    /// The segment's file.
    pub(crate) fn open(&self, segment: &Arc<Segment>) -> io::Result<Arc<dyn VolumeFile>> {
        let mut slot = segment.file.lock();
        if let Some(file) = &*slot {
            return Ok(file.clone());
        }
        let file = segment.volume.open(&segment.name())?;
        *slot = Some(file.clone());
        drop(slot);
        self.note_open(segment);
        Ok(file)
    }

    fn note_open(&self, segment: &Arc<Segment>) {
        let closing = {
            let mut opened = self.opened.lock();
            opened.push_back(segment.clone());
            (opened.len() > OPEN_FILES_MAX)
                .then(|| opened.pop_front())
                .flatten()
        };
        if let Some(segment) = closing {
            segment.file.lock().take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_numbers_and_nothing_else_is() {
        for number in [0, 1, 0xabc, u64::MAX] {
            assert_eq!(number_of(&file_name(number)), Some(number));
        }
        for name in [
            "",
            "lock",
            "1.segment",
            "000000000000000G.segment",
            "+00000000000000a.segment",
            "00000000000000aB.segment",
        ] {
            assert_eq!(number_of(name), None, "{name}");
        }
    }
}
