//! When what is written.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use scheduler::Entry;

use crate::codec::{decode, encode};
use crate::file::{Appended, Encoded, End, RECORD_BYTES_MAX, Unsynced, read, with_suffix};

/// A file that is not longer than this is not worth replacing.
const REPLACED_BYTES_MIN: u64 = 64 << 20;
/// A file is replaced when it is so many times as long as when it was new.
const REPLACED_GROWTH: u64 = 4;
/// How long it takes after a failure to try again.
const REST: Duration = Duration::from_secs(10);

/// The journal of one scheduler.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    state: State,
}

#[derive(Debug)]
enum State {
    /// All that has happened is in the file.
    Whole { file: Appended, length_new: u64 },
    /// It is not: the next try is not before then.
    Behind { retry_at: Instant },
}

impl Journal {
    /// Answers what the journal at `path` says. Nothing is written before the first [`record`](Self::record).
    ///
    /// A file that is damaged is read as far as it can be trusted and put aside, with `.damaged` added to its name.
    ///
    /// # Errors
    ///
    /// If there is a file that cannot be read.
    pub fn open(path: &Path) -> io::Result<(Self, Vec<Entry>)> {
        let mut entries = Vec::new();
        let end = read(path, |record| match decode(record) {
            Ok(entry) => entries.push(entry),
            Err(error) => {
                tracing::warn!(path = %path.display(), error, "passed over an entry of the journal")
            }
        })?;
        match end {
            End::Absent | End::Whole => {}
            // A process that died, which is what a journal is for.
            End::Torn(at) => {
                tracing::info!(path = %path.display(), at, "the journal's last record is not whole")
            }
            End::Damaged(at) => {
                let aside = with_suffix(path, ".damaged");
                std::fs::rename(path, &aside)?;
                tracing::error!(
                    at,
                    put_aside = %aside.display(),
                    "the journal is damaged; operations after that place are forgotten, and their clients will execute them again"
                );
            }
        }
        let journal = Journal {
            path: path.to_path_buf(),
            state: State::Behind {
                retry_at: Instant::now(),
            },
        };
        Ok((journal, entries))
    }

    /// Writes what has just happened, before anybody is told. `all` is everything a scheduler has to know by now,
    /// `entries` included: it is written instead when a new file begins.
    ///
    /// Without an error: where the file cannot be written, the log says so, and farrier goes on without until it can.
    pub fn record<All: Iterator<Item = Entry>>(&mut self, entries: &[Entry], all: impl FnOnce() -> All) {
        match &mut self.state {
            State::Whole { file, length_new }
                if file.len() < REPLACED_BYTES_MIN.max(*length_new * REPLACED_GROWTH) =>
            {
                if let Err(error) = file.append(entries.iter().filter_map(encoded)) {
                    self.rest("the journal cannot be written", &error);
                }
            }
            State::Behind { retry_at } if Instant::now() < *retry_at => {}
            State::Whole { .. } | State::Behind { .. } => {
                let all = all();
                match Appended::replace(&self.path, all.filter_map(|entry| encoded(&entry))) {
                    Ok(file) => {
                        let length_new = file.len();
                        self.state = State::Whole { file, length_new };
                    }
                    Err(error) => self.rest("a new journal cannot be made", &error),
                }
            }
        }
    }

    /// What is not on the disk yet, to be synced where nobody waits.
    pub fn take_unsynced(&mut self) -> Option<Unsynced> {
        match &mut self.state {
            State::Whole { file, .. } => file.take_unsynced(),
            State::Behind { .. } => None,
        }
    }

    fn rest(&mut self, what: &str, error: &io::Error) {
        let path = self.path.display();
        tracing::error!(
            %path,
            %error,
            "{what}: a restart would forget what runs now; trying again every {} s",
            REST.as_secs()
        );
        self.state = State::Behind {
            retry_at: Instant::now() + REST,
        };
    }
}

fn encoded(entry: &Entry) -> Option<Encoded> {
    let mut bytes = Vec::new();
    encode(entry, &mut bytes);
    let size = bytes.len();
    let encoded = Encoded::new(bytes);
    if encoded.is_none() {
        tracing::error!(
            size,
            max = RECORD_BYTES_MAX,
            "an entry is too long for the journal"
        );
    }
    encoded
}

#[cfg(test)]
mod tests {
    use scheduler::{LeaseId, OperationName};

    use super::*;

    fn forgotten(name: &str) -> Entry {
        Entry::Forgotten(OperationName::new(name))
    }

    fn nothing() -> std::iter::Empty<Entry> {
        panic!("nothing new is to begin")
    }

    #[test]
    fn each_start_begins_with_what_all_has_come_to() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("journal");
        let (mut journal, entries) = Journal::open(&path).unwrap();
        assert_eq!(entries, []);
        let first = || [forgotten("all")].into_iter();
        journal.record(&[forgotten("a")], first);
        journal.record(&[forgotten("b"), forgotten("c")], nothing);
        let (mut journal, entries) = Journal::open(&path).unwrap();
        assert_eq!(entries, ["all", "b", "c"].map(forgotten));
        journal.record(&[], || [Entry::LeasesBelow(LeaseId::new(7))].into_iter());
        let (_, entries) = Journal::open(&path).unwrap();
        assert_eq!(entries, [Entry::LeasesBelow(LeaseId::new(7))]);
    }

    #[test]
    fn what_a_dead_process_left_is_read_and_a_damaged_file_is_put_aside() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("journal");
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.record(&[], || ["a", "b", "c"].map(forgotten).into_iter());
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(Journal::open(&path).unwrap().1, ["a", "b"].map(forgotten));

        let mut spoilt = whole.clone();
        spoilt[8 + 12 + 2] ^= 1;
        std::fs::write(&path, &spoilt).unwrap();
        assert_eq!(Journal::open(&path).unwrap().1, []);
        assert_eq!(
            std::fs::read(scratch.path().join("journal.damaged")).unwrap(),
            spoilt
        );
        assert_eq!(Journal::open(&path).unwrap().1, []);
    }

    #[test]
    fn a_journal_that_cannot_be_written_rests_and_loses_nothing_that_was() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("folder").join("journal");
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.record(&[], || [forgotten("a")].into_iter());
        std::fs::create_dir(scratch.path().join("folder")).unwrap();
        journal.record(&[forgotten("b")], nothing);
        assert!(!path.exists(), "it rests");
        journal.state = State::Behind {
            retry_at: Instant::now(),
        };
        journal.record(&[forgotten("b")], || ["a", "b"].map(forgotten).into_iter());
        assert_eq!(Journal::open(&path).unwrap().1, ["a", "b"].map(forgotten));
    }

    #[test]
    fn a_file_that_has_grown_is_replaced() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("journal");
        let (mut journal, _) = Journal::open(&path).unwrap();
        let long = forgotten(&"x".repeat(16 << 20));
        journal.record(&[], || [forgotten("first")].into_iter());
        for _ in 0..4 {
            journal.record(std::slice::from_ref(&long), nothing);
        }
        journal.record(std::slice::from_ref(&long), || [forgotten("second")].into_iter());
        assert_eq!(Journal::open(&path).unwrap().1, [forgotten("second")]);
    }
}
