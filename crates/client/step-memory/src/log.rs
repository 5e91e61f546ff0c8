//! What outlives the process: records one after the other, each with a checksum.
//!
//! The log is no more than a help: whatever cannot be read or written is found out again. So nothing is synced, and the
//! first error ends the writing.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Instant;

use blob::{Digest, DigestFunction};
use parking_lot::Mutex;
use prost::Message;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use xxhash_rust::xxh3::xxh3_64;

use crate::limits::{LOCK_WITHIN, LOG_BYTES_MAX, RECORD_BYTES_MAX, VARIANTS_MAX};
use crate::memory::{Absences, FileState, Finding, Key, State};

/// What every log begins with. Another version is another beginning.
const BEGINNING: &[u8] = b"farrier steps 1\n";
/// The length and the checksum of a record.
const HEADER_BYTES: usize = 12;

/// A log that is written.
pub(crate) struct Log {
    file: BufWriter<File>,
    bytes: u64,
    is_broken: bool,
}

/// One record: a string, a file or a finding. Strings and files get their numbers in the order of the log.
#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(bytes = "vec", optional, tag = "1")]
    string: Option<Vec<u8>>,
    #[prost(message, optional, tag = "2")]
    file: Option<FileRecord>,
    #[prost(message, optional, tag = "3")]
    finding: Option<FindingRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct FileRecord {
    #[prost(bytes = "vec", tag = "1")]
    path: Vec<u8>,
    #[prost(string, tag = "2")]
    function: String,
    #[prost(bytes = "vec", tag = "3")]
    hash: Vec<u8>,
    #[prost(uint64, tag = "4")]
    size_bytes: u64,
    #[prost(bool, tag = "5")]
    is_executable: bool,
}

#[derive(Clone, PartialEq, Message)]
struct FindingRecord {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
    #[prost(uint32, repeated, tag = "3")]
    files: Vec<u32>,
    #[prost(message, repeated, tag = "4")]
    absences: Vec<AbsencesRecord>,
    #[prost(uint32, repeated, tag = "5")]
    others: Vec<u32>,
    #[prost(uint32, repeated, tag = "6")]
    directories: Vec<u32>,
    #[prost(uint32, repeated, tag = "7")]
    groups: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct AbsencesRecord {
    #[prost(uint32, tag = "1")]
    directory: u32,
    #[prost(uint32, repeated, tag = "2")]
    names: Vec<u32>,
}

impl Log {
    /// Reads what is there into `state`, and goes on behind it. Fails where another log of this file is open.
    pub(crate) fn open(path: &Path, state: &mut State) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        // What two would write at once, each with numbers of its own, nobody could read.
        lock(&file)?;
        let mut bytes = Vec::new();
        if file.metadata()?.len() <= LOG_BYTES_MAX {
            file.read_to_end(&mut bytes)?;
        }
        let read = replay(&bytes, state);
        drop(bytes);
        file.set_len(read)?;
        file.seek(SeekFrom::End(0))?;
        let mut log = Log {
            file: BufWriter::new(file),
            bytes: read,
            is_broken: false,
        };
        if read == 0 {
            log.write(BEGINNING);
        } else if replaced(state) {
            log.begin_anew();
            log.all(state);
            log.flush();
        }
        Ok(log)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes > LOG_BYTES_MAX
    }

    /// Forgets everything.
    pub(crate) fn begin_anew(&mut self) {
        let emptied = self
            .file
            .flush()
            .and_then(|()| self.file.get_ref().set_len(0))
            .and_then(|()| self.file.seek(SeekFrom::Start(0)));
        self.is_broken = emptied.is_err();
        self.bytes = 0;
        self.write(BEGINNING);
    }

    pub(crate) fn string(&mut self, string: &OsStr) {
        self.record(&Record {
            string: Some(string.as_bytes().to_vec()),
            ..Record::default()
        });
    }

    pub(crate) fn file(&mut self, file: &FileState) {
        let file = FileRecord {
            path: file.path.as_os_str().as_bytes().to_vec(),
            function: file.digest.function().name().to_owned(),
            hash: file.digest.hash_bytes().to_vec(),
            size_bytes: file.digest.size_bytes(),
            is_executable: file.is_executable,
        };
        self.record(&Record {
            file: Some(file),
            ..Record::default()
        });
    }

    pub(crate) fn finding(&mut self, key: &Key, finding: &Finding) {
        let absences = finding.absences.iter().map(|absences| AbsencesRecord {
            directory: absences.directory,
            names: absences.names.to_vec(),
        });
        let finding = FindingRecord {
            key: key.to_vec(),
            value: finding.value.to_vec(),
            files: finding.files.to_vec(),
            absences: absences.collect(),
            others: finding.others.to_vec(),
            directories: finding.directories.iter().map(|(path, _)| *path).collect(),
            groups: finding.directories.iter().map(|(_, group)| *group).collect(),
        };
        self.record(&Record {
            finding: Some(finding),
            ..Record::default()
        });
    }

    pub(crate) fn flush(&mut self) {
        self.is_broken |= self.file.flush().is_err();
    }

    fn all(&mut self, state: &State) {
        state.strings.iter().for_each(|string| self.string(string));
        state.files.iter().for_each(|file| self.file(file));
        for (key, findings) in &state.findings {
            findings.iter().for_each(|finding| self.finding(key, finding));
        }
    }

