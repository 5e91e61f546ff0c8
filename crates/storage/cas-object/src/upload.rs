//! Getting the body of a large blob into its object.
//!
//! **What is visible when.** A single PUT shows an object as a whole or not at all. An upload in parts shows nothing
//! until it is completed, which then happens at once (S3, Google's XML interface, a block list of Azure, a rename in a
//! directory). It is completed only after the body's stream ended without an error, which is the proof of its digest
//! ([`Blob`]); otherwise it is aborted. So there is never a partial or unproven object under a digest's name.
//!
//! Parts go straight to the final name. A detour over a temporary name and a conditional copy would buy nothing here:
//! completing over an object that appeared meanwhile replaces it by the same bytes, the name being their digest, while
//! S3 copies at most 5 GiB in one request and every copy has to be paid for and tidied up after a crash.

use blob::{Blob, BlobStream, Digest};
use bytes::{Buf, Bytes, BytesMut};
use cas::StoreError;
use futures::StreamExt;
use futures::future;
use object_store::path::Path;
use object_store::{MultipartUpload, PutPayload, UploadPart};

use crate::frames::{Encoder, object_bytes};
use crate::limits::{PART_BYTES_MIN, PARTS_MAX};
use crate::requests::Requests;

/// The whole object in memory, for a single PUT.
pub(crate) async fn encode(blob: Blob) -> Result<PutPayload, StoreError> {
    let digest = blob.digest();
    let mut out = BytesMut::with_capacity(object_bytes(digest.size_bytes()) as usize);
    let mut encoder = Encoder::start(&digest, &mut out);
    let mut body = blob.into_stream();
    while let Some(bytes) = body.next().await.transpose()? {
        encoder.update(&bytes, &mut out);
    }
    encoder.finish(&mut out);
    Ok(out.freeze().into())
}

/// Size of the parts of an object.
pub(crate) fn part_bytes(object_bytes: u64) -> u64 {
    object_bytes.div_ceil(PARTS_MAX).max(PART_BYTES_MIN)
}

/// Uploads in parts; holds at most two of them in memory, the one being sent and the one being filled.
pub(crate) async fn in_parts(
    requests: &Requests,
    path: &Path,
    blob: Blob,
    group: &tasks::Group,
) -> Result<(), StoreError> {
    let digest = blob.digest();
    let part_bytes = part_bytes(object_bytes(digest.size_bytes())) as usize;
    let mut upload = Upload::start(requests, path, group).await?;
    let mut filler = Filler::new(&digest, blob.into_stream());
    let mut sending: Option<UploadPart> = None;
    loop {
        let (sent, part) = future::join(send(requests, path, sending.take()), filler.fill(part_bytes)).await;
        sent?;
        let Some(part) = part? else {
            break;
        };
        sending = Some(upload.parts().put_part(part.into()));
    }
    let completed = requests.once("complete", path, upload.parts().complete()).await;
    if let Err(error) = completed {
        // The answer may be all that was lost. Nobody else's object can be the wrong one.
        if requests.head(path).await? != Some(object_bytes(digest.size_bytes())) {
            // Not the error itself: it may be what the server says to a second attempt, when the first one is still
            // under way or has used the upload up.
            return Err(StoreError::Unavailable {
                reason: error.to_string(),
            });
        }
    }
    upload.done();
    Ok(())
}

async fn send(requests: &Requests, path: &Path, part: Option<UploadPart>) -> Result<(), StoreError> {
    match part {
        Some(part) => requests.once("send a part of", path, part).await,
        None => Ok(()),
    }
}

/// Cuts the object into parts of one size.
struct Filler {
    body: BlobStream,
    /// Of the last piece of the body, what did not fit.
    rest: Bytes,
    encoder: Option<Encoder>,
    part: BytesMut,
}

impl Filler {
    fn new(digest: &Digest, body: BlobStream) -> Self {
        let mut part = BytesMut::new();
        let encoder = Some(Encoder::start(digest, &mut part));
        Filler {
            body,
            rest: Bytes::new(),
            encoder,
            part,
        }
    }

    /// The next part; `None` after the last. Only a body that ended well has a last part.
    async fn fill(&mut self, part_bytes: usize) -> Result<Option<Bytes>, StoreError> {
        while self.part.len() < part_bytes {
            let Some(encoder) = &mut self.encoder else {
                break;
            };
            if self.rest.is_empty() {
                match self.body.next().await.transpose()? {
                    Some(bytes) => self.rest = bytes,
                    None => {
                        if let Some(encoder) = self.encoder.take() {
                            encoder.finish(&mut self.part);
                        }
                        break;
                    }
                }
            }
            // Not more than this part needs: a piece of the body may be much larger.
            let now = self.rest.len().min(part_bytes - self.part.len());
            encoder.update(&self.rest[..now], &mut self.part);
            self.rest.advance(now);
        }
        let now = self.part.len().min(part_bytes);
        Ok((now > 0).then(|| self.part.split_to(now).freeze()))
    }
}

/// An upload that is aborted unless it was completed.
struct Upload {
    parts: Option<Box<dyn MultipartUpload>>,
    path: Path,
    group: tasks::Group,
}

impl Upload {
    async fn start(requests: &Requests, path: &Path, group: &tasks::Group) -> Result<Self, StoreError> {
        Ok(Upload {
            parts: Some(requests.start_upload(path).await?),
            path: path.clone(),
            group: group.clone(),
        })
    }

    fn parts(&mut self) -> &mut dyn MultipartUpload {
        &mut **self.parts.as_mut().expect("taken only at the end")
    }

    fn done(mut self) {
        self.parts = None;
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(mut parts) = self.parts.take() else {
            return;
        };
        let path = self.path.clone();
        // Without a runtime nothing can be sent any more. Parts that stay behind are invisible; the bucket's rule for
        // incomplete uploads removes them.
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        self.group.spawn("abort upload", async move {
            if let Err(error) = parts.abort().await {
                tracing::warn!(
                    "cannot abort the upload of `{path}`, whose parts stay in the bucket: {error}"
                );
            }
        });
    }
}
