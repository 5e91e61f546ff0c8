//! The names blobs have on ByteStream.
//!
//! ```text
//! {instance/}blobs/{function/}{hash}/{size}
//! {instance/}compressed-blobs/{compressor}/{function/}{hash}/{size}
//! {instance/}uploads/{uuid}/blobs/{function/}{hash}/{size}{/anything}
//! {instance/}uploads/{uuid}/compressed-blobs/{compressor}/{function/}{hash}/{size}{/anything}
//! ```
//!
//! An instance name may hold slashes but none of the keywords, so names are read from the first keyword
//! outward (checklist G3). The function segment is needed only where the hash's length does not tell the
//! function; it is accepted everywhere and written only where needed (B1).
//!
//! Log streams have names on ByteStream too: `log_stream.rs`.

mod log_stream;

use std::fmt;

use thiserror::Error;

pub use self::log_stream::{CommandOutput, LogStreamName, LogStreamPart};
use crate::{Compressor, Digest, DigestError, DigestFunction, InstanceName, InstanceNameError};

/// What `ByteStream.Read` is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadName {
    /// The instance.
    pub instance: InstanceName,
    /// The blob: always hash and size of the uncompressed bytes.
    pub digest: Digest,
    /// The form it travels in.
    pub compressor: Compressor,
}

/// What `ByteStream.Write` and `QueryWriteStatus` are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteName {
    /// The instance.
    pub instance: InstanceName,
    /// Chosen by the client; not unique across blobs or clients (checklist B3).
    pub upload: String,
    /// The blob: always hash and size of the uncompressed bytes.
    pub digest: Digest,
    /// The form it travels in.
    pub compressor: Compressor,
}

/// Why something is not a resource name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ResourceNameError {
    /// No keyword, too few or too many segments.
    #[error("`{name}` is not a resource name; expected `{expected}`")]
    Malformed {
        /// The name as sent.
        name: String,
        /// The shape it should have.
        expected: &'static str,
    },
    /// Longer than any legal name with some metadata.
    #[error(
        "resource name has {length_bytes} bytes; at most {} are read",
        LENGTH_BYTES_MAX
    )]
    TooLong {
        /// Its length.
        length_bytes: usize,
    },
    /// The compressor segment names none that is supported. `identity` is not legal there (B2).
    #[error("`{name}`: compressor `{compressor}` is not supported here (supported: zstd)")]
    Compressor {
        /// The name as sent.
        name: String,
        /// The segment.
        compressor: String,
    },
    /// The upload segment is not a UUID.
    #[error("`{name}`: upload id `{upload}` is not a UUID")]
    Upload {
        /// The name as sent.
        name: String,
        /// The segment.
        upload: String,
    },
    /// Hash, size or function are wrong.
    #[error("`{name}`: {source}")]
    Digest {
        /// The name as sent.
        name: String,
        /// What is wrong.
        source: DigestError,
    },
    /// The instance name is wrong.
    #[error("`{name}`: {source}")]
    Instance {
        /// The name as sent.
        name: String,
        /// What is wrong.
        source: InstanceNameError,
    },
}

/// Longest resource name that is looked at: trailing metadata is free (B4), but not without end.
const LENGTH_BYTES_MAX: usize = 4096;
const READ_SHAPE: &str =
    "{instance/}blobs/{hash}/{size} or {instance/}compressed-blobs/{compressor}/{hash}/{size}";
const WRITE_SHAPE: &str = "{instance/}uploads/{uuid}/blobs/{hash}/{size} or \
                           {instance/}uploads/{uuid}/compressed-blobs/{compressor}/{hash}/{size}";

impl ReadName {
    /// Reads a name of `ByteStream.Read`.
    pub fn parse(name: &str) -> Result<Self, ResourceNameError> {
        let segments = split(name)?;
        let keyword = keyword(
            name,
            &segments,
            |segment| is_form(segment) || segment == "uploads",
            READ_SHAPE,
        )?;
        let instance = instance(name, &segments[..keyword])?;
        let (compressor, digest, rest) = blob(name, &segments[keyword..], READ_SHAPE)?;
        if !rest.is_empty() {
            return Err(malformed(name, READ_SHAPE));
        }
        Ok(ReadName {
            instance,
            digest,
            compressor,
        })
    }
}

impl WriteName {
    /// Reads a name of `ByteStream.Write` or `QueryWriteStatus`. Trailing segments are ignored (B4).
    pub fn parse(name: &str) -> Result<Self, ResourceNameError> {
        let segments = split(name)?;
        let keyword = keyword(
            name,
            &segments,
            |segment| is_form(segment) || segment == "uploads",
            WRITE_SHAPE,
        )?;
        if segments[keyword] != "uploads" || segments.len() < keyword + 3 {
            return Err(malformed(name, WRITE_SHAPE));
        }
        let instance = instance(name, &segments[..keyword])?;
        let upload = segments[keyword + 1];
        if !is_uuid(upload) {
            return Err(ResourceNameError::Upload {
                name: name.to_owned(),
                upload: upload.to_owned(),
            });
        }
        let (compressor, digest, _metadata) = blob(name, &segments[keyword + 2..], WRITE_SHAPE)?;
        Ok(WriteName {
            instance,
            upload: upload.to_owned(),
            digest,
            compressor,
        })
    }
}

