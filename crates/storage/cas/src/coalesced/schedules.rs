//! Callers in every order that chance finds: each step polls one of those that were woken, some callers go away half way,
//! and the store behind dawdles. Whoever waits for ever, a promise that does not hold, and an entry that is left behind
//! are found. 20 000 schedules for each change; with `FARRIER_ROUNDS=50` a million.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use blob::{BlobError, DigestFunction};
use futures::task::{ArcWake, waker};

use super::*;
use crate::memory;

const SCHEDULES: u64 = 20_000;
/// Steps after which somebody is taken to wait for ever.
const STEPS_MAX: usize = 10_000;
const CONTENTS: [&[u8]; 2] = [b"one", b"another"];

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

/// Comes back `times` times before it goes on.
async fn dawdle(times: usize) {
    for _ in 0..times {
        let mut waited = false;
        futures::future::poll_fn(|context| {
            if std::mem::replace(&mut waited, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

/// A store whose answers are as old as they take.
struct Dawdling {
    inner: Arc<dyn BlobStore>,
    dice: Mutex<Dice>,
}

impl Dawdling {
    async fn dawdle(&self) {
        let times = self.dice.lock().roll(4);
        dawdle(times).await;
    }
}

#[async_trait]
impl BlobStore for Dawdling {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        self.dawdle().await;
        let answer = self.inner.get(digest, range).await;
        self.dawdle().await;
        answer
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        self.dawdle().await;
        let answer = self.inner.put(blob).await;
        self.dawdle().await;
        answer
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        self.inner.find_missing(digests).await
    }
}

fn digest(content: usize) -> Digest {
    Digest::of(DigestFunction::Sha256, CONTENTS[content])
}

/// Which contents were acknowledged so far.
type Acknowledged = [AtomicBool; 2];

async fn write(store: &Coalesced, content: usize, is_right: bool, rests: usize, acknowledged: &Acknowledged) {
    let bytes = match is_right {
        true => Bytes::from_static(CONTENTS[content]),
        false => Bytes::from_static(b"wrong"),
    };
    let body = stream::once(async move {
        dawdle(rests).await;
        Ok::<_, BlobError>(bytes)
    });
    let put = store.put(Blob::checked(digest(content), body)).await;
    assert!(put.is_ok() || !is_right, "a right body is refused for another's");
    if put.is_ok() {
        acknowledged[content].store(true, Ordering::SeqCst);
    }
}

async fn read(store: &Coalesced, content: usize, acknowledged: &Acknowledged) {
    let was_there = acknowledged[content].load(Ordering::SeqCst);
    let answer = store
        .get(&digest(content), ByteRange::FULL)
        .await
        .expect("nothing fails");
    let Some(mut bytes) = answer else {
        assert!(!was_there, "it was acknowledged before it was asked for");
        return;
    };
    let bytes = bytes.next().await.expect("one piece").expect("nothing fails");
    assert_eq!(bytes, CONTENTS[content]);
}

struct Woken(AtomicBool);

impl ArcWake for Woken {
    fn wake_by_ref(woken: &Arc<Self>) {
        woken.0.store(true, Ordering::SeqCst);
    }
}

struct Caller<'a> {
    call: Pin<Box<dyn Future<Output = ()> + 'a>>,
    woken: Arc<Woken>,
    /// Polls after which it goes away.
    patience: usize,
}

fn play(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d);
    let inner = Dawdling {
        inner: memory(1 << 20),
        dice: Mutex::new(Dice(seed)),
    };
    let store = Coalesced {
        inner: Arc::new(inner),
        read_bytes_max: 1 << 10,
        reads: Turns::default(),
        writes: Turns::default(),
    };
    let acknowledged = Acknowledged::default();
    let mut callers: Vec<Caller<'_>> = Vec::new();
    let (mut to_come, mut steps) = (3 + dice.roll(6), 0);
    while to_come > 0 || !callers.is_empty() {
        steps += 1;
        assert!(steps < STEPS_MAX, "seed {seed}: it does not end");
        let ready: Vec<usize> = (0..callers.len())
            .filter(|at| callers[*at].woken.0.load(Ordering::SeqCst))
            .collect();
        if to_come > 0 && (ready.is_empty() || dice.roll(4) == 0) {
            to_come -= 1;
            let (content, store, acknowledged) = (dice.roll(2), &store, &acknowledged);
            let (is_right, rests) = (dice.roll(4) > 0, dice.roll(3));
            let call: Pin<Box<dyn Future<Output = ()>>> = match dice.roll(2) {
                0 => Box::pin(read(store, content, acknowledged)),
                _ => Box::pin(write(store, content, is_right, rests, acknowledged)),
            };
            callers.push(Caller {
                call,
                woken: Arc::new(Woken(AtomicBool::new(true))),
                patience: if dice.roll(4) == 0 {
                    dice.roll(5)
                } else {
                    STEPS_MAX
                },
            });
            continue;
        }
        assert!(
            !ready.is_empty(),
            "seed {seed}: everybody waits and nobody was woken"
        );
        let at = ready[dice.roll(ready.len())];
        let caller = &mut callers[at];
        if caller.patience == 0 {
            drop(callers.swap_remove(at));
            continue;
        }
        caller.patience -= 1;
        caller.woken.0.store(false, Ordering::SeqCst);
        let waker = waker(caller.woken.clone());
        if caller
            .call
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_ready()
        {
            drop(callers.swap_remove(at));
        }
    }
    assert!(
        store.reads.by_digest.lock().is_empty(),
        "seed {seed}: a read is left"
    );
    assert!(
        store.writes.by_digest.lock().is_empty(),
        "seed {seed}: a write is left"
    );
}

#[test]
fn whatever_the_order_promises_hold_and_nothing_is_left() {
    // Waiting writers have a timer; the clock stands, so it never rings.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let _inside = runtime.enter();
    let times = std::env::var("FARRIER_ROUNDS")
        .ok()
        .and_then(|times| times.parse::<u64>().ok());
    for seed in 0..SCHEDULES * times.unwrap_or(1) {
        play(seed);
    }
}
