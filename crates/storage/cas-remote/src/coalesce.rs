//! Small requests that are under way together become one.
//!
//! There is no timer. The first request starts a batch at once; what is asked for in the same turn of the scheduler,
//! or while [`BATCHES_IN_FLIGHT_MAX`](crate::limits::BATCHES_IN_FLIGHT_MAX) batches are still out, joins the batch
//! that forms. A lone request therefore pays nothing, and under load batches grow by themselves.
//!
//! A batch runs in a task of its own, not in one of the callers: a caller that is not polled, or goes away, must not
//! hold up those who share its batch.

use std::collections::HashMap;
use std::sync::Arc;

use blob::{Digest, DigestFunction};
use cas::{Invocation, StoreError};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tasks::Group;
use tokio::sync::{Semaphore, oneshot};

use crate::limits::{BATCH_BLOBS_MAX, BATCH_ENTRY_OVERHEAD_BYTES, BATCHES_IN_FLIGHT_MAX};

/// What became of each blob of a batch.
pub(crate) type Answers<Answer> = HashMap<Digest, Result<Answer, StoreError>>;

/// Sends one batch: distinct digests of one function, each with what belongs to it.
pub(crate) type Send<Item, Answer> =
    Arc<dyn Fn(Vec<(Digest, Item)>) -> BoxFuture<'static, Answers<Answer>> + std::marker::Send + Sync>;

/// Makes batches of `Item`s. What waits is bounded by those who wait for it.
pub(crate) struct Coalescer<Item, Answer> {
    group: Group,
    send: Send<Item, Answer>,
    turns: Arc<Semaphore>,
    forming: Arc<Forming<Item, Answer>>,
}

/// The batches that still take more. A request names one digest function (checklist G7) and is made for one build.
type Forming<Item, Answer> = Mutex<HashMap<Kind, Shared<Item, Answer>>>;

/// What may share a batch.
type Kind = (DigestFunction, Option<Invocation>);

/// A batch as its task and newcomers see it.
type Shared<Item, Answer> = Arc<Mutex<Batch<Item, Answer>>>;

struct Batch<Item, Answer> {
    entries: Vec<Entry<Item, Answer>>,
    bytes: u64,
    /// It is on its way: too late to join.
    left: bool,
}

struct Entry<Item, Answer> {
    digest: Digest,
    item: Item,
    caller: oneshot::Sender<Result<Answer, StoreError>>,
}

impl<Item, Answer> Coalescer<Item, Answer>
where
    Item: std::marker::Send + 'static,
    Answer: Clone + std::marker::Send + 'static,
{
    pub(crate) fn new(group: Group, send: Send<Item, Answer>) -> Self {
        let turns = Arc::new(Semaphore::new(BATCHES_IN_FLIGHT_MAX));
        Coalescer {
            group,
            send,
            turns,
            forming: Arc::default(),
        }
    }

    /// Puts `item` into a batch of at most `batch_bytes_max` and waits for its answer.
    pub(crate) async fn ask(
        &self,
        digest: Digest,
        item: Item,
        batch_bytes_max: u64,
    ) -> Result<Answer, StoreError> {
        let (caller, answer) = oneshot::channel();
        self.join(Entry { digest, item, caller }, batch_bytes_max);
        answer.await.unwrap_or_else(|_gone| {
            // Only a panic in the batch's task, or a runtime that is shutting down.
            Err(StoreError::Unavailable {
                reason: format!("the batch with blob {digest} was given up"),
            })
        })
    }

    fn join(&self, entry: Entry<Item, Answer>, batch_bytes_max: u64) {
        let bytes = entry.digest.size_bytes() + BATCH_ENTRY_OVERHEAD_BYTES;
        let kind = (entry.digest.function(), Invocation::current());
        let mut forming = self.forming.lock();
        if let Some(batch) = forming.get(&kind) {
            let mut batch = batch.lock();
            let fits = batch.bytes + bytes <= batch_bytes_max && batch.entries.len() < BATCH_BLOBS_MAX;
            if !batch.left && fits {
                batch.bytes += bytes;
                batch.entries.push(entry);
                return;
            }
        }
        let batch = Arc::new(Mutex::new(Batch {
            entries: vec![entry],
            bytes,
            left: false,
        }));
        // A batch that was full and is replaced here leaves by its own task.
        forming.insert(kind.clone(), batch.clone());
        let (invocation, forming) = (kind.1.clone(), self.forming.clone());
        let (send, turns) = (self.send.clone(), self.turns.clone());
        let leaves = async move {
            // Whoever is about to ask in this turn of the scheduler gets to.
            tokio::task::yield_now().await;
            let _turn = turns.acquire().await.expect("nobody closes the semaphore");
            run(leave(&forming, &kind, &batch), send).await;
        };
        self.group.spawn("batch", Invocation::scope(invocation, leaves));
    }
}

