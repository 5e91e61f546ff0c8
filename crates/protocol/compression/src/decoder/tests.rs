use proptest::prelude::*;

use super::*;
use crate::compress_all;

/// Feeds `pieces` and gathers what comes out.
fn decode(pieces: impl IntoIterator<Item = Bytes>, size_bytes_max: u64) -> Result<Vec<u8>, DecodeError> {
    let mut decoder = Decoder::new(size_bytes_max)?;
    let mut output = Vec::new();
    for piece in pieces {
        decoder.push(piece)?;
        while let Some(piece) = decoder.next_output()? {
            assert!(!piece.is_empty() && piece.len() <= PIECE_SIZE_BYTES_MAX);
            output.extend_from_slice(&piece);
        }
    }
    decoder.finish()?;
    Ok(output)
}

fn cut(bytes: &Bytes, piece_len: usize) -> Vec<Bytes> {
    bytes.chunks(piece_len).map(Bytes::copy_from_slice).collect()
}

fn frame(content: impl Into<Bytes>) -> Bytes {
    compress_all(content.into()).unwrap()
}

#[test]
fn nothing_decodes_to_nothing_and_so_does_the_empty_frame() {
    assert_eq!(decode([], 0), Ok(vec![]));
    assert_eq!(decode([Bytes::new()], 0), Ok(vec![]));
    let empty = frame("");
    assert!(!empty.is_empty());
    assert_eq!(decode([empty.clone()], 0), Ok(vec![]));
    assert_eq!(decode(cut(&empty, 1), 0), Ok(vec![]));
}

#[test]
fn frames_one_after_the_other_and_skippable_ones_are_one_stream() {
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    let all: Bytes = [&frame("hello, ")[..], &skippable, &frame(""), &frame("world")]
        .concat()
        .into();
    for piece_len in 1..=all.len() {
        assert_eq!(decode(cut(&all, piece_len), 12).unwrap(), b"hello, world");
    }
}

#[test]
fn a_cut_anywhere_inside_a_frame_is_truncation() {
    let whole = frame("hello hello hello hello");
    for end in 1..whole.len() {
        assert_eq!(
            decode([whole.slice(..end)], 100),
            Err(DecodeError::Truncated),
            "cut at {end}"
        );
    }
}

#[test]
fn garbage_before_inside_or_after_is_an_error() {
    let whole = frame("hello");
    assert!(matches!(
        decode([Bytes::from_static(b"garbage!")], 100),
        Err(DecodeError::Malformed { .. })
    ));
    let trailing: Bytes = [&whole[..], b"garbage"].concat().into();
    for piece_len in 1..=trailing.len() {
        assert!(matches!(
            decode(cut(&trailing, piece_len), 100),
            Err(DecodeError::Malformed { .. })
        ));
    }
    // Fewer bytes than a magic number has cannot be told from the start of a frame.
    assert_eq!(
        decode([whole, Bytes::from_static(&[0x28])], 100),
        Err(DecodeError::Truncated)
    );
}

#[test]
fn the_first_byte_too_many_is_an_error() {
    assert_eq!(decode([frame("hello")], 5).unwrap(), b"hello");
    assert_eq!(
        decode([frame("hello")], 4),
        Err(DecodeError::TooLong { size_bytes_max: 4 })
    );
    assert_eq!(
        decode([frame("h")], 0),
        Err(DecodeError::TooLong { size_bytes_max: 0 })
    );
    let twice = [frame("hello"), frame("!")];
    assert_eq!(decode(twice, 5), Err(DecodeError::TooLong { size_bytes_max: 5 }));
}

#[test]
fn endless_padding_is_an_error() {
    let mut decoder = Decoder::new(1).unwrap();
    let empty = frame("");
    let fed = (0..1_000_000).find_map(|_| {
        if let Err(error) = decoder.push(empty.clone()) {
            return Some(error);
        }
        assert_eq!(decoder.next_output(), Ok(None));
        None
    });
    assert!(matches!(fed, Some(DecodeError::TooMuchInput { .. })));
}

#[test]
fn a_window_of_two_gibibytes_is_refused() {
    // Magic, descriptor 0 (no size, no checksum), window descriptor: exponent 21 is 2^(10+21).
    let header = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3];
    let rle_block = [0b0000_0011, 0, 0, b'x'];
    let whole: Bytes = [&header[..], &rle_block].concat().into();
    assert!(matches!(
        decode([whole], 1 << 40),
        Err(DecodeError::Malformed { .. })
    ));
}

#[test]
fn a_window_of_128_mebibytes_is_taken() {
    let header = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 17 << 3];
    // Last block, repeated byte, length 3.
    let rle_block = [0b0001_1011, 0, 0, b'x'];
    let whole: Bytes = [&header[..], &rle_block].concat().into();
    assert_eq!(decode([whole], 3).unwrap(), b"xxx");
}

proptest! {
    #[test]
    fn what_was_compressed_comes_back(
        content in prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..5000),
        repeat in 1usize..200,
        piece_len in 1usize..3000,
    ) {
        let content: Bytes = content.repeat(repeat).into();
        let size_bytes = content.len() as u64;
        let compressed = frame(content.clone());
        prop_assert_eq!(decode(cut(&compressed, piece_len), size_bytes).unwrap(), content.clone());
        prop_assert_eq!(crate::decompress_all(compressed.clone(), size_bytes).unwrap(), content.clone());
        if size_bytes > 0 {
            let refused = decode(cut(&compressed, piece_len), size_bytes - 1);
            prop_assert_eq!(refused, Err(DecodeError::TooLong { size_bytes_max: size_bytes - 1 }));
        }
    }

    #[test]
    fn any_bytes_end_in_a_verdict(bytes in prop::collection::vec(any::<u8>(), 0..300), piece_len in 1usize..50) {
        if let Ok(output) = decode(cut(&bytes.into(), piece_len), 10_000) {
            prop_assert!(output.len() <= 10_000);
        }
    }

    #[test]
    fn a_flipped_bit_never_yields_too_much(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut whole = frame("hello, hello, hello; the quick brown fox jumps over the lazy dog").to_vec();
        let at = at.index(whole.len());
        whole[at] ^= 1 << bit;
        if let Ok(output) = decode([whole.into()], 64) {
            prop_assert!(output.len() <= 64);
        }
    }
}
