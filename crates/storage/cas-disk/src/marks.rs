//! Which segments hold something promised, written down, so that a start knows what to be careful with.
//!
//! A file of segment numbers. It may name too many and is written anew when it has grown; what it misses could be
//! dropped after a restart although somebody was told that it is there, so a mark is written before the answer goes out.
//! It is not synced: a question would wait for the disk, which it is not asked for otherwise. So a power cut may end
//! promises; it takes nothing away by itself.
//!
//! Where writing fails, on a disk that is full to the last block, the promise still holds until the process ends: to say
//! nothing at all would stop every build, and to refuse to make room would keep the disk full.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::volume::{Volume, VolumeFile};

const FILE: &str = "marks";
const FILE_NEXT: &str = "marks.next";
/// The file is written anew when it names so many more than necessary.
const SURPLUS_MAX: usize = 256;

pub(crate) struct Marks {
    volume: Arc<dyn Volume>,
    state: Mutex<State>,
}

struct State {
    file: Arc<dyn VolumeFile>,
    marked: HashSet<u64>,
    length: u64,
}

impl Marks {
    /// Opens the file and reads what an earlier process left, in the order in which it was noted.
    pub(crate) fn open(volume: Arc<dyn Volume>) -> io::Result<(Self, Vec<u64>)> {
        let names = volume.list()?;
        let exists = names.iter().any(|name| name == FILE);
        if names.iter().any(|name| name == FILE_NEXT) {
            volume.remove(FILE_NEXT)?;
        }
        let file = if exists {
            volume.open(FILE)?
        } else {
            volume.create(FILE)?
        };
        let length = file.length()? / 8 * 8;
        let bytes = file.read_at(0, length as usize)?;
        let marked: Vec<u64> = bytes
            .chunks_exact(8)
            .map(|number| crate::record::u64_at(number, 0))
            .collect();
        let state = State {
            file,
            marked: marked.iter().copied().collect(),
            length,
        };
        let marks = Marks {
            volume,
            state: Mutex::new(state),
        };
        Ok((marks, marked))
    }

    /// Notes segments. Survives the death of the process, as a promise does, and not of the machine.
    pub(crate) fn add(&self, segments: &[u64]) {
        if segments.is_empty() {
            return;
        }
        if let Err(error) = self.write(segments) {
            tracing::warn!(path = %self.volume.path().display(), %error, "what is promised could not be noted; it is kept until farrier stops");
        }
    }

    fn write(&self, segments: &[u64]) -> io::Result<()> {
        let mut state = self.state.lock();
        let mut bytes = Vec::new();
        for segment in segments {
            if !state.marked.contains(segment) {
                bytes.extend_from_slice(&segment.to_le_bytes());
            }
        }
        state.file.write_at(state.length, &bytes)?;
        state.length += bytes.len() as u64;
        state.marked.extend(segments);
        Ok(())
    }

    /// Writes the file anew if it names many segments that are no longer in `wanted`.
    pub(crate) fn tidy(&self, wanted: impl FnOnce() -> Vec<u64>) {
        if let Err(error) = self.rewrite(wanted) {
            tracing::warn!(path = %self.volume.path().display(), %error, "the list of what is promised could not be shortened");
        }
    }

    fn rewrite(&self, wanted: impl FnOnce() -> Vec<u64>) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.marked.len() < SURPLUS_MAX {
            return Ok(());
        }
        let wanted = wanted();
        if state.marked.len() < wanted.len() + SURPLUS_MAX {
            return Ok(());
        }
        // Overwritten in place by a crash half way it would miss some: the old one stays until the new one is whole.
        if self.volume.list()?.iter().any(|name| name == FILE_NEXT) {
            // Left by a try that failed.
            self.volume.remove(FILE_NEXT)?;
        }
        let file = self.volume.create(FILE_NEXT)?;
        let bytes: Vec<u8> = wanted.iter().flat_map(|segment| segment.to_le_bytes()).collect();
        file.write_at(0, &bytes)?;
        self.volume.rename(FILE_NEXT, FILE)?;
        *state = State {
            file,
            marked: wanted.into_iter().collect(),
            length: bytes.len() as u64,
        };
        Ok(())
    }
}
