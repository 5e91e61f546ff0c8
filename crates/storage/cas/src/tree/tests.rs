use std::sync::Arc;

use async_trait::async_trait;
use blob::{BlobStream, DigestFunction};
use futures::executor::block_on;
use merkle::TreeBuilder;

use super::*;
use crate::memory;

const F: DigestFunction = DigestFunction::Sha256;

/// Three levels, one directory reached by two paths.
fn tree() -> BuiltTree {
    let mut builder = TreeBuilder::new();
    for path in ["a/b/c", "x/b/c", "a/d/e", "f"] {
        let digest = Digest::of(F, path.rsplit('/').next().unwrap().as_bytes());
        builder.insert_file(path, digest, false).unwrap();
    }
    builder.build(F).unwrap()
}

#[test]
fn what_was_uploaded_is_fetched() {
    let store = memory(1 << 20);
    let tree = tree();
    let uploaded = block_on(upload_tree(&*store, &tree)).unwrap();
    assert_eq!(uploaded.blobs, tree.directories.len() as u64);
    let fetched = block_on(fetch_input_tree(&*store, tree.root)).unwrap();
    assert_eq!(fetched.root(), tree.root);
    assert!(fetched.missing().is_empty());
    assert_eq!(*fetched.files(), tree.file_digests());
    assert_eq!(fetched.entries().unwrap().count(), 4 + 5);
    assert_eq!(
        block_on(upload_tree(&*store, &tree)).unwrap(),
        Uploaded::default()
    );
}

#[test]
fn every_missing_directory_is_named() {
    let tree = tree();
    let store = memory(1 << 20);
    assert!(
        block_on(fetch_input_tree(&*store, tree.root))
            .unwrap()
            .missing()
            .contains(&tree.root)
    );
    // All but the two lowest.
    let mut blobs: Vec<Blob> = tree.blobs().collect();
    let lowest: DigestSet = blobs
        .split_off(blobs.len() - 2)
        .iter()
        .map(Blob::digest)
        .collect();
    block_on(upload_missing(&*store, blobs)).unwrap();
    assert_eq!(
        *block_on(fetch_input_tree(&*store, tree.root)).unwrap().missing(),
        lowest
    );
}

#[test]
fn what_is_not_a_directory_is_an_error_that_names_it() {
    let store = memory(1 << 20);
    let blob = Blob::from_bytes(F, "this is no directory");
    let digest = blob.digest();
    block_on(store.put(blob)).unwrap();
    let error = block_on(fetch_input_tree(&*store, digest)).unwrap_err();
    assert!(error.to_string().contains(&digest.hash_hex()), "{error}");
}

#[test]
fn an_empty_root_needs_no_store() {
    let fetched = block_on(fetch_input_tree(&*memory(0), Digest::empty(F))).unwrap();
    assert!(fetched.missing().is_empty() && fetched.files().is_empty());
}

#[test]
fn a_blob_given_twice_is_put_once() {
    let store = memory(1 << 20);
    let blobs = vec![
        Blob::from_bytes(F, "one"),
        Blob::from_bytes(F, "one"),
        Blob::from_bytes(F, "two"),
    ];
    assert_eq!(
        block_on(upload_missing(&*store, blobs)).unwrap(),
        Uploaded { blobs: 2, bytes: 6 }
    );
}

#[test]
fn a_reader_bounds_what_it_takes_into_memory() {
    let digest = Digest::of(F, b"too long");
    let read = block_on(read_all(&*memory(1 << 20), &digest, 7));
    assert!(matches!(
        read,
        Err(StoreError::Blob(BlobError::TooLarge {
            size_bytes_max: 7,
            ..
        }))
    ));
}

/// Answers every get with the same pieces.
struct Answers(Vec<Result<Bytes, BlobError>>);

#[async_trait]
impl BlobStore for Answers {
    async fn get(&self, _: &Digest, _: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        Ok(Some(stream::iter(self.0.clone()).boxed()))
    }
    async fn put(&self, _: Blob) -> Result<(), StoreError> {
        Ok(())
    }
    async fn find_missing(&self, _: &DigestSet) -> Result<DigestSet, StoreError> {
        Ok(DigestSet::default())
    }
}

#[test]
fn a_whole_read_is_proven_and_damage_half_way_is_a_miss() {
    let digest = Digest::of(F, b"hello");
    let read = |pieces| block_on(read_all(&Answers(pieces), &digest, 100));
    assert_eq!(
        read(vec![Ok("he".into()), Ok("llo".into())]).unwrap().unwrap(),
        "hello"
    );
    assert!(matches!(
        read(vec![Ok("jello".into())]),
        Err(StoreError::Blob(BlobError::WrongHash { .. }))
    ));
    assert!(matches!(
        read(vec![Ok("hell".into())]),
        Err(StoreError::Blob(BlobError::WrongSize { .. }))
    ));
    let damage = BlobError::Corrupt {
        digest,
        reason: "block 1".into(),
    };
    assert!(read(vec![Ok("he".into()), Err(damage)]).unwrap().is_none());
}

#[test]
fn these_futures_may_move_between_threads() {
    fn assert_send<T: Send>(_: T) {}
    let store: Arc<dyn BlobStore> = memory(0);
    assert_send(fetch_input_tree(&*store, Digest::empty(F)));
    assert_send(upload_missing(&*store, Vec::new()));
}
