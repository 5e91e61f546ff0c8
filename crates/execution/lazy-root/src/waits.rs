//! Whether somebody waits for a fetch, and for how long all in all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::limits::WAIT_MAX;

/// Counts those who wait.
pub(crate) struct Waits {
    is_waited: watch::Sender<bool>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: usize,
    /// Since when there is somebody.
    since: Option<Instant>,
    /// How long there was, before that.
    before: Duration,
}

/// Somebody waits until this is dropped.
pub(crate) struct Wait {
    waits: Arc<Waits>,
}

impl Waits {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Waits {
            is_waited: watch::Sender::new(false),
            state: Mutex::default(),
        })
    }

    pub(crate) fn begin(self: &Arc<Self>, now: Instant) -> Wait {
        let mut state = self.state.lock();
        state.waiting += 1;
        if state.waiting == 1 {
            state.since = Some(now);
            // Under the lock, so that the last word is about the last change.
            self.is_waited.send_replace(true);
        }
        Wait { waits: self.clone() }
    }

    fn end(&self, now: Instant) {
        let mut state = self.state.lock();
        state.waiting -= 1;
        if state.waiting == 0 {
            state.before = state.total(now);
            state.since = None;
            self.is_waited.send_replace(false);
        }
    }

    /// How much longer anybody may wait.
    pub(crate) fn left(&self, now: Instant) -> Duration {
        WAIT_MAX.saturating_sub(self.state.lock().total(now))
    }

    pub(crate) fn watch(&self) -> watch::Receiver<bool> {
        self.is_waited.subscribe()
    }
}

impl State {
    fn total(&self, now: Instant) -> Duration {
        let running = self.since.map(|since| now.saturating_duration_since(since));
        self.before + running.unwrap_or_default()
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.waits.end(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_counts_once_however_many_wait() {
        let (waits, start) = (Waits::new(), Instant::now());
        let watch = waits.watch();
        assert!(!*watch.borrow());
        let waiting = (waits.begin(start), waits.begin(start + Duration::from_secs(5)));
        assert!(*watch.borrow());
        assert_eq!(
            waits.left(start + Duration::from_secs(9)),
            WAIT_MAX - Duration::from_secs(9)
        );
        assert_eq!(waits.left(start + WAIT_MAX * 2), Duration::ZERO);
        std::mem::forget(waiting);
        waits.end(start + Duration::from_secs(10));
        assert!(*watch.borrow());
        waits.end(start + Duration::from_secs(20));
        assert!(!*watch.borrow());
        assert_eq!(
            waits.left(start + WAIT_MAX * 2),
            WAIT_MAX - Duration::from_secs(20)
        );
    }
}
