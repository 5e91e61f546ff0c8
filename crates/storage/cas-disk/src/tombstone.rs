//! What says that an entry is no longer there: without it the next start would find the damage once more.
//!
//! A tombstone bears the digest of its entry. Where that can no longer be read, it bears the key instead, in the place
//! of a digest and under a scope of its own. A key counts for as long as the seed of the keys does. When that is lost,
//! segments are read through, and a record that cannot tell its name is not found then.

use blob::{Digest, DigestFunction};

use crate::engine::NewEntry;
use crate::key::{Key, Keys};
use crate::record::{Header, Kind, digest_of};

/// The scope of tombstones that bear a key. Only they have it.
const BY_KEY: u64 = u64::MAX;
const KEY_BYTES: usize = 16;

/// The tombstone of an entry whose name is known.
pub(crate) fn of_entry(key: Key, scope: u64, digest: Digest) -> NewEntry {
    NewEntry {
        key,
        kind: Kind::Tombstone,
        digest,
        scope,
        keep: false,
    }
}

/// The tombstone of an entry of which only the key is known.
pub(crate) fn of_key(key: Key) -> NewEntry {
    let mut hash = [0; 32];
    hash[..KEY_BYTES].copy_from_slice(&key.to_bytes());
    // Of some size: nothing has size 0 but the empty blob.
    let digest = digest_of(DigestFunction::Sha256, &hash, KEY_BYTES as u64);
    of_entry(key, BY_KEY, digest.expect("32 bytes are a SHA-256"))
}

/// The key of the entry that a header is about.
pub(crate) fn key_of(keys: Keys, header: &Header) -> Key {
    let key = header.digest.hash_bytes().first_chunk::<KEY_BYTES>();
    match (header.kind, header.scope, key) {
        (Kind::Tombstone, BY_KEY, Some(key)) => Key::from_bytes(*key),
        _ => keys.of(header.scope, &header.digest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header_of(entry: &NewEntry) -> Header {
        Header {
            kind: entry.kind,
            digest: entry.digest,
            content_bytes: 0,
            stored_bytes: 0,
            scope: entry.scope,
        }
    }

    #[test]
    fn a_tombstone_tells_the_key_of_its_entry() {
        let keys = Keys::new(7);
        let digest = Digest::of(DigestFunction::Blake3, b"damaged");
        for key in [Key(0), Key(1), Key(u128::MAX), keys.of(3, &digest)] {
            let header = header_of(&of_key(key));
            assert_eq!(key_of(keys, &header), key);
            // Written and read, as a segment without a footer is.
            let read = Header::parse(&header.encode()).unwrap();
            assert_eq!(key_of(keys, &read), key);
            // Nothing but a tombstone bears a key.
            let blob = Header {
                kind: Kind::Result,
                ..header
            };
            assert_ne!(key_of(keys, &blob), key);
        }
        let named = header_of(&of_entry(keys.of(3, &digest), 3, digest));
        assert_eq!(key_of(keys, &named), keys.of(3, &digest));
    }
}
