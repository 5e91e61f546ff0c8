//! What people write to name an image of a registry.

use std::fmt;
use std::str::FromStr;

use image::ContentDigest;

/// A repository and what of it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// With its port, if it has one.
    pub(crate) host: String,
    pub(crate) name: String,
    pub(crate) version: Version,
}

/// Which image of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Tag(String),
    Digest(ContentDigest),
}

const DEFAULT_HOST: &str = "docker.io";
/// Where that one really is.
const DEFAULT_REGISTRY: &str = "registry-1.docker.io";
const DEFAULT_TAG: &str = "latest";

impl Reference {
    /// Where its registry answers.
    pub(crate) fn registry(&self) -> &str {
        match self.host.as_str() {
            DEFAULT_HOST | "index.docker.io" => DEFAULT_REGISTRY,
            host => host,
        }
    }

    /// Whether it is a registry of this machine, to which http is spoken.
    pub(crate) fn is_local(&self) -> bool {
        let host = self
            .host
            .rsplit_once(':')
            .map_or(self.host.as_str(), |(host, _)| host);
        matches!(host, "localhost" | "127.0.0.1" | "[::1]")
    }
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("docker://").unwrap_or(text);
        let wrong = |why: &str| format!("`{text}` is not HOST/NAME:TAG or HOST/NAME@sha256:DIGEST: {why}");
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => {
                let digest =
                    ContentDigest::parse(digest).ok_or_else(|| wrong("what follows the @ is no digest"))?;
                (rest, Some(digest))
            }
            None => (rest, None),
        };
        // The first part is a host if it looks like one.
        let (host, rest) = match rest.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
            _ => (DEFAULT_HOST, rest),
        };
        let (name, tag) = match rest.split_once(':') {
            Some((name, tag)) => (name, Some(tag)),
            None => (rest, None),
        };
        let is_word = |text: &str| {
            let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
            !text.is_empty() && text.bytes().all(is_letter) && !matches!(text, "." | "..")
        };
        if !name.split('/').all(is_word) {
            return Err(wrong("the name has letters that no name has, or none"));
        }
        if !tag.is_none_or(is_word) {
            return Err(wrong("the tag has letters that no tag has, or none"));
        }
        let is_host =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']');
        if !host.bytes().all(is_host) {
            return Err(wrong("the host has letters that no host has"));
        }
        let name = match (host, name.contains('/')) {
            (DEFAULT_HOST, false) => format!("library/{name}"),
            _ => name.to_owned(),
        };
        Ok(Reference {
            host: host.to_owned(),
            name,
            // A digest says more than a tag beside it.
            version: digest.map_or_else(
                || Version::Tag(tag.unwrap_or(DEFAULT_TAG).to_owned()),
                Version::Digest,
            ),
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Version::Tag(tag) => f.write_str(tag),
            Version::Digest(digest) => digest.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_others_read_them() {
        let digest = ContentDigest::of(b"x");
        let tag = |tag: &str| Version::Tag(tag.to_owned());
        let by_digest = format!("registry.example/a/b:tag@{digest}");
        for (text, host, name, version) in [
            ("debian", "docker.io", "library/debian", tag("latest")),
            ("debian:13", "docker.io", "library/debian", tag("13")),
            (
                "docker://someone/tool:v1.2",
                "docker.io",
                "someone/tool",
                tag("v1.2"),
            ),
            ("localhost:5000/tool", "localhost:5000", "tool", tag("latest")),
            (
                "registry.example/a/b/c:x_y-z",
                "registry.example",
                "a/b/c",
                tag("x_y-z"),
            ),
            (&by_digest, "registry.example", "a/b", Version::Digest(digest)),
        ] {
            let read: Reference = text.parse().unwrap();
            assert_eq!(
                (read.host.as_str(), read.name.as_str(), read.version),
                (host, name, version),
                "{text}"
            );
        }
        for text in [
            "",
            "a b",
            "x@sha256:1",
            "host.example/../x",
            "host.example/",
            "x:",
            "host.example/x:a/b",
            "h?st.example/x",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
        assert!("127.0.0.1:5000/x".parse::<Reference>().unwrap().is_local());
        assert_eq!(
            "debian".parse::<Reference>().unwrap().registry(),
            DEFAULT_REGISTRY
        );
    }
}
