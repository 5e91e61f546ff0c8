//! What every [`ActionCache`] must do, as checks that anyone can run on theirs. A check that does not hold
//! panics and names itself, as a test does.
//!
//! The results it puts refer to no blob, so that a cache which looks for blobs needs none.

use std::any::Any;
use std::sync::Arc;

use action::ActionDigest;
use blob::{Digest, DigestFunction};
use cas::StoreError;
use futures::future;
use reapi::execution::{ActionResult, ExecutedActionMetadata, OutputSymlink};

use crate::ActionCache;

/// A cache that holds nothing yet, and what must live as long as it does.
pub struct Fresh {
    /// The cache.
    pub cache: Arc<dyn ActionCache>,
    /// Its directory, its server; dropped after the check.
    pub keep: Box<dyn Any>,
}

impl Fresh {
    /// A cache that needs nothing else.
    pub fn of(cache: Arc<dyn ActionCache>) -> Self {
        Fresh {
            cache,
            keep: Box::new(()),
        }
    }
}

/// Checks everything that holds for every cache. Each check gets a cache of its own from `fresh`, which must hold
/// 16 MiB without dropping anything.
pub async fn check(fresh: impl AsyncFn() -> Fresh) {
    macro_rules! run {
        ($($check:path),+ $(,)?) => {$(
            let Fresh { cache, keep } = fresh().await;
            $check(&*cache).await;
            drop(cache);
            drop(keep);
        )+};
    }
    run!(
        what_was_put_comes_back_whole,
        what_was_never_put_is_a_miss,
        a_result_of_no_bytes_is_a_result,
        the_last_put_counts,
        the_function_is_part_of_the_key,
        many_at_once_leave_one_of_theirs,
        a_dropped_call_harms_nobody,
    );
}

/// Checks a cache that evicts: `fresh` makes one that holds at most the bytes it is told, here `capacity_bytes`
/// (at least 1 MiB).
pub async fn check_bounded(fresh: impl AsyncFn(u64) -> Fresh, capacity_bytes: u64) {
    let size_bytes = usize::try_from(capacity_bytes / 16).expect("a test cache is small");
    let Fresh { cache, keep: _keep } = fresh(capacity_bytes).await;
    let cache = &*cache;
    put(cache, 1, result_of(1, size_bytes)).await;
    put(cache, 2, result_of(2, size_bytes)).await;
    for number in 100..132 {
        put(cache, number, result_of(number, size_bytes)).await;
        assert!(get(cache, 1).await.is_some(), "what is used outlives what is not");
    }
    assert!(get(cache, 2).await.is_none(), "what is not used goes");
    assert!(get(cache, 131).await.is_some(), "what was put last is there");
    let mut held_bytes = 0;
    for number in 0..132 {
        if let Some(result) = get(cache, number).await {
            assert!(
                result == result_of(number, size_bytes),
                "result {number} came back as another"
            );
            held_bytes += size_bytes as u64;
        }
    }
    assert!(
        held_bytes <= capacity_bytes,
        "{held_bytes} bytes are held by a cache of {capacity_bytes}"
    );
    let refused = cache.put(&action_of(3), result_of(3, size_bytes * 17)).await;
    assert!(
        matches!(refused, Err(StoreError::NoSpace { .. })),
        "a result larger than the cache gave {refused:?}"
    );
    assert!(get(cache, 3).await.is_none(), "a refused result is not there");
    assert!(
        get(cache, 1).await.is_some(),
        "a refused result takes nothing away"
    );
}

fn action_of(number: u64) -> ActionDigest {
    ActionDigest::new(Digest::of(DigestFunction::Sha256, &number.to_le_bytes()))
}

/// A result that can be told from others, with `size_bytes` of output in it.
fn result_of(number: u64, size_bytes: usize) -> ActionResult {
    ActionResult {
        output_symlinks: vec![OutputSymlink {
            path: format!("out/{number}"),
            target: "elsewhere".into(),
            ..OutputSymlink::default()
        }],
        exit_code: number as i32,
        stdout_raw: vec![number as u8; size_bytes].into(),
        execution_metadata: Some(ExecutedActionMetadata {
            worker: format!("worker-{number}"),
            ..ExecutedActionMetadata::default()
        }),
        ..ActionResult::default()
    }
}

