//! Time as the leases see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time since some beginning; never goes back.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Clock {
    /// The system's.
    pub fn monotonic() -> Self {
        let start = Instant::now();
        Clock(Arc::new(move || start.elapsed()))
    }

    /// One that stands still, and what moves it, in milliseconds: for tests.
    pub fn manual() -> (Self, Arc<AtomicU64>) {
        let millis = Arc::new(AtomicU64::new(0));
        let shown = millis.clone();
        let clock = Clock(Arc::new(move || {
            Duration::from_millis(shown.load(Ordering::SeqCst))
        }));
        (clock, millis)
    }

    pub(crate) fn now(&self) -> Duration {
        (self.0)()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Clock({:?})", self.now())
    }
}
