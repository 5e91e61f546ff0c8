//! How bytes travel.

use reapi::execution::compressor::Value;

/// A compressor that works in both directions for every blob; what stands here is advertised (checklist C7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compressor {
    /// As they are.
    Identity,
    /// Zstandard frames.
    Zstd,
}

impl Compressor {
    /// Reads the number on the wire; `None` for one that is not supported.
    pub fn from_proto(value: i32) -> Option<Self> {
        match Value::try_from(value) {
            Ok(Value::Identity) => Some(Compressor::Identity),
            Ok(Value::Zstd) => Some(Compressor::Zstd),
            _ => None,
        }
    }

    /// The number on the wire.
    pub fn to_proto(self) -> Value {
        match self {
            Compressor::Identity => Value::Identity,
            Compressor::Zstd => Value::Zstd,
        }
    }
}
