//! An object store that stops before one of its requests until it is told to go on.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::watch;

/// How long whoever asks while a collection stands still waits for an answer: it may be that there is none before the
/// collection goes on.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Gated {
    inner: Arc<dyn ObjectStore>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    /// Requests until the one that stops; negative when none does.
    left: AtomicI64,
    reached: watch::Sender<bool>,
    open: watch::Sender<bool>,
}

/// Lets the stopped request go on.
pub(crate) struct Opener(Arc<State>);

impl Opener {
    pub(crate) fn open(&self) {
        self.0.open.send_replace(true);
    }
}

impl Gated {
    pub(crate) fn over(inner: Arc<dyn ObjectStore>) -> Self {
        let state = State {
            left: AtomicI64::new(-1),
            reached: watch::Sender::new(false),
            open: watch::Sender::new(false),
        };
        Gated {
            inner,
            state: Arc::new(state),
        }
    }

    /// The request number `point` from now on, counted from zero, stops.
    pub(crate) fn close_before(&self, point: i64) -> Opener {
        self.state.left.store(point, Ordering::SeqCst);
        Opener(self.state.clone())
    }

    /// Runs `stopped`, and at its request number `point` all of `other`, which may take so long before the request goes on
    /// all the same. `None` if there is no such request.
    pub(crate) async fn beside<S, O>(
        &self,
        point: i64,
        stopped: impl Future<Output = S>,
        other: impl Future<Output = O>,
        wait_max: Duration,
    ) -> (S, Option<O>) {
        let opened = self.close_before(point);
        let other = async {
            if !self.reached().await {
                return None;
            }
            tokio::pin!(other);
            let early = tokio::time::timeout(wait_max, &mut other).await;
            opened.open();
            Some(match early {
                Ok(done) => done,
                Err(_) => other.await,
            })
        };
        futures::future::join(stopped, other).await
    }

    /// Leaves a collection at its request number `point`; `false` if it came to its end before.
    pub(crate) async fn leave<T, E: Debug>(
        &self,
        point: i64,
        collection: impl Future<Output = std::result::Result<T, E>>,
    ) -> bool {
        let _never = self.close_before(point);
        tokio::select! {
            died = self.reached() => died,
            done = collection => done.map(|_| false).unwrap(),
        }
    }

    /// Whether a request has stopped; `false` if none has for ten (paused) minutes.
    pub(crate) async fn reached(&self) -> bool {
        let mut reached = self.state.reached.subscribe();
        let waited = tokio::time::timeout(
            std::time::Duration::from_secs(600),
            reached.wait_for(|reached| *reached),
        );
        waited.await.is_ok()
    }
}

impl State {
    async fn pass(&self) {
        if self.left.fetch_sub(1, Ordering::SeqCst) != 0 {
            return;
        }
        self.reached.send_replace(true);
        let mut open = self.open.subscribe();
        let _opened = open.wait_for(|open| *open).await;
    }
}

impl std::fmt::Display for Gated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "gated {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Gated {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.state.pass().await;
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.state.pass().await;
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.state.pass().await;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.state.pass().await;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (state, inner) = (self.state.clone(), self.inner.clone());
        // One by one, so that it may stop between two.
        locations
            .then(move |location| {
                let (state, inner) = (state.clone(), inner.clone());
                async move {
                    state.pass().await;
                    let mut removed = inner.delete_stream(stream::iter([location]).boxed());
                    removed.next().await.expect("one answer for one question")
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (state, inner, prefix) = (self.state.clone(), self.inner.clone(), prefix.cloned());
        stream::once(async move {
            state.pass().await;
            inner.list(prefix.as_ref())
        })
        .flatten()
        .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.state.pass().await;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.state.pass().await;
        self.inner.copy_opts(from, to, options).await
    }
}