/// From here on nobody can join.
fn leave<Item, Answer>(
    forming: &Forming<Item, Answer>,
    kind: &Kind,
    batch: &Shared<Item, Answer>,
) -> Vec<Entry<Item, Answer>> {
    let mut forming = forming.lock();
    if forming.get(kind).is_some_and(|newest| Arc::ptr_eq(newest, batch)) {
        forming.remove(kind);
    }
    let mut batch = batch.lock();
    batch.left = true;
    std::mem::take(&mut batch.entries)
}

async fn run<Item, Answer: Clone>(entries: Vec<Entry<Item, Answer>>, send: Send<Item, Answer>) {
    let mut callers: HashMap<Digest, Vec<_>> = HashMap::with_capacity(entries.len());
    let mut items = Vec::with_capacity(entries.len());
    for Entry { digest, item, caller } in entries {
        // Who is gone needs no answer.
        if caller.is_closed() {
            continue;
        }
        let waiting = callers.entry(digest).or_default();
        if waiting.is_empty() {
            items.push((digest, item));
        }
        waiting.push(caller);
    }
    if items.is_empty() {
        return;
    }
    let mut answers = send(items).await;
    for (digest, waiting) in callers {
        let answer = answers.remove(&digest).unwrap_or_else(|| {
            Err(StoreError::Unavailable {
                reason: format!("a batch ended without an answer for blob {digest}"),
            })
        });
        for caller in waiting {
            // A caller that has gone meanwhile misses nothing.
            let _gone = caller.send(answer.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::future::{FutureExt, join_all};
    use tokio::sync::Notify;

    use super::*;

    const F: DigestFunction = DigestFunction::Sha256;

    fn digest(number: u64) -> Digest {
        Digest::of(F, &number.to_le_bytes())
    }

    /// Answers each item with the size of its batch, once `open` allows it.
    fn counting(
        open: Arc<Semaphore>,
        sent: Arc<Mutex<Vec<usize>>>,
        arrived: Arc<Notify>,
    ) -> Coalescer<u64, usize> {
        let send: Send<u64, usize> = Arc::new(move |items| {
            let (open, sent, arrived) = (open.clone(), sent.clone(), arrived.clone());
            async move {
                sent.lock().push(items.len());
                arrived.notify_one();
                open.acquire().await.unwrap().forget();
                let size = items.len();
                items.into_iter().map(|(digest, _)| (digest, Ok(size))).collect()
            }
            .boxed()
        });
        Coalescer::new(Group::new("test"), send)
    }

    fn open() -> (Coalescer<u64, usize>, Arc<Mutex<Vec<usize>>>) {
        let sent = Arc::default();
        let coalescer = counting(Arc::new(Semaphore::new(1000)), Arc::clone(&sent), Arc::default());
        (coalescer, sent)
    }

    #[tokio::test]
    async fn what_is_asked_together_goes_together() {
        let (coalescer, sent) = open();
        let answers = join_all((0..100).map(|number| coalescer.ask(digest(number), number, 1 << 20))).await;
        assert!(
            answers.iter().all(|answer| *answer.as_ref().unwrap() == 100),
            "{answers:?}"
        );
        assert_eq!(*sent.lock(), [100]);
        assert_eq!(coalescer.ask(digest(7), 7, 1 << 20).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn one_digest_asked_for_twice_is_sent_once_and_answered_twice() {
        let (coalescer, sent) = open();
        let answers = join_all((0..10).map(|_| coalescer.ask(digest(1), 1, 1 << 20))).await;
        assert!(
            answers.iter().all(|answer| *answer.as_ref().unwrap() == 1),
            "{answers:?}"
        );
        assert_eq!(*sent.lock(), [1]);
    }

    #[tokio::test]
    async fn batches_stay_within_their_bound_and_keep_functions_apart() {
        let (coalescer, sent) = open();
        let room_for_three = 3 * (8 + BATCH_ENTRY_OVERHEAD_BYTES);
        join_all((0..7).map(|number| coalescer.ask(digest(number), number, room_for_three))).await;
        // Which goes first is the scheduler's business.
        sent.lock().sort_unstable();
        assert_eq!(*sent.lock(), [1, 3, 3]);
        sent.lock().clear();
        let blake3 = Digest::of(DigestFunction::Blake3, b"x");
        let (one, other) = futures::future::join(
            coalescer.ask(digest(1), 1, 1 << 20),
            coalescer.ask(blake3, 2, 1 << 20),
        )
        .await;
        assert_eq!((one.unwrap(), other.unwrap()), (1, 1));
    }

    #[tokio::test]
    async fn a_batch_is_made_for_one_build_and_says_so() {
        let builds = Arc::new(Mutex::new(Vec::new()));
        let seen = builds.clone();
        let send: Send<u64, usize> = Arc::new(move |items| {
            seen.lock().push((Invocation::current(), items.len()));
            let answers = items.into_iter().map(|(digest, _)| (digest, Ok(0))).collect();
            std::future::ready(answers).boxed()
        });
        let coalescer = Coalescer::new(Group::new("test"), send);
        let build = |number: u64| {
            (!number.is_multiple_of(3))
                .then(|| Invocation::new(&format!("build {}", number % 3)))
                .flatten()
        };
        let asks = (0..12).map(|number| {
            let ask = coalescer.ask(digest(number), number, 1 << 20);
            Invocation::scope(build(number), ask)
        });
        assert!(join_all(asks).await.iter().all(Result::is_ok));
        let mut builds = builds.lock().clone();
        builds.sort();
        assert_eq!(builds, [(None, 4), (build(1), 4), (build(2), 4)]);
        assert!(coalescer.forming.lock().is_empty(), "what has left is forgotten");
    }

    #[tokio::test]
    async fn while_all_turns_are_taken_newcomers_gather() {
        let (gate, sent, arrived) = (
            Arc::new(Semaphore::new(0)),
            Arc::default(),
            Arc::new(Notify::new()),
        );
        let coalescer = Arc::new(counting(gate.clone(), Arc::clone(&sent), arrived.clone()));
        let group = Group::new("callers");
        let ask = |number: u64| {
            let coalescer = coalescer.clone();
            group.spawn("caller", async move {
                coalescer.ask(digest(number), number, 1 << 20).await.unwrap();
            });
        };
        for number in 0..BATCHES_IN_FLIGHT_MAX as u64 {
            ask(number);
            arrived.notified().await;
        }
        for number in 100..150 {
            ask(number);
            // Each gets to ask before the next one does.
            tokio::task::yield_now().await;
        }
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(*sent.lock(), [1; BATCHES_IN_FLIGHT_MAX]);
        gate.add_permits(1000);
        assert!(group.shut_down(std::time::Duration::from_secs(10)).await);
        assert_eq!(sent.lock().last(), Some(&50));
    }

    #[tokio::test]
    async fn a_caller_that_leaves_harms_nobody() {
        let (coalescer, sent) = open();
        let mut leaves = Box::pin(coalescer.ask(digest(1), 1, 1 << 20));
        assert!(futures::poll!(&mut leaves).is_pending());
        let mut stays = Box::pin(coalescer.ask(digest(2), 2, 1 << 20));
        assert!(futures::poll!(&mut stays).is_pending());
        drop(leaves);
        assert_eq!(stays.await.unwrap(), 1);
        assert_eq!(*sent.lock(), [1]);
    }
}
