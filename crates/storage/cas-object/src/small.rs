//! Small blobs: many in one segment.

use std::collections::HashSet;
use std::sync::Arc;

use blob::{Blob, BlobStream, ByteRange, Digest};
use bytes::Bytes;
use cas::StoreError;
use futures::{StreamExt, stream};
use object_store::GetRange;

use crate::index::Place;
use crate::keys::{Keys, Unit};
use crate::limits::{PLACES_MAX, SMALL_BLOB_BYTES_MAX};
use crate::liveness::{Liveness, Verdict};
use crate::packer::Packer;
use crate::requests::Requests;
use crate::segment::is_intact;
use crate::segments::Segments;
use crate::statistics::Counters;

pub(crate) struct Small {
    pub(crate) requests: Arc<Requests>,
    pub(crate) keys: Keys,
    pub(crate) liveness: Arc<Liveness>,
    pub(crate) segments: Arc<Segments>,
    pub(crate) packer: Packer,
}

impl Small {
    pub(crate) async fn get(
        &self,
        digest: &Digest,
        range: ByteRange,
    ) -> Result<Option<BlobStream>, StoreError> {
        let Some(bytes) = self.read(digest).await? else {
            return Ok(None);
        };
        let Some(range) = range.within(digest.size_bytes()) else {
            return Err(StoreError::OutOfRange {
                digest: *digest,
                offset: range.offset,
            });
        };
        // Both ends lie inside bytes that are in memory.
        let bytes = bytes.slice(range.start as usize..range.end as usize);
        Ok(Some(
            stream::iter((!bytes.is_empty()).then_some(Ok(bytes))).boxed(),
        ))
    }

    pub(crate) async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        let digest = blob.digest();
        if let Some(place) = self.segments.place(&digest) {
            let segment = Unit::Segment(place.segment);
            if self.liveness.promise(&[segment]).await?.get(&segment) == Some(&Verdict::Alive) {
                return Ok(());
            }
        }
        let bytes = blob.into_bytes(SMALL_BLOB_BYTES_MAX).await?;
        self.packer.pack(digest, bytes).await
    }

    /// Those of `digests` that are here; each of them is promised.
    pub(crate) async fn promise(&self, digests: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        let mut places = self.segments.places(digests);
        if places.iter().any(Option::is_none) {
            self.segments.refresh().await?;
            places = self.segments.places(digests);
        }
        let units: HashSet<Unit> = places
            .iter()
            .flatten()
            .map(|place| Unit::Segment(place.segment))
            .collect();
        let units: Vec<Unit> = units.into_iter().collect();
        let verdicts = self.liveness.promise(&units).await?;
        for (unit, verdict) in &verdicts {
            if let (Unit::Segment(id), Verdict::Gone) = (unit, verdict) {
                self.segments.remove_segment(*id);
            }
        }
        let alive = digests.iter().zip(places).filter(|(_, place)| {
            place.is_some_and(|place| verdicts.get(&Unit::Segment(place.segment)) == Some(&Verdict::Alive))
        });
        Ok(alive.map(|(digest, _)| *digest).collect())
    }

    async fn read(&self, digest: &Digest) -> Result<Option<Bytes>, StoreError> {
        let mut refreshed = false;
        for _ in 0..PLACES_MAX {
            match self.segments.place(digest) {
                Some(place) => {
                    // Where it is not found it is not looked for again.
                    if let Some(bytes) = self.read_at(digest, place).await? {
                        return Ok(Some(bytes));
                    }
                }
                None if refreshed => return Ok(None),
                None => {
                    self.segments.refresh().await?;
                    refreshed = true;
                }
            }
        }
        Ok(None)
    }

    async fn read_at(&self, digest: &Digest, place: Place) -> Result<Option<Bytes>, StoreError> {
        let segment = Unit::Segment(place.segment);
        if digest.is_empty() {
            // There is no such thing as reading no bytes of an object.
            return Ok(Some(Bytes::new()));
        }
        let start = u64::from(place.offset);
        let range = GetRange::Bounded(start..start + digest.size_bytes());
        let Some(part) = self.requests.get(&self.keys.unit(segment), Some(range)).await? else {
            self.segments.remove_segment(place.segment);
            self.liveness.forget(segment);
            return Ok(None);
        };
        if !is_intact(digest, place.checksum, &part.bytes) {
            tracing::error!(%digest, "a packed blob is damaged in `{segment}` and counts as missing");
            Counters::add(&self.requests.counters.damaged, 1);
            self.segments.remove_blob(digest, place.segment);
            return Ok(None);
        }
        self.liveness.used(segment);
        Ok(Some(part.bytes))
    }
}
