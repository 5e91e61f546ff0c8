//! What is to be executed.

use std::time::Duration;

use blob::{Digest, DigestError, DigestFunction};
use prost::Message;
use prost_types::Duration as ProtoDuration;
use reapi::execution as proto;
use thiserror::Error;

use crate::limits::TIMEOUT_SECONDS_MAX;
use crate::platform::{Platform, PlatformError};

/// A checked `Action`: a command, its input root, and how to treat it. Immutable; its digest is the key of its
/// result.
///
/// Fields that this version of the protocol does not know are dropped on decoding, so the digest of an action
/// that was received is that of the bytes that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    command_digest: Digest,
    input_root_digest: Digest,
    timeout: Option<Duration>,
    do_not_cache: bool,
    salt: Vec<u8>,
    platform: Option<Platform>,
}

/// Why something is not an action that can be executed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ActionError {
    /// The bytes are not an `Action` message.
    #[error("not an Action message: {reason}")]
    Encoding {
        /// What the decoder says.
        reason: String,
    },
    /// A digest is missing or malformed.
    #[error("{field}: {source}")]
    Digest {
        /// Which one.
        field: &'static str,
        /// What is wrong with it.
        source: DigestError,
    },
    /// Negative, or not a duration at all.
    #[error("timeout of {seconds} s and {nanos} ns is not a duration that can be waited for")]
    Timeout {
        /// Seconds as sent.
        seconds: i64,
        /// Nanoseconds as sent.
        nanos: i32,
    },
    /// The platform is malformed.
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

impl Action {
    /// Checks a message; `function` is the one of the request, and everything the action refers to uses it (G7).
    pub fn from_proto(function: DigestFunction, proto: &proto::Action) -> Result<Self, ActionError> {
        let digest = |digest: &Option<proto::Digest>, field| {
            Digest::required(function, digest.as_ref(), field)
                .map_err(|source| ActionError::Digest { field, source })
        };
        Ok(Action {
            command_digest: digest(&proto.command_digest, "Action.command_digest")?,
            input_root_digest: digest(&proto.input_root_digest, "Action.input_root_digest")?,
            timeout: proto.timeout.as_ref().map(timeout).transpose()?,
            do_not_cache: proto.do_not_cache,
            salt: proto.salt.clone(),
            platform: proto.platform.as_ref().map(Platform::from_proto).transpose()?,
        })
    }

    /// Decodes and checks a blob.
    pub fn decode(function: DigestFunction, bytes: &[u8]) -> Result<Self, ActionError> {
        let proto = proto::Action::decode(bytes).map_err(|error| ActionError::Encoding {
            reason: error.to_string(),
        })?;
        Self::from_proto(function, &proto)
    }

    /// Where its `Command` is.
    pub fn command_digest(&self) -> Digest {
        self.command_digest
    }

    /// Where the root `Directory` of its inputs is.
    pub fn input_root_digest(&self) -> Digest {
        self.input_root_digest
    }

    /// How long the command itself may run, without queue, fetching and uploading (checklist E13). `None` leaves
    /// it to the server; zero is what it says.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Whether its result is kept out of the action cache, and its execution apart from equal ones (E10).
    pub fn do_not_cache(&self) -> bool {
        self.do_not_cache
    }

    /// Opaque bytes that only change the digest (E35).
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// Its own platform; see [`Platform::of`].
    pub fn platform(&self) -> Option<&Platform> {
        self.platform.as_ref()
    }
}

fn timeout(proto: &ProtoDuration) -> Result<Duration, ActionError> {
    let ProtoDuration { seconds, nanos } = *proto;
    match (u64::try_from(seconds), u32::try_from(nanos)) {
        (Ok(whole), Ok(fraction)) if seconds <= TIMEOUT_SECONDS_MAX && fraction < 1_000_000_000 => {
            Ok(Duration::new(whole, fraction))
        }
        _ => Err(ActionError::Timeout { seconds, nanos }),
    }
}

#[cfg(test)]
mod tests;
