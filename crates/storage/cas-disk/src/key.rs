//! What the index knows an entry by.

use blob::Digest;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// 128 bits that stand for a digest (function, hash and size) within a scope. Whether an entry is really the one asked
/// for is told by its record, which spells the digest out; until then two digests with one key would be taken for
/// one another, which 128 bits make a matter of 10⁻²³ for ten million blobs.
///
/// Seeded for each store, so that nobody can make up digests that meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key(pub(crate) u128);

/// Makes the keys of one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    seed: u64,
}

/// Scope, size, function, and the longest hash.
const KEY_BYTES_MAX: usize = 8 + 8 + 1 + 64;

impl Keys {
    pub(crate) fn new(seed: u64) -> Self {
        Keys { seed }
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// The key of a digest. Entries of different scopes never meet: blobs have the scope 0, the results of an
    /// instance one of their own.
    pub(crate) fn of(&self, scope: u64, digest: &Digest) -> Key {
        let mut bytes = [0; KEY_BYTES_MAX];
        bytes[..8].copy_from_slice(&scope.to_le_bytes());
        bytes[8..16].copy_from_slice(&digest.size_bytes().to_le_bytes());
        bytes[16] = digest.function().to_proto() as u8;
        let hash = digest.hash_bytes();
        bytes[17..17 + hash.len()].copy_from_slice(hash);
        Key(xxh3_128_with_seed(&bytes[..17 + hash.len()], self.seed))
    }
}

impl Key {
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }

    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Key(u128::from_le_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use blob::DigestFunction;

    use super::*;

    #[test]
    fn everything_that_makes_an_entry_another_makes_its_key_another() {
        let of = |seed, scope, digest: &Digest| Keys::new(seed).of(scope, digest);
        let digest = Digest::of(DigestFunction::Sha256, b"one");
        let mut keys = vec![of(1, 0, &digest), of(2, 0, &digest), of(1, 1, &digest)];
        keys.push(of(1, 0, &Digest::of(DigestFunction::Blake3, b"one")));
        keys.push(of(1, 0, &Digest::of(DigestFunction::Sha256, b"two")));
        let longer = Digest::from_hex(DigestFunction::Sha256, &digest.hash_hex(), 4).unwrap();
        keys.push(of(1, 0, &longer));
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 6);
        assert_eq!(Key::from_bytes(keys[0].to_bytes()), keys[0]);
    }
}
