//! What is asked for at the same time leaves together.
//!
//! There is no timer. The first to come starts a batch at once; what comes in the same turn of the scheduler, or while
//! [`BATCHES_IN_FLIGHT_MAX`] batches are still out, joins the batch that forms. A lone one therefore pays nothing, and
//! under load batches grow by themselves.
//!
//! A batch runs in a task of its own, not in one of the callers: a caller that is not polled, or goes away, must not
//! hold up those who share its batch.

use std::collections::HashMap;
use std::sync::Arc;

use blob::DigestFunction;
use cas::Invocation;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tasks::Group;
use tokio::sync::Semaphore;

use crate::limits::BATCHES_IN_FLIGHT_MAX;

/// Does one batch, and tells everybody whose entry is in it.
pub(crate) type Run<Entry> = Arc<dyn Fn(Vec<Entry>) -> BoxFuture<'static, ()> + Send + Sync>;

/// Makes batches of `Entry`s. What waits is bounded by those who wait for it.
pub(crate) struct Gathering<Entry> {
    group: Group,
    run: Run<Entry>,
    turns: Arc<Semaphore>,
    forming: Arc<Forming<Entry>>,
}

/// How much is in a batch, and how much may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) digests: usize,
    pub(crate) bytes: u64,
}

impl Load {
    fn with(self, more: Load) -> Self {
        Load {
            digests: self.digests + more.digests,
            bytes: self.bytes + more.bytes,
        }
    }

    fn is_within(self, max: Load) -> bool {
        self.digests <= max.digests && self.bytes <= max.bytes
    }
}

/// The batches that still take more. A request names one digest function (checklist G7) and is made for one build, to
/// which the server promises what it finds (ADR 0008).
type Forming<Entry> = Mutex<HashMap<Kind, Shared<Entry>>>;

/// What may share a batch.
type Kind = (DigestFunction, Option<Invocation>);

/// A batch as its task and newcomers see it.
type Shared<Entry> = Arc<Mutex<Batch<Entry>>>;

struct Batch<Entry> {
    entries: Vec<Entry>,
    load: Load,
    /// It is on its way: too late to join.
    left: bool,
}

impl<Entry: Send + 'static> Gathering<Entry> {
    pub(crate) fn new(group: Group, run: Run<Entry>) -> Self {
        let turns = Arc::new(Semaphore::new(BATCHES_IN_FLIGHT_MAX));
        Gathering {
            group,
            run,
            turns,
            forming: Arc::default(),
        }
    }

    /// Puts `entry` into a batch of at most `max`, on behalf of whoever asks. One that is more than that has a batch of its
    /// own.
    pub(crate) fn join(&self, function: DigestFunction, entry: Entry, load: Load, max: Load) {
        let kind = (function, Invocation::current());
        let mut forming = self.forming.lock();
        if let Some(batch) = forming.get(&kind) {
            let mut batch = batch.lock();
            let together = batch.load.with(load);
            if !batch.left && together.is_within(max) {
                batch.load = together;
                batch.entries.push(entry);
                return;
            }
        }
        let batch = Arc::new(Mutex::new(Batch {
            entries: vec![entry],
            load,
            left: false,
        }));
        // A batch that was full and is replaced here leaves by its own task.
        forming.insert(kind.clone(), batch.clone());
        let (invocation, forming) = (kind.1.clone(), self.forming.clone());
        let (run, turns) = (self.run.clone(), self.turns.clone());
        let leaves = async move {
            // Whoever is about to ask in this turn of the scheduler gets to.
            tokio::task::yield_now().await;
            let _turn = turns.acquire().await.expect("nobody closes the semaphore");
            run(leave(&forming, &kind, &batch)).await;
        };
        self.group.spawn("batch", Invocation::scope(invocation, leaves));
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.forming.lock().is_empty()
    }
}

/// From here on nobody can join.
fn leave<Entry>(forming: &Forming<Entry>, kind: &Kind, batch: &Shared<Entry>) -> Vec<Entry> {
    let mut forming = forming.lock();
    if forming.get(kind).is_some_and(|newest| Arc::ptr_eq(newest, batch)) {
        forming.remove(kind);
    }
    let mut batch = batch.lock();
    batch.left = true;
    std::mem::take(&mut batch.entries)
}
