use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use action::ActionDigest;
use action_cache::ActionCache;
use async_trait::async_trait;
use blob::{BlobStream, ByteRange, Digest, DigestFunction, InstanceName};
use cas::memory;
use futures::stream;
use reapi::bytestream::{QueryWriteStatusRequest, QueryWriteStatusResponse, WriteRequest};
use reapi::execution::ActionResult;
use tasks::Group;
use tokio::sync::mpsc;

use super::*;
use crate::limits::{PARKED_UPLOAD_IDLE_MAX, PARKED_UPLOADS_MAX, READ_IDLE_MAX};
use crate::log_streams::LogStreams;
use crate::{Instance, Instances};

mod interrupted;

struct NoCache;

#[async_trait]
impl ActionCache for NoCache {
    async fn get(&self, _: &ActionDigest) -> Result<Option<ActionResult>, StoreError> {
        Ok(None)
    }

    async fn put(&self, _: &ActionDigest, _: ActionResult) -> Result<(), StoreError> {
        Ok(())
    }
}

struct Fixture {
    service: ByteStream,
    store: Arc<dyn BlobStore>,
    group: Group,
}

impl Fixture {
    fn new() -> Self {
        Self::with(memory(64 << 20))
    }

    fn with(store: Arc<dyn BlobStore>) -> Self {
        let instance = Instance {
            cas: store.clone(),
            recipes: None,
            action_cache: Arc::new(NoCache),
            actions_are_elsewhere: false,
            clients_may_update_action_cache: false,
        };
        let instances = Arc::new(Instances::from_iter([(InstanceName::default(), instance)]));
        let group = Group::new("test");
        let logs = LogStreams::start(&group);
        let admission = Admission::new(1 << 20);
        let service = ByteStream::new(instances, admission, 1 << 30, READ_IDLE_MAX, &group, logs, None);
        Fixture {
            service,
            store,
            group,
        }
    }

    async fn write(&self, messages: Vec<WriteRequest>) -> Result<WriteResponse, Status> {
        write(&self.service, None, stream::iter(messages.into_iter().map(Ok))).await
    }

    /// A call whose messages the test sends one by one.
    fn open_call(&self) -> (mpsc::Sender<Result<WriteRequest, Status>>, BoxWrite) {
        let (sender, mut receiver) = mpsc::channel(1);
        let service = self.service.clone();
        let call = async move {
            let messages = stream::poll_fn(move |context| receiver.poll_recv(context));
            write(&service, None, messages).await
        };
        (sender, Box::pin(call))
    }

    async fn committed(&self, name: &str) -> QueryWriteStatusResponse {
        let request = QueryWriteStatusRequest {
            resource_name: name.to_owned(),
        };
        super::super::query_write_status::query_write_status(&self.service, request)
            .await
            .unwrap()
    }

    async fn has(&self, digest: Digest) -> bool {
        self.store
            .find_missing(&DigestSet::from(digest))
            .await
            .unwrap()
            .is_empty()
    }
}

type BoxWrite = futures::future::BoxFuture<'static, Result<WriteResponse, Status>>;

fn content() -> (Bytes, Digest, String) {
    let content: Bytes = (0..100u8).collect::<Vec<_>>().into();
    let digest = Digest::of(DigestFunction::Sha256, &content);
    let name = name_of(&digest, 0);
    (content, digest, name)
}

fn name_of(digest: &Digest, upload: usize) -> String {
    format!("uploads/00000000-0000-4000-8000-{upload:012}/blobs/{digest}")
}

fn message(name: &str, offset: usize, data: Bytes, finish_write: bool) -> WriteRequest {
    WriteRequest {
        resource_name: name.to_owned(),
        write_offset: offset as i64,
        finish_write,
        data,
    }
}

