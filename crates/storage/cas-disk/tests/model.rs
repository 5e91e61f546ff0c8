//! Against the obvious model: a list of blobs in order of use, cut off at the capacity.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use blob::{Blob, ByteRange, Digest, DigestSet};
use cas::BlobStore;
use futures::stream;
use proptest::prelude::*;
use support::{F, Read, bytes_of, entry_files, open, read_range};

mod support;

const CAPACITY_BYTES: u64 = 400 << 10;
/// Of one block, of several, and larger than half of the capacity.
const SIZES: [usize; 10] = [
    1, 4000, 4096, 20_000, 50_000, 65_536, 65_537, 100_000, 150_000, 300_000,
];

#[derive(Clone, Debug)]
enum Step {
    Put(usize),
    PutStream(usize),
    Get(usize, u64, Option<u64>),
    FindMissing(Vec<usize>),
}

fn step() -> impl Strategy<Value = Step> {
    let blob = 0..SIZES.len();
    prop_oneof![
        blob.clone().prop_map(Step::Put),
        blob.clone().prop_map(Step::PutStream),
        (blob.clone(), 0u64..100_000, prop::option::of(0u64..100_000))
            .prop_map(|(blob, at, n)| Step::Get(blob, at, n)),
        prop::collection::vec(blob, 0..4).prop_map(Step::FindMissing),
    ]
}

/// What a blob takes on disk, as `checked_file.rs` says.
fn on_disk_bytes(blob: usize) -> u64 {
    let size_bytes = SIZES[blob] as u64;
    (size_bytes + size_bytes.div_ceil(65_536) * 8 + 32).next_multiple_of(4096)
}

/// Blobs that are held, the least recently used first.
#[derive(Default)]
struct Model(Vec<usize>);

impl Model {
    fn touch(&mut self, blob: usize) -> bool {
        let Some(at) = self.0.iter().position(|held| *held == blob) else {
            return false;
        };
        self.0.remove(at);
        self.0.push(blob);
        true
    }

    fn put(&mut self, blob: usize) {
        if self.touch(blob) {
            return;
        }
        while self.bytes() + on_disk_bytes(blob) > CAPACITY_BYTES {
            self.0.remove(0);
        }
        self.0.push(blob);
    }

    fn bytes(&self) -> u64 {
        self.0.iter().map(|blob| on_disk_bytes(*blob)).sum()
    }
}

async fn follow(steps: Vec<Step>) {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), CAPACITY_BYTES);
    let contents: Vec<_> = SIZES
        .iter()
        .enumerate()
        .map(|(seed, size)| bytes_of(seed as u64, *size))
        .collect();
    let digests: Vec<Digest> = contents.iter().map(|bytes| Digest::of(F, bytes)).collect();
    let mut model = Model::default();
    for step in steps {
        match step.clone() {
            Step::Put(blob) => {
                store
                    .put(Blob::from_bytes(F, contents[blob].clone()))
                    .await
                    .unwrap();
                model.put(blob);
            }
            Step::PutStream(blob) => {
                let bytes = contents[blob].clone();
                let chunks: Vec<_> = bytes
                    .chunks(7000)
                    .map(|chunk| Ok::<_, std::io::Error>(bytes.slice_ref(chunk)))
                    .collect();
                store
                    .put(Blob::checked(digests[blob], stream::iter(chunks)))
                    .await
                    .unwrap();
                model.put(blob);
            }
            Step::Get(blob, offset, limit) => {
                let range = ByteRange {
                    offset: offset % (SIZES[blob] as u64 + 1),
                    limit,
                };
                let read = read_range(&*store, &digests[blob], range).await;
                let within = range.within(SIZES[blob] as u64).unwrap();
                let expected = match model.touch(blob) {
                    true => Read::Bytes(contents[blob][within.start as usize..within.end as usize].to_vec()),
                    false => Read::Miss,
                };
                assert!(read == expected, "{step:?}");
            }
            Step::FindMissing(blobs) => {
                let asked: DigestSet = blobs.iter().map(|blob| digests[*blob]).collect();
                let missing = store.find_missing(&asked).await.unwrap();
                // A set is walked in its own order.
                for digest in &asked {
                    let blob = digests.iter().position(|other| other == digest).unwrap();
                    assert_eq!(model.touch(blob), !missing.contains(digest), "{step:?}");
                }
            }
        }
        assert_eq!(
            (store.usage().bytes, store.usage().blobs),
            (model.bytes(), model.0.len() as u64),
            "{step:?}"
        );
    }
    assert_eq!(entry_files(directory.path()).len(), model.0.len());
    let usage = store.usage();
    drop(store);
    let store = open(directory.path(), CAPACITY_BYTES);
    assert_eq!((store.usage().bytes, store.usage().corrupt), (usage.bytes, 0));
    for blob in model.0 {
        let read = read_range(&*store, &digests[blob], ByteRange::FULL).await;
        assert!(
            read == Read::Bytes(contents[blob].to_vec()),
            "blob {blob} after a restart"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn behaves_as_a_list_in_order_of_use(steps in prop::collection::vec(step(), 1..80)) {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap().block_on(follow(steps));
    }
}
