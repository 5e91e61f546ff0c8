//! Blobs as lists of chunks: the form on disk, and keeping whole and chunks together.

use blob::{Digest, DigestFunction};
use bytes::Bytes;
use cas::{ChunkingFunction, Recipe};

use crate::record::{Damage, u32_at, u64_at};

/// Chunks of one blob at most: of 64 GiB in chunks of 16 KiB.
pub(crate) const CHUNKS_MAX: usize = 4 << 20;
/// Longest recipe on disk.
pub(crate) const RECIPE_BYTES_MAX: u64 = 4 + CHUNKS_MAX as u64 * (64 + 8);

/// A chunking function, then hash and size of each chunk. The digest function is that of the whole.
pub(crate) fn encode(recipe: &Recipe) -> Bytes {
    let function: u32 = match recipe.chunking_function {
        ChunkingFunction::Unknown => 0,
        ChunkingFunction::FastCdc2020 => 1,
        ChunkingFunction::RepMaxCdc => 2,
    };
    let mut bytes = function.to_le_bytes().to_vec();
    for chunk in &recipe.chunks {
        bytes.extend_from_slice(chunk.hash_bytes());
        bytes.extend_from_slice(&chunk.size_bytes().to_le_bytes());
    }
    bytes.into()
}

pub(crate) fn decode(function: DigestFunction, bytes: &[u8]) -> Result<Recipe, Damage> {
    let hash_len = function.hash_len();
    let chunks = bytes
        .get(4..)
        .filter(|chunks| chunks.len().is_multiple_of(hash_len + 8));
    let chunks = chunks.ok_or_else(|| Damage::new("it is no list of chunks"))?;
    let chunking_function = match u32_at(bytes, 0) {
        1 => ChunkingFunction::FastCdc2020,
        2 => ChunkingFunction::RepMaxCdc,
        _ => ChunkingFunction::Unknown,
    };
    let chunks = chunks.chunks_exact(hash_len + 8).map(|chunk| {
        let (hash, size) = chunk.split_at(hash_len);
        crate::record::digest_of(function, hash, u64_at(size, 0))
    });
    Ok(Recipe {
        chunks: chunks.collect::<Result<_, _>>()?,
        chunking_function,
    })
}

/// Which chunks hold `range` of their concatenation, with the part of each.
pub(crate) fn parts(chunks: &[Digest], range: std::ops::Range<u64>) -> Vec<(Digest, std::ops::Range<u64>)> {
    let mut parts = Vec::new();
    let mut start = 0;
    for chunk in chunks {
        let end = start + chunk.size_bytes();
        let (from, to) = (range.start.max(start), range.end.min(end));
        if from < to {
            parts.push((*chunk, from - start..to - start));
        }
        start = end;
        if start >= range.end {
            break;
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const F: DigestFunction = DigestFunction::Sha256;

    fn chunks() -> Vec<Digest> {
        [&b"abc"[..], b"defgh", b"abc", b"i"]
            .map(|bytes| Digest::of(F, bytes))
            .to_vec()
    }

    #[test]
    fn a_recipe_is_read_as_it_was_written() {
        for chunking_function in [
            ChunkingFunction::Unknown,
            ChunkingFunction::FastCdc2020,
            ChunkingFunction::RepMaxCdc,
        ] {
            let recipe = Recipe {
                chunks: chunks(),
                chunking_function,
            };
            let bytes = encode(&recipe);
            assert_eq!(decode(F, &bytes), Ok(recipe));
            assert!(decode(F, &bytes[..bytes.len() - 1]).is_err());
        }
        assert!(decode(F, b"").is_err());
    }

    #[test]
    fn a_range_is_found_in_the_chunks_that_hold_it() {
        let chunks = chunks();
        let of = |range| -> Vec<_> {
            parts(&chunks, range)
                .into_iter()
                .map(|(chunk, part)| (chunk.size_bytes(), part))
                .collect()
        };
        assert_eq!(of(0..12), [(3, 0..3), (5, 0..5), (3, 0..3), (1, 0..1)]);
        assert_eq!(of(2..4), [(3, 2..3), (5, 0..1)]);
        assert_eq!(of(8..11), [(3, 0..3)]);
        assert_eq!(of(5..5), []);
    }
}
