//! The memory.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use blob::Digest;
use file_digests::{FileDigests, Stamp};
use parking_lot::{Mutex, RwLock};
use thiserror::Error;

use crate::absent::Absent;
use crate::check::{There, groups, has_none, there};
use crate::grounds::Grounds;
use crate::limits::{GROUNDS_MAX, KEYS_MAX, STRINGS_MAX, VALUE_BYTES_MAX, VARIANTS_MAX};
use crate::log::Log;
use crate::strings::Numbered;

/// What a finding is an answer to: a digest of the question.
pub type Key = [u8; 32];

/// Findings and what they rest on. Threads share it.
pub struct Memory {
    digests: Arc<FileDigests>,
    state: RwLock<State>,
    log: Mutex<Option<Log>>,
}

/// What the memory holds.
#[derive(Default)]
pub(crate) struct State {
    /// Names and paths.
    pub(crate) strings: Numbered<OsString>,
    pub(crate) files: Numbered<FileState>,
    /// The latest last.
    pub(crate) findings: HashMap<Key, Vec<Arc<Finding>>>,
    /// Findings that others have taken the place of.
    pub(crate) replaced: usize,
}

/// A file as it was.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileState {
    pub(crate) path: PathBuf,
    pub(crate) digest: Digest,
    pub(crate) is_executable: bool,
}

/// A finding. Files and strings are numbers.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) value: Box<[u8]>,
    pub(crate) files: Box<[u32]>,
    pub(crate) absences: Box<[Absences]>,
    /// Where something else than a file is.
    pub(crate) others: Box<[u32]>,
    /// Each with the first that is the same directory; [`NO_DIRECTORY`] where there is none.
    pub(crate) directories: Box<[(u32, u32)]>,
}

/// Names that a directory does not have.
#[derive(Debug)]
pub(crate) struct Absences {
    pub(crate) directory: u32,
    pub(crate) names: Box<[u32]>,
    pub(crate) seen: Mutex<Option<Stamp>>,
}

pub(crate) const NO_DIRECTORY: u32 = u32::MAX;

/// Why a finding was not kept. Nothing is wrong: it will be found out again.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Forgotten {
    /// It rests on something that cannot be looked at again.
    #[error("it rests on {0}")]
    Unknown(&'static str),
    /// A file was changed so lately that it may not be what was read.
    #[error("{} has changed just now", .0.display())]
    TooNew(PathBuf),
    /// The disk is not any more as the finding says.
    #[error("{} is not as it was", .0.display())]
    Changed(PathBuf),
    /// It is larger than the bounds.
    #[error("it is too large")]
    TooLarge,
}

impl Memory {
    /// Remembers nothing yet, and forgets with the process.
    pub fn new(digests: Arc<FileDigests>) -> Self {
        Memory {
            digests,
            state: RwLock::default(),
            log: Mutex::default(),
        }
    }

    /// Remembers what is in the log at `path`, and writes down there what comes. What is damaged at its end is as good
    /// as never written. The log is for one at a time: while another has it open, this fails.
    pub fn open(path: &Path, digests: Arc<FileDigests>) -> io::Result<Self> {
        let mut state = State::default();
        let log = Log::open(path, &mut state)?;
        Ok(Memory {
            digests,
            state: RwLock::new(state),
            log: Mutex::new(Some(log)),
        })
    }

