//! SHA256TREE: SHA-256 over a Merkle tree of the blob (`DigestFunction.Value.SHA256TREE` of the specification).
//!
//! Up to 1024 bytes it is SHA-256. A larger blob is cut into a left part, the largest power of two that leaves
//! something on the right, and the rest; the hashes of both, one after the other, go once through SHA-256's block cipher
//! under other initial values, and what comes out is not added to them.

use sha2::Digest as _;
use sha2::block_api::compress256;

/// Largest part that is hashed as a whole.
const LEAF_BYTES: usize = 1024;

/// Fractional parts of the square roots of the 9th to the 16th prime.
const PARENT: [u32; 8] = [
    0xcbbb_9d5d,
    0x629a_292a,
    0x9159_015a,
    0x152f_ecd8,
    0x6733_2667,
    0x8eb4_4a87,
    0xdb0c_2e0d,
    0x47b5_481d,
];

type Hash = [u8; 32];

/// Takes a blob in pieces; holds one hash for each level of the tree, 54 at most.
#[derive(Clone)]
pub(crate) struct Sha256Tree {
    leaf: sha2::Sha256,
    leaf_bytes: usize,
    /// Hashes of whole subtrees from left to right, each with the number of its leaves; every one is smaller than the one
    /// before it.
    subtrees: Vec<(u64, Hash)>,
}

impl Sha256Tree {
    pub(crate) fn new() -> Self {
        Sha256Tree {
            leaf: sha2::Sha256::new(),
            leaf_bytes: 0,
            subtrees: Vec::new(),
        }
    }

    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            // A full leaf waits for the next byte: the last part of a blob is never empty.
            if self.leaf_bytes == LEAF_BYTES {
                self.end_leaf();
            }
            let taken = bytes.len().min(LEAF_BYTES - self.leaf_bytes);
            self.leaf.update(&bytes[..taken]);
            self.leaf_bytes += taken;
            bytes = &bytes[taken..];
        }
    }

    pub(crate) fn finish(self) -> Hash {
        let last: Hash = self.leaf.finalize().into();
        self.subtrees
            .into_iter()
            .rev()
            .fold(last, |right, (_, left)| parent(&left, &right))
    }

    fn end_leaf(&mut self) {
        let mut hash: Hash = std::mem::take(&mut self.leaf).finalize().into();
        let mut leaves = 1;
        while let Some((_, left)) = self.subtrees.pop_if(|(left, _)| *left == leaves) {
            hash = parent(&left, &hash);
            leaves *= 2;
        }
        self.subtrees.push((leaves, hash));
        self.leaf_bytes = 0;
    }
}

