//! Many stores, each with its share.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use blob::{Blob, BlobStream, ByteRange, Digest, DigestSet};
use futures::future;
use futures::stream::{self, StreamExt};
use parking_lot::Mutex;

use crate::tee::filling;
use crate::{BlobStore, Rendezvous, StoreError};

/// A shard that lacks a blob is not the only one asked: so many others may have it from before a shard was added.
const OTHERS_ASKED_MAX: usize = 2;
/// Blobs moved at the same time by [`Sharded::rebalance`].
const MOVES_IN_FLIGHT_MAX: usize = 8;
/// Blobs known to lie away from home that wait to be moved; of more than that, the rest is found when asked for again.
const STRAYS_MAX: usize = 1 << 20;
/// How often [`Sharded::keep_balanced`] looks for some, and how many it moves at a time: little beside a build.
const MOVE_EVERY: Duration = Duration::from_secs(1);
const MOVES_AT_ONCE_MAX: usize = 64;

/// One of the stores behind [`sharded`].
pub struct Shard {
    /// What it is called; its share follows from the name, so it stays when stores move to other machines.
    pub name: String,
    /// How much it holds beside the others. 0 takes nothing new and is only read from.
    pub weight: u32,
    /// The store.
    pub store: Arc<dyn BlobStore>,
}

/// Spreads blobs over stores by weighted rendezvous hashing ([`Rendezvous`]): every blob has a home, and adding a shard
/// moves only its share.
///
/// Writes go to the home. Reads that miss there look at the next bidders, where the blob lay before the set of shards
/// was changed. A copy goes home when all of it is read from there; [`Sharded::keep_balanced`] sees to whatever was asked
/// about, and [`Sharded::rebalance`] to all of a list. A shard that is down makes its share unavailable and nothing else:
/// there is one copy here, mirror the shards for two.
pub fn sharded(shards: Vec<Shard>) -> Arc<Sharded> {
    Arc::new(Sharded {
        shares: Rendezvous::new(shards.iter().map(|shard| (shard.name.as_str(), shard.weight))),
        stores: shards.into_iter().map(|shard| shard.store).collect(),
        strays: Mutex::default(),
    })
}

/// See [`sharded`].
pub struct Sharded {
    shares: Rendezvous,
    stores: Vec<Arc<dyn BlobStore>>,
    /// Seen elsewhere than at home.
    strays: Mutex<BTreeSet<Digest>>,
}

impl Sharded {
    /// The home of a digest and the next bidders.
    fn bidders(&self, digest: &Digest) -> Vec<&Arc<dyn BlobStore>> {
        let places = self.shares.asked(digest, OTHERS_ASKED_MAX).into_iter();
        places.map(|place| &self.stores[place]).collect()
    }

    /// Copies home what of these blobs lies elsewhere; how many were copied. To be run with a list of what a store has
    /// after shards were added, as slowly as its caller likes.
    pub async fn rebalance(&self, digests: &DigestSet) -> Result<u64, StoreError> {
        let mut moves = stream::iter(digests.iter().copied())
            .map(|digest| async move {
                let bidders = self.bidders(&digest);
                let Some((home, others)) = bidders.split_first() else {
                    return Ok(false);
                };
                if home.find_missing(&DigestSet::from(digest)).await?.is_empty() {
                    return Ok(false);
                }
                for other in others {
                    if let Some(stream) = other.get(&digest, ByteRange::FULL).await? {
                        home.put(Blob::checked(digest, stream)).await?;
                        return Ok(true);
                    }
                }
                Ok::<_, StoreError>(false)
            })
            .buffer_unordered(MOVES_IN_FLIGHT_MAX);
        let mut copied = 0;
        while let Some(moved) = moves.next().await {
            copied += u64::from(moved?);
        }
        Ok(copied)
    }

