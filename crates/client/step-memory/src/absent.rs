//! Paths at which nothing is, by what would have to change for something to come.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use file_digests::Stamp;

use crate::check::{There, has_none, there};
use crate::memory::Forgotten;

/// What is not there, by the directory that would have to change for it to come.
pub(crate) struct Absent {
    /// The names, and the state of the directory that may be relied on, if there is one.
    pub(crate) within: HashMap<PathBuf, (Vec<OsString>, Option<Stamp>)>,
    /// What goes through something that is no directory.
    pub(crate) others: Vec<PathBuf>,
}

impl Absent {
    /// Of paths at which there is no file, as a finding says that was begun at `begun`; looked at once more.
    pub(crate) fn of(paths: &[PathBuf], begun: SystemTime) -> Result<Self, Forgotten> {
        let mut within: HashMap<PathBuf, (Vec<OsString>, Option<Stamp>)> = HashMap::new();
        let mut others = Vec::new();
        let mut known: HashMap<PathBuf, bool> = HashMap::new();
        for path in paths {
            match nearest(path, &mut known) {
                Some((directory, name)) => within.entry(directory).or_default().0.push(name),
                None => others.push(path.clone()),
            }
        }
        for (path, (names, seen)) in &mut within {
            names.sort_unstable();
            names.dedup();
            // A state that is younger than the finding may have had one of the names in between, and so is not relied on.
            if !has_none(path, names.iter().map(OsString::as_os_str), seen, begun) {
                return Err(Forgotten::Changed(path.clone()));
            }
        }
        if let Some(path) = others
            .iter()
            .find(|path| !matches!(there(path), There::Nothing | There::Other))
        {
            return Err(Forgotten::Changed(path.clone()));
        }
        Ok(Absent { within, others })
    }
}

/// The directory on the way to `path` that is there, and the name in it that is not. `None` where the path must be looked
/// at itself: it goes through something that is no directory.
fn nearest(path: &Path, known: &mut HashMap<PathBuf, bool>) -> Option<(PathBuf, OsString)> {
    let mut at = path;
    loop {
        let parent = at.parent()?;
        let is_directory = match known.get(parent) {
            Some(known) => *known,
            None => {
                let is_directory = parent.is_dir();
                known.insert(parent.to_owned(), is_directory);
                is_directory
            }
        };
        if is_directory {
            return Some((parent.to_owned(), at.file_name()?.to_owned()));
        }
        at = parent;
    }
}
