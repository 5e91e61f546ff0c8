//! Which part of a blob is asked for.

/// A part of a blob: from `offset`, at most `limit` bytes. Whether it lies inside a blob is the reader's check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// First byte.
    pub offset: u64,
    /// Most bytes to return; `None` is all that follow.
    pub limit: Option<u64>,
}

impl ByteRange {
    /// The whole blob.
    pub const FULL: ByteRange = ByteRange {
        offset: 0,
        limit: None,
    };

    /// Whether this is the whole of a blob of `size_bytes`.
    pub fn is_full(&self, size_bytes: u64) -> bool {
        self.offset == 0 && self.limit.is_none_or(|limit| limit >= size_bytes)
    }

    /// Start and end within a blob of `size_bytes`; `None` if the range starts past its end.
    pub fn within(&self, size_bytes: u64) -> Option<std::ops::Range<u64>> {
        if self.offset > size_bytes {
            return None;
        }
        let available = size_bytes - self.offset;
        Some(self.offset..self.offset + self.limit.map_or(available, |limit| limit.min(available)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_blob() {
        let range = |offset, limit| ByteRange { offset, limit };
        assert_eq!(ByteRange::FULL.within(5), Some(0..5));
        assert_eq!(range(2, Some(2)).within(5), Some(2..4));
        assert_eq!(range(2, Some(u64::MAX)).within(5), Some(2..5));
        assert_eq!(range(5, None).within(5), Some(5..5));
        assert_eq!(range(6, None).within(5), None);
        assert!(range(0, Some(5)).is_full(5) && !range(0, Some(4)).is_full(5) && !range(1, None).is_full(5));
    }
}
