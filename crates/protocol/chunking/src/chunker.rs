//! Bytes in, chunks out.

use bytes::Bytes;

use crate::held::Held;
use crate::{Chunking, fast_cdc, rep_max_cdc};

/// Cuts one blob. Push a piece, take chunks until there is none, push the next; after the last, [`finish`](Self::finish)
/// and take the rest. Then what is held is at most [`Chunking::held_bytes_max`] and one piece.
///
/// It cuts whatever it is given: that small blobs stay whole is for the caller to know, see [`Chunking::applies_to`].
#[derive(Debug)]
pub struct Chunker {
    cutter: Cutter,
    held: Held,
    is_all: bool,
}

#[derive(Debug)]
enum Cutter {
    FastCdc(fast_cdc::Cutter),
    RepMaxCdc(rep_max_cdc::Cutter),
}

impl Chunker {
    /// At the start of a blob.
    pub fn new(chunking: Chunking) -> Self {
        Chunker {
            cutter: match chunking {
                Chunking::FastCdc2020(rule) => Cutter::FastCdc(fast_cdc::Cutter::new(rule)),
                Chunking::RepMaxCdc(rule) => Cutter::RepMaxCdc(rep_max_cdc::Cutter::new(rule)),
            },
            held: Held::default(),
            is_all: false,
        }
    }

    /// More of the blob, in a piece of any size.
    pub fn push(&mut self, piece: Bytes) {
        self.held.push(piece);
    }

    /// There is no more.
    pub fn finish(&mut self) {
        self.is_all = true;
    }

    /// The next chunk, if it is certain where it ends. Chunks inside one piece are not copied.
    pub fn take(&mut self) -> Option<Bytes> {
        let length = match &mut self.cutter {
            Cutter::FastCdc(cutter) => cutter.next(&self.held, self.is_all),
            Cutter::RepMaxCdc(cutter) => cutter.next(&self.held, self.is_all),
        }?;
        Some(self.held.take(length))
    }

    /// Bytes that have come in and not gone out.
    pub fn held_bytes(&self) -> usize {
        self.held.len()
    }
}