impl fmt::Display for ReadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_instance(f, &self.instance)?;
        write_blob(f, self.compressor, &self.digest)
    }
}

impl fmt::Display for WriteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_instance(f, &self.instance)?;
        write!(f, "uploads/{}/", self.upload)?;
        write_blob(f, self.compressor, &self.digest)
    }
}

fn write_instance(f: &mut fmt::Formatter<'_>, instance: &InstanceName) -> fmt::Result {
    match instance.as_str() {
        "" => Ok(()),
        name => write!(f, "{name}/"),
    }
}

fn write_blob(f: &mut fmt::Formatter<'_>, compressor: Compressor, digest: &Digest) -> fmt::Result {
    match compressor {
        Compressor::Identity => write!(f, "blobs/{digest}"),
        Compressor::Zstd => write!(f, "compressed-blobs/zstd/{digest}"),
    }
}

fn split(name: &str) -> Result<Vec<&str>, ResourceNameError> {
    if name.len() > LENGTH_BYTES_MAX {
        return Err(ResourceNameError::TooLong {
            length_bytes: name.len(),
        });
    }
    Ok(name.split('/').collect())
}

fn is_form(segment: &str) -> bool {
    segment == "blobs" || segment == "compressed-blobs"
}

fn keyword(
    name: &str,
    segments: &[&str],
    is_keyword: impl Fn(&str) -> bool,
    shape: &'static str,
) -> Result<usize, ResourceNameError> {
    segments
        .iter()
        .position(|segment| is_keyword(segment))
        .ok_or_else(|| malformed(name, shape))
}

fn instance(name: &str, segments: &[&str]) -> Result<InstanceName, ResourceNameError> {
    // `/blobs/…` splits into one empty segment: a leading slash, which is malformed even for the unnamed
    // instance (G4), unlike no segment at all.
    if segments == [""] {
        return Err(ResourceNameError::Instance {
            name: name.to_owned(),
            source: InstanceNameError::EmptySegment { name: "/".to_owned() },
        });
    }
    InstanceName::new(&segments.join("/")).map_err(|source| ResourceNameError::Instance {
        name: name.to_owned(),
        source,
    })
}

/// Reads from the keyword `blobs` or `compressed-blobs` on; returns what follows the size.
fn blob<'a, 'b>(
    name: &str,
    segments: &'a [&'b str],
    shape: &'static str,
) -> Result<(Compressor, Digest, &'a [&'b str]), ResourceNameError> {
    let (compressor, segments) = match segments {
        ["blobs", rest @ ..] => (Compressor::Identity, rest),
        ["compressed-blobs", "zstd", rest @ ..] => (Compressor::Zstd, rest),
        ["compressed-blobs", compressor, _, ..] => {
            let compressor = (*compressor).to_owned();
            return Err(ResourceNameError::Compressor {
                name: name.to_owned(),
                compressor,
            });
        }
        _ => return Err(malformed(name, shape)),
    };
    let (function, segments) = match segments {
        [first, rest @ ..] => match DigestFunction::from_name(first) {
            Some(function) => (function, rest),
            // Left out where the length tells; what no length tells is found wrong when the digest is read.
            None => (
                DigestFunction::inferred(first.len()).unwrap_or(DigestFunction::Sha256),
                segments,
            ),
        },
        [] => return Err(malformed(name, shape)),
    };
    let [hash, size, rest @ ..] = segments else {
        return Err(malformed(name, shape));
    };
    let digest = size_bytes(hash, size)
        .and_then(|size_bytes| Digest::from_hex(function, hash, size_bytes))
        .map_err(|source| ResourceNameError::Digest {
            name: name.to_owned(),
            source,
        })?;
    Ok((compressor, digest, rest))
}

/// Plain decimal, one spelling per number: no sign, no leading zero.
fn size_bytes(hash: &str, size: &str) -> Result<u64, DigestError> {
    let canonical = size == "0" || (!size.starts_with('0') && size.bytes().all(|byte| byte.is_ascii_digit()));
    let bad = || DigestError::BadSize {
        hash: hash.to_owned(),
        size: size.to_owned(),
    };
    if !canonical {
        return Err(bad());
    }
    size.parse().map_err(|_| bad())
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn malformed(name: &str, expected: &'static str) -> ResourceNameError {
    ResourceNameError::Malformed {
        name: name.to_owned(),
        expected,
    }
}

#[cfg(test)]
mod tests;
