//! A blob's identity: hash function, hash, and size.

use std::fmt;
use std::sync::LazyLock;

use reapi::execution as proto;
use thiserror::Error;

use crate::{DigestFunction, DigestHasher};

/// Hash function, hash and size of a blob. No invalid value exists; the proto is only a way in and out.
///
/// The size is part of identity (checklist G5): the right hash with the wrong size names another blob, one
/// that cannot exist. A digest of size 0 always carries the hash of nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    function: DigestFunction,
    /// The hash, and zeros behind it: all digests of one function have as many.
    hash: [u8; HASH_BYTES_MAX],
    size_bytes: u64,
}

/// Longest hash.
const HASH_BYTES_MAX: usize = 64;

/// Why something is not a digest.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DigestError {
    /// The request names a function this server does not compute.
    #[error(
        "digest function number {value} is not supported here (supported: {})",
        DigestFunction::names()
    )]
    UnsupportedFunction {
        /// The number on the wire.
        value: i32,
    },
    /// The digest field was not set at all.
    #[error("{field} is not set")]
    Missing {
        /// Which field of which message.
        field: &'static str,
    },
    /// Wrong length for the function.
    #[error("hash `{hash}` has {} characters, but {} needs {}", hash.len(), function.name(), function.hash_len() * 2)]
    WrongLength {
        /// The hash as sent, cut to a printable length.
        hash: String,
        /// The function of the request.
        function: DigestFunction,
    },
    /// Something other than `0-9a-f`.
    #[error("hash `{hash}` is not lowercase hexadecimal")]
    NotLowercaseHex {
        /// The hash as sent.
        hash: String,
    },
    /// Negative, or not a decimal number.
    #[error("size `{size}` of hash `{hash}` is not a number of bytes")]
    BadSize {
        /// The hash as sent.
        hash: String,
        /// The size as sent.
        size: String,
    },
    /// Size 0 with a hash that is not the hash of nothing.
    #[error("hash `{hash}` with size 0 is not the {} digest of the empty blob", function.name())]
    NotTheEmptyBlob {
        /// The hash as sent.
        hash: String,
        /// The function of the request.
        function: DigestFunction,
    },
}

/// Longest piece of a malformed hash that an error message repeats.
const HASH_QUOTED_CHARS_MAX: usize = 160;

impl Digest {
    /// Reads a proto digest whose function the request has named.
    pub fn from_proto(function: DigestFunction, proto: &proto::Digest) -> Result<Self, DigestError> {
        let size_bytes = u64::try_from(proto.size_bytes).map_err(|_| DigestError::BadSize {
            hash: quoted(proto.hash.as_bytes()),
            size: proto.size_bytes.to_string(),
        })?;
        Self::from_hex(function, &proto.hash, size_bytes)
    }

    /// As [`from_proto`](Self::from_proto), for a field that must be there; `field` names it in the error.
    pub fn required(
        function: DigestFunction,
        proto: Option<&proto::Digest>,
        field: &'static str,
    ) -> Result<Self, DigestError> {
        Self::from_proto(function, proto.ok_or(DigestError::Missing { field })?)
    }

    /// Reads a hash in lowercase hexadecimal.
    pub fn from_hex(function: DigestFunction, hex: &str, size_bytes: u64) -> Result<Self, DigestError> {
        Self::from_hex_bytes(function, hex.as_bytes(), size_bytes)
    }

