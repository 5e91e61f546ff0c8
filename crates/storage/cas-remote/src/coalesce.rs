//! Small requests for blobs that are under way together become one; `gather.rs` says when.

use std::collections::HashMap;
use std::sync::Arc;

use blob::Digest;
use cas::StoreError;
use futures::future::{BoxFuture, FutureExt};
use tasks::Group;
use tokio::sync::oneshot;

use crate::gather::{Gathering, Load};
use crate::limits::{BATCH_BLOBS_MAX, BATCH_ENTRY_OVERHEAD_BYTES};

/// What became of each blob of a batch.
pub(crate) type Answers<Answer> = HashMap<Digest, Result<Answer, StoreError>>;

/// Sends one batch: distinct digests of one function, each with what belongs to it.
pub(crate) type Send<Item, Answer> =
    Arc<dyn Fn(Vec<(Digest, Item)>) -> BoxFuture<'static, Answers<Answer>> + std::marker::Send + Sync>;

/// Makes batches of `Item`s.
pub(crate) struct Coalescer<Item, Answer> {
    gathering: Gathering<Entry<Item, Answer>>,
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
        let run = move |entries| run(entries, send.clone()).boxed();
        Coalescer {
            gathering: Gathering::new(group, Arc::new(run)),
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
        let load = Load {
            digests: 1,
            bytes: digest.size_bytes() + BATCH_ENTRY_OVERHEAD_BYTES,
        };
        let max = Load {
            digests: BATCH_BLOBS_MAX,
            bytes: batch_bytes_max,
        };
        let entry = Entry { digest, item, caller };
        self.gathering.join(digest.function(), entry, load, max);
        answer.await.unwrap_or_else(|_gone| {
            // Only a panic in the batch's task, or a runtime that is shutting down.
            Err(StoreError::Unavailable {
                reason: format!("the batch with blob {digest} was given up"),
            })
        })
    }
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
    use blob::DigestFunction;
    use cas::Invocation;
    use futures::future::join_all;
    use parking_lot::Mutex;
    use tokio::sync::{Notify, Semaphore};

    use super::*;
    use crate::limits::BATCHES_IN_FLIGHT_MAX;

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
        assert!(coalescer.gathering.is_empty(), "what has left is forgotten");
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