async fn get(cache: &dyn ActionCache, number: u64) -> Option<ActionResult> {
    cache.get(&action_of(number)).await.expect("get must not fail")
}

async fn put(cache: &dyn ActionCache, number: u64, result: ActionResult) {
    cache
        .put(&action_of(number), result)
        .await
        .expect("a result is taken");
}

async fn what_was_put_comes_back_whole(cache: &dyn ActionCache) {
    for (number, size_bytes) in [0, 1, 1000, 65_536, 70_000, 3_000_000].into_iter().enumerate() {
        let number = number as u64;
        put(cache, number, result_of(number, size_bytes)).await;
        assert!(
            get(cache, number).await == Some(result_of(number, size_bytes)),
            "with {size_bytes} bytes of output"
        );
    }
}

async fn what_was_never_put_is_a_miss(cache: &dyn ActionCache) {
    put(cache, 1, result_of(1, 10)).await;
    assert_eq!(get(cache, 2).await, None, "another action");
    let digest = action_of(1).digest();
    let other_size = Digest::from_hex(digest.function(), &digest.hash_hex(), digest.size_bytes() + 1);
    let other_size = ActionDigest::new(other_size.expect("a well-formed digest"));
    assert_eq!(
        cache.get(&other_size).await.expect("get must not fail"),
        None,
        "right hash, wrong size"
    );
}

/// Checklist A8.
async fn a_result_of_no_bytes_is_a_result(cache: &dyn ActionCache) {
    put(cache, 1, ActionResult::default()).await;
    assert_eq!(get(cache, 1).await, Some(ActionResult::default()));
}

async fn the_last_put_counts(cache: &dyn ActionCache) {
    for number in [1, 2, 3, 1] {
        put(cache, 7, result_of(number, 100 * number as usize)).await;
        assert!(
            get(cache, 7).await == Some(result_of(number, 100 * number as usize)),
            "after result {number}"
        );
    }
}

/// Checklist A6.
async fn the_function_is_part_of_the_key(cache: &dyn ActionCache) {
    let sha256 = action_of(1);
    let hash = sha256.digest().hash_hex();
    let blake3 = Digest::from_hex(DigestFunction::Blake3, &hash, sha256.digest().size_bytes());
    let blake3 = ActionDigest::new(blake3.expect("both functions have 32 bytes"));
    put(cache, 1, result_of(1, 10)).await;
    assert_eq!(cache.get(&blake3).await.expect("get must not fail"), None);
    cache
        .put(&blake3, result_of(2, 10))
        .await
        .expect("a result is taken");
    assert_eq!(get(cache, 1).await, Some(result_of(1, 10)));
    assert_eq!(
        cache.get(&blake3).await.expect("get must not fail"),
        Some(result_of(2, 10))
    );
}

async fn many_at_once_leave_one_of_theirs(cache: &dyn ActionCache) {
    let action = action_of(7);
    let puts = future::join_all((0..32).map(|number| cache.put(&action, result_of(number, 1000))));
    let gets = future::join_all((0..32).map(|_| cache.get(&action)));
    let (puts, gets) = future::join(puts, gets).await;
    assert!(
        puts.iter().all(Result::is_ok),
        "every one of many writers succeeds: {puts:?}"
    );
    let known: Vec<ActionResult> = (0..32).map(|number| result_of(number, 1000)).collect();
    for result in gets {
        let result = result.expect("get must not fail");
        assert!(
            result.is_none_or(|result| known.contains(&result)),
            "a reader beside them sees one of theirs"
        );
    }
    assert!(
        get(cache, 7).await.is_some_and(|result| known.contains(&result)),
        "one of theirs stays"
    );
}

async fn a_dropped_call_harms_nobody(cache: &dyn ActionCache) {
    let action = action_of(7);
    put(cache, 7, result_of(1, 1000)).await;
    for _ in 0..8 {
        // Started, then dropped: it may or may not count, but never half.
        drop(future::select(cache.put(&action, result_of(2, 1000)), future::ready(())).await);
        drop(future::select(cache.get(&action), future::ready(())).await);
    }
    let either = [Some(result_of(1, 1000)), Some(result_of(2, 1000))];
    assert!(either.contains(&get(cache, 7).await), "after dropped calls");
}
