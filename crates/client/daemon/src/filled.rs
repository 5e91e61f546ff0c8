//! Which output directories are filled at this moment. What two commands put into one directory at the same time is nobody's
//! alone, and neither can tell by looking.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// Those of all commands that run here.
#[derive(Default)]
pub(crate) struct Filled {
    all: Mutex<Vec<Arc<Place>>>,
}

struct Place {
    path: PathBuf,
    is_shared: AtomicBool,
}

/// One of them, until this is dropped.
pub(crate) struct Filling {
    filled: Arc<Filled>,
    place: Arc<Place>,
}

impl Filled {
    /// A command begins to fill `path`.
    pub(crate) fn begin(self: &Arc<Self>, path: &Path) -> Filling {
        let mut all = self.all.lock();
        let overlaps = |other: &&Arc<Place>| other.path.starts_with(path) || path.starts_with(&other.path);
        let mut is_shared = false;
        for other in all.iter().filter(overlaps) {
            other.is_shared.store(true, Ordering::Relaxed);
            is_shared = true;
        }
        let place = Arc::new(Place {
            path: path.to_owned(),
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
    /// Whether another command has filled it too meanwhile, or part of it.
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
        let begin = |path: &str| filled.begin(Path::new(path));
        let (first, other) = (begin("/p/out"), begin("/p/output"));
        assert!(!first.is_shared() && !other.is_shared());
        let within = begin("/p/out/sub");
        assert!(first.is_shared() && within.is_shared() && !other.is_shared());
        drop((first, within));
        assert!(!begin("/p/out").is_shared(), "they are over");
        assert!(begin("/p").is_shared(), "one is left");
    }
}
