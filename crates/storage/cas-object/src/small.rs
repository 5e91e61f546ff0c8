//! Small blobs: many in one segment.

use std::collections::HashSet;
use std::sync::Arc;

use blob::{Blob, BlobStream, ByteRange, Digest};
use bytes::Bytes;
use cas::StoreError;
use futures::{StreamExt, stream};
use object_store::GetRange;

use crate::index::Place;
use crate::keys::{Keys, Touch, Unit};
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
            let touch = touch_of(&digest, place);
            if self.liveness.promise(&[touch]).await?.get(&touch) == Some(&Verdict::Alive) {
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
        let placed = |(digest, place): (&Digest, Option<Place>)| place.map(|place| (*digest, place));
        let mut asked: Vec<(Digest, Place)> = digests.iter().zip(places).filter_map(placed).collect();
        let mut alive = Vec::with_capacity(asked.len());
        for _ in 0..PLACES_MAX {
            let moved = self.promise_at(asked, &mut alive).await?;
            if moved.is_empty() {
                break;
            }
            // What lived there has been stored again before the old place was given up.
            self.segments.refresh_now().await?;
            let (digests, before): (Vec<Digest>, Vec<Place>) = moved.into_iter().unzip();
            let now = self.segments.places(&digests);
            asked = digests
                .into_iter()
                .zip(before.into_iter().zip(now))
                .filter_map(|(digest, (before, now))| Some((digest, now.filter(|now| *now != before)?)))
                .collect();
        }
        Ok(alive)
    }

    /// Adds to `alive` what can be promised where it is; returns what is there no longer, or will not be.
    async fn promise_at(
        &self,
        asked: Vec<(Digest, Place)>,
        alive: &mut Vec<Digest>,
    ) -> Result<Vec<(Digest, Place)>, StoreError> {
        let touches: HashSet<Touch> = asked
            .iter()
            .map(|(digest, place)| touch_of(digest, *place))
            .collect();
        let touches: Vec<Touch> = touches.into_iter().collect();
        let verdicts = self.liveness.promise(&touches).await?;
        for (touch, verdict) in &verdicts {
            if let (Unit::Segment(id), Verdict::Gone) = (touch.unit(), verdict) {
                self.segments.remove_segment(id);
            }
        }
        let mut moved = Vec::new();
        for (digest, place) in asked {
            match verdicts.get(&touch_of(&digest, place)) {
                Some(Verdict::Alive) => alive.push(digest),
                _ => moved.push((digest, place)),
            }
        }
        Ok(moved)
    }

    async fn read(&self, digest: &Digest) -> Result<Option<Bytes>, StoreError> {
        let (mut refreshed, mut gone) = (false, false);
        for _ in 0..PLACES_MAX {
            match self.segments.place(digest) {
                Some(place) => {
                    // Where it is not found it is not looked for again.
                    if let Some(bytes) = self.read_at(digest, place).await? {
                        return Ok(Some(bytes));
                    }
                    (refreshed, gone) = (false, true);
                }
                None if refreshed => return Ok(None),
                None => {
                    match gone {
                        true => self.segments.refresh_now().await?,
                        false => self.segments.refresh().await?,
                    }
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
            self.liveness.forget(touch_of(digest, place));
            return Ok(None);
        };
        if !is_intact(digest, place.checksum, &part.bytes) {
            tracing::error!(%digest, "a packed blob is damaged in `{segment}` and counts as missing");
            Counters::add(&self.requests.counters.damaged, 1);
            self.segments.remove_blob(digest, place.segment);
            return Ok(None);
        }
        self.liveness.used(touch_of(digest, place));
        Ok(Some(part.bytes))
    }
}

fn touch_of(digest: &Digest, place: Place) -> Touch {
    Touch::Packed {
        segment: place.segment,
        offset: place.offset,
        // Packed, so less than 64 KiB.
        size_bytes: digest.size_bytes() as u32,
    }
}
