//! Checks of stores that hold blobs in chunks.

use futures::future::BoxFuture;

use super::*;
use crate::{ChunkingFunction, Recipe, Recipes, SpliceError};

/// A store that holds nothing yet, as blobs and as recipes, and a way to take blobs from it.
pub struct FreshRecipes {
    /// As everybody sees it.
    pub store: Arc<dyn BlobStore>,
    /// The same store.
    pub recipes: Arc<dyn Recipes>,
    /// Loses a blob that was put, as eviction or damage do.
    pub lose: Box<dyn Fn(Digest) -> BoxFuture<'static, ()>>,
    /// What must live as long; dropped after the check.
    pub keep: Box<dyn Any>,
}

/// Checks everything that holds for every store with recipes, beside what [`check`](super::check) does. Each check gets
/// a store of its own, which must take blobs of 4 MiB and 20 000 chunks in one recipe, and hold 32 MiB.
pub async fn check_recipes(fresh: impl AsyncFn() -> FreshRecipes) {
    macro_rules! run {
        ($($check:path),+ $(,)?) => {$(
            let fresh_recipes = fresh().await;
            $check(&fresh_recipes).await;
            drop(fresh_recipes);
        )+};
    }
    run!(
        what_is_unknown_has_no_recipe,
        a_spliced_blob_is_a_blob_like_any_other,
        every_range_of_a_spliced_blob_is_exact,
        missing_chunks_are_named_and_nothing_is_kept,
        chunks_that_do_not_give_the_blob_are_refused,
        a_lost_chunk_ends_the_recipe_until_it_is_back,
        many_chunks_make_one_blob,
        a_chunk_may_occur_many_times,
        a_blob_that_is_here_becomes_known_in_chunks,
        splicing_again_changes_nothing,
        a_blob_made_of_itself_stays_as_it_is,
        recipes_may_share_chunks,
    );
}

const PUTS_AT_ONCE: usize = 256;
const FUNCTION: ChunkingFunction = ChunkingFunction::FastCdc2020;

/// Puts chunks of these sizes, and returns them with the whole, which is not put.
async fn chunks_of(fresh: &FreshRecipes, seed: u64, sizes: &[usize]) -> (Bytes, Digest, Recipe) {
    let pieces = sizes.iter().enumerate();
    let pieces: Vec<Bytes> = pieces
        .map(|(index, size_bytes)| bytes_of(seed + index as u64, *size_bytes))
        .collect();
    let blobs: Vec<Blob> = pieces
        .iter()
        .map(|bytes| Blob::from_bytes(F, bytes.clone()))
        .collect();
    let chunks = blobs.iter().map(Blob::digest).collect();
    // Many at once: some stores are far faster then.
    stream::iter(blobs)
        .map(|blob| fresh.store.put(blob))
        .buffer_unordered(PUTS_AT_ONCE)
        .for_each(|put| {
            put.expect("a chunk is a blob");
            std::future::ready(())
        })
        .await;
    let whole = pieces.concat();
    let digest = Digest::of(F, &whole);
    let recipe = Recipe {
        chunks,
        chunking_function: FUNCTION,
    };
    (whole.into(), digest, recipe)
}

async fn splice(fresh: &FreshRecipes, digest: &Digest, recipe: &Recipe) {
    let spliced = fresh.recipes.splice(digest, recipe.clone()).await;
    spliced.expect("chunks that give the blob make it");
}

async fn split(fresh: &FreshRecipes, digest: &Digest) -> Option<Recipe> {
    fresh.recipes.split(digest).await.expect("split must not fail")
}

/// Asserts that the chunks are here and give `bytes`.
async fn assert_gives(fresh: &FreshRecipes, recipe: &Recipe, bytes: &[u8]) {
    let mut joined = Vec::new();
    for chunk in &recipe.chunks {
        let chunk = read(&*fresh.store, chunk, ByteRange::FULL).await;
        joined.extend_from_slice(&chunk.expect("what split names is here"));
    }
    assert!(joined == bytes, "the chunks must give the blob");
}

async fn what_is_unknown_has_no_recipe(fresh: &FreshRecipes) {
    assert_eq!(split(fresh, &blob_of(1, 100).digest()).await, None);
    let bytes = bytes_of(2, 3_000_000);
    let blob = Blob::from_bytes(F, bytes.clone());
    let digest = blob.digest();
    fresh.store.put(blob).await.expect("a good blob is taken");
    // A server may cut what it has as a whole; a store does not.
    if let Some(recipe) = split(fresh, &digest).await {
        assert_gives(fresh, &recipe, &bytes).await;
    }
}

