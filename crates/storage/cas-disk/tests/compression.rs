//! Compressed at rest: every range reads as it was put, and what is handed out as zstd is zstd.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use blob::{Blob, ByteRange, Digest};
use bytes::Bytes;
use cas::BlobStore;
use support::{F, Read, bytes_of, collect, open, read_range, text_of};

mod support;

/// Text, noise, and both in turns; small, of several pieces, and with a segment of its own.
fn contents() -> Vec<Bytes> {
    let mut contents = Vec::new();
    for size in [1, 255, 256, 4_000, 65_536, 65_537, 300_000, 1_100_000, 3_000_017] {
        contents.push(text_of(size as u64, size));
        contents.push(bytes_of(size as u64, size));
        let mixed = [text_of(1, size / 2), bytes_of(2, size / 2), text_of(3, size)].concat();
        contents.push(mixed.into());
    }
    contents
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_range_reads_as_it_was_put_plain_or_compressed() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 512 << 20);
    for bytes in contents() {
        let blob = Blob::from_bytes(F, bytes.clone());
        let digest = blob.digest();
        store.put(blob).await.unwrap();
        let size = bytes.len() as u64;
        for offset in [0, 1, size / 3, 65_535, 65_536, 131_073, size - 1, size] {
            if offset > size {
                continue;
            }
            for limit in [None, Some(1), Some(70_000)] {
                let range = ByteRange { offset, limit };
                let within = range.within(size).unwrap();
                let expected = &bytes[within.start as usize..within.end as usize];
                assert!(
                    read_range(&*store, &digest, range).await == Read::Bytes(expected.to_vec()),
                    "{digest} from {offset}, {limit:?}"
                );
            }
            let Read::Bytes(frames) = collect(store.get_zstd(&digest, offset).await).await else {
                panic!("{digest} from {offset} has no frames")
            };
            assert!(
                zstd::decode_all(&frames[..]).unwrap() == bytes[offset as usize..],
                "{digest} from {offset} as zstd"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_takes_less_room_and_is_handed_out_as_it_is_stored() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 512 << 20);
    let text = text_of(9, 20 << 20);
    let blob = Blob::from_bytes(F, text.clone());
    let digest = blob.digest();
    store.put(blob).await.unwrap();
    let held = store.usage().bytes;
    assert!(
        held < (text.len() / 2) as u64,
        "{held} bytes for {} of text",
        text.len()
    );
    let Read::Bytes(frames) = collect(store.get_zstd(&digest, 0).await).await else {
        panic!("no frames")
    };
    assert!(
        (frames.len() as u64) < held,
        "{} bytes of frames out of {held}",
        frames.len()
    );
    let missing = Digest::of(F, b"missing");
    assert!(store.get_zstd(&missing, 0).await.unwrap().is_none());
}
