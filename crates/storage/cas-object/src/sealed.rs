//! Bytes with a checksum behind them that also says whose they are.

use blob::Digest;
use bytes::{Bytes, BytesMut};
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

/// What something is supposed to be, as the seed of its checksums: bytes that are intact but belong to another digest,
/// or to another place of the same, fail as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seal(u64);

const MAGIC: [u8; 8] = *b"farrierO";
const CHECKSUM_BYTES: usize = 8;

impl Seal {
    /// The seal of what `kind` (with its version) keeps under `digest`.
    pub(crate) fn of(kind: &str, digest: &Digest) -> Self {
        // Not its Display, which is for people: these are names that never change.
        let (function, hash) = (digest.function().name(), digest.hash_hex());
        Seal(xxh3_64(
            format!("{kind}/{function}/{hash}-{}", digest.size_bytes()).as_bytes(),
        ))
    }

    /// Computes [`checksum`](Self::checksum) piece by piece.
    pub(crate) fn hasher(self, number: u64) -> Box<Xxh3> {
        Box::new(Xxh3::with_seed(self.0.wrapping_add(number)))
    }

    /// The checksum of the part with this number.
    pub(crate) fn checksum(self, number: u64, bytes: &[u8]) -> u64 {
        xxh3_64_with_seed(bytes, self.0.wrapping_add(number))
    }
}

/// `payload`, a magic word and a checksum of both.
pub(crate) fn seal(seal: Seal, payload: &[u8]) -> Bytes {
    let mut sealed = BytesMut::with_capacity(payload.len() + MAGIC.len() + CHECKSUM_BYTES);
    sealed.extend_from_slice(payload);
    sealed.extend_from_slice(&MAGIC);
    let checksum = seal.checksum(0, &sealed);
    sealed.extend_from_slice(&checksum.to_le_bytes());
    sealed.freeze()
}

/// The payload; `None` if this is not what was sealed.
pub(crate) fn open(seal: Seal, sealed: Bytes) -> Option<Bytes> {
    let end = sealed.len().checked_sub(CHECKSUM_BYTES)?;
    let payload = sealed[..end].strip_suffix(&MAGIC)?.len();
    let expected = seal.checksum(0, &sealed[..end]).to_le_bytes();
    (sealed[end..] == expected).then(|| sealed.slice(..payload))
}

#[cfg(test)]
mod tests {
    use blob::DigestFunction;

    use super::*;

    #[test]
    fn only_what_was_sealed_is_opened() {
        let [one, other] = [b"1", b"2"].map(|bytes| Digest::of(DigestFunction::Sha256, bytes));
        let sealed = seal(Seal::of("test", &one), b"hello");
        assert_eq!(open(Seal::of("test", &one), sealed.clone()).unwrap(), "hello");
        assert_eq!(open(Seal::of("test", &other), sealed.clone()), None);
        assert_eq!(open(Seal::of("other", &one), sealed.clone()), None);
        for at in 0..sealed.len() {
            assert_eq!(open(Seal::of("test", &one), sealed.slice(..at)), None);
            let mut changed = sealed.to_vec();
            changed[at] ^= 1;
            assert_eq!(open(Seal::of("test", &one), changed.into()), None);
        }
    }
}
