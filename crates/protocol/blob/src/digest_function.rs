//! Which hash a digest was made with.

use reapi::execution::digest_function::Value;

use crate::DigestError;

/// A hash function that farrier computes and verifies. A function stands here only because its tests pass;
/// what stands here is what `GetCapabilities` advertises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DigestFunction {
    /// SHA-256, the default of every client.
    Sha256,
    /// BLAKE3 with its ordinary 256-bit output.
    Blake3,
}

impl DigestFunction {
    /// Every supported function, in the order they are advertised.
    pub const ALL: [DigestFunction; 2] = [DigestFunction::Sha256, DigestFunction::Blake3];

    /// The function's number on the wire.
    pub fn to_proto(self) -> Value {
        match self {
            DigestFunction::Sha256 => Value::Sha256,
            DigestFunction::Blake3 => Value::Blake3,
        }
    }

    /// Reads a request's `digest_function` field. An unset field means SHA-256: it is the only supported
    /// function that the specification lets a client leave out (`Digest`, "inferred from the hash length").
    pub fn from_proto(value: i32) -> Result<Self, DigestError> {
        match Value::try_from(value) {
            Ok(Value::Unknown) | Ok(Value::Sha256) => Ok(DigestFunction::Sha256),
            Ok(Value::Blake3) => Ok(DigestFunction::Blake3),
            _ => Err(DigestError::UnsupportedFunction { value }),
        }
    }

    /// The name used as a segment of resource names: the enum name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            DigestFunction::Sha256 => "sha256",
            DigestFunction::Blake3 => "blake3",
        }
    }

    /// The reverse of [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.name() == name)
    }

    /// Length of a hash in bytes.
    pub fn hash_len(self) -> usize {
        32
    }

    /// Whether a hash's length alone tells the function, so that resource names leave it out.
    pub fn is_inferable(self) -> bool {
        match self {
            DigestFunction::Sha256 => true,
            DigestFunction::Blake3 => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_round_trip() {
        for function in DigestFunction::ALL {
            assert_eq!(DigestFunction::from_name(function.name()), Some(function));
            assert_eq!(
                DigestFunction::from_proto(function.to_proto() as i32),
                Ok(function)
            );
        }
    }

    #[test]
    fn unset_means_sha256_and_unknown_numbers_are_refused() {
        assert_eq!(DigestFunction::from_proto(0), Ok(DigestFunction::Sha256));
        for value in [Value::Vso as i32, Value::Murmur3 as i32, -1, 99] {
            assert_eq!(
                DigestFunction::from_proto(value),
                Err(DigestError::UnsupportedFunction { value })
            );
        }
    }
}
