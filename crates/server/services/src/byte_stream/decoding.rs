//! From the messages of one `Write` call to the bytes of the blob.

use blob::{BlobError, Compressor, Digest, WriteName};
use bytes::Bytes;
use compression::Decoder;

use crate::malformed::malformed;

/// Decompresses what came compressed and leaves out what is there already.
pub(super) struct Decoding {
    digest: Digest,
    /// `None` for identity.
    decoder: Option<Decoder>,
    /// Identity's piece that waits.
    piece: Bytes,
    /// Bytes that the upload has already: between the client's question how far it got and its coming back, the call
    /// before may have taken a little more. The hash at the end covers every byte anyway.
    overlap_bytes: u64,
}

impl Decoding {
    pub(super) fn new(name: &WriteName, start: u64, committed_bytes: u64) -> Result<Self, BlobError> {
        // A compressed upload that is resumed starts with a new frame (B7).
        let decoder = match name.compressor {
            Compressor::Identity => None,
            Compressor::Zstd => {
                let rest_bytes = name.digest.size_bytes() - start;
                Some(Decoder::new(rest_bytes).map_err(|error| malformed(name.digest, &error))?)
            }
        };
        let overlap_bytes = committed_bytes - start;
        Ok(Decoding {
            digest: name.digest,
            decoder,
            piece: Bytes::new(),
            overlap_bytes,
        })
    }

    pub(super) fn push(&mut self, data: Bytes) -> Result<(), BlobError> {
        match &mut self.decoder {
            None => self.piece = data,
            Some(decoder) => decoder
                .push(data)
                .map_err(|error| malformed(self.digest, &error))?,
        }
        Ok(())
    }

    pub(super) fn next_piece(&mut self) -> Result<Option<Bytes>, BlobError> {
        loop {
            let mut piece = match &mut self.decoder {
                None => std::mem::take(&mut self.piece),
                Some(decoder) => {
                    let output = decoder
                        .next_output()
                        .map_err(|error| malformed(self.digest, &error))?;
                    output.unwrap_or_default()
                }
            };
            if piece.is_empty() {
                return Ok(None);
            }
            let known = piece.split_to(self.overlap_bytes.min(piece.len() as u64) as usize);
            self.overlap_bytes -= known.len() as u64;
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
    }

    pub(super) fn finish(&self) -> Result<(), BlobError> {
        match &self.decoder {
            None => Ok(()),
            Some(decoder) => decoder.finish().map_err(|error| malformed(self.digest, &error)),
        }
    }
}
