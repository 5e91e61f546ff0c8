//! Which hash a digest was made with.

use reapi::execution::Digest;
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
    /// SHA-1.
    Sha1,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// MD5.
    Md5,
    /// SHA-256 over a tree, for hardware that computes many at a time.
    Sha256Tree,
    /// What Git calls a blob by: SHA-1 of its size and its bytes.
    GitSha1,
}

impl DigestFunction {
    /// Every supported function, in the order they are advertised, which is that of the variants.
    pub const ALL: [DigestFunction; 8] = [
        DigestFunction::Sha256,
        DigestFunction::Blake3,
        DigestFunction::Sha1,
        DigestFunction::Sha384,
        DigestFunction::Sha512,
        DigestFunction::Md5,
        DigestFunction::Sha256Tree,
        DigestFunction::GitSha1,
    ];

    /// The function's number on the wire.
    pub fn to_proto(self) -> Value {
        match self {
            DigestFunction::Sha256 => Value::Sha256,
            DigestFunction::Blake3 => Value::Blake3,
            DigestFunction::Sha1 => Value::Sha1,
            DigestFunction::Sha384 => Value::Sha384,
            DigestFunction::Sha512 => Value::Sha512,
            DigestFunction::Md5 => Value::Md5,
            DigestFunction::Sha256Tree => Value::Sha256tree,
            DigestFunction::GitSha1 => Value::Gitsha1,
        }
    }

    /// Reads a request's `digest_function` field, beside the first digest of the request. A client may leave the field
    /// unset where the length of hashes tells the function (checklist G8); what has no digests is about none.
    pub fn of_request(value: i32, first: Option<&Digest>) -> Result<Self, DigestError> {
        Self::of_message(value, first.map(|digest| digest.hash.as_bytes()))
    }

    /// As [`of_request`](Self::of_request), for a hash that was not yet found to be text.
    pub fn of_message(value: i32, first_hash: Option<&[u8]>) -> Result<Self, DigestError> {
        if value != Value::Unknown as i32 {
            let known = Self::ALL
                .into_iter()
                .find(|function| function.to_proto() as i32 == value);
            return known.ok_or(DigestError::UnsupportedFunction { value });
        }
        // A length that tells nothing is found when the digest is read.
        let inferred = first_hash.and_then(|hash| Self::inferred(hash.len()));
        Ok(inferred.unwrap_or(DigestFunction::Sha256))
    }

    /// The function that a hash of so many hexadecimal digits means where none is named.
    pub fn inferred(hash_digits: usize) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|function| function.is_inferable() && function.hash_len() * 2 == hash_digits)
    }

    /// The names of all, for messages.
    pub fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// The name used as a segment of resource names: the enum name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            DigestFunction::Sha256 => "sha256",
            DigestFunction::Blake3 => "blake3",
            DigestFunction::Sha1 => "sha1",
            DigestFunction::Sha384 => "sha384",
            DigestFunction::Sha512 => "sha512",
            DigestFunction::Md5 => "md5",
            DigestFunction::Sha256Tree => "sha256tree",
            DigestFunction::GitSha1 => "gitsha1",
        }
    }

    /// The reverse of [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.name() == name)
    }

    /// Length of a hash in bytes.
    pub fn hash_len(self) -> usize {
        match self {
            DigestFunction::Md5 => 16,
            DigestFunction::Sha1 | DigestFunction::GitSha1 => 20,
            DigestFunction::Sha256 | DigestFunction::Blake3 | DigestFunction::Sha256Tree => 32,
            DigestFunction::Sha384 => 48,
            DigestFunction::Sha512 => 64,
        }
    }

    /// Whether a hash's length alone tells the function, so that resource names leave it out and requests may.
    pub fn is_inferable(self) -> bool {
        match self {
            DigestFunction::Md5
            | DigestFunction::Sha1
            | DigestFunction::Sha256
            | DigestFunction::Sha384
            | DigestFunction::Sha512 => true,
            DigestFunction::Blake3 | DigestFunction::Sha256Tree | DigestFunction::GitSha1 => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_round_trip() {
        for (place, function) in DigestFunction::ALL.into_iter().enumerate() {
            assert_eq!(function as usize, place);
            assert_eq!(DigestFunction::from_name(function.name()), Some(function));
            let number = function.to_proto() as i32;
            assert_eq!(DigestFunction::of_message(number, None), Ok(function));
            assert_eq!(function.name(), function.to_proto().as_str_name().to_lowercase());
        }
    }

    #[test]
    fn an_unset_function_is_told_by_the_length_of_the_hash() {
        let of = |digits: usize| DigestFunction::of_message(0, Some(&vec![b'a'; digits]));
        assert_eq!(of(32), Ok(DigestFunction::Md5));
        assert_eq!(of(40), Ok(DigestFunction::Sha1));
        assert_eq!(of(64), Ok(DigestFunction::Sha256));
        assert_eq!(of(96), Ok(DigestFunction::Sha384));
        assert_eq!(of(128), Ok(DigestFunction::Sha512));
        // Of another length no function is known; reading the digest says so.
        assert_eq!(of(7), Ok(DigestFunction::Sha256));
        assert_eq!(DigestFunction::of_message(0, None), Ok(DigestFunction::Sha256));
        assert!(matches!(
            DigestFunction::of_message(Value::Vso as i32, None),
            Err(DigestError::UnsupportedFunction { value: 4 })
        ));
    }
}
