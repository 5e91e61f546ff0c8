//! What names a document or a layer of an image.

use std::fmt;

use blob::{Digest, DigestFunction};

/// The hash of some content, as `sha256:…` or `sha512:…`. Its size is not a part of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentDigest {
    function: DigestFunction,
    hex: String,
}

impl ContentDigest {
    /// Reads the text; `None` if it is no digest of a kind that images have.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, hex) = text.split_once(':')?;
        let (function, length) = match name {
            "sha256" => (DigestFunction::Sha256, 64),
            "sha512" => (DigestFunction::Sha512, 128),
            _ => return None,
        };
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if hex.len() != length || !hex.bytes().all(is_digit) {
            return None;
        }
        Some(ContentDigest {
            function,
            hex: hex.to_owned(),
        })
    }

    /// Of these bytes, by SHA-256.
    pub fn of(bytes: &[u8]) -> Self {
        Self::without_size(&Digest::of(DigestFunction::Sha256, bytes))
    }

    /// The hash of a digest.
    pub fn without_size(digest: &Digest) -> Self {
        ContentDigest {
            function: digest.function(),
            hex: digest.hash_hex(),
        }
    }

    /// The hash function.
    pub fn function(&self) -> DigestFunction {
        self.function
    }

    /// Whether it is the digest of these bytes.
    pub fn is_of(&self, bytes: &[u8]) -> bool {
        Self::without_size(&Digest::of(self.function, bytes)) == *self
    }

    /// Where an OCI image layout keeps it.
    pub fn layout_path(&self) -> String {
        format!("blobs/{}/{}", self.name(), self.hex)
    }

    fn name(&self) -> &'static str {
        match self.function {
            DigestFunction::Sha512 => "sha512",
            _ => "sha256",
        }
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name(), self.hex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_and_written() {
        let digest = ContentDigest::of(b"x");
        assert_eq!(ContentDigest::parse(&digest.to_string()), Some(digest.clone()));
        assert_eq!(
            digest.layout_path(),
            format!("blobs/sha256/{}", &digest.to_string()[7..])
        );
        let short = "sha256:abcd";
        let upper = digest.to_string().replace('b', "B");
        for wrong in [
            "",
            "sha256",
            short,
            &upper,
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            "sha256:../../etc/passwd",
        ] {
            assert_eq!(ContentDigest::parse(wrong), None, "{wrong}");
        }
    }
}
