//! Beside the suites: what only this store does.

use blob::DigestFunction;
use futures::executor::block_on;
use futures::future::FutureExt;

use super::*;
use crate::conformance::{self, Forgetful, Fresh, FreshRecipes};
use crate::{ChunkingFunction, memory};

const F: DigestFunction = DigestFunction::Sha256;

#[test]
fn conforms_as_a_store() {
    block_on(conformance::check(async || {
        Fresh::of(chunked(memory(64 << 20), 1 << 20))
    }));
}

#[test]
fn conforms_as_a_bounded_store() {
    block_on(conformance::check_bounded(
        async |capacity_bytes| Fresh::of(chunked(memory(capacity_bytes), 1 << 20)),
        4 << 20,
    ));
}

#[test]
fn conforms_with_recipes() {
    block_on(conformance::check_recipes(async || {
        let inner = Arc::new(Forgetful::over(memory(64 << 20)));
        let store = chunked(inner.clone(), 4 << 20);
        let lose = move |digest: Digest| {
            inner.lose(digest);
            std::future::ready(()).boxed()
        };
        FreshRecipes {
            store: store.clone(),
            recipes: store,
            lose: Box::new(lose),
            keep: Box::new(()),
        }
    }));
}

fn put(store: &dyn BlobStore, bytes: &[u8]) -> Digest {
    let blob = Blob::from_bytes(F, bytes.to_vec());
    let digest = blob.digest();
    block_on(store.put(blob)).unwrap();
    digest
}

fn recipe(chunks: &[Digest]) -> Recipe {
    Recipe {
        chunks: chunks.to_vec(),
        chunking_function: ChunkingFunction::Unknown,
    }
}

#[test]
fn a_spliced_blob_is_not_stored_twice() {
    let inner = memory(1 << 20);
    let store = chunked(inner.clone(), 1 << 20);
    let chunks = [put(&*store, b"hello "), put(&*store, b"world")];
    let whole = Digest::of(F, b"hello world");
    block_on(store.splice(&whole, recipe(&chunks))).unwrap();
    // Nor by an upload of the whole, whose body is not even read.
    let unread = Blob::checked(
        whole,
        stream::iter([Err(BlobError::from(std::io::Error::other("read")))]),
    );
    block_on(store.put(unread)).unwrap();
    assert_eq!(block_on(inner.find_missing(&whole.into())).unwrap().len(), 1);
}

#[test]
fn a_chunk_that_is_itself_known_in_chunks_only_is_resolved() {
    let store = chunked(memory(1 << 20), 1 << 20);
    let [a, b, c] = [&b"a"[..], b"bb", b"ccc"].map(|bytes| put(&*store, bytes));
    let (ab, abc) = (Digest::of(F, b"abb"), Digest::of(F, b"abbccc"));
    block_on(store.splice(&ab, recipe(&[a, b]))).unwrap();
    block_on(store.splice(&abc, recipe(&[ab, c]))).unwrap();
    assert_eq!(block_on(store.split(&abc)).unwrap().unwrap().chunks, [a, b, c]);
}

#[test]
fn lists_are_bounded_and_the_oldest_goes_first() {
    let store = chunked(
        memory(1 << 20),
        3 * RECIPE_OVERHEAD_BYTES + 2 * 2 * size_of::<Digest>() as u64,
    );
    let chunks: Vec<Digest> = (0..8u8).map(|byte| put(&*store, &[byte])).collect();
    let whole = |at: u8| Digest::of(F, &[at, at + 1]);
    for at in 0..3u8 {
        let pair = &chunks[at as usize..at as usize + 2];
        block_on(store.splice(&whole(at), recipe(pair))).unwrap();
    }
    assert!(block_on(store.split(&whole(0))).unwrap().is_none());
    assert!(block_on(store.split(&whole(2))).unwrap().is_some());
    let long: Vec<Digest> = std::iter::repeat_n(chunks[0], 1000).collect();
    let refused = block_on(store.splice(&Digest::of(F, &[0; 1000]), recipe(&long)));
    assert!(
        matches!(refused, Err(SpliceError::Store(StoreError::NoSpace { .. }))),
        "{refused:?}"
    );
}

#[test]
fn a_chunk_of_another_function_is_refused() {
    let store = chunked(memory(1 << 20), 1 << 20);
    let other = Blob::from_bytes(DigestFunction::Blake3, "x");
    let (chunk, whole) = (other.digest(), Digest::of(F, b"xx"));
    block_on(store.put(other)).unwrap();
    let refused = block_on(store.splice(&whole, recipe(&[chunk, chunk])));
    assert!(
        matches!(
            refused,
            Err(SpliceError::Store(StoreError::Blob(BlobError::Malformed { .. })))
        ),
        "{refused:?}"
    );
}