    /// Moves what was found away from home, for as long as it is polled. What is asked about moves so; for the rest of
    /// what old shards have there is [`rebalance`](Self::rebalance).
    pub async fn keep_balanced(&self) {
        loop {
            tokio::time::sleep(MOVE_EVERY).await;
            self.move_strays().await;
        }
    }

    /// Moves a few; how many. What cannot be moved just now is forgotten until somebody asks for it again.
    async fn move_strays(&self) -> u64 {
        let due: DigestSet = {
            let mut strays = self.strays.lock();
            let first = std::iter::from_fn(|| strays.pop_first());
            first.take(MOVES_AT_ONCE_MAX).collect()
        };
        match self.rebalance(&due).await {
            Ok(moved) => moved,
            Err(error) => {
                tracing::debug!(%error, "some blobs could not be moved to their shard");
                0
            }
        }
    }

    fn note_strays(&self, digests: DigestSet) {
        let mut strays = self.strays.lock();
        let room = STRAYS_MAX.saturating_sub(strays.len());
        strays.extend(digests.iter().take(room));
    }

    /// Asks for each digest the bidder at `place`; what that one lacks, or what has none there.
    async fn missing_at(&self, place: usize, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        let mut asked: Vec<(&Arc<dyn BlobStore>, Vec<Digest>)> = Vec::new();
        let mut missing: Vec<Digest> = Vec::new();
        for digest in digests {
            let Some(store) = self.bidders(digest).get(place).copied() else {
                missing.push(*digest);
                continue;
            };
            match asked.iter_mut().find(|(other, _)| Arc::ptr_eq(other, store)) {
                Some((_, digests)) => digests.push(*digest),
                None => asked.push((store, vec![*digest])),
            }
        }
        let asks = asked.into_iter().map(|(store, digests)| async move {
            let digests: DigestSet = digests.into_iter().collect();
            store.find_missing(&digests).await
        });
        for answer in future::try_join_all(asks).await? {
            missing.extend(answer);
        }
        Ok(missing.into_iter().collect())
    }
}

fn no_shards() -> StoreError {
    StoreError::Unavailable {
        reason: "there are no shards".to_owned(),
    }
}

#[async_trait]
impl BlobStore for Sharded {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        let bidders = self.bidders(digest);
        let (home, others) = bidders.split_first().ok_or_else(no_shards)?;
        if let Some(stream) = home.get(digest, range).await? {
            return Ok(Some(stream));
        }
        for other in others {
            // One that fails has nothing to say about a blob whose home is elsewhere.
            if let Ok(Some(stream)) = other.get(digest, range).await {
                return Ok(Some(match range.is_full(digest.size_bytes()) {
                    true => filling(stream, *digest, Arc::clone(home)),
                    false => stream,
                }));
            }
        }
        Ok(None)
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        let bidders = self.bidders(&blob.digest());
        bidders.first().ok_or_else(no_shards)?.put(blob).await
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        if self.stores.is_empty() {
            return Err(no_shards());
        }
        let not_at_home = self.missing_at(0, digests).await?;
        let mut missing = not_at_home.clone();
        for place in 1..self.stores.len() {
            if missing.is_empty() {
                break;
            }
            missing = match self.missing_at(place, &missing).await {
                Ok(missing) => missing,
                // They are missing at home, and nobody else can be asked.
                Err(_) => break,
            };
        }
        self.note_strays(not_at_home.difference(&missing));
        Ok(missing)
    }

    async fn get_zstd(&self, digest: &Digest, offset: u64) -> Result<Option<BlobStream>, StoreError> {
        let bidders = self.bidders(digest);
        bidders
            .first()
            .ok_or_else(no_shards)?
            .get_zstd(digest, offset)
            .await
    }
}

#[cfg(test)]
mod tests {
    use blob::DigestFunction;
    use futures::executor::block_on;

    use super::*;
    use crate::conformance::{self, Faulty, Fresh};
    use crate::memory;

