//! How long the store on disk takes, one line for each kind of work. Run it optimised, on the disk in question:
//! `cargo run --release -p cas-disk --example measure -- DIRECTORY`.

use std::time::{Duration, Instant};

use blob::{Blob, ByteRange, Digest, DigestFunction, DigestSet};
use bytes::Bytes;
use cas::BlobStore;
use cas_disk::{DiskBlobStore, DiskOptions};
use futures::{StreamExt, stream};

const F: DigestFunction = DigestFunction::Sha256;
const SMALL_BLOBS: u64 = 20_000;
const LARGE_BYTES: usize = 512 << 20;

#[tokio::main]
async fn main() {
    let Some(directory) = std::env::args_os().nth(1) else {
        eprintln!("usage: measure DIRECTORY (an empty one, which will hold a gigabyte)");
        std::process::exit(2);
    };
    let options = DiskOptions::new(directory, 64 << 30);
    let store = DiskBlobStore::open(options.clone()).expect("the directory can be opened");

    for size_bytes in [1_000, 4 << 10, 64 << 10, 256 << 10] {
        let blobs: Vec<Blob> = (0..SMALL_BLOBS / 10)
            .map(|seed| small(seed, size_bytes))
            .collect();
        let digests: Vec<Digest> = blobs.iter().map(Blob::digest).collect();
        let mut times = Vec::new();
        for blob in blobs {
            times.push(timed(async { store.put(blob).await.expect("put") }).await);
        }
        report(&format!("put, {size_bytes} bytes"), times);
        let mut times = Vec::new();
        for digest in &digests {
            times.push(timed(read(&store, digest)).await);
        }
        report(&format!("get, {size_bytes} bytes"), times);
    }

    let began = Instant::now();
    let puts = (0..SMALL_BLOBS).map(|seed| store.put(small(1 << 32 | seed, 1_000)));
    stream::iter(puts)
        .buffer_unordered(1000)
        .for_each(async |put| put.expect("put"))
        .await;
    println!(
        "{:<28} {:>10.0} a second",
        "put, 1000 bytes, 1000 at once",
        f64::from(SMALL_BLOBS as u32) / began.elapsed().as_secs_f64()
    );
    let digests: Vec<Digest> = (0..SMALL_BLOBS)
        .map(|seed| small(1 << 32 | seed, 1_000).digest())
        .collect();
    let began = Instant::now();
    stream::iter(&digests)
        .map(|digest| read(&store, digest))
        .buffer_unordered(32)
        .count()
        .await;
    println!(
        "{:<28} {:>10.0} a second",
        "get, 1000 bytes, 32 at once",
        f64::from(SMALL_BLOBS as u32) / began.elapsed().as_secs_f64()
    );
    let set: DigestSet = digests.into_iter().collect();
    let took = timed(async { store.find_missing(&set).await.expect("find_missing") }).await;
    println!("{:<28} {:>10.1?}", format!("find_missing of {}", set.len()), took);

    let large = Bytes::from(noise(1, LARGE_BYTES));
    let began = Instant::now();
    let digest = Digest::of(F, &large);
    rate("hash alone", began);
    let began = Instant::now();
    let chunks: Vec<_> = large
        .chunks(256 << 10)
        .map(|chunk| Ok::<_, std::io::Error>(large.slice_ref(chunk)))
        .collect();
    store
        .put(Blob::checked(digest, stream::iter(chunks)))
        .await
        .expect("put");
    rate("put, one large stream", began);
    let began = Instant::now();
    read(&store, &digest).await;
    rate("get, one large stream", began);

    let blobs = store.usage().blobs;
    drop(store);
    let began = Instant::now();
    let store = DiskBlobStore::open(options).expect("the directory can be opened again");
    println!(
        "{:<28} {:>10.1?}",
        format!("start with {blobs} blobs"),
        began.elapsed()
    );
    assert_eq!(store.usage().blobs, blobs);
}

fn small(seed: u64, size_bytes: usize) -> Blob {
    Blob::from_bytes(F, noise(seed, size_bytes))
}

/// Bytes that cannot be compressed.
fn noise(seed: u64, size_bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size_bytes + 8);
    while bytes.len() < size_bytes {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bytes.extend_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
    }
    bytes.truncate(size_bytes);
    bytes
}

async fn read(store: &DiskBlobStore, digest: &Digest) {
    let mut stream = store
        .get(digest, ByteRange::FULL)
        .await
        .expect("get")
        .expect("it is there");
    while let Some(piece) = stream.next().await {
        piece.expect("a good piece");
    }
}

async fn timed<T>(work: impl Future<Output = T>) -> Duration {
    let began = Instant::now();
    work.await;
    began.elapsed()
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!(
        "{what:<28} {:>10.1?} median, {:.1?} in the slowest hundredth",
        at(50),
        at(99)
    );
}

fn rate(what: &str, began: Instant) {
    println!(
        "{what:<28} {:>10.0} MB/s",
        LARGE_BYTES as f64 / 1e6 / began.elapsed().as_secs_f64()
    );
}