async fn a_spliced_blob_is_a_blob_like_any_other(fresh: &FreshRecipes) {
    let (bytes, digest, recipe) = chunks_of(fresh, 10, &[1_000_000, 1, 700_001]).await;
    assert_absent(&*fresh.store, &digest, "before the splice").await;
    splice(fresh, &digest, &recipe).await;
    assert_present(&*fresh.store, &digest, &bytes, "after the splice").await;
    assert_eq!(split(fresh, &digest).await, Some(recipe.clone()));
    for (chunk, size_bytes) in recipe.chunks.iter().zip([1_000_000, 1, 700_001]) {
        let bytes = read(&*fresh.store, chunk, ByteRange::FULL).await;
        assert_eq!(
            bytes.map(|bytes| bytes.len()),
            Some(size_bytes),
            "chunks stay blobs"
        );
    }
    // As any other, it may be put again.
    let again = fresh.store.put(Blob::from_bytes(F, bytes.clone())).await;
    again.expect("putting what is there is fine");
    assert_present(&*fresh.store, &digest, &bytes, "after a put").await;
}

async fn every_range_of_a_spliced_blob_is_exact(fresh: &FreshRecipes) {
    let (bytes, digest, recipe) = chunks_of(fresh, 20, &[100, 65_536, 1, 70_000]).await;
    splice(fresh, &digest, &recipe).await;
    let edges = [
        0,
        1,
        99,
        100,
        101,
        65_635,
        65_636,
        65_637,
        65_638,
        bytes.len() - 1,
        bytes.len(),
    ];
    for start in edges {
        for end in edges.into_iter().filter(|end| *end >= start) {
            let range = ByteRange {
                offset: start as u64,
                limit: Some((end - start) as u64),
            };
            let read = read(&*fresh.store, &digest, range).await;
            assert!(
                read.as_deref() == Some(&bytes[start..end]),
                "{range:?} must be exact"
            );
        }
    }
    let past = ByteRange {
        offset: bytes.len() as u64 + 1,
        limit: None,
    };
    let result = fresh
        .store
        .get(&digest, past)
        .await
        .map(|stream| stream.is_some());
    assert!(matches!(result, Err(StoreError::OutOfRange { .. })), "{result:?}");
}

async fn missing_chunks_are_named_and_nothing_is_kept(fresh: &FreshRecipes) {
    let (_, _, mut recipe) = chunks_of(fresh, 30, &[1000, 2000]).await;
    let absent = [bytes_of(38, 500), bytes_of(39, 600)];
    recipe
        .chunks
        .splice(1..1, absent.iter().map(|bytes| Digest::of(F, bytes)));
    let whole = [
        bytes_of(30, 1000),
        absent[0].clone(),
        absent[1].clone(),
        bytes_of(31, 2000),
    ]
    .concat();
    let digest = Digest::of(F, &whole);
    let expected: DigestSet = absent.iter().map(|bytes| Digest::of(F, bytes)).collect();
    match fresh.recipes.splice(&digest, recipe.clone()).await {
        Err(SpliceError::MissingChunks(missing)) => assert_eq!(missing, expected),
        other => panic!("chunks are missing, but splice says {other:?}"),
    }
    assert_absent(&*fresh.store, &digest, "after a splice of missing chunks").await;
    for bytes in absent {
        fresh
            .store
            .put(Blob::from_bytes(F, bytes))
            .await
            .expect("a good blob is taken");
    }
    splice(fresh, &digest, &recipe).await;
    assert_present(&*fresh.store, &digest, &whole, "after the chunks came").await;
}

async fn chunks_that_do_not_give_the_blob_are_refused(fresh: &FreshRecipes) {
    let (_, digest, recipe) = chunks_of(fresh, 40, &[1000, 1000, 700]).await;
    let wrong = |edit: &dyn Fn(&mut Vec<Digest>)| {
        let mut recipe = recipe.clone();
        edit(&mut recipe.chunks);
        recipe
    };
    for (what, recipe) in [
        ("in another order", wrong(&|chunks| chunks.swap(0, 1))),
        ("one too few", wrong(&|chunks| chunks.truncate(2))),
        ("one too many", wrong(&|chunks| chunks.push(chunks[0]))),
        ("one for another", wrong(&|chunks| chunks[0] = chunks[1])),
        ("none", wrong(&|chunks| chunks.clear())),
    ] {
        let refused = fresh.recipes.splice(&digest, recipe).await;
        assert!(
            matches!(
                refused,
                Err(SpliceError::Store(StoreError::Blob(
                    BlobError::WrongSize { .. } | BlobError::WrongHash { .. } | BlobError::Malformed { .. }
                )))
            ),
            "chunks {what}: {refused:?}"
        );
        assert_absent(&*fresh.store, &digest, what).await;
        assert_eq!(split(fresh, &digest).await, None);
    }
}

async fn a_lost_chunk_ends_the_recipe_until_it_is_back(fresh: &FreshRecipes) {
    let (bytes, digest, recipe) = chunks_of(fresh, 50, &[2000, 3000, 4000]).await;
    splice(fresh, &digest, &recipe).await;
    (fresh.lose)(recipe.chunks[1]).await;
    // A store may have kept the whole beside the chunks; then it is still here, and only the recipe is gone.
    let missing = fresh.store.find_missing(&DigestSet::from(digest)).await;
    let is_here = missing.expect("find_missing must not fail").is_empty();
    let whole = read(&*fresh.store, &digest, ByteRange::FULL).await;
    assert_eq!(whole.is_some(), is_here, "find_missing and get agree");
    assert!(whole.is_none_or(|whole| whole == bytes), "never wrong bytes");
    match split(fresh, &digest).await {
        None => {}
        // Cut anew from the whole (checklist K6).
        Some(recipe) => assert_gives(fresh, &recipe, &bytes).await,
    }
    let chunk = Blob::from_bytes(F, bytes_of(51, 3000));
    fresh.store.put(chunk).await.expect("what was lost is put again");
    splice(fresh, &digest, &recipe).await;
    assert_present(&*fresh.store, &digest, &bytes, "after the lost chunk came back").await;
    assert!(split(fresh, &digest).await.is_some());
}

