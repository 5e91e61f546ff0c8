//! Named task groups: who started a task also waits for it.
//!
//! The only way to start a task. A [`Group`] names its tasks, tells them to stop through a
//! [`CancellationToken`], and joins them. A task that panics is logged with its name; it takes nobody along.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
pub use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tasks that stop together. Cloning gives another handle on the same group.
#[derive(Clone, Debug)]
pub struct Group {
    name: &'static str,
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Group {
    /// An empty group that stops when told to.
    pub fn new(name: &'static str) -> Self {
        Group {
            name,
            stop: CancellationToken::new(),
            tracker: TaskTracker::new(),
        }
    }

    /// An empty group that also stops when this one does. It is joined by itself.
    pub fn child(&self, name: &'static str) -> Self {
        Group {
            name,
            stop: self.stop.child_token(),
            tracker: TaskTracker::new(),
        }
    }

    /// Starts a task. It is expected to end soon after [`stopping`](Self::stopping) says so.
    pub fn spawn<F>(&self, task: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let group = self.name;
        // Nothing of the future is looked at again after a panic, so it cannot be seen half-changed.
        let guarded = AssertUnwindSafe(future).catch_unwind();
        self.tracker.spawn(async move {
            if guarded.await.is_err() {
                tracing::error!(group, task, "a task panicked; the rest goes on");
            }
        });
    }

    /// What the group's tasks watch to know when to stop.
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Tells every task to stop, without waiting.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Tells every task to stop and waits for them, at most `patience`. Whether all ended in time.
    pub async fn shut_down(&self, patience: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        let ended = tokio::time::timeout(patience, self.tracker.wait()).await.is_ok();
        if !ended {
            tracing::warn!(
                group = self.name,
                left = self.tracker.len(),
                "tasks did not end in time"
            );
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn shutting_down_waits_for_every_task() {
        let group = Group::new("test");
        let ended = Arc::new(AtomicUsize::new(0));
        for _ in 0..3 {
            let (stopping, ended) = (group.stopping(), ended.clone());
            group.spawn("waits", async move {
                stopping.cancelled().await;
                ended.fetch_add(1, Ordering::SeqCst);
            });
        }
        assert!(group.shut_down(Duration::from_secs(5)).await);
        assert_eq!(ended.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn a_panic_takes_nobody_along_and_a_deaf_task_does_not_hang_the_rest() {
        let group = Group::new("test");
        group.spawn("panics", async { panic!("on purpose") });
        group.spawn("deaf", std::future::pending());
        assert!(!group.shut_down(Duration::from_millis(50)).await);
    }

    #[tokio::test]
    async fn a_child_stops_with_its_parent() {
        let group = Group::new("parent");
        let child = group.child("child");
        group.stop();
        assert!(child.stopping().is_cancelled());
    }
}