/// Drives a call until nothing moves any more.
async fn settle(call: &mut BoxWrite) {
    for _ in 0..100 {
        assert!(call.now_or_never().is_none(), "the call ended");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn b8_data_after_finish_write_is_an_error_and_nothing_is_stored() {
    let fixture = Fixture::new();
    let (content, digest, name) = content();
    let whole = message(&name, 0, content.clone(), true);
    let two = [
        message(&name, 0, content.slice(..50), false),
        message("", 50, content.slice(50..), true),
    ];
    let after = message("", 100, Bytes::from_static(b"more"), false);
    for messages in [vec![whole, after.clone()], [&two[..], &[after]].concat()] {
        let status = fixture.write(messages).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(!fixture.has(digest).await);
    }
}

#[tokio::test]
async fn an_answer_does_not_wait_for_the_client_to_close_its_side() {
    let (content, digest, name) = content();
    for cut in [0, 50] {
        let fixture = Fixture::new();
        let (sender, call) = fixture.open_call();
        let send = async {
            if cut > 0 {
                sender
                    .send(Ok(message(&name, 0, content.slice(..cut), false)))
                    .await
                    .unwrap();
            }
            sender
                .send(Ok(message(&name, cut, content.slice(cut..), true)))
                .await
                .unwrap();
        };
        let (response, ()) = futures::join!(call, send);
        assert_eq!(response.unwrap().committed_size, 100);
        assert!(fixture.has(digest).await);
    }
}

#[tokio::test]
async fn b6_a_call_that_is_dropped_or_breaks_leaves_what_can_be_gone_on_with() {
    let (content, digest, name) = content();
    for broken in [true, false] {
        let fixture = Fixture::new();
        let (sender, mut call) = fixture.open_call();
        sender
            .send(Ok(message(&name, 0, content.slice(..30), false)))
            .await
            .unwrap();
        settle(&mut call).await;
        assert_eq!(fixture.committed(&name).await.committed_size, 30);
        if broken {
            sender.send(Err(Status::cancelled("the cable"))).await.unwrap();
            assert_eq!(call.await.unwrap_err().code(), Code::Cancelled);
        } else {
            drop(call);
        }
        assert_eq!(fixture.committed(&name).await.committed_size, 30);
        let response = fixture
            .write(vec![message(&name, 30, content.slice(30..), true)])
            .await
            .unwrap();
        assert_eq!(response.committed_size, 100);
        assert!(fixture.has(digest).await);
    }
}

#[tokio::test]
async fn b6_a_call_that_resumes_takes_over_from_one_that_hangs() {
    let fixture = Fixture::new();
    let (content, digest, name) = content();
    let (sender, mut hanging) = fixture.open_call();
    sender
        .send(Ok(message(&name, 0, content.slice(..30), false)))
        .await
        .unwrap();
    settle(&mut hanging).await;
    // The client had seen 20 of the 30 bytes arrive: what overlaps is skipped, the hash covers it.
    let resumed = fixture.write(vec![message(&name, 20, content.slice(20..), true)]);
    let (hung, resumed) = futures::join!(hanging, resumed);
    assert_eq!(hung.unwrap_err().code(), Code::Aborted);
    assert_eq!(resumed.unwrap().committed_size, 100);
    assert!(fixture.has(digest).await);
}

#[tokio::test]
async fn b13_two_live_calls_of_one_name_both_succeed() {
    let fixture = Fixture::new();
    let (content, digest, name) = content();
    let (first_sender, mut first) = fixture.open_call();
    let (second_sender, mut second) = fixture.open_call();
    first_sender
        .send(Ok(message(&name, 0, content.slice(..30), false)))
        .await
        .unwrap();
    settle(&mut first).await;
    second_sender
        .send(Ok(message(&name, 0, content.slice(..10), false)))
        .await
        .unwrap();
    settle(&mut second).await;
    first_sender
        .send(Ok(message("", 30, content.slice(30..), true)))
        .await
        .unwrap();
    assert_eq!(first.await.unwrap().committed_size, 100);
    second_sender
        .send(Ok(message("", 10, content.slice(10..), true)))
        .await
        .unwrap();
    assert_eq!(second.await.unwrap().committed_size, 100);
    assert!(fixture.has(digest).await);
}

#[tokio::test(start_paused = true)]
async fn a_parked_upload_is_given_up_after_a_while() {
    let puts = Arc::new(CountingPuts::default());
    let fixture = Fixture::with(puts.clone());
    let (content, _, name) = content();
    let response = fixture
        .write(vec![message(&name, 0, content.slice(..30), false)])
        .await
        .unwrap();
    assert_eq!(response.committed_size, 30);
    assert_eq!(puts.going_on.load(Ordering::SeqCst), 1);
    tokio::time::sleep(PARKED_UPLOAD_IDLE_MAX - Duration::from_secs(1)).await;
    assert_eq!(fixture.committed(&name).await.committed_size, 30);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(fixture.committed(&name).await.committed_size, 0);
    assert_eq!(puts.going_on.load(Ordering::SeqCst), 0);
    let late = fixture
        .write(vec![message(&name, 30, content.slice(30..), true)])
        .await;
    assert_eq!(late.unwrap_err().code(), Code::OutOfRange);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_let_go_and_may_come_back() {
    let fixture = Fixture::new();
    let (content, _, name) = content();
    let (_sender, silent) = fixture.open_call();
    assert_eq!(silent.await.unwrap_err().code(), Code::DeadlineExceeded);
    let (sender, mut call) = fixture.open_call();
    sender
        .send(Ok(message(&name, 0, content.slice(..30), false)))
        .await
        .unwrap();
    settle(&mut call).await;
    assert_eq!(call.await.unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(fixture.committed(&name).await.committed_size, 30);
}

#[tokio::test]
async fn the_number_of_parked_uploads_is_bounded_and_the_oldest_goes_first() {
    let puts = Arc::new(CountingPuts::default());
    let fixture = Fixture::with(puts.clone());
    let (content, digest, _) = content();
    for upload in 0..PARKED_UPLOADS_MAX + 3 {
        fixture
            .write(vec![message(
                &name_of(&digest, upload),
                0,
                content.slice(..30),
                false,
            )])
            .await
            .unwrap();
    }
    assert_eq!(puts.going_on.load(Ordering::SeqCst), PARKED_UPLOADS_MAX);
    for (upload, committed_size) in [(0, 0), (2, 0), (3, 30), (PARKED_UPLOADS_MAX + 2, 30)] {
        assert_eq!(
            fixture.committed(&name_of(&digest, upload)).await.committed_size,
            committed_size,
            "{upload}"
        );
    }
}

#[tokio::test]
async fn stopping_gives_up_what_is_parked_and_parks_no_more() {
    let puts = Arc::new(CountingPuts::default());
    let fixture = Fixture::with(puts.clone());
    let (content, _, name) = content();
    fixture
        .write(vec![message(&name, 0, content.slice(..30), false)])
        .await
        .unwrap();
    assert!(fixture.group.shut_down(Duration::from_secs(5)).await);
    assert_eq!(puts.going_on.load(Ordering::SeqCst), 0);
    fixture
        .write(vec![message(&name, 0, content.slice(..30), false)])
        .await
        .unwrap();
    assert_eq!(puts.going_on.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn b10_an_upload_that_failed_is_not_parked() {
    let puts = Arc::new(CountingPuts::default());
    let fixture = Fixture::with(puts.clone());
    let (content, _, name) = content();
    let wrong = message("", 30, Bytes::from_static(b"wrong"), true);
    let status = fixture
        .write(vec![message(&name, 0, content.slice(..30), false), wrong])
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(puts.going_on.load(Ordering::SeqCst), 0);
    assert_eq!(fixture.committed(&name).await.committed_size, 0);
}

#[tokio::test]
async fn b9_a_store_that_wants_no_more_ends_the_call_midway() {
    let fixture = Fixture::with(Arc::new(Satisfied));
    let (content, digest, name) = content();
    let (sender, call) = fixture.open_call();
    sender
        .send(Ok(message(&name, 0, content.slice(..30), false)))
        .await
        .unwrap();
    assert_eq!(call.await.unwrap().committed_size, 100);
    let (sender, call) = fixture.open_call();
    let name = format!("uploads/00000000-0000-4000-8000-000000000000/compressed-blobs/zstd/{digest}");
    let half = compression::compress_all(content.slice(..50)).unwrap();
    sender.send(Ok(message(&name, 0, half, false))).await.unwrap();
    assert_eq!(call.await.unwrap().committed_size, -1);
}

#[tokio::test]
async fn b11_a_full_store_ends_the_call_with_a_hint_to_come_back() {
    let fixture = Fixture::with(Arc::new(Full));
    let (content, _, name) = content();
    let (sender, call) = fixture.open_call();
    sender
        .send(Ok(message(&name, 0, content.slice(..30), false)))
        .await
        .unwrap();
    let status = call.await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let proto: reapi::rpc::Status = prost::Message::decode(status.details()).unwrap();
    assert!(
        proto.details[0]
            .to_msg::<reapi::rpc::RetryInfo>()
            .unwrap()
            .retry_delay
            .is_some()
    );
}

/// Never has anything, reads what it is given, and counts how many reads are going on.
#[derive(Default)]
struct CountingPuts {
    going_on: Arc<AtomicUsize>,
}

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl BlobStore for CountingPuts {
    async fn get(&self, _: &Digest, _: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        Ok(None)
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        self.going_on.fetch_add(1, Ordering::SeqCst);
        let _counted = Counted(self.going_on.clone());
        blob.into_bytes(u64::MAX).await?;
        Ok(())
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        Ok(digests.clone())
    }
}

/// Says a blob is missing, and that it has it when it is given the first piece.
struct Satisfied;

#[async_trait]
impl BlobStore for Satisfied {
    async fn get(&self, _: &Digest, _: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        Ok(None)
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        blob.into_stream().next().await.transpose()?;
        Ok(())
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        Ok(digests.clone())
    }
}

/// Has no room.
struct Full;

#[async_trait]
impl BlobStore for Full {
    async fn get(&self, _: &Digest, _: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        Ok(None)
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        let size_bytes = blob.digest().size_bytes();
        blob.into_stream().next().await.transpose()?;
        Err(StoreError::NoSpace {
            size_bytes,
            reason: "full on purpose".into(),
        })
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        Ok(digests.clone())
    }
}