    /// How many questions have an answer.
    pub fn len(&self) -> usize {
        self.state.read().findings.len()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The latest finding whose grounds hold now.
    pub fn recall(&self, key: &Key) -> Option<Box<[u8]>> {
        let now = SystemTime::now();
        let state = self.state.read();
        let findings = state.findings.get(key)?;
        let held = findings
            .iter()
            .rev()
            .find(|finding| self.holds(&state, finding, now));
        held.map(|finding| finding.value.clone())
    }

    /// Keeps a finding. `begun` is when whoever found it out had not looked at anything yet: what was changed since, or
    /// just before, may have been seen in two states.
    pub fn remember(
        &self,
        key: Key,
        begun: SystemTime,
        grounds: &Grounds,
        value: &[u8],
    ) -> Result<(), Forgotten> {
        if let Some(unknown) = grounds.unknown {
            return Err(Forgotten::Unknown(unknown));
        }
        let parts = grounds.files.len() + grounds.absent.len() + grounds.directories.len();
        if parts > GROUNDS_MAX || value.len() > VALUE_BYTES_MAX {
            return Err(Forgotten::TooLarge);
        }
        let files = self.files(grounds, begun)?;
        let absent = Absent::of(&grounds.absent, begun)?;
        let groups = groups(grounds.directories.iter().map(PathBuf::as_path));

        let mut state = self.state.write();
        let mut log = self.log.lock();
        let is_full = state.strings.len().max(state.files.len()) + parts > STRINGS_MAX
            || state.findings.len() >= KEYS_MAX
            || log.as_ref().is_some_and(Log::is_full);
        if is_full {
            *state = State::default();
            if let Some(log) = &mut *log {
                log.begin_anew();
            }
        }
        let mut number = |string: OsString| {
            let (number, is_new) = state.strings.number(string.clone());
            if let (true, Some(log)) = (is_new, &mut *log) {
                log.string(&string);
            }
            number
        };
        let directories = grounds.directories.iter().zip(groups);
        let directories = directories
            .map(|(path, group)| (number(path.clone().into()), group.unwrap_or(NO_DIRECTORY)))
            .collect();
        let others = absent
            .others
            .into_iter()
            .map(|path| number(path.into()))
            .collect();
        let absences = absent
            .within
            .into_iter()
            .map(|(directory, (names, seen))| Absences {
                directory: number(directory.into()),
                names: names.into_iter().map(&mut number).collect(),
                seen: Mutex::new(seen),
            })
            .collect();
        let files = files
            .into_iter()
            .map(|file| {
                let (number, is_new) = state.files.number(file.clone());
                if let (true, Some(log)) = (is_new, &mut *log) {
                    log.file(&file);
                }
                number
            })
            .collect();
        let finding = Finding {
            value: value.into(),
            files,
            absences,
            others,
            directories,
        };
        if let Some(log) = &mut *log {
            log.finding(&key, &finding);
        }
        state.replaced += usize::from(state.insert(key, finding));
        Ok(())
    }

    /// Hands to the system what the log still holds back.
    pub fn flush(&self) {
        if let Some(log) = &mut *self.log.lock() {
            log.flush();
        }
    }

    /// The files as they are, if none has changed since shortly before `begun`.
    fn files(&self, grounds: &Grounds, begun: SystemTime) -> Result<Vec<FileState>, Forgotten> {
        let mut files = Vec::with_capacity(grounds.files.len());
        for (path, known) in &grounds.files {
            let file = match known {
                Some(known) => *known,
                None => self
                    .digests
                    .get(path)
                    .map_err(|_| Forgotten::Changed(path.clone()))?,
            };
            if !file.stamp.is_settled(begun) {
                return Err(Forgotten::TooNew(path.clone()));
            }
            files.push(FileState {
                path: path.clone(),
                digest: file.digest,
                is_executable: file.is_executable,
            });
        }
        Ok(files)
    }

    fn holds(&self, state: &State, finding: &Finding, now: SystemTime) -> bool {
        let is_as_it_was = |number: &u32| {
            state.files.get(*number).is_some_and(|was| {
                self.digests
                    .get(&was.path)
                    .is_ok_and(|is| is.digest == was.digest && is.is_executable == was.is_executable)
            })
        };
        finding.files.iter().all(is_as_it_was)
            && finding.directories_hold(state)
            && finding.absences_hold(state, now)
    }
}

impl State {
    pub(crate) fn path(&self, number: u32) -> Option<&Path> {
        self.strings
            .get(number)
            .map(|string| Path::new(string.as_os_str()))
    }

    fn name(&self, number: u32) -> Option<&OsStr> {
        self.strings.get(number).map(|string| string.as_os_str())
    }

    /// Whether it has taken the place of another one.
    pub(crate) fn insert(&mut self, key: Key, finding: Finding) -> bool {
        let findings = self.findings.entry(key).or_default();
        let before = findings.len();
        // The same grounds again: only the looks at directories are newer.
        findings.retain(|known| {
            (&known.files, &known.directories, &known.value)
                != (&finding.files, &finding.directories, &finding.value)
        });
        if findings.len() >= VARIANTS_MAX {
            findings.remove(0);
        }
        findings.push(Arc::new(finding));
        findings.len() <= before
    }
}

impl Finding {
    fn directories_hold(&self, state: &State) -> bool {
        let paths: Option<Vec<_>> = self
            .directories
            .iter()
            .map(|(path, _)| state.path(*path))
            .collect();
        let Some(paths) = paths else { return false };
        let are = groups(paths.into_iter());
        let were = self.directories.iter().map(|(_, group)| *group);
        are.into_iter()
            .map(|group| group.unwrap_or(NO_DIRECTORY))
            .eq(were)
    }

    fn absences_hold(&self, state: &State, now: SystemTime) -> bool {
        let within = self.absences.iter().all(|absences| {
            state.path(absences.directory).is_some_and(|directory| {
                let names = absences.names.iter().filter_map(|name| state.name(*name));
                has_none(directory, names, &mut absences.seen.lock(), now)
            })
        });
        let is_no_file = |path: &u32| {
            state
                .path(*path)
                .is_some_and(|path| matches!(there(path), There::Nothing | There::Other))
        };
        within && self.others.iter().all(is_no_file)
    }
}

#[cfg(test)]
mod tests;
