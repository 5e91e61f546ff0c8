//! Blobs known in chunks, and what a store takes for them on disk.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use blob::{Blob, ByteRange, Digest, DigestSet};
use cas::{BlobStore, ChunkingFunction, Recipe, Recipes, SpliceError};
use support::{F, Read, bytes_of, collect, open, read, read_range};

mod support;

fn recipe(chunks: &[&[u8]]) -> (Digest, Recipe) {
    let recipe = Recipe {
        chunks: chunks.iter().map(|chunk| Digest::of(F, chunk)).collect(),
        chunking_function: ChunkingFunction::FastCdc2020,
    };
    (Digest::of(F, &chunks.concat()), recipe)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spliced_blob_is_a_blob_like_any_other() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 64 << 20);
    let [a, b, c] = [bytes_of(1, 100_000), bytes_of(2, 7), bytes_of(3, 250_000)];
    let parts: [&[u8]; 4] = [&a, &b, &c, &a];
    let whole = parts.concat();
    let (digest, made) = recipe(&parts);
    assert_eq!(store.split(&digest).await.unwrap(), None);
    for chunk in [&a, &b] {
        store.put(Blob::from_bytes(F, chunk.clone())).await.unwrap();
    }
    let Err(SpliceError::MissingChunks(missing)) = store.splice(&digest, made.clone()).await else {
        panic!("a chunk is not here")
    };
    assert_eq!(missing, DigestSet::from(Digest::of(F, &c)));
    store.put(Blob::from_bytes(F, c.clone())).await.unwrap();
    // Chunks that give something else.
    let (_, wrong) = recipe(&[&b, &a, &c, &a]);
    assert!(matches!(
        store.splice(&digest, wrong).await,
        Err(SpliceError::Store(_))
    ));
    assert_eq!(read(&*store, &digest).await, Read::Miss);
    store.splice(&digest, made.clone()).await.unwrap();
    for _ in 0..2 {
        let range = ByteRange {
            offset: 99_990,
            limit: Some(100_000),
        };
        assert!(read_range(&*store, &digest, range).await == Read::Bytes(whole[99_990..199_990].to_vec()));
        assert!(read(&*store, &digest).await == Read::Bytes(whole.clone()));
        let Read::Bytes(frames) = collect(store.get_zstd(&digest, 5).await).await else {
            panic!("no frames")
        };
        assert!(zstd::decode_all(&frames[..]).unwrap() == whole[5..]);
        assert!(
            store
                .find_missing(&DigestSet::from(digest))
                .await
                .unwrap()
                .is_empty()
        );
        // Put again, as a whole: it is there already.
        store.put(Blob::from_bytes(F, whole.clone())).await.unwrap();
        assert_eq!(store.split(&digest).await.unwrap(), Some(made.clone()));
        // Spliced again.
        store.splice(&digest, made.clone()).await.unwrap();
    }
    drop(store);
    let store = open(directory.path(), 64 << 20);
    assert_eq!(store.split(&digest).await.unwrap(), Some(made));
    assert!(read(&*store, &digest).await == Read::Bytes(whole));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_blob_becomes_known_in_chunks() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 64 << 20);
    let [a, b] = [bytes_of(1, 1_500_000), bytes_of(2, 1_600_000)];
    let whole = [&a[..], &b].concat();
    let (digest, made) = recipe(&[&a, &b]);
    store.put(Blob::from_bytes(F, whole.clone())).await.unwrap();
    let itself = Recipe {
        chunks: vec![digest],
        chunking_function: ChunkingFunction::Unknown,
    };
    store.splice(&digest, itself).await.unwrap();
    assert_eq!(
        store.split(&digest).await.unwrap(),
        None,
        "one chunk says nothing new"
    );
    for chunk in [&a, &b] {
        store.put(Blob::from_bytes(F, chunk.clone())).await.unwrap();
    }
    store.splice(&digest, made.clone()).await.unwrap();
    assert_eq!(store.split(&digest).await.unwrap(), Some(made));
    assert!(read(&*store, &digest).await == Read::Bytes(whole));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_versions_share_what_they_have_in_common() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 256 << 20);
    let chunk = |version: u64, at: u64| {
        bytes_of(
            at + if at.is_multiple_of(100) {
                version * 10_000
            } else {
                0
            },
            100_000,
        )
    };
    let mut held = Vec::new();
    for version in 1..=2 {
        let chunks: Vec<_> = (1..=200).map(|at| chunk(version, at)).collect();
        for chunk in &chunks {
            store.put(Blob::from_bytes(F, chunk.clone())).await.unwrap();
        }
        let parts: Vec<&[u8]> = chunks.iter().map(|chunk| &chunk[..]).collect();
        let (digest, made) = recipe(&parts);
        store.splice(&digest, made).await.unwrap();
        held.push(store.usage().blobs);
    }
    assert_eq!(held, [201, 204], "two changed chunks and a list");
}
