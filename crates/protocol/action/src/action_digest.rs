//! The key of the action cache.

use std::fmt;

use blob::{Digest, DigestFunction};
use prost::Message;
use reapi::execution as proto;

/// The digest of an encoded `Action`. A type of its own, because the digest of an action names a result, and
/// the digest of a file names bytes; taking one for the other has never helped anyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActionDigest(Digest);

impl ActionDigest {
    /// Says that `digest` is one of an action.
    pub fn new(digest: Digest) -> Self {
        ActionDigest(digest)
    }

    /// The digest of a message as this crate encodes it.
    pub fn of(function: DigestFunction, action: &proto::Action) -> Self {
        ActionDigest(Digest::of(function, &action.encode_to_vec()))
    }

    /// As the name of the blob that holds the action.
    pub fn digest(&self) -> Digest {
        self.0
    }

    /// The hash function.
    pub fn function(&self) -> DigestFunction {
        self.0.function()
    }

    /// The way out.
    pub fn to_proto(&self) -> proto::Digest {
        self.0.to_proto()
    }
}

impl fmt::Display for ActionDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
