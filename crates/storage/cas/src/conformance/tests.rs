//! The suite notices what it is there to notice.

use std::panic::AssertUnwindSafe;

use async_trait::async_trait;
use blob::BlobStream;
use futures::FutureExt;
use futures::executor::block_on;
use parking_lot::Mutex;

use super::*;
use crate::{memory, read_only};

/// One way to be wrong.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Not wrong at all.
    None,
    /// Says that everything is here.
    NothingIsMissing,
    /// Says that what is here is missing.
    EverythingIsMissing,
    /// Answers a range with all of the blob.
    IgnoresTheRange,
    /// Ends a long read early and quietly.
    EndsEarly,
    /// Keeps what came before an upload failed.
    KeepsWhatFailed,
    /// Takes the hash for the identity.
    ForgetsTheFunction,
    /// Takes a second upload for a mistake.
    RefusesASecondPut,
    /// Starts past the end as if it were the end.
    KnowsNoEnd,
}

struct Faulty {
    inner: Arc<dyn BlobStore>,
    fault: Fault,
    seen: Mutex<Vec<Digest>>,
}

/// The digest of the same bytes as far as a store that forgets the function can tell.
fn forget_function(digest: &Digest) -> Digest {
    Digest::from_hex(F, &digest.hash_hex(), digest.size_bytes()).unwrap_or(*digest)
}

#[async_trait]
impl BlobStore for Faulty {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        match self.fault {
            Fault::IgnoresTheRange if range.within(digest.size_bytes()).is_some() => {
                self.inner.get(digest, ByteRange::FULL).await
            }
            Fault::EndsEarly => {
                let stream = self.inner.get(digest, range).await?;
                Ok(stream.map(|stream| {
                    stream
                        .map(|piece| piece.map(|piece| piece.slice(..piece.len().min(1 << 20))))
                        .boxed()
                }))
            }
            Fault::ForgetsTheFunction => self.inner.get(&forget_function(digest), range).await,
            Fault::KnowsNoEnd => {
                let offset = range.offset.min(digest.size_bytes());
                self.inner.get(digest, ByteRange { offset, ..range }).await
            }
            _ => self.inner.get(digest, range).await,
        }
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        let digest = blob.digest();
        let mut stream = blob.into_stream();
        let mut bytes = Vec::new();
        while let Some(piece) = stream.next().await {
            match piece {
                Ok(piece) => bytes.extend_from_slice(&piece),
                Err(error) => {
                    if matches!(self.fault, Fault::KeepsWhatFailed) {
                        self.inner.put(Blob::from_bytes(F, bytes)).await?;
                        self.seen.lock().push(digest);
                    }
                    return Err(error.into());
                }
            }
        }
        if matches!(self.fault, Fault::RefusesASecondPut) {
            let mut seen = self.seen.lock();
            if seen.contains(&digest) {
                return Err(StoreError::Unavailable {
                    reason: "again".into(),
                });
            }
            seen.push(digest);
        }
        match self.fault {
            Fault::ForgetsTheFunction => {
                // Stored under its hash alone: the alias reads it.
                self.seen.lock().push(forget_function(&digest));
                self.inner.put(Blob::from_bytes(digest.function(), bytes)).await
            }
            _ => self.inner.put(Blob::from_bytes(digest.function(), bytes)).await,
        }
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        match self.fault {
            Fault::NothingIsMissing => Ok(DigestSet::default()),
            Fault::EverythingIsMissing => Ok(digests.clone()),
            Fault::KeepsWhatFailed => {
                let seen: DigestSet = self.seen.lock().iter().copied().collect();
                Ok(self.inner.find_missing(digests).await?.difference(&seen))
            }
            _ => self.inner.find_missing(digests).await,
        }
    }
}

fn passes(fault: Fault) -> bool {
    let fresh = async || {
        Fresh::of(Arc::new(Faulty {
            inner: memory(64 << 20),
            fault,
            seen: Mutex::default(),
        }) as Arc<dyn BlobStore>)
    };
    block_on(AssertUnwindSafe(check(fresh)).catch_unwind()).is_ok()
}

#[test]
fn every_fault_is_noticed() {
    assert!(
        passes(Fault::None),
        "the faults are what fails, not what carries them"
    );
    for fault in [
        Fault::NothingIsMissing,
        Fault::EverythingIsMissing,
        Fault::IgnoresTheRange,
        Fault::EndsEarly,
        Fault::KeepsWhatFailed,
        Fault::ForgetsTheFunction,
        Fault::RefusesASecondPut,
        Fault::KnowsNoEnd,
    ] {
        assert!(!passes(fault), "a store with fault {fault:?} passes the suite");
    }
}

#[test]
fn a_store_that_never_forgets_is_not_bounded() {
    let checked = check_bounded(async |_| Fresh::of(memory(1 << 30)), 4 << 20);
    assert!(block_on(AssertUnwindSafe(checked).catch_unwind()).is_err());
}

/// Each decorator around others: all keep the contract for those around them. A fifth of all pairs, each decorator
/// outside and inside of three; with `FARRIER_ROUNDS` every pair.
#[tokio::test]
async fn pairs_of_decorators_conform() {
    let others = match std::env::var_os("FARRIER_ROUNDS") {
        Some(_) => DECORATORS.len(),
        None => 3,
    };
    for (at, (outer_name, outer)) in DECORATORS.into_iter().enumerate() {
        for (inner_name, inner) in DECORATORS.into_iter().cycle().skip(at + 1).take(others) {
            println!("{outer_name} around {inner_name}");
            check(async || Fresh::of(outer(inner(memory(64 << 20))))).await;
        }
    }
}

#[tokio::test]
async fn all_decorators_around_one_store_conform() {
    check(async || Fresh::of(all_around(memory(64 << 20)))).await;
}

fn read_only_over(behind: Arc<dyn BlobStore>, is_locked: bool) -> FreshReadOnly {
    FreshReadOnly {
        store: if is_locked {
            read_only(behind.clone())
        } else {
            behind.clone()
        },
        behind,
        keep: Box::new(()),
    }
}

#[tokio::test]
async fn a_store_that_takes_nothing_conforms_over_every_decorator() {
    check_read_only(async || read_only_over(memory(64 << 20), true)).await;
    for (name, decorate) in DECORATORS {
        println!("read_only over {name}");
        check_read_only(async || read_only_over(decorate(memory(64 << 20)), true)).await;
    }
}

#[test]
fn a_store_that_takes_something_is_not_read_only() {
    let checked = check_read_only(async || read_only_over(memory(64 << 20), false));
    assert!(block_on(AssertUnwindSafe(checked).catch_unwind()).is_err());
}