    fn shards(weights: &[u32]) -> Vec<Shard> {
        let shard = |(number, weight): (usize, &u32)| Shard {
            name: format!("shard {number}"),
            weight: *weight,
            store: memory(64 << 20),
        };
        weights.iter().enumerate().map(shard).collect()
    }

    fn digests() -> impl Iterator<Item = Digest> {
        (0..20_000u32).map(|n| Digest::of(DigestFunction::Sha256, &n.to_le_bytes()))
    }

    #[test]
    fn conforms() {
        for weights in [&[1][..], &[1, 1, 1], &[5, 0, 1, 2]] {
            block_on(conformance::check(async || Fresh::of(sharded(shards(weights)))));
        }
    }

    #[test]
    fn what_lies_where_it_belonged_before_is_found_and_comes_home() {
        let old = shards(&[1, 1]);
        let stores: Vec<_> = old.iter().map(|shard| shard.store.clone()).collect();
        let before = sharded(old);
        let blobs: Vec<_> = (0..60u8).map(|n| vec![n; 300]).collect();
        let blob = |bytes: &Vec<u8>| Blob::from_bytes(DigestFunction::Sha256, bytes.clone());
        for bytes in &blobs {
            block_on(before.put(blob(bytes))).unwrap();
        }
        let mut new = shards(&[1, 1, 1]);
        for (shard, store) in new.iter_mut().zip(stores) {
            shard.store = store;
        }
        let third = new[2].store.clone();
        let after = sharded(new);
        let all: DigestSet = blobs.iter().map(|bytes| blob(bytes).digest()).collect();
        assert!(block_on(after.find_missing(&all)).unwrap().is_empty());
        assert_eq!(block_on(third.find_missing(&all)).unwrap().len(), 60);
        let copied = block_on(after.rebalance(&all)).unwrap();
        assert_eq!(
            block_on(third.find_missing(&all)).unwrap().len() as u64,
            60 - copied
        );
        assert!((10..32).contains(&copied), "{copied} of 60");
        assert_eq!(block_on(after.rebalance(&all)).unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_about_moves_home_in_the_background() {
        let old = shards(&[1, 1]);
        let stores: Vec<_> = old.iter().map(|shard| shard.store.clone()).collect();
        let before = sharded(old);
        let blobs = (0..200u8).map(|n| Blob::from_bytes(DigestFunction::Sha256, vec![n; 300]));
        let mut all = Vec::new();
        for blob in blobs {
            all.push(blob.digest());
            before.put(blob).await.unwrap();
        }
        let all: DigestSet = all.into_iter().collect();
        let mut new = shards(&[1, 1, 100]);
        for (shard, store) in new.iter_mut().zip(stores) {
            shard.store = store;
        }
        let third = new[2].store.clone();
        let after = sharded(new);
        let there = async || 200 - third.find_missing(&all).await.unwrap().len();
        assert!(after.find_missing(&all).await.unwrap().is_empty());
        assert_eq!(there().await, 0);
        // Long enough for all, and it never ends by itself.
        let time = MOVE_EVERY * 5;
        assert!(tokio::time::timeout(time, after.keep_balanced()).await.is_err());
        assert!(there().await > 190, "{} of about 198", there().await);
        assert!(after.strays.lock().is_empty());
    }

    #[test]
    fn a_shard_that_is_down_takes_only_its_share_along() {
        let mut all = shards(&[1, 1]);
        all[0].store = Faulty::always(memory(1 << 20));
        let store = sharded(all);
        let puts = digests().take(100).map(|digest| {
            let blob = Blob::from_bytes(DigestFunction::Sha256, digest.hash_bytes().to_vec());
            block_on(store.put(blob)).is_ok()
        });
        let well = puts.filter(|ok| *ok).count();
        assert!((30..70).contains(&well), "{well}");
        assert!(block_on(sharded(Vec::new()).find_missing(&DigestSet::default())).is_err());
    }
}
