//! Which outputs are written at this moment, by commands and from the cache. What two put into one directory at the same time
//! is nobody's alone, and neither can tell by looking.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// Those of all commands.
#[derive(Default)]
pub(crate) struct Filled {
    all: Mutex<Vec<Arc<Place>>>,
}

struct Place {
    path: PathBuf,
    is_directory: bool,
    is_shared: AtomicBool,
}

/// One of them, until this is dropped.
pub(crate) struct Filling {
    filled: Arc<Filled>,
    place: Arc<Place>,
}

impl Filled {
    /// A command begins to write to `path`.
    pub(crate) fn begin(self: &Arc<Self>, path: &Path, is_directory: bool) -> Filling {
        let mut all = self.all.lock();
        let overlaps = |other: &&Arc<Place>| {
            is_directory && other.path.starts_with(path)
                || other.is_directory && path.starts_with(&other.path)
        };
        let mut is_shared = false;
        for other in all.iter().filter(overlaps) {
            other.is_shared.store(true, Ordering::Relaxed);
            is_shared = true;
        }
        let place = Arc::new(Place {
            path: path.to_owned(),
            is_directory,
            is_shared: AtomicBool::new(is_shared),
        });
        all.push(place.clone());
        Filling {
            filled: self.clone(),
            place,
        }
    }
}

impl Filling {
    /// Whether another command has written there meanwhile.
    pub(crate) fn is_shared(&self) -> bool {
        self.place.is_shared.load(Ordering::Relaxed)
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        self.filled
            .all
            .lock()
            .retain(|place| !Arc::ptr_eq(place, &self.place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fills_a_directory_at_the_same_time_is_noticed() {
        let filled = Arc::new(Filled::default());
        let begin = |path: &str, is_directory| filled.begin(Path::new(path), is_directory);
        let (first, other) = (begin("/p/out", true), begin("/p/output", true));
        assert!(!first.is_shared() && !other.is_shared());
        let within = begin("/p/out/sub", true);
        assert!(first.is_shared() && within.is_shared() && !other.is_shared());
        drop((first, within));
        let again = begin("/p/out", true);
        assert!(!again.is_shared(), "they are over");
        let file = begin("/p/out/a.o", false);
        assert!(again.is_shared() && file.is_shared());
        assert!(begin("/p", true).is_shared(), "one is left");
        // Two that write one file are nobody's business here.
        assert!(!begin("/q/a.o", false).is_shared() && !begin("/q/a.o", false).is_shared());
    }
}
