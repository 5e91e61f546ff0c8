//! Two stores that hold the same.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use blob::{Blob, BlobStream, ByteRange, Digest, DigestSet};
use futures::future;
use parking_lot::Mutex;

use crate::tee::{filling, put_both};
use crate::{BlobStore, Health, StoreError};

/// Blobs known to be on one side only; beyond it they are reported missing, and whoever asked brings them again.
const TO_COPY_MAX: usize = 1 << 20;
/// How often [`Mirrored::keep_repaired`] looks whether one side lacks something, and how much it copies at a time.
const REPAIR_EVERY: Duration = Duration::from_secs(1);
const REPAIRS_AT_ONCE_MAX: usize = 256;

/// A pair of stores that stays readable and writable with one of them down.
///
/// Writes go to both in one pass and are acknowledged when both have them, or by the one that is up; what the other
/// missed is remembered and copied by [`Mirrored::keep_repaired`]. Reads go to the first and, on a miss or a failure, to
/// the second; a whole read from there repairs the first. A question is answered by what either has: present means on
/// both sides, or remembered to be copied, or that only one could be asked. Fails only when both sides do.
pub fn mirrored(first: Arc<dyn BlobStore>, second: Arc<dyn BlobStore>) -> Arc<Mirrored> {
    Arc::new(Mirrored {
        sides: [Side::new(first), Side::new(second)],
    })
}

/// See [`mirrored`].
pub struct Mirrored {
    sides: [Side; 2],
}

struct Side {
    store: Arc<dyn BlobStore>,
    health: Health,
    /// What the other side has and this one should get.
    lacks: Mutex<BTreeSet<Digest>>,
    last_due: Mutex<Option<Digest>>,
}

/// What a round of repairs came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Blobs copied.
    pub copied: u64,
    /// Blobs that are gone from the other side too.
    pub gone: u64,
    /// Blobs that are still to be copied.
    pub left: u64,
}

impl Side {
    fn new(store: Arc<dyn BlobStore>) -> Self {
        Side {
            store,
            health: Health::default(),
            lacks: Mutex::default(),
            last_due: Mutex::default(),
        }
    }

    fn is_up(&self) -> bool {
        self.health.is_up()
    }

    fn note<T>(&self, result: &Result<T, StoreError>) {
        let was_up = self.health.is_up();
        self.health.note(result);
        if was_up
            && let Err(error) = result
            && !self.health.is_up()
        {
            tracing::warn!(%error, "a side of a mirror fails; the other one stands in");
        }
    }

    /// What is to be copied here next: those behind the ones that were due last, so that none holds up the others.
    fn due(&self, blobs_max: usize) -> Vec<Digest> {
        let lacks = self.lacks.lock();
        let mut last = self.last_due.lock();
        let behind = last.map_or(Bound::Unbounded, Bound::Excluded);
        let due = lacks.range((behind, Bound::Unbounded)).chain(lacks.iter());
        let due: Vec<Digest> = due.take(blobs_max.min(lacks.len())).copied().collect();
        *last = due.last().copied();
        due
    }

    /// Remembers what to copy here; false if there is no room for more.
    fn lacks(&self, digests: impl IntoIterator<Item = Digest>) -> bool {
        let mut lacks = self.lacks.lock();
        lacks.extend(digests);
        let fits = lacks.len() <= TO_COPY_MAX;
        while lacks.len() > TO_COPY_MAX {
            lacks.pop_last();
        }
        fits
    }
}

impl Mirrored {
    /// Copies what one side lacks as soon as it is up, for as long as it is polled.
    pub async fn keep_repaired(&self) {
        loop {
            tokio::time::sleep(REPAIR_EVERY).await;
            let repaired = self.repair(REPAIRS_AT_ONCE_MAX).await;
            if repaired != Repaired::default() {
                tracing::debug!(?repaired, "a mirror is being repaired");
            }
        }
    }

    /// Copies up to `blobs_max` blobs that one side lacks. To be called again and again, by whoever owns the pair, and
    /// with a list of everything by [`resync`](Self::resync) after an outage that was too long to remember.
    pub async fn repair(&self, blobs_max: usize) -> Repaired {
        let mut repaired = Repaired::default();
        for (side, other) in [(&self.sides[0], &self.sides[1]), (&self.sides[1], &self.sides[0])] {
            for digest in side.due(blobs_max) {
                if !side.is_up() || !other.is_up() {
                    break;
                }
                match copy(other, side, &digest).await {
                    Ok(true) => repaired.copied += 1,
                    Ok(false) => repaired.gone += 1,
                    // It never takes it.
                    Err(error @ (StoreError::TooLarge { .. } | StoreError::Blob(_))) => {
                        tracing::warn!(%digest, %error, "a blob cannot be copied to its mirror");
                        repaired.gone += 1;
                    }
                    // The next ones first; its turn comes again.
                    Err(error) => {
                        tracing::debug!(%digest, %error, "a blob could not be copied to its mirror yet");
                        continue;
                    }
                }
                side.lacks.lock().remove(&digest);
            }
            repaired.left += side.lacks.lock().len() as u64;
        }
        repaired
    }

