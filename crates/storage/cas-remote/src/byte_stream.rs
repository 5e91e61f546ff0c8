//! Large blobs: one stream for each.

mod pieces;
mod read;
mod stall;
mod write;

use blob::{Compressor, Digest, InstanceName};

use crate::connection::Connection;

pub(crate) use read::read;
pub(crate) use write::write;

/// Which blob, where, and how it travels.
pub(crate) struct Place<'a> {
    pub(crate) connection: &'a std::sync::Arc<Connection>,
    pub(crate) instance: &'a InstanceName,
    pub(crate) digest: Digest,
    pub(crate) zstd: bool,
}

impl Place<'_> {
    fn compressor(&self) -> Compressor {
        if self.zstd {
            Compressor::Zstd
        } else {
            Compressor::Identity
        }
    }
}
