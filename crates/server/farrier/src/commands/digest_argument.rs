//! Digests as people paste them.

use std::str::FromStr;

use blob::{Digest, DigestFunction, ReadName, WriteName};

/// A digest that may leave its function to the command's `--digest-function`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DigestArgument {
    /// Where the text says it.
    function: Option<DigestFunction>,
    hash: String,
    size_bytes: u64,
}

impl DigestArgument {
    /// The digest, under `default` where the text names no function and the hash is as long as that one's; otherwise
    /// under the function that its length tells.
    pub(crate) fn resolve(&self, default: DigestFunction) -> anyhow::Result<Digest> {
        let fits = |function: &DigestFunction| function.hash_len() * 2 == self.hash.len();
        let function = self.function.or(Some(default).filter(fits));
        Ok(Digest::from_hex(
            function
                .or_else(|| DigestFunction::inferred(self.hash.len()))
                .unwrap_or(default),
            &self.hash,
            self.size_bytes,
        )?)
    }
}

impl FromStr for DigestArgument {
    type Err = String;

    /// `HASH/SIZE`, `HASH:SIZE`, `FUNCTION/HASH/SIZE`, or a resource name with `blobs/` or `compressed-blobs/` in it,
    /// as logs and `MISSING` errors show them.
    fn from_str(text: &str) -> Result<Self, String> {
        let segments: Vec<&str> = text.split('/').collect();
        let digest = |digest: Digest| {
            let hash = digest.hash_hex();
            // A name without a function segment means the function that its length tells, or the command's.
            let is_named = segments
                .windows(2)
                .any(|pair| pair == [digest.function().name(), hash.as_str()]);
            DigestArgument {
                function: is_named.then(|| digest.function()),
                hash,
                size_bytes: digest.size_bytes(),
            }
        };
        if segments.contains(&"uploads") {
            return WriteName::parse(text)
                .map(|name| digest(name.digest))
                .map_err(|error| error.to_string());
        }
        if segments
            .iter()
            .any(|segment| matches!(*segment, "blobs" | "compressed-blobs"))
        {
            return ReadName::parse(text)
                .map(|name| digest(name.digest))
                .map_err(|error| error.to_string());
        }
        let bad = |why: &str| {
            format!(
                "`{text}` is not a digest ({why}); write HASH/SIZE, FUNCTION/HASH/SIZE or blobs/HASH/SIZE"
            )
        };
        let (function, hash, size) = match segments[..] {
            [one] => match one.split_once(':') {
                Some((hash, size)) => (None, hash, size),
                None => return Err(bad("it has no size")),
            },
            [hash, size] => (None, hash, size),
            [function, hash, size] => (Some(function), hash, size),
            _ => return Err(bad("too many slashes")),
        };
        let named = |name: &str| DigestFunction::from_name(name).ok_or_else(|| bad("unknown function"));
        let function = function.map(named).transpose()?;
        let is_digits = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_digit());
        let size_bytes = size
            .parse()
            .ok()
            .filter(|_| is_digits)
            .ok_or_else(|| bad("bad size"))?;
        let is_hash = |hash: &str| hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let fits = |function: DigestFunction| function.hash_len() * 2 == hash.len();
        if !is_hash(hash) || !DigestFunction::ALL.into_iter().any(fits) {
            return Err(bad(
                "the hash is not as many lowercase hexadecimal digits as a hash has",
            ));
        }
        Ok(DigestArgument {
            function,
            hash: hash.to_owned(),
            size_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_digest_is_read() {
        let sha256 = Digest::of(DigestFunction::Sha256, b"hello");
        let blake3 = Digest::of(DigestFunction::Blake3, b"hello");
        let hash = sha256.hash_hex();
        for text in [
            format!("{hash}/5"),
            format!("{hash}:5"),
            format!("sha256/{hash}/5"),
            format!("blobs/{hash}/5"),
            format!("team/x/blobs/{hash}/5"),
            format!("team/x/compressed-blobs/zstd/{hash}/5"),
            format!("uploads/00000000-0000-4000-8000-000000000000/blobs/{hash}/5"),
        ] {
            let argument: DigestArgument = text.parse().unwrap();
            assert_eq!(
                argument.resolve(DigestFunction::Sha256).unwrap(),
                sha256,
                "{text}"
            );
        }
        for text in [blake3.to_string(), format!("blobs/{blake3}")] {
            let argument: DigestArgument = text.parse().unwrap();
            assert_eq!(
                argument.resolve(DigestFunction::Sha256).unwrap(),
                blake3,
                "{text}"
            );
        }
        // What is written counts, also where the length would tell.
        let sha1 = Digest::of(DigestFunction::Sha1, b"hello");
        for text in [
            format!("sha1/{}/5", sha1.hash_hex()),
            format!("blobs/sha1/{}/5", sha1.hash_hex()),
        ] {
            let argument: DigestArgument = text.parse().unwrap();
            assert_eq!(argument.resolve(DigestFunction::GitSha1).unwrap(), sha1, "{text}");
        }
        let argument: DigestArgument = format!("blobs/{}/5", sha1.hash_hex()).parse().unwrap();
        assert_eq!(
            argument.resolve(DigestFunction::GitSha1).unwrap().function(),
            DigestFunction::GitSha1
        );
        let argument: DigestArgument = format!("{}/5", blake3.hash_hex()).parse().unwrap();
        assert_eq!(argument.resolve(DigestFunction::Blake3).unwrap(), blake3);
    }

    #[test]
    fn what_is_no_digest_says_why() {
        let hash = "a".repeat(64);
        for (text, why) in [
            (String::new(), "no size"),
            (hash.clone(), "no size"),
            (format!("{hash}/"), "bad size"),
            (format!("{hash}/+5"), "bad size"),
            (format!("{hash}/-5"), "bad size"),
            (format!("{hash}/99999999999999999999"), "bad size"),
            (format!("{}/5", &hash[1..]), "lowercase hexadecimal"),
            (format!("{}/5", hash.to_uppercase()), "lowercase hexadecimal"),
            (format!("vso/{hash}/5"), "unknown function"),
            (format!("a/b/{hash}/5"), "too many slashes"),
            (format!("/blobs/{hash}/5"), "empty segment"),
        ] {
            let error = text.parse::<DigestArgument>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        let empty: DigestArgument = format!("{hash}/0").parse().unwrap();
        assert!(empty.resolve(DigestFunction::Sha256).is_err());
    }
}
