//! Large blobs as their chunks, to and from a real server.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use blob::{Blob, BlobError, BlobStream, ByteRange, Digest, DigestFunction, DigestSet, InstanceName};
use bytes::Bytes;
use cas::conformance::{self, Forgetful, Fresh, FreshRecipes};
use cas::{BlobStore, Recipe, Recipes, SpliceError, StoreError};
use cas_remote::{Compression, RemoteChannel};
use futures::future::FutureExt;
use futures::stream::{self, StreamExt};
use support::{Cable, RunningServer, connect};

const F: DigestFunction = DigestFunction::Sha256;

fn noise(seed: u64, size_bytes: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size_bytes + 8);
    while bytes.len() < size_bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size_bytes);
    bytes.into()
}

/// The store below the server's chunks: counts bytes, and loses what it is told to.
struct Below {
    inner: Forgetful,
    put_bytes: AtomicU64,
    got_bytes: AtomicU64,
}

impl Below {
    fn new() -> Arc<Self> {
        Arc::new(Below {
            inner: Forgetful::over(cas::memory(512 << 20)),
            put_bytes: AtomicU64::new(0),
            got_bytes: AtomicU64::new(0),
        })
    }

    /// Bytes put since the last time.
    fn put_bytes(&self) -> u64 {
        self.put_bytes.swap(0, Ordering::SeqCst)
    }

    /// Bytes asked for since the last time.
    fn got_bytes(&self) -> u64 {
        self.got_bytes.swap(0, Ordering::SeqCst)
    }
}

#[async_trait]
impl BlobStore for Below {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        let got = self.inner.get(digest, range).await?;
        if got.is_some()
            && let Some(within) = range.within(digest.size_bytes())
        {
            self.got_bytes
                .fetch_add(within.end - within.start, Ordering::SeqCst);
        }
        Ok(got)
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        self.put_bytes
            .fetch_add(blob.digest().size_bytes(), Ordering::SeqCst);
        self.inner.put(blob).await
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        self.inner.find_missing(digests).await
    }
}

async fn chunk_server() -> (RunningServer, RemoteChannel, Arc<Below>) {
    let below = Below::new();
    let store = cas::chunked(below.clone(), 16 << 20);
    let server = RunningServer::start_chunked(store.clone(), store).await;
    let channel = server.connect(Compression::Never).await;
    (server, channel, below)
}

async fn whole(store: &dyn BlobStore, digest: &Digest) -> Option<Bytes> {
    let read = cas::tree::read_all(store, digest, 1 << 30).await;
    read.expect("get must not fail")
}

fn streamed(bytes: &Bytes) -> Blob {
    let pieces: Vec<Result<Bytes, BlobError>> = bytes
        .chunks(300_000)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    Blob::checked(Digest::of(F, bytes), stream::iter(pieces))
}

