//! Bytes in the pieces they came in.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

/// A run of bytes that lies in several places, none of which is copied. Reading it as a [`Buf`] takes from the front.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pieces {
    /// None of them is empty.
    pieces: VecDeque<Bytes>,
    len: usize,
}

impl Pieces {
    /// Adds to the end.
    pub(crate) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.len += piece.len();
            self.pieces.push_back(piece);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the first `len` bytes, of which there must be as many.
    pub(crate) fn split_to(&mut self, len: usize) -> Pieces {
        assert!(len <= self.len, "{len} bytes of {} asked for", self.len);
        let mut taken = Pieces::default();
        while taken.len < len {
            let wanted = len - taken.len;
            let front = self.pieces.front_mut().expect("the pieces are `len` bytes");
            let piece = if front.len() <= wanted {
                self.pieces.pop_front().expect("it was just looked at")
            } else {
                front.split_to(wanted)
            };
            self.len -= piece.len();
            taken.push(piece);
        }
        taken
    }

    /// All of it in one place: copied only where it is not in one already.
    pub(crate) fn into_bytes(mut self) -> Bytes {
        if self.pieces.len() <= 1 {
            return self.pieces.pop_front().unwrap_or_default();
        }
        let mut joined = BytesMut::with_capacity(self.len);
        for piece in self.pieces {
            joined.extend_from_slice(&piece);
        }
        joined.freeze()
    }
}

impl From<Bytes> for Pieces {
    fn from(bytes: Bytes) -> Self {
        let mut pieces = Pieces::default();
        pieces.push(bytes);
        pieces
    }
}

/// The pieces, in order.
impl IntoIterator for Pieces {
    type Item = Bytes;
    type IntoIter = std::collections::vec_deque::IntoIter<Bytes>;

    fn into_iter(self) -> Self::IntoIter {
        self.pieces.into_iter()
    }
}

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.len
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.len, "{count} bytes of {} passed over", self.len);
        self.len -= count;
        while count > 0 {
            let front = self.pieces.front_mut().expect("the pieces are `len` bytes");
            let step = count.min(front.len());
            front.advance(step);
            count -= step;
            if front.is_empty() {
                self.pieces.pop_front();
            }
        }
    }

    fn copy_to_bytes(&mut self, len: usize) -> Bytes {
        self.split_to(len).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pieces: &[&'static str]) -> Pieces {
        let mut all = Pieces::default();
        pieces
            .iter()
            .for_each(|piece| all.push(Bytes::from_static(piece.as_bytes())));
        all
    }

    #[test]
    fn taking_from_the_front_keeps_every_byte_in_order() {
        for cut in 0..=11 {
            let mut rest = of(&["he", "", "llo w", "o", "rld"]);
            let front = rest.split_to(cut);
            assert_eq!((front.len(), rest.len()), (cut, 11 - cut));
            let both = [front.into_bytes(), rest.into_bytes()].concat();
            assert_eq!(both, b"hello world");
        }
    }

    #[test]
    fn it_reads_like_one_buffer() {
        let mut pieces = of(&["ab", "cde", "f"]);
        assert_eq!(pieces.get_u8(), b'a');
        assert_eq!(pieces.get_u16(), u16::from_be_bytes(*b"bc"));
        pieces.advance(1);
        assert_eq!(pieces.copy_to_bytes(2), "ef");
        assert!(pieces.is_empty() && pieces.chunk().is_empty());
    }

    #[test]
    fn what_lies_in_one_place_is_not_copied() {
        let bytes = Bytes::from(vec![7; 100]);
        let mut pieces = Pieces::from(bytes.clone());
        pieces.push(Bytes::from_static(b"more"));
        assert_eq!(pieces.split_to(100).into_bytes().as_ptr(), bytes.as_ptr());
    }
}