    fn record(&mut self, record: &Record) {
        let payload = record.encode_to_vec();
        if payload.len() > RECORD_BYTES_MAX {
            // Numbers of what comes after it would be others.
            self.is_broken = true;
            return;
        }
        let length = (payload.len() as u32).to_le_bytes();
        let header = [&length[..], &xxh3_64(&payload).to_le_bytes()].concat();
        self.write(&header);
        self.write(&payload);
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.is_broken {
            return;
        }
        self.bytes += bytes.len() as u64;
        if let Err(error) = self.file.write_all(bytes) {
            tracing::warn!(%error, "what is found out about steps is not written down any more");
            self.is_broken = true;
        }
    }
}

/// The lock of a log that was just closed is still held by a process that was being started meanwhile, until it executes.
fn lock(file: &File) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if begun.elapsed() < LOCK_WITHIN => std::thread::sleep(LOCK_WITHIN / 50),
            locked => return Ok(locked?),
        }
    }
}

/// Takes what is whole. How many bytes that was.
fn replay(bytes: &[u8], state: &mut State) -> u64 {
    let Some(mut rest) = bytes.strip_prefix(BEGINNING) else {
        return 0;
    };
    while let Some((record, behind)) = next(rest) {
        if apply(record, state).is_none() {
            break;
        }
        rest = behind;
    }
    (bytes.len() - rest.len()) as u64
}

fn next(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let (header, rest) = bytes.split_at_checked(HEADER_BYTES)?;
    let length = u32::from_le_bytes(header[..4].try_into().ok()?) as usize;
    let sum = u64::from_le_bytes(header[4..].try_into().ok()?);
    let (payload, behind) = rest.split_at_checked(length)?;
    if length > RECORD_BYTES_MAX || xxh3_64(payload) != sum {
        return None;
    }
    Some((Record::decode(payload).ok()?, behind))
}

/// `None` if the record makes no sense here.
fn apply(record: Record, state: &mut State) -> Option<()> {
    if let Some(string) = record.string {
        let (_, is_new) = state.strings.number(OsString::from_vec(string));
        return is_new.then_some(());
    }
    if let Some(file) = record.file {
        let function = DigestFunction::from_name(&file.function)?;
        let file = FileState {
            path: OsString::from_vec(file.path).into(),
            digest: Digest::from_hash(function, &file.hash, file.size_bytes).ok()?,
            is_executable: file.is_executable,
        };
        let (_, is_new) = state.files.number(file);
        return is_new.then_some(());
    }
    let finding = record.finding?;
    if !finding.names_what_is_there(state) {
        return None;
    }
    let key: Key = finding.key.try_into().ok()?;
    let absences = finding.absences.into_iter().map(|absences| Absences {
        directory: absences.directory,
        names: absences.names.into(),
        // Looked at anew by each process.
        seen: Mutex::new(None),
    });
    let directories = finding.directories.into_iter().zip(finding.groups);
    let finding = Finding {
        value: finding.value.into(),
        files: finding.files.into(),
        absences: absences.collect(),
        others: finding.others.into(),
        directories: directories.collect(),
    };
    state.replaced += usize::from(state.insert(key, finding));
    Some(())
}

impl FindingRecord {
    fn names_what_is_there(&self, state: &State) -> bool {
        let (strings, files) = (state.strings.len(), state.files.len());
        let mut named = self
            .absences
            .iter()
            .flat_map(|absences| absences.names.iter().chain([&absences.directory]))
            .chain(&self.others)
            .chain(&self.directories);
        named.all(|number| (*number as usize) < strings)
            && self.files.iter().all(|number| (*number as usize) < files)
            && self.directories.len() == self.groups.len()
    }
}

/// Whether more has been replaced than is left.
fn replaced(state: &State) -> bool {
    state.replaced > VARIANTS_MAX * state.findings.len().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_whole_is_not_taken() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("log");
        let mut log = Log::open(&path, &mut State::default()).unwrap();
        for name in ["a", "b"] {
            log.string(OsStr::new(name));
        }
        log.flush();
        drop(log);
        let whole = std::fs::read(&path).unwrap();
        let strings = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let mut state = State::default();
            Log::open(&path, &mut state).unwrap();
            state.strings.len()
        };
        assert_eq!(strings(&whole), 2);
        assert_eq!(strings(&whole[..whole.len() - 1]), 1);
        let mut damaged = whole.clone();
        damaged[BEGINNING.len() + HEADER_BYTES] ^= 1;
        assert_eq!(strings(&damaged), 0);
        assert_eq!(strings(b"another version"), 0);
        assert_eq!(strings(&whole), 2, "what was damaged can be written again");
    }

    #[test]
    fn one_writes_at_a_time() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("log");
        let open = || Log::open(&path, &mut State::default());
        let first = open().unwrap();
        let error = open().map(drop).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(first);
        open().unwrap();
    }

    #[test]
    fn a_finding_that_names_what_is_not_there_ends_the_log() {
        let finding = FindingRecord {
            key: vec![0; 32],
            files: vec![0],
            ..FindingRecord::default()
        };
        let record = Record {
            finding: Some(finding),
            ..Record::default()
        };
        assert_eq!(apply(record, &mut State::default()), None);
    }
}