fn parent(left: &Hash, right: &Hash) -> Hash {
    let mut block = [0; 64];
    block[..32].copy_from_slice(left);
    block[32..].copy_from_slice(right);
    let mut state = PARENT;
    compress256(&mut state, &[block]);
    let mut hash = [0; 32];
    for ((word, initial), out) in state.iter().zip(PARENT).zip(hash.chunks_exact_mut(4)) {
        // The function adds the initial values, as SHA-256 does.
        out.copy_from_slice(&word.wrapping_sub(initial).to_be_bytes());
    }
    hash
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tree(bytes: &[u8], piece: usize) -> Hash {
        let mut tree = Sha256Tree::new();
        for piece in bytes.chunks(piece) {
            tree.update(piece);
        }
        tree.finish()
    }

    /// The definition, word for word, on a block cipher of its own.
    fn by_definition(bytes: &[u8]) -> Hash {
        if bytes.len() <= 1024 {
            return sha2::Sha256::digest(bytes).into();
        }
        let left = bytes.len().next_power_of_two() / 2;
        let (left, right) = bytes.split_at(left);
        let mut block = by_definition(left).to_vec();
        block.extend(by_definition(right));
        block_cipher(&block)
    }

    /// The rounds of FIPS 180-4, 6.2.2, without the addition at their end.
    fn block_cipher(block: &[u8]) -> Hash {
        let primes: Vec<u64> = (2u64..).filter(|n| (2..*n).all(|m| n % m > 0)).take(64).collect();
        // The first 32 bits of the fractional part of a root, by integers.
        let fraction = |prime: u64, root: u32| -> u32 {
            let wide = u128::from(prime) << (32 * root);
            let (mut low, mut high) = (0u128, 1u128 << 40);
            while high - low > 1 {
                let middle = (low + high) / 2;
                if middle.pow(root) <= wide {
                    low = middle
                } else {
                    high = middle
                }
            }
            low as u32
        };
        let k: Vec<u32> = primes.iter().map(|prime| fraction(*prime, 3)).collect();
        let initial: Vec<u32> = primes[8..16].iter().map(|prime| fraction(*prime, 2)).collect();
        assert_eq!(initial, PARENT);
        let mut w: Vec<u32> = block
            .chunks(4)
            .map(|word| u32::from_be_bytes(word.try_into().unwrap()))
            .collect();
        for t in 16..64 {
            let small0 = w[t - 15].rotate_right(7) ^ w[t - 15].rotate_right(18) ^ (w[t - 15] >> 3);
            let small1 = w[t - 2].rotate_right(17) ^ w[t - 2].rotate_right(19) ^ (w[t - 2] >> 10);
            w.push(
                w[t - 16]
                    .wrapping_add(small0)
                    .wrapping_add(w[t - 7])
                    .wrapping_add(small1),
            );
        }
        let mut s: [u32; 8] = initial.try_into().unwrap();
        for t in 0..64 {
            let big1 = s[4].rotate_right(6) ^ s[4].rotate_right(11) ^ s[4].rotate_right(25);
            let choice = (s[4] & s[5]) ^ (!s[4] & s[6]);
            let one = s[7]
                .wrapping_add(big1)
                .wrapping_add(choice)
                .wrapping_add(k[t])
                .wrapping_add(w[t]);
            let big0 = s[0].rotate_right(2) ^ s[0].rotate_right(13) ^ s[0].rotate_right(22);
            let majority = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
            let two = big0.wrapping_add(majority);
            s = [
                one.wrapping_add(two),
                s[0],
                s[1],
                s[2],
                s[3].wrapping_add(one),
                s[4],
                s[5],
                s[6],
            ];
        }
        let bytes: Vec<u8> = s.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.try_into().unwrap()
    }

    #[test]
    fn it_is_what_the_specification_says_around_every_edge() {
        let bytes: Vec<u8> = (0..10_000u32).map(|n| ((n * 31) >> 3) as u8).collect();
        for length in [
            0, 1, 1023, 1024, 1025, 2047, 2048, 2049, 3072, 3073, 4096, 4097, 5000, 6144, 7168, 8192, 10_000,
        ] {
            assert_eq!(
                tree(&bytes[..length], 300),
                by_definition(&bytes[..length]),
                "{length} bytes"
            );
        }
    }

    /// From the specification's list of test vectors: the bytes count from 0 to 250 and begin again.
    #[test]
    fn published_vectors() {
        let bytes: Vec<u8> = (0..102_400u32).map(|n| (n % 251) as u8).collect();
        for (length, hash) in [
            (
                1025,
                "36c0998b21839ef74300b9de47d96d1f62323dc81f2b4231e98ce70cd6ffe750",
            ),
            (
                2048,
                "b584996386f01793751c5cf0c39561f51b7e9924b818943b3cb2f6928cea0fa9",
            ),
            (
                2049,
                "7318d2029b0392edf4cf109edb5a086b4bdadbb7950f710a1483eb881d9e5d44",
            ),
            (
                3072,
                "dfc61c0a041f79d55d53bfe31c6cda7df77fdc8e6fbac1143d70b7144fdf6937",
            ),
            (
                3073,
                "517d20c0e5835f060a1bd6388ed68574f63424bdac2a2c3a35a5c2ef859d8fe2",
            ),
            (
                4096,
                "2f72bb93880012168c027f6781527ff08177c7c8dccb443f4d2c6389c186633d",
            ),
            (
                4097,
                "c3ec942c1b8f4580320d3a06bcf4f8fe1f5db2be797ab67061ea4c2a95f208f2",
            ),
            (
                8193,
                "113c6e3a2452f388b6fad13dfab66ee0bff597a0a9a517ad8d0165f7190b603e",
            ),
            (
                31744,
                "2cdf7662636c173d4b236f6ea03bf84c65e7f6487b53b2a61c420e26cf8a98c7",
            ),
            (
                102400,
                "0668d69e5331840d2f1823d717b7b3f5d1fdc8a09504cddb692b87ff83d50e5f",
            ),
        ] {
            let digest = crate::Digest::of(crate::DigestFunction::Sha256Tree, &bytes[..length]);
            assert_eq!(digest.hash_hex(), hash, "{length} bytes");
            assert_eq!(
                tree(&bytes[..length], 777),
                digest.hash_bytes(),
                "{length} bytes in pieces"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        #[test]
        fn it_does_not_matter_how_a_blob_is_cut(bytes in prop::collection::vec(any::<u8>(), 0..9000), piece in 1usize..3000) {
            prop_assert_eq!(tree(&bytes, piece), by_definition(&bytes));
        }
    }
}