    /// As [`from_hex`](Self::from_hex), for what was not yet found to be text.
    pub fn from_hex_bytes(
        function: DigestFunction,
        hex: &[u8],
        size_bytes: u64,
    ) -> Result<Self, DigestError> {
        if hex.len() != function.hash_len() * 2 {
            return Err(DigestError::WrongLength {
                hash: quoted(hex),
                function,
            });
        }
        let mut bytes = [0u8; HASH_BYTES_MAX];
        // Looked at once at the end, so that nothing branches on the way.
        let mut seen = 0;
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            let (high, low) = (NIBBLES[pair[0] as usize], NIBBLES[pair[1] as usize]);
            seen |= high | low;
            *byte = high << 4 | low;
        }
        if seen & NOT_A_NIBBLE != 0 {
            return Err(DigestError::NotLowercaseHex { hash: quoted(hex) });
        }
        Self::from_hash(function, &bytes[..function.hash_len()], size_bytes)
    }

    /// A digest from raw hash bytes, as an index on disk keeps them.
    pub fn from_hash(function: DigestFunction, hash: &[u8], size_bytes: u64) -> Result<Self, DigestError> {
        if hash.len() != function.hash_len() {
            return Err(DigestError::WrongLength {
                hash: quoted(to_hex(hash).as_bytes()),
                function,
            });
        }
        // Sizes travel as int64.
        if size_bytes > i64::MAX as u64 {
            return Err(DigestError::BadSize {
                hash: to_hex(hash),
                size: size_bytes.to_string(),
            });
        }
        let digest = Digest::of_hash(function, hash, size_bytes);
        if size_bytes == 0 && digest != Digest::empty(function) {
            return Err(DigestError::NotTheEmptyBlob {
                hash: to_hex(hash),
                function,
            });
        }
        Ok(digest)
    }

    /// A digest whose parts are known to belong together.
    pub(crate) fn of_hash(function: DigestFunction, hash: &[u8], size_bytes: u64) -> Self {
        let mut padded = [0; HASH_BYTES_MAX];
        padded[..hash.len()].copy_from_slice(hash);
        Digest {
            function,
            hash: padded,
            size_bytes,
        }
    }

    /// The digest of `bytes`.
    pub fn of(function: DigestFunction, bytes: &[u8]) -> Self {
        let mut hasher = DigestHasher::new(function, bytes.len() as u64);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The digest of nothing.
    pub fn empty(function: DigestFunction) -> Self {
        static EMPTY: LazyLock<[Digest; DigestFunction::ALL.len()]> =
            LazyLock::new(|| DigestFunction::ALL.map(|function| Digest::of(function, b"")));
        EMPTY[function as usize]
    }

    /// The way out: hash in hex and size; the function travels beside it.
    pub fn to_proto(&self) -> proto::Digest {
        proto::Digest {
            hash: self.hash_hex(),
            size_bytes: self.size_bytes as i64,
        }
    }

    /// The hash function.
    pub fn function(&self) -> DigestFunction {
        self.function
    }

    /// Size of the blob in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Whether this names the empty blob, which is always present everywhere (checklist G6).
    pub fn is_empty(&self) -> bool {
        self.size_bytes == 0
    }

    /// The raw hash.
    pub fn hash_bytes(&self) -> &[u8] {
        &self.hash[..self.function.hash_len()]
    }

    /// The hash in lowercase hexadecimal.
    pub fn hash_hex(&self) -> String {
        to_hex(self.hash_bytes())
    }
}

/// `{digest_function/}{hash}/{size}`, as in resource names and `PreconditionFailure` subjects: the function is
/// named only where the hash's length does not tell it (checklist E3).
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.function().is_inferable() {
            write!(f, "{}/", self.function().name())?;
        }
        write!(f, "{}/{}", self.hash_hex(), self.size_bytes)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Set for what is not one of `0-9a-f`.
const NOT_A_NIBBLE: u8 = 0x80;

/// The value of each character.
static NIBBLES: [u8; 256] = {
    let mut nibbles = [NOT_A_NIBBLE; 256];
    let digits = b"0123456789abcdef";
    let mut value = 0;
    while value < digits.len() {
        nibbles[digits[value] as usize] = value as u8;
        value += 1;
    }
    nibbles
};

fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        hex.push(DIGITS[(byte >> 4) as usize] as char);
        hex.push(DIGITS[(byte & 15) as usize] as char);
    }
    hex
}

fn quoted(hash: &[u8]) -> String {
    String::from_utf8_lossy(hash)
        .chars()
        .take(HASH_QUOTED_CHARS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn from(hash: &str, size_bytes: i64) -> Result<Digest, DigestError> {
        Digest::from_proto(
            DigestFunction::Sha256,
            &proto::Digest {
                hash: hash.to_owned(),
                size_bytes,
            },
        )
    }

    #[test]
    fn proto_round_trips_and_pieces_add_up() {
        for function in DigestFunction::ALL {
            let digest = Digest::of(function, b"some bytes");
            assert_eq!(Digest::from_proto(function, &digest.to_proto()), Ok(digest));
            let mut hasher = DigestHasher::new(function, 10);
            hasher.update(b"some ");
            hasher.update(b"");
            hasher.update(b"bytes");
            assert_eq!(hasher.finish(), digest);
        }
    }

    #[test]
    fn malformed_digests_are_refused() {
        assert!(matches!(
            from(&HELLO[1..], 5),
            Err(DigestError::WrongLength { .. })
        ));
        assert!(matches!(
            from(&HELLO.to_uppercase(), 5),
            Err(DigestError::NotLowercaseHex { .. })
        ));
        assert!(matches!(
            from(&"é".repeat(32), 5),
            Err(DigestError::NotLowercaseHex { .. })
        ));
        assert!(matches!(from(HELLO, -1), Err(DigestError::BadSize { .. })));
        assert!(matches!(from(HELLO, 0), Err(DigestError::NotTheEmptyBlob { .. })));
        assert!(matches!(from("", 0), Err(DigestError::WrongLength { .. })));
        assert!(Digest::from_hash(DigestFunction::Sha256, &[1; 32], u64::MAX).is_err());
    }

    #[test]
    fn the_function_is_part_of_identity() {
        let sha256 = Digest::from_hash(DigestFunction::Sha256, &[7; 32], 1).unwrap();
        let blake3 = Digest::from_hash(DigestFunction::Blake3, &[7; 32], 1).unwrap();
        assert_ne!(sha256, blake3);
        assert!(!sha256.to_string().contains("sha256"));
        assert!(blake3.to_string().starts_with("blake3/"));
    }
}
