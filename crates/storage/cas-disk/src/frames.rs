//! Single zstd frames of one block each.

use std::cell::RefCell;

use bytes::Bytes;

use crate::record::Damage;

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Frame_Header_Descriptor: the content's size in 4 bytes, a single segment, no checksum, no dictionary.
const DESCRIPTOR: u8 = 0b1010_0000;
/// Largest raw block that the format allows.
const RAW_BLOCK_BYTES_MAX: usize = 128 << 10;

thread_local! {
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// `content` as a frame that says it as it is (RFC 8878, 3.1.1.2.2): what does not get smaller can be sent to who
/// wants zstd without being compressed.
pub(crate) fn raw_frame(content: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(content.len() + 16);
    frame.extend_from_slice(&MAGIC);
    frame.push(DESCRIPTOR);
    frame.extend_from_slice(&(content.len() as u32).to_le_bytes());
    let blocks = content.len().div_ceil(RAW_BLOCK_BYTES_MAX).max(1);
    for number in 0..blocks {
        let start = number * RAW_BLOCK_BYTES_MAX;
        let block = &content[start..content.len().min(start + RAW_BLOCK_BYTES_MAX)];
        let is_last = number + 1 == blocks;
        let header = (block.len() as u32) << 3 | u32::from(is_last);
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.extend_from_slice(block);
    }
    frame.into()
}

/// Appends the content of a frame, which has exactly `content_bytes`.
pub(crate) fn decompress(frame: &[u8], content_bytes: usize, out: &mut Vec<u8>) -> Result<(), Damage> {
    let start = out.len();
    out.resize(start + content_bytes, 0);
    let written = DECOMPRESSOR.with_borrow_mut(|decompressor| {
        let decompressor = match decompressor {
            Some(decompressor) => decompressor,
            none => none.insert(zstd::bulk::Decompressor::new()?),
        };
        decompressor.decompress_to_buffer(frame, &mut out[start..])
    });
    match written {
        Ok(written) if written == content_bytes => Ok(()),
        Ok(written) => Err(Damage::new(format!(
            "a block has {written} bytes instead of {content_bytes}"
        ))),
        Err(error) => Err(Damage::new(format!("a block cannot be decompressed: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_frame_is_read_by_any_decoder() {
        for length in [0, 1, 65_535, 65_536, 128 << 10, (128 << 10) + 1, 400_000] {
            let content: Vec<u8> = (0..length).map(|n| (n * 7) as u8).collect();
            let frame = raw_frame(&content);
            assert_eq!(zstd::decode_all(&frame[..]).unwrap(), content);
            let mut out = vec![1, 2];
            decompress(&frame, length, &mut out).unwrap();
            assert_eq!(&out[2..], content);
        }
        assert!(decompress(&raw_frame(b"abc"), 4, &mut Vec::new()).is_err());
        assert!(decompress(b"nonsense", 4, &mut Vec::new()).is_err());
    }
}
