//! What has been noted so far.

use std::collections::{HashMap, HashSet};
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use observation::{At, EVENTS_BYTES_MAX, Event, encode};

use super::job_server::JobServers;

/// The notes on a command.
pub(super) struct Notes {
    bytes: Vec<u8>,
    /// What need not be noted twice in a row of the same.
    seen: HashSet<Event>,
    /// Directories by their names, with every link followed.
    real: HashMap<PathBuf, PathBuf>,
    is_too_much: bool,
    /// Whose pipes are no matter.
    job_servers: JobServers,
}

impl Notes {
    pub(super) fn new(job_servers: JobServers) -> Self {
        Notes {
            job_servers,
            bytes: Vec::new(),
            seen: HashSet::new(),
            real: HashMap::new(),
            is_too_much: false,
        }
    }

    /// The notes; `None` if there were more than anybody wants.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        (!self.is_too_much).then_some(&self.bytes)
    }

    pub(super) fn add(&mut self, event: Event) {
        if self.is_too_much {
            return;
        }
        let only_looks = matches!(
            event,
            Event::Read(_)
                | Event::Looked(_)
                | Event::Absent(_)
                | Event::Directory(_)
                | Event::Link { .. }
                | Event::Unknown(_)
        );
        if only_looks {
            // Between two of the same nothing may have come that gives the second another meaning: what the command has
            // made is its own from then on, whatever it looks at afterwards.
            if !self.seen.insert(event.clone()) {
                return;
            }
        }
        encode(&event, &mut self.bytes);
        if self.bytes.len() > EVENTS_BYTES_MAX {
            self.is_too_much = true;
            self.bytes = Vec::new();
            self.seen = HashSet::new();
        }
    }

    /// Whether this is where places among the jobs of a build are had.
    pub(super) fn is_of_job_server(&self, found: &Metadata) -> bool {
        self.job_servers.has(found)
    }

    /// Whether a directory's names have been noted.
    pub(super) fn has_listed(&mut self, path: &Path) -> bool {
        // Stands for the listing, which has its names besides.
        let mark = Event::Listed {
            at: At::plain(path),
            names: Vec::new(),
        };
        !self.seen.insert(mark)
    }

    /// The place that an absolute path names; `follows` where a link at its end counts as what it leads to.
    pub(super) fn at(&mut self, path: PathBuf, follows: bool) -> At {
        let is_link = |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
        let whole = follows && is_link(&path);
        let real = match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) if !whole => self.directory(parent).join(name),
            _ => fs::canonicalize(&path).unwrap_or_else(|_| path.clone()),
        };
        At { path, real }
    }

    fn directory(&mut self, path: &Path) -> PathBuf {
        if let Some(real) = self.real.get(path) {
            return real.clone();
        }
        match fs::canonicalize(path) {
            Ok(real) => {
                self.real.insert(path.to_owned(), real.clone());
                real
            }
            // It may come yet.
            Err(_) => path.to_owned(),
        }
    }
}