/// The blob with something inserted and something changed.
fn next_version(bytes: &Bytes) -> Bytes {
    let (third, two_thirds) = (bytes.len() / 3, bytes.len() * 2 / 3);
    let mut next = [&bytes[..third], &b"a new line"[..], &bytes[third..]].concat();
    next[two_thirds] ^= 1;
    next.into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_with_chunks() {
    conformance::check(async || {
        let (server, channel, _) = chunk_server().await;
        Fresh {
            store: channel.blob_store_with_chunks(InstanceName::default(), cas::memory(64 << 20)),
            keep: Box::new((server, channel)),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recipes_conform_through_the_server() {
    conformance::check_recipes(async || {
        let (server, channel, below) = chunk_server().await;
        let lose = move |digest: Digest| {
            below.inner.lose(digest);
            std::future::ready(()).boxed()
        };
        FreshRecipes {
            store: channel.blob_store(InstanceName::default()),
            recipes: channel.recipes(InstanceName::default()),
            lose: Box::new(lose),
            keep: Box::new((server, channel)),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k5_a_second_version_sends_only_what_changed() {
    for is_stream in [false, true] {
        let (_server, channel, below) = chunk_server().await;
        let store = channel.blob_store(InstanceName::default());
        let blob = |bytes: &Bytes| match is_stream {
            true => streamed(bytes),
            false => Blob::from_bytes(F, bytes.clone()),
        };
        let first = noise(1, 48 << 20);
        store.put(blob(&first)).await.unwrap();
        assert_eq!(below.put_bytes(), first.len() as u64);
        let second = next_version(&first);
        store.put(blob(&second)).await.unwrap();
        let sent = below.put_bytes();
        assert!((1..6 << 20).contains(&sent), "{sent} bytes were sent");
        for bytes in [first, second] {
            assert!(whole(&*store, &Digest::of(F, &bytes)).await.unwrap() == bytes);
        }
    }
}

#[tokio::test]
async fn wrong_bytes_are_never_spliced() {
    let (_server, channel, _) = chunk_server().await;
    let store = channel.blob_store(InstanceName::default());
    let digest = Digest::of(F, &noise(1, 10 << 20));
    let wrong = noise(2, 10 << 20);
    for bytes in [wrong.clone(), wrong.slice(..9 << 20)] {
        let refused = store
            .put(Blob::checked(digest, stream::iter([Ok::<_, BlobError>(bytes)])))
            .await;
        assert!(
            matches!(
                refused,
                Err(StoreError::Blob(
                    BlobError::WrongHash { .. } | BlobError::WrongSize { .. }
                ))
            ),
            "{refused:?}"
        );
        assert_eq!(whole(&*store, &digest).await, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_fetches_only_the_chunks_that_are_not_here() {
    let (_server, channel, below) = chunk_server().await;
    let server_side = channel.blob_store(InstanceName::default());
    let local = cas::memory(256 << 20);
    let store = channel.blob_store_with_chunks(InstanceName::default(), local);
    let first = noise(1, 48 << 20);
    let second = next_version(&first);
    for bytes in [&first, &second] {
        server_side.put(Blob::from_bytes(F, bytes.clone())).await.unwrap();
    }
    below.got_bytes();
    assert!(whole(&*store, &Digest::of(F, &first)).await.unwrap() == first);
    assert_eq!(below.got_bytes(), first.len() as u64);
    assert!(whole(&*store, &Digest::of(F, &second)).await.unwrap() == second);
    let fetched = below.got_bytes();
    assert!((1..6 << 20).contains(&fetched), "{fetched} bytes were fetched");
    // A range is read as it is.
    let range = ByteRange {
        offset: 10 << 20,
        limit: Some(5),
    };
    let part: Vec<_> = store
        .get(&Digest::of(F, &second), range)
        .await
        .unwrap()
        .unwrap()
        .collect()
        .await;
    let part: Result<Vec<Bytes>, _> = part.into_iter().collect();
    assert!(part.unwrap().concat() == second[10 << 20..(10 << 20) + 5]);
    assert_eq!(
        store
            .find_missing(&Digest::of(F, b"no").into())
            .await
            .unwrap()
            .len(),
        1
    );
}

/// A store of chunks that gives other bytes than asked for, and takes none.
struct Lying;

#[async_trait]
impl BlobStore for Lying {
    async fn get(&self, digest: &Digest, _range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        let bytes = Bytes::from(vec![b'?'; digest.size_bytes() as usize]);
        Ok(Some(stream::once(std::future::ready(Ok(bytes))).boxed()))
    }

    async fn put(&self, _blob: Blob) -> Result<(), StoreError> {
        Err(StoreError::NoSpace {
            size_bytes: 0,
            reason: "full on purpose".into(),
        })
    }

    async fn find_missing(&self, _digests: &DigestSet) -> Result<DigestSet, StoreError> {
        Ok(DigestSet::default())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_store_that_lies_or_is_full_changes_nothing() {
    let (_server, channel, _) = chunk_server().await;
    let store = channel.blob_store_with_chunks(InstanceName::default(), Arc::new(Lying));
    let bytes = noise(1, 10 << 20);
    let digest = Digest::of(F, &bytes);
    store.put(Blob::from_bytes(F, bytes.clone())).await.unwrap();
    assert!(whole(&*store, &digest).await.unwrap() == bytes);
}

/// What a server may answer instead of doing what it promised.
enum Refusal {
    Missing,
    Mismatch,
    /// Names a chunk that nobody has.
    WrongSplit,
}

struct Refusing(Refusal);

#[async_trait]
impl Recipes for Refusing {
    async fn split(&self, blob: &Digest) -> Result<Option<Recipe>, StoreError> {
        let Refusal::WrongSplit = self.0 else {
            return Ok(None);
        };
        // The first megabyte is there, the rest under a name that is not.
        let first = Digest::of(F, &noise(1, 1 << 20));
        let rest = Digest::from_hex(F, &blob.hash_hex(), 3 << 20).expect("a good hash");
        let chunks = std::iter::once(first)
            .chain(std::iter::repeat_n(rest, (blob.size_bytes() >> 20) as usize / 3))
            .collect();
        Ok(Some(Recipe {
            chunks,
            chunking_function: cas::ChunkingFunction::Unknown,
        }))
    }

    async fn splice(&self, blob: &Digest, recipe: Recipe) -> Result<(), SpliceError> {
        match self.0 {
            Refusal::Missing => Err(SpliceError::MissingChunks(recipe.chunks.into_iter().collect())),
            Refusal::Mismatch | Refusal::WrongSplit => Err(StoreError::from(BlobError::Malformed {
                digest: *blob,
                reason: "refused on purpose".into(),
            })
            .into()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_will_not_splice_goes_as_a_whole() {
    for refusal in [Refusal::Missing, Refusal::Mismatch] {
        let below = Below::new();
        let server = RunningServer::start_chunked(below.clone(), Arc::new(Refusing(refusal))).await;
        let channel = server.connect(Compression::Never).await;
        let store = channel.blob_store(InstanceName::default());
        for (seed, is_stream) in [(1, false), (2, true)] {
            let bytes = noise(seed, 10 << 20);
            let blob = match is_stream {
                true => streamed(&bytes),
                false => Blob::from_bytes(F, bytes.clone()),
            };
            let digest = blob.digest();
            store.put(blob).await.unwrap();
            assert!(below.find_missing(&digest.into()).await.unwrap().is_empty());
            assert!(whole(&*store, &digest).await.unwrap() == bytes);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunk_that_cannot_be_had_is_made_up_for_by_the_rest_of_the_whole() {
    let below = Below::new();
    let server = RunningServer::start_chunked(below.clone(), Arc::new(Refusing(Refusal::WrongSplit))).await;
    let channel = server.connect(Compression::Never).await;
    let bytes: Bytes = [noise(1, 1 << 20), noise(2, 9 << 20)].concat().into();
    for part in [bytes.slice(..1 << 20), bytes.clone()] {
        below.put(Blob::from_bytes(F, part)).await.unwrap();
    }
    below.got_bytes();
    let store = channel.blob_store_with_chunks(InstanceName::default(), cas::memory(64 << 20));
    assert!(whole(&*store, &Digest::of(F, &bytes)).await.unwrap() == bytes);
    assert_eq!(below.got_bytes(), 10 << 20, "nothing came twice");
}

/// As a whole it would have to start again, and its source cannot (see `faults.rs`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_of_a_stream_in_chunks_survives_a_cut_cable() {
    let (server, _, _) = chunk_server().await;
    let cable = Cable::to(server.address).await;
    let channel = connect(&cable.address.to_string(), Compression::Never).await;
    let store = channel.blob_store(InstanceName::default());
    let bytes = noise(1, 40 << 20);
    cable.cut_after(25 << 20);
    store
        .put(streamed(&bytes))
        .await
        .expect("only the chunks under way are sent again");
    assert_eq!(cable.cuts(), 1);
    assert!(whole(&*store, &Digest::of(F, &bytes)).await.unwrap() == bytes);
}
