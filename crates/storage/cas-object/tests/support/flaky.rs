//! An object store that fails now and then, before or after doing what it was asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

#[derive(Debug)]
pub(crate) struct Flaky {
    inner: Arc<dyn ObjectStore>,
    /// Every so-many-th request fails; 0 for none.
    every: AtomicU64,
    requests: AtomicU64,
}

impl Flaky {
    pub(crate) fn over(inner: Arc<dyn ObjectStore>) -> Self {
        Flaky {
            inner,
            every: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        }
    }

    pub(crate) fn fail_every(&self, every: Option<u64>) {
        self.every.store(every.unwrap_or(0), Ordering::SeqCst);
    }

    /// Whether this request fails, and if so, whether it is done all the same.
    fn fate(&self) -> Option<bool> {
        let every = self.every.load(Ordering::SeqCst);
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        (every > 0 && number.is_multiple_of(every)).then_some(number.is_multiple_of(2))
    }
}

fn failed() -> Error {
    Error::Generic {
        store: "flaky",
        source: "failed on purpose".into(),
    }
}

impl std::fmt::Display for Flaky {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "flaky {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        match self.fate() {
            None => self.inner.put_opts(location, payload, opts).await,
            Some(true) => {
                let _lost = self.inner.put_opts(location, payload, opts).await;
                Err(failed())
            }
            Some(false) => Err(failed()),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        match self.fate() {
            None => self.inner.put_multipart_opts(location, opts).await,
            Some(_) => Err(failed()),
        }
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        match self.fate() {
            None => self.inner.get_opts(location, options).await,
            Some(_) => Err(failed()),
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.fate() {
            None => self.inner.delete_stream(locations),
            Some(_) => stream::iter([Err(failed())]).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.fate() {
            None => self.inner.list(prefix),
            // In the middle.
            Some(_) => self
                .inner
                .list(prefix)
                .take(1)
                .chain(stream::iter([Err(failed())]))
                .boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
