use std::fs;
use std::path::PathBuf;

use blob::DigestFunction;
use proptest::prelude::*;

use super::*;

/// A file of `size_bytes` of payload, written in pieces of `piece`.
struct Written {
    _directory: tempfile::TempDir,
    path: PathBuf,
    payload: Vec<u8>,
    seal: Seal,
}

fn seal(text: &str) -> Seal {
    Seal::of("test", &Digest::of(DigestFunction::Sha256, text.as_bytes()))
}

fn write(size_bytes: usize, piece: usize) -> Written {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let payload: Vec<u8> = (0..size_bytes).map(|at| (at * 31 + at / 251) as u8).collect();
    let mut trailer = Trailer::new(seal("it"));
    let mut file = payload.clone();
    for piece in payload.chunks(piece) {
        trailer.update(piece);
    }
    file.extend_from_slice(&trailer.finish());
    assert_eq!(file.len() as u64, file_bytes(size_bytes as u64));
    fs::write(&path, file).unwrap();
    Written {
        _directory: directory,
        path,
        payload,
        seal: seal("it"),
    }
}

impl Written {
    /// All of it, piece by piece, as a stream reads it.
    fn read(&self) -> Result<Vec<u8>, ReadError> {
        let file = CheckedFile::open(&self.path, self.seal)?;
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < file.payload_bytes() {
            bytes.extend_from_slice(&file.read_piece(bytes.len() as u64..file.payload_bytes())?);
        }
        Ok(bytes)
    }

    fn change(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let mut file = fs::read(&self.path).unwrap();
        change(&mut file);
        fs::write(&self.path, file).unwrap();
    }

    fn assert_damaged(&self, what: &str) {
        let read = self.read().map(|bytes| bytes.len());
        assert!(matches!(read, Err(ReadError::Damaged(_))), "{what} gave {read:?}");
    }
}

const BLOCK: usize = BLOCK_BYTES as usize;

#[test]
fn every_length_comes_back_however_it_was_written() {
    for size_bytes in [
        0,
        1,
        31,
        32,
        33,
        BLOCK - 1,
        BLOCK,
        BLOCK + 1,
        4 * BLOCK,
        4 * BLOCK + 1,
        17 * BLOCK + 5,
    ] {
        for piece in [1000, BLOCK, BLOCK + 1, 1 << 20] {
            let written = write(size_bytes, piece);
            assert!(
                written.read().unwrap() == written.payload,
                "{size_bytes} bytes in pieces of {piece}"
            );
        }
    }
}

#[test]
fn a_flip_of_any_footer_bit_is_noticed() {
    for size_bytes in [0, 10, 5 * BLOCK] {
        let written = write(size_bytes, 1 << 20);
        let length = file_bytes(size_bytes as u64) as usize;
        for bit in 0..FOOTER_BYTES as usize * 8 {
            let flip = |file: &mut Vec<u8>| file[length - FOOTER_BYTES as usize + bit / 8] ^= 1 << (bit % 8);
            written.change(flip);
            written.assert_damaged(&format!("bit {bit} of the footer"));
            written.change(flip);
        }
        assert!(written.read().unwrap() == written.payload);
    }
}

#[test]
fn an_intact_file_in_the_wrong_place_is_noticed() {
    let written = Written {
        seal: seal("another"),
        ..write(100, 100)
    };
    written.assert_damaged("another's file");
}

#[test]
fn intact_blocks_in_the_wrong_order_are_noticed() {
    let written = write(3 * BLOCK, BLOCK);
    written.change(|file| {
        let (first, rest) = file.split_at_mut(BLOCK);
        first.swap_with_slice(&mut rest[..BLOCK]);
        // Their checksums with them, as a copy of the whole range would.
        let table = 2 * BLOCK;
        let (first, second) = rest[table..table + 16].split_at_mut(8);
        first.swap_with_slice(second);
    });
    written.assert_damaged("swapped blocks");
}

#[test]
fn every_truncation_and_extension_is_noticed() {
    let written = write(BLOCK + 10, BLOCK);
    let whole = fs::read(&written.path).unwrap();
    for length in [
        0,
        1,
        31,
        32,
        33,
        BLOCK,
        BLOCK + 10,
        whole.len() - 33,
        whole.len() - 32,
        whole.len() - 1,
    ] {
        fs::write(&written.path, &whole[..length]).unwrap();
        written.assert_damaged(&format!("cut to {length}"));
    }
    for more in [1, 8, 32, 1000] {
        let mut longer = whole.clone();
        longer.extend(std::iter::repeat_n(0, more));
        fs::write(&written.path, longer).unwrap();
        written.assert_damaged(&format!("{more} bytes more"));
    }
    fs::write(&written.path, vec![0; whole.len()]).unwrap();
    written.assert_damaged("all zeros");
}

#[test]
fn a_missing_file_is_gone() {
    assert!(matches!(
        CheckedFile::open(Path::new("/nowhere/at/all"), seal("it")),
        Err(ReadError::Gone)
    ));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn every_range_is_exact(size_bytes in 1usize..700_000, from in 0.0f64..1.0, to in 0.0f64..1.0) {
        let written = write(size_bytes, 1 << 20);
        let file = CheckedFile::open(&written.path, written.seal).unwrap();
        let start = (from * size_bytes as f64) as usize;
        let end = start + (to * (size_bytes - start) as f64) as usize;
        let read = file.read(start as u64..end as u64).unwrap();
        prop_assert!(read == written.payload[start..end]);
        let piece = file.read_piece(start as u64..end as u64).unwrap();
        prop_assert!(piece == written.payload[start..start + piece.len()]);
        prop_assert!(start == end || !piece.is_empty());
    }

    /// The blocks that were not hit are still served; the one that was is not.
    #[test]
    fn any_flipped_bit_is_noticed(size_bytes in 0usize..400_000, at in 0.0f64..1.0, bit in 0u32..8) {
        let written = write(size_bytes, 1 << 20);
        written.change(|file| {
            let at = (at * file.len() as f64) as usize;
            file[at] ^= 1 << bit;
        });
        prop_assert!(matches!(written.read(), Err(ReadError::Damaged(_))));
    }
}
