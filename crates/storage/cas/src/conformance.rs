//! What every [`BlobStore`] must do, as checks that anyone can run on theirs: a leaf, a decorator, a stack of
//! both, or a server behind a socket. A check that does not hold panics and names itself, as a test does.
//!
//! Needs no particular runtime: everything runs inside the caller's task, so a store that needs one (a disk, a
//! socket) is checked inside it.

use std::any::Any;
use std::sync::Arc;

use blob::{Blob, BlobError, ByteRange, Digest, DigestFunction, DigestSet};
use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};

use crate::{BlobStore, StoreError};

mod bounded;
mod decorators;
mod faulty;
mod forgetful;
mod read_only;
mod reads;
mod recipes;
mod writes;

pub use bounded::check_bounded;
pub use decorators::{DECORATORS, Decorator, all_around};
pub use faulty::Faulty;
pub use forgetful::Forgetful;
pub use read_only::{FreshReadOnly, check_read_only};
pub use recipes::{FreshRecipes, check_recipes};

/// A store that holds nothing yet, and what must live as long as it does.
pub struct Fresh {
    /// The store.
    pub store: Arc<dyn BlobStore>,
    /// Its directory, its server; dropped after the check.
    pub keep: Box<dyn Any>,
}

impl Fresh {
    /// A store that needs nothing else.
    pub fn of(store: Arc<dyn BlobStore>) -> Self {
        Fresh {
            store,
            keep: Box::new(()),
        }
    }
}

/// Checks everything that holds for every store. Each check gets a store of its own from `fresh`, which must take
/// blobs of 4 MiB and hold 32 MiB without dropping any.
pub async fn check(fresh: impl AsyncFn() -> Fresh) {
    macro_rules! run {
        ($($check:path),+ $(,)?) => {$(
            let Fresh { store, keep } = fresh().await;
            $check(&*store).await;
            drop(store);
            drop(keep);
        )+};
    }
    run!(
        reads::whole_blobs_of_every_size_come_back,
        reads::every_range_is_exact,
        reads::a_range_past_the_end_is_out_of_range,
        reads::what_was_never_put_is_a_miss,
        reads::a_dropped_read_harms_nobody,
        reads::find_missing_is_exact_for_many,
        reads::the_function_is_part_of_identity,
        reads::all_functions_live_side_by_side,
        writes::streams_come_back_however_they_are_cut,
        writes::wrong_bytes_are_never_visible,
        writes::a_failing_source_leaves_nothing,
        writes::an_upload_dropped_half_way_leaves_nothing,
        writes::putting_again_changes_nothing,
        writes::a_failed_upload_leaves_an_earlier_one_alone,
        writes::many_at_once_put_one_blob,
        writes::an_empty_blob_that_was_put_is_there,
    );
}

/// The function most checks use.
const F: DigestFunction = DigestFunction::Sha256;

/// Around everything that a store may treat differently: nothing, one block, one piece, several.
const SIZES: [usize; 12] = [
    1,
    2,
    100,
    4095,
    4096,
    65_535,
    65_536,
    65_537,
    131_072,
    (1 << 20) - 1,
    (1 << 20) + 1,
    3_000_017,
];

/// Bytes that look random and depend on `seed` only.
fn bytes_of(seed: u64, size_bytes: usize) -> Bytes {
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

fn blob_of(seed: u64, size_bytes: usize) -> Blob {
    Blob::from_bytes(F, bytes_of(seed, size_bytes))
}

/// `bytes` as a stream of pieces of `piece` bytes.
fn cut(bytes: Bytes, piece: usize) -> impl Stream<Item = Result<Bytes, BlobError>> + Send + 'static {
    let pieces: Vec<_> = (0..bytes.len())
        .step_by(piece.max(1))
        .map(|at| Ok(bytes.slice(at..bytes.len().min(at + piece))))
        .collect();
    stream::iter(pieces)
}

/// Reads a range to its end; `None` is a miss, an error fails the check.
async fn read(store: &dyn BlobStore, digest: &Digest, range: ByteRange) -> Option<Vec<u8>> {
    let mut stream = store.get(digest, range).await.expect("get must not fail")?;
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece.expect("a stored blob must be read without an error"));
    }
    Some(bytes)
}

/// Asserts that nothing of `digest` can be seen.
async fn assert_absent(store: &dyn BlobStore, digest: &Digest, when: &str) {
    assert!(
        read(store, digest, ByteRange::FULL).await.is_none(),
        "{when}: {digest} must not be readable"
    );
    let missing = store
        .find_missing(&DigestSet::from(*digest))
        .await
        .expect("find_missing must not fail");
    assert!(
        missing.contains(digest),
        "{when}: {digest} must be reported missing"
    );
}

/// Asserts that `digest` is found and reads as `bytes`.
async fn assert_present(store: &dyn BlobStore, digest: &Digest, bytes: &[u8], when: &str) {
    let missing = store
        .find_missing(&DigestSet::from(*digest))
        .await
        .expect("find_missing must not fail");
    assert!(
        missing.is_empty(),
        "{when}: {digest} must not be reported missing"
    );
    let read = read(store, digest, ByteRange::FULL).await;
    // Not assert_eq: a megabyte in a message helps nobody.
    assert!(
        read.as_deref() == Some(bytes),
        "{when}: {digest} must read as it was put"
    );
}

fn is_mistake_of_the_sender(result: &Result<(), StoreError>) -> bool {
    matches!(
        result,
        Err(StoreError::Blob(
            BlobError::WrongSize { .. } | BlobError::WrongHash { .. }
        ))
    )
}

#[cfg(test)]
mod tests;
