//! Which files are there, and which of them may go.

use std::collections::HashMap;

use cas::Lru;
use tokio_util::sync::CancellationToken;

use super::FileId;

#[derive(Default)]
pub(super) struct State {
    /// May be evicted, weighed by size.
    pub(super) idle: Lru<FileId, ()>,
    /// In use: by how many placements.
    pub(super) held: HashMap<FileId, usize>,
    pub(super) held_bytes: u64,
    /// Being fetched; cancelled when that has ended, well or not.
    pub(super) in_flight: HashMap<FileId, CancellationToken>,
}

impl State {
    /// Holds a file once more, if it is here.
    pub(super) fn hold(&mut self, file: &FileId) -> bool {
        if let Some(holders) = self.held.get_mut(file) {
            *holders += 1;
            return true;
        }
        if self.idle.remove(file).is_none() {
            return false;
        }
        self.held.insert(*file, 1);
        self.held_bytes += file.digest.size_bytes();
        true
    }

    /// Holds a file that has just been written. It may be here already: written twice when one of two fetches was
    /// given up after its last byte.
    pub(super) fn add(&mut self, file: &FileId) {
        if !self.hold(file) {
            self.held.insert(*file, 1);
            self.held_bytes += file.digest.size_bytes();
        }
    }

    pub(super) fn release(&mut self, file: &FileId) {
        // Not there if it was found damaged meanwhile.
        let Some(holders) = self.held.get_mut(file) else {
            return;
        };
        *holders -= 1;
        if *holders == 0 {
            self.held.remove(file);
            self.held_bytes -= file.digest.size_bytes();
            self.idle.insert(*file, (), file.digest.size_bytes());
        }
    }
}
