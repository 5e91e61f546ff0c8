//! Bytes that have arrived and belong to no chunk yet.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

/// Pieces below this are copied together: a small window of a large buffer would keep the buffer, and a million
/// pieces of one byte would cost more than the bytes.
const JOINED_BYTES_MAX: usize = 16 * 1024;

/// A queue of bytes. Large pieces are kept as they came; a chunk inside one is cut out without copying.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pieces: VecDeque<Bytes>,
    /// Small pieces, joined, after all others.
    joined: BytesMut,
    len: usize,
}

impl Held {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push(&mut self, piece: Bytes) {
        self.len += piece.len();
        if piece.len() < JOINED_BYTES_MAX {
            self.joined.extend_from_slice(&piece);
            if self.joined.len() >= JOINED_BYTES_MAX {
                self.pieces.push_back(self.joined.split().freeze());
            }
            return;
        }
        if !self.joined.is_empty() {
            self.pieces.push_back(self.joined.split().freeze());
        }
        self.pieces.push_back(piece);
    }

    /// The bytes of `range`, which lies inside, in order.
    pub(crate) fn slices(&self, range: Range<usize>) -> impl Iterator<Item = &[u8]> {
        let Range { mut start, mut end } = range;
        let all = self.pieces.iter().map(|piece| &piece[..]);
        all.chain(std::iter::once(&self.joined[..]))
            .filter_map(move |piece| {
                let slice = &piece[start.min(piece.len())..end.min(piece.len())];
                start = start.saturating_sub(piece.len());
                end = end.saturating_sub(piece.len());
                (!slice.is_empty()).then_some(slice)
            })
    }

    /// Takes the first `len` bytes out; there are as many.
    pub(crate) fn take(&mut self, len: usize) -> Bytes {
        assert!(len <= self.len, "{len} bytes of {}", self.len);
        self.len -= len;
        match self.pieces.front_mut() {
            Some(first) if first.len() > len => return first.split_to(len),
            Some(first) if first.len() == len => return self.pieces.pop_front().unwrap_or_default(),
            Some(_) => {}
            None => return self.joined.split_to(len).freeze(),
        }
        let mut taken = BytesMut::with_capacity(len);
        while taken.len() < len {
            let left = len - taken.len();
            match self.pieces.front_mut() {
                Some(first) if first.len() > left => taken.extend_from_slice(&first.split_to(left)),
                Some(first) => {
                    taken.extend_from_slice(first);
                    self.pieces.pop_front();
                }
                None => taken.extend_from_slice(&self.joined.split_to(left)),
            }
        }
        taken.freeze()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_as_one_row_of_bytes(
            steps in prop::collection::vec((prop::bool::ANY, 0usize..40_000), 0..30),
        ) {
            let (mut held, mut model, mut next) = (Held::default(), Vec::<u8>::new(), 0u8);
            for (is_push, len) in steps {
                if is_push {
                    let piece: Vec<u8> = (0..len).map(|_| { next = next.wrapping_add(7); next }).collect();
                    model.extend_from_slice(&piece);
                    held.push(piece.into());
                } else {
                    let len = len.min(model.len());
                    let slices: Vec<u8> = held.slices(len / 2..len).flatten().copied().collect();
                    prop_assert!(slices == model[len / 2..len]);
                    let taken: Vec<u8> = model.drain(..len).collect();
                    prop_assert!(held.take(len) == taken);
                }
                prop_assert_eq!(held.len(), model.len());
                prop_assert!(held.slices(0..held.len()).flatten().copied().eq(model.iter().copied()));
            }
        }
    }
}