async fn many_chunks_make_one_blob(fresh: &FreshRecipes) {
    const CHUNKS: usize = 20_000;
    let (bytes, digest, recipe) = chunks_of(fresh, 1000, &[40; CHUNKS]).await;
    splice(fresh, &digest, &recipe).await;
    assert_present(&*fresh.store, &digest, &bytes, "of many chunks").await;
    let split = split(fresh, &digest).await.expect("it was just spliced");
    assert_eq!(split.chunks.len(), CHUNKS);
    assert!(split == recipe, "all chunks in their order");
}

async fn a_chunk_may_occur_many_times(fresh: &FreshRecipes) {
    let (_, _, Recipe { chunks, .. }) = chunks_of(fresh, 60, &[500, 700]).await;
    let order = [0, 1, 0, 0, 1];
    let whole: Vec<u8> = order
        .iter()
        .flat_map(|index| bytes_of(60 + index, [500, 700][*index as usize]))
        .collect();
    let recipe = Recipe {
        chunks: order.map(|index| chunks[index as usize]).to_vec(),
        chunking_function: FUNCTION,
    };
    let digest = Digest::of(F, &whole);
    splice(fresh, &digest, &recipe).await;
    assert_present(&*fresh.store, &digest, &whole, "of repeated chunks").await;
    assert_eq!(split(fresh, &digest).await, Some(recipe));
}

async fn a_blob_that_is_here_becomes_known_in_chunks(fresh: &FreshRecipes) {
    let (bytes, digest, recipe) = chunks_of(fresh, 70, &[3000, 100]).await;
    let whole = Blob::from_bytes(F, bytes.clone());
    fresh.store.put(whole).await.expect("a good blob is taken");
    splice(fresh, &digest, &recipe).await;
    assert_eq!(split(fresh, &digest).await, Some(recipe));
    assert_present(&*fresh.store, &digest, &bytes, "whole and in chunks").await;
}

async fn splicing_again_changes_nothing(fresh: &FreshRecipes) {
    let (bytes, digest, recipe) = chunks_of(fresh, 80, &[300, 400, 500]).await;
    splice(fresh, &digest, &recipe).await;
    splice(fresh, &digest, &recipe).await;
    // The same blob cut elsewhere: the first recipe stays.
    let halves = [bytes.slice(..600), bytes.slice(600..)];
    let mut other = Recipe {
        chunks: Vec::new(),
        chunking_function: ChunkingFunction::Unknown,
    };
    for half in halves {
        let blob = Blob::from_bytes(F, half);
        other.chunks.push(blob.digest());
        fresh.store.put(blob).await.expect("a good blob is taken");
    }
    splice(fresh, &digest, &other).await;
    assert_eq!(split(fresh, &digest).await, Some(recipe));
    assert_present(&*fresh.store, &digest, &bytes, "spliced again").await;
}

async fn a_blob_made_of_itself_stays_as_it_is(fresh: &FreshRecipes) {
    let bytes = bytes_of(90, 5000);
    let blob = Blob::from_bytes(F, bytes.clone());
    let digest = blob.digest();
    let itself = Recipe {
        chunks: vec![digest],
        chunking_function: ChunkingFunction::Unknown,
    };
    match fresh.recipes.splice(&digest, itself.clone()).await {
        Err(SpliceError::MissingChunks(missing)) => assert!(missing.contains(&digest)),
        other => panic!("the only chunk is missing, but splice says {other:?}"),
    }
    fresh.store.put(blob).await.expect("a good blob is taken");
    splice(fresh, &digest, &itself).await;
    assert_present(&*fresh.store, &digest, &bytes, "made of itself").await;
}

async fn recipes_may_share_chunks(fresh: &FreshRecipes) {
    let (first, first_digest, mut recipe) = chunks_of(fresh, 100, &[3000, 4000, 5000]).await;
    splice(fresh, &first_digest, &recipe).await;
    let (tail, _, Recipe { chunks, .. }) = chunks_of(fresh, 200, &[600]).await;
    recipe.chunks[2] = chunks[0];
    let second = [&first[..7000], &tail[..]].concat();
    let second_digest = Digest::of(F, &second);
    splice(fresh, &second_digest, &recipe).await;
    assert_present(&*fresh.store, &first_digest, &first, "with shared chunks").await;
    assert_present(&*fresh.store, &second_digest, &second, "with shared chunks").await;
}

#[cfg(test)]
mod tests;
