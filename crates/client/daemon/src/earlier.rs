//! What was there before a command ran, under names that it may write to or not. A file that it has not touched is not its
//! work: kept with the result, it would come back where nobody expects it, long after it was taken away here.

use std::collections::{HashMap, HashSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::filled::{Filled, Filling};
use crate::plan::PlannedOutput;

/// File systems tell the time in ticks: a file changed this long ago could have been changed since and show the same time.
const TICK: Duration = Duration::from_millis(20);

/// The files under names of outputs that are not required, and what is in directories.
#[derive(Default)]
pub(crate) struct Earlier {
    files: HashMap<PathBuf, Stamp>,
    /// Directories of outputs in which something was.
    occupied: HashSet<PathBuf>,
    /// Outputs that are written now.
    filling: Vec<Filling>,
}

/// Changes with everything that is done to a file.
#[derive(PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

impl Earlier {
    /// What is there now.
    pub(crate) fn than_now(outputs: &[PlannedOutput], filled: &Arc<Filled>) -> Self {
        // Before they are looked at: who comes later looks later.
        let filling = outputs
            .iter()
            .map(|output| filled.begin(&output.path, output.is_directory))
            .collect();
        Earlier {
            filling,
            ..Self::than(outputs, SystemTime::now())
        }
    }

    fn than(outputs: &[PlannedOutput], now: SystemTime) -> Self {
        let stamp = |output: &PlannedOutput| {
            let stamp = Stamp::of(&fs::metadata(&output.path).ok()?);
            let is_old = now.duration_since(stamp.time()?).is_ok_and(|age| age > TICK);
            is_old.then(|| (output.path.clone(), stamp))
        };
        let (directories, files): (Vec<_>, Vec<_>) = outputs.iter().partition(|output| output.is_directory);
        // One that cannot be read has perhaps something in it.
        let is_empty = |path: &Path| match fs::read_dir(path) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        let occupied = directories.into_iter().filter(|output| !is_empty(&output.path));
        Earlier {
            files: files
                .into_iter()
                .filter(|output| !output.is_required)
                .filter_map(stamp)
                .collect(),
            occupied: occupied.map(|output| output.path.clone()).collect(),
            filling: Vec::new(),
        }
    }

    /// Whether something was in the directory of an output, or somebody else has put something there meanwhile.
    pub(crate) fn was_occupied(&self, path: &Path) -> bool {
        self.occupied.contains(path) || self.filling.iter().any(Filling::is_shared)
    }

    /// Whether one of the outputs is as it was before.
    pub(crate) fn is_left(&self, outputs: &[PlannedOutput]) -> bool {
        let is_left = |output: &PlannedOutput| {
            fs::metadata(&output.path).is_ok_and(|metadata| self.has(&output.path, &metadata))
        };
        outputs.iter().any(is_left)
    }

    /// Whether a file is as it was.
    pub(crate) fn has(&self, path: &Path, metadata: &Metadata) -> bool {
        self.files
            .get(path)
            .is_some_and(|stamp| *stamp == Stamp::of(metadata))
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn time(&self) -> Option<SystemTime> {
        let (seconds, nanoseconds) = self.changed;
        let since = Duration::new(seconds.try_into().ok()?, nanoseconds.try_into().ok()?);
        SystemTime::UNIX_EPOCH.checked_add(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_touches_is_its_own_and_so_is_what_it_must_write() {
        let directory = tempfile::tempdir().unwrap();
        let output = |name: &str, is_required| PlannedOutput {
            name: name.into(),
            path: directory.path().join(name),
            is_required,
            is_rule: false,
            is_directory: false,
        };
        let outputs = [
            output("a.o", true),
            output("a.i", false),
            output("a.s", false),
            output("none", false),
        ];
        for output in &outputs[..3] {
            fs::write(&output.path, "old").unwrap();
        }
        let later = SystemTime::now() + Duration::from_secs(1);
        let earlier = Earlier::than(&outputs, later);
        // Renamed into its place, as many tools do: no clock is needed to tell.
        fs::write(directory.path().join("new"), "new").unwrap();
        fs::rename(directory.path().join("new"), &outputs[2].path).unwrap();
        let is_earlier = |earlier: &Earlier, output: &PlannedOutput| {
            earlier.has(&output.path, &fs::metadata(&output.path).unwrap())
        };
        let found = [0, 1, 2].map(|number| is_earlier(&earlier, &outputs[number]));
        assert_eq!(found, [false, true, false]);
        // Written a moment ago: perhaps once more within the same tick.
        let written = Stamp::of(&fs::metadata(&outputs[1].path).unwrap())
            .time()
            .unwrap();
        assert!(!is_earlier(
            &Earlier::than(&outputs, written + TICK / 2),
            &outputs[1]
        ));
    }
}
