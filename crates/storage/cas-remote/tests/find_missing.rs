//! Questions that are asked together reach a server as one, for each build.

mod support;

use std::sync::Arc;

use async_trait::async_trait;
use blob::{Blob, BlobStream, ByteRange, Digest, DigestFunction, DigestSet, InstanceName};
use cas::{BlobStore, Invocation, StoreError};
use cas_remote::Compression;
use futures::future::join_all;
use parking_lot::Mutex;
use support::RunningServer;

const F: DigestFunction = DigestFunction::Sha256;

/// Notes every question: for whom, and how many digests.
struct Asked {
    inner: Arc<dyn BlobStore>,
    questions: Mutex<Vec<(Option<Invocation>, usize)>>,
}

impl Asked {
    fn take(&self) -> Vec<(Option<Invocation>, usize)> {
        let mut questions = std::mem::take(&mut *self.questions.lock());
        questions.sort();
        questions
    }
}

#[async_trait]
impl BlobStore for Asked {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        self.inner.get(digest, range).await
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        self.inner.put(blob).await
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        let asked = (Invocation::current(), digests.len());
        self.questions.lock().push(asked);
        self.inner.find_missing(digests).await
    }
}

fn digests(of: std::ops::Range<u64>) -> DigestSet {
    of.map(|number| Digest::of(F, &number.to_le_bytes())).collect()
}

#[tokio::test]
async fn many_questions_are_one_call_for_each_build() {
    let asked = Arc::new(Asked {
        inner: cas::memory(1 << 20),
        questions: Mutex::default(),
    });
    let server = RunningServer::start(asked.clone()).await;
    let channel = server.connect(Compression::Auto).await;
    // Whoever asks for the store gets the same one.
    let ask = |own: DigestSet| {
        let store = channel.blob_store(InstanceName::default());
        async move {
            let missing = store.find_missing(&own).await.expect("the server answers");
            assert_eq!(missing, own, "nothing is there, and nothing else was asked for");
        }
    };
    join_all((0..200).map(|number| ask(digests(number..number + 3)))).await;
    assert_eq!(asked.take(), [(None, 202)]);

    let build = |number: u64| Invocation::new(&format!("build {}", number % 3));
    join_all((0..60).map(|number| Invocation::scope(build(number), ask(digests(number..number + 1))))).await;
    assert_eq!(asked.take(), [(build(0), 20), (build(1), 20), (build(2), 20)]);
}
