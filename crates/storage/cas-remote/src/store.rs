//! The store: which way a blob goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use blob::{Blob, BlobStream, Body, ByteRange, Digest, DigestFunction, DigestSet, InstanceName};
use bytes::Bytes;
use cas::{BlobStore, StoreError};
use futures::future::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::OnceCell;

use crate::batch_read::batch_read;
use crate::batch_update::batch_update;
use crate::byte_stream::{Place, read, write};
use crate::capabilities::Manner;
use crate::chunks::{is_chunked, upload};
use crate::coalesce::Coalescer;
use crate::connection::Connection;
use crate::find_missing::{Questions, find_missing};
use crate::limits::{FIND_MISSING_CALLS_MAX, FIND_MISSING_DIGESTS_MAX};

/// The blobs of one instance of a server.
///
/// A `put` of bytes is tried again, and resumed, when the server or the network fails, and so is each chunk where the
/// server takes chunks. A `put` of a large stream that goes as a whole is not, because its source cannot be read twice:
/// whoever owns the source tries again.
#[derive(Clone)]
pub(crate) struct RemoteStore {
    connection: Arc<Connection>,
    instance: InstanceName,
    /// Asked for when first needed; a failure is not remembered.
    manner: Arc<OnceCell<Manner>>,
    reads: Arc<Coalescer<(), Option<Bytes>>>,
    updates: Arc<Coalescer<Bytes, ()>>,
    questions: Arc<Questions>,
    /// The server does not join chunks after all.
    whole_only: Arc<AtomicBool>,
}

impl RemoteStore {
    pub(crate) fn new(connection: Arc<Connection>, instance: InstanceName) -> Self {
        let manner: Arc<OnceCell<Manner>> = Arc::default();
        let group = connection.group.clone();
        let reads = {
            let (connection, instance, manner) = (connection.clone(), instance.clone(), manner.clone());
            Coalescer::new(
                group.clone(),
                Arc::new(move |digests| {
                    let (connection, instance) = (connection.clone(), instance.clone());
                    let zstd = manner.get().is_some_and(|manner| manner.zstd);
                    async move { batch_read(&connection, &instance, zstd, digests).await }.boxed()
                }),
            )
        };
        let updates = {
            let (connection, instance, manner) = (connection.clone(), instance.clone(), manner.clone());
            Coalescer::new(
                group.clone(),
                Arc::new(move |blobs| {
                    let (connection, instance) = (connection.clone(), instance.clone());
                    let zstd = manner.get().is_some_and(|manner| manner.zstd_updates);
                    async move { batch_update(&connection, &instance, zstd, blobs).await }.boxed()
                }),
            )
        };
        let questions = {
            let (connection, instance) = (connection.clone(), instance.clone());
            Questions::new(
                group,
                Arc::new(move |digests| {
                    let (connection, instance) = (connection.clone(), instance.clone());
                    async move { find_missing(&connection, &instance, &digests).await }.boxed()
                }),
            )
        };
        RemoteStore {
            connection,
            instance,
            manner,
            questions: Arc::new(questions),
            reads: Arc::new(reads),
            updates: Arc::new(updates),
            whole_only: Arc::default(),
        }
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    pub(crate) fn instance(&self) -> &InstanceName {
        &self.instance
    }

    /// From now on every blob goes as a whole.
    pub(crate) fn stop_chunking(&self) {
        self.whole_only.store(true, Ordering::Relaxed);
    }

    /// Uploads what `digest` names, not in chunks: in a batch if it is small, else as a stream.
    pub(crate) async fn put_whole(&self, digest: Digest, body: Body) -> Result<(), StoreError> {
        let manner = self.manner().await?;
        match body {
            Body::Bytes(bytes) if digest.size_bytes() <= manner.batched_blob_bytes_max => {
                self.updates.ask(digest, bytes, manner.batch_bytes_max).await
            }
            body => self.write_whole(digest, body).await,
        }
    }

    /// Uploads as a stream.
    pub(crate) async fn write_whole(&self, digest: Digest, body: Body) -> Result<(), StoreError> {
        let manner = self.manner().await?;
        write(self.place(manner, digest), body).await
    }

    pub(crate) async fn manner(&self) -> Result<&Manner, StoreError> {
        self.manner
            .get_or_try_init(|| Manner::ask(&self.connection, &self.instance))
            .await
    }

    fn place<'a>(&'a self, manner: &Manner, digest: Digest) -> Place<'a> {
        Place {
            connection: &self.connection,
            instance: &self.instance,
            digest,
            zstd: manner.zstd,
        }
    }
}

#[async_trait]
impl BlobStore for RemoteStore {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        let Some(within) = range.within(digest.size_bytes()) else {
            return Err(StoreError::OutOfRange {
                digest: *digest,
                offset: range.offset,
            });
        };
        if within.is_empty() {
            // ByteStream has no way to ask for nothing: a limit of 0 is no limit.
            let missing = self.find_missing(&DigestSet::from(*digest)).await?;
            return Ok(missing.is_empty().then(|| stream::empty().boxed()));
        }
        let manner = self.manner().await?;
        let is_full = range.is_full(digest.size_bytes());
        if is_full && digest.size_bytes() <= manner.batched_blob_bytes_max {
            let bytes = self.reads.ask(*digest, (), manner.batch_bytes_max).await?;
            return Ok(bytes.map(|bytes| stream::once(std::future::ready(Ok(bytes))).boxed()));
        }
        let Some(chunks) = read(self.place(manner, *digest), within).await? else {
            return Ok(None);
        };
        // Only the whole can be proven.
        Ok(Some(if is_full {
            Blob::checked(*digest, chunks).into_stream()
        } else {
            chunks
        }))
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        let digest = blob.digest();
        let manner = self.manner().await?;
        if let Some(size_bytes_max) = manner.blob_bytes_max.filter(|max| digest.size_bytes() > *max) {
            return Err(StoreError::TooLarge {
                digest,
                size_bytes_max,
            });
        }
        if digest.size_bytes() <= manner.batched_blob_bytes_max {
            let bytes = blob.into_bytes(manner.batched_blob_bytes_max).await?;
            return self.put_whole(digest, Body::Bytes(bytes)).await;
        }
        match is_chunked(manner, digest.size_bytes()) {
            Some(chunking) if !self.whole_only.load(Ordering::Relaxed) => upload(self, chunking, blob).await,
            _ => self.write_whole(digest, blob.into_body()).await,
        }
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        let of = |function: DigestFunction| -> Vec<Digest> {
            digests
                .iter()
                .filter(|digest| digest.function() == function)
                .copied()
                .collect()
        };
        // One function and at most one message's worth for each question (checklist G7, S3).
        let mut questions = Vec::new();
        for function in DigestFunction::ALL {
            for digests in of(function).chunks(FIND_MISSING_DIGESTS_MAX) {
                questions.push(self.questions.ask(digests.to_vec()));
            }
        }
        // The usual one is asked at once: a stream around it would give way to others first, and be joined by fewer.
        if questions.len() == 1
            && let Some(question) = questions.pop()
        {
            return Ok(question.await?.into_iter().collect());
        }
        let missing: Vec<Vec<Digest>> = stream::iter(questions)
            .buffer_unordered(FIND_MISSING_CALLS_MAX)
            .try_collect()
            .await?;
        Ok(missing.into_iter().flatten().collect())
    }
}
