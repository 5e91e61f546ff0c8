//! Fills a store with many tiny blobs, quickly, to see what a start and an index of that size cost:
//! `cargo run --release -p cas-disk --example fill -- DIRECTORY BLOBS [SIZE]`.

use std::time::Instant;

use blob::{Blob, DigestFunction};
use bytes::Bytes;
use cas::BlobStore;
use cas_disk::{DiskBlobStore, DiskOptions, Durability};
use futures::{StreamExt, stream};

const CAPACITY_BYTES: u64 = 1 << 40;
const IN_FLIGHT: usize = 2048;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(directory), Some(blobs)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: fill DIRECTORY BLOBS [SIZE]");
        std::process::exit(2);
    };
    let blobs: u64 = blobs.parse().expect("BLOBS is a number");
    let size: usize = arguments
        .next()
        .map_or(16, |size| size.parse().expect("SIZE is a number"));
    let options = DiskOptions {
        durability: Durability::Process,
        ..DiskOptions::new(directory, CAPACITY_BYTES)
    };
    let began = Instant::now();
    let store = DiskBlobStore::open(options).expect("the directory can be opened");
    println!("opened in {:.2?}: {:?}", began.elapsed(), store.usage());
    let began = Instant::now();
    stream::iter(0..blobs)
        .map(|number| {
            let mut bytes = vec![0; size.max(8)];
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            store.put(Blob::from_bytes(DigestFunction::Sha256, Bytes::from(bytes)))
        })
        .buffer_unordered(IN_FLIGHT)
        .for_each(async |put| put.expect("put"))
        .await;
    println!("{blobs} blobs in {:.2?}: {:?}", began.elapsed(), store.usage());
    store.close();
}