    /// Compares both sides for these blobs and remembers what one of them lacks.
    pub async fn resync(&self, digests: &DigestSet) -> Result<(), StoreError> {
        self.find_missing(digests).await.map(|_| ())
    }

    fn order(&self) -> [(&Side, &Side); 2] {
        let [first, second] = &self.sides;
        match first.is_up() || !second.is_up() {
            true => [(first, second), (second, first)],
            false => [(second, first), (first, second)],
        }
    }
}

/// Whether it was there to be copied. Each side answers for itself.
async fn copy(from: &Side, to: &Side, digest: &Digest) -> Result<bool, StoreError> {
    let got = from.store.get(digest, ByteRange::FULL).await;
    from.note(&got);
    let Some(stream) = got? else {
        return Ok(false);
    };
    let put = to.store.put(Blob::checked(*digest, stream)).await;
    to.note(&put);
    put.map(|()| true)
}

#[async_trait]
impl BlobStore for Mirrored {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        let (mut failure, mut is_miss) = (None, false);
        for (turn, (side, other)) in self.order().into_iter().enumerate() {
            let result = side.store.get(digest, range).await;
            side.note(&result);
            match result {
                Ok(Some(stream)) if turn == 1 && other.is_up() && range.is_full(digest.size_bytes()) => {
                    return Ok(Some(filling(stream, *digest, other.store.clone())));
                }
                Ok(Some(stream)) => return Ok(Some(stream)),
                Ok(None) => is_miss = true,
                Err(error @ StoreError::OutOfRange { .. }) => return Err(error),
                Err(error) => failure = Some(error),
            }
        }
        // As for a question: with one side down, the other one's word counts. At worst a blob is made again.
        match failure {
            Some(error) if !is_miss => Err(error),
            _ => Ok(None),
        }
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        let digest = blob.digest();
        let [first, second] = &self.sides;
        let up = [first, second].map(Side::is_up);
        if up[0] != up[1] {
            let (side, other) = if up[0] { (first, second) } else { (second, first) };
            let again = blob.try_clone();
            let result = side.store.put(blob).await;
            side.note(&result);
            return match (result, again) {
                (Ok(()), _) => {
                    other.lacks([digest]);
                    Ok(())
                }
                // It may have come back, and nobody else is left.
                (Err(StoreError::Unavailable { .. } | StoreError::Io { .. }), Some(again)) => {
                    let result = other.store.put(again).await;
                    other.note(&result);
                    if result.is_ok() {
                        side.lacks([digest]);
                    }
                    result
                }
                (Err(error), _) => Err(error),
            };
        }
        let (one, two) = put_both(blob, &*first.store, &*second.store).await;
        first.note(&one);
        second.note(&two);
        match (one, two) {
            (Ok(()), Ok(())) => Ok(()),
            // The body itself was wrong; both sides say so, or one was faster to have it already.
            (Err(error @ StoreError::Blob(_)), _) | (_, Err(error @ StoreError::Blob(_))) => Err(error),
            (Ok(()), Err(_)) => {
                second.lacks([digest]);
                Ok(())
            }
            (Err(_), Ok(())) => {
                first.lacks([digest]);
                Ok(())
            }
            (Err(error), Err(_)) => Err(error),
        }
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        let nobody_is_up = !self.sides.iter().any(Side::is_up);
        let ask = async |side: &Side| {
            if !side.is_up() && !nobody_is_up {
                return Err(StoreError::Unavailable {
                    reason: "this side of the mirror failed a moment ago".to_owned(),
                });
            }
            let result = side.store.find_missing(digests).await;
            side.note(&result);
            result
        };
        let [first, second] = &self.sides;
        match future::join(ask(first), ask(second)).await {
            (Ok(one), Ok(two)) => {
                let neither: DigestSet = one
                    .iter()
                    .filter(|digest| two.contains(digest))
                    .copied()
                    .collect();
                let first_lacks = one.difference(&neither);
                let second_lacks = two.difference(&neither);
                let mut missing = neither;
                // What cannot be remembered to be copied is asked for once more: then both get it.
                if !first.lacks(first_lacks.iter().copied()) {
                    missing = missing.union(&first_lacks);
                }
                if !second.lacks(second_lacks.iter().copied()) {
                    missing = missing.union(&second_lacks);
                }
                Ok(missing)
            }
            // Most of it the other one has; what it lacks shows when both are asked again.
            (Ok(missing), Err(_)) | (Err(_), Ok(missing)) => Ok(missing),
            (Err(error), Err(_)) => Err(error),
        }
    }

    async fn get_zstd(&self, digest: &Digest, offset: u64) -> Result<Option<BlobStream>, StoreError> {
        let [(side, _), _] = self.order();
        // A failure or a miss shows again when it is read plainly, and is dealt with there.
        Ok(side.store.get_zstd(digest, offset).await.unwrap_or(None))
    }
}

#[cfg(test)]
mod tests {
    use blob::DigestFunction;
    use futures::StreamExt;

    use super::*;
    use crate::conformance::{self, Faulty, Fresh};
    use crate::health::REST_MAX;
    use crate::memory;

    fn blob(seed: u8) -> Blob {
        Blob::from_bytes(DigestFunction::Sha256, vec![seed; 3000])
    }

    async fn holds(store: &Arc<dyn BlobStore>, seed: u8) -> bool {
        let digest = DigestSet::from(blob(seed).digest());
        store.find_missing(&digest).await.unwrap().is_empty()
    }

    async fn reads(store: &dyn BlobStore, seed: u8) -> bool {
        match store.get(&blob(seed).digest(), ByteRange::FULL).await.unwrap() {
            Some(stream) => {
                stream
                    .map(|piece| piece.unwrap().len())
                    .fold(0, async |sum, n| sum + n)
                    .await
                    == 3000
            }
            None => false,
        }
    }

    #[tokio::test]
    async fn conforms() {
        conformance::check(async || Fresh::of(mirrored(memory(64 << 20), memory(64 << 20)))).await;
        // With one side down for good.
        conformance::check(async || Fresh::of(mirrored(Faulty::always(memory(1)), memory(64 << 20)))).await;
        conformance::check(async || Fresh::of(mirrored(memory(64 << 20), Faulty::always(memory(1))))).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_side_that_was_down_gets_what_it_missed() {
        let inner: [Arc<dyn BlobStore>; 2] = [memory(1 << 20), memory(1 << 20)];
        let sides = [0, 1].map(|side: usize| Faulty::new(inner[side].clone()));
        let store = mirrored(sides[0].clone(), sides[1].clone());
        store.put(blob(1)).await.unwrap();
        assert!(holds(&inner[0], 1).await && holds(&inner[1], 1).await);
        for down in [0, 1] {
            let seed = 10 + down as u8;
            sides[down].fail(true);
            store.put(blob(seed)).await.unwrap();
            assert!(reads(&*store, 1).await && reads(&*store, seed).await);
            assert!(!holds(&inner[down], seed).await);
            assert_eq!(store.repair(10).await.left, 1, "it is still down");
            sides[down].fail(false);
            tokio::time::advance(REST_MAX).await;
            assert_eq!(
                store.repair(10).await,
                Repaired {
                    copied: 1,
                    ..Repaired::default()
                }
            );
            assert!(holds(&inner[down], seed).await);
        }
        for side in &sides {
            side.fail(true);
        }
        assert!(store.put(blob(2)).await.is_err());
        assert!(store.get(&blob(1).digest(), ByteRange::FULL).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_side_that_comes_back_is_repaired_in_the_background() {
        let inner: [Arc<dyn BlobStore>; 2] = [memory(1 << 20), memory(1 << 20)];
        let second = Faulty::new(inner[1].clone());
        let store = mirrored(inner[0].clone(), second.clone());
        second.fail(true);
        for seed in 0..20 {
            store.put(blob(seed)).await.unwrap();
        }
        let up_again = async {
            tokio::time::sleep(Duration::from_secs(90)).await;
            assert!(!holds(&inner[1], 0).await);
            second.fail(false);
            tokio::time::sleep(REST_MAX + REPAIR_EVERY * 2).await;
        };
        tokio::select! {
            () = store.keep_repaired() => unreachable!("it does not end"),
            () = up_again => {}
        }
        for seed in 0..20 {
            assert!(holds(&inner[1], seed).await, "{seed}");
        }
    }

    #[tokio::test]
    async fn what_one_side_lost_is_read_from_the_other_and_comes_back() {
        let sides: [Arc<dyn BlobStore>; 2] = [memory(1 << 20), memory(1 << 20)];
        let store = mirrored(sides[0].clone(), sides[1].clone());
        sides[1].put(blob(1)).await.unwrap();
        assert!(reads(&*store, 1).await);
        assert!(holds(&sides[0], 1).await, "repaired by the read");
        sides[0].put(blob(2)).await.unwrap();
        let asked = [blob(2).digest(), blob(3).digest()].into_iter().collect();
        assert_eq!(
            store.find_missing(&asked).await.unwrap(),
            DigestSet::from(blob(3).digest())
        );
        assert_eq!(store.repair(10).await.copied, 1);
        assert!(holds(&sides[1], 2).await, "repaired by the question");
    }
}
