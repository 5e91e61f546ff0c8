//! Inside: the first and only process of the machine.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use blob::{Blob, ByteRange, Digest, DigestFunction};
use bytes::Bytes;
use cas::BlobStore;
use cas_disk::{DiskBlobStore, DiskOptions, Durability};
use futures::{StreamExt, future, stream};
use rustix::mount::{MountFlags, mount};

use super::{ACKNOWLEDGED, CARELESS, FILE_SYSTEM, PREFIX, ROUND};

const F: DigestFunction = DigestFunction::Sha256;
/// Nothing is ever evicted: the host stops long before.
const CAPACITY_BYTES: u64 = 300 << 20;
const WRITERS: u64 = 6;
/// Chunks in which blobs arrive.
const CHUNK_BYTES: usize = 100_000;

/// Never returns: the machine is cut off, or powers down when there is nothing more to do.
pub(crate) fn run(scratch: &Path) -> ! {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be made");
    if let Err(error) = runtime.block_on(live(scratch)) {
        say(&format!("failed {error}"));
    }
    // A first process that ends is a panic of the kernel: as good an end as any.
    std::process::exit(1)
}

fn say(line: &str) {
    let line = format!("{PREFIX}{line}\n");
    // The host notices that nothing comes.
    let _ = std::io::stdout().write_all(line.as_bytes());
}

fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|error| format!("{name}: {error}"))
}

async fn live(scratch: &Path) -> Result<(), String> {
    let disk = scratch.join("disk");
    let file_system = variable(FILE_SYSTEM)?;
    mount(
        "/dev/ubda",
        &disk,
        file_system.as_str(),
        MountFlags::NOATIME,
        None,
    )
    .map_err(|error| format!("mounting {file_system}: {error}"))?;
    let options = DiskOptions {
        durability: match std::env::var_os(CARELESS) {
            None => Durability::Disk,
            Some(_) => Durability::Process,
        },
        ..DiskOptions::new(disk.join("data"), CAPACITY_BYTES)
    };
    let store = DiskBlobStore::open(options).map_err(|error| error.to_string())?;
    check(&store, scratch).await?;
    let round: u64 = variable(ROUND)?
        .parse()
        .map_err(|error| format!("{ROUND}: {error}"))?;
    let writers = (0..WRITERS).map(|writer| write(store.clone(), round << 40 | writer << 32));
    future::try_join_all(writers).await?;
    Ok(())
}

/// Everything acknowledged is there, and everything that is there can be read.
async fn check(store: &DiskBlobStore, scratch: &Path) -> Result<(), String> {
    let acknowledged =
        fs::read_to_string(scratch.join(ACKNOWLEDGED)).map_err(|error| format!("{ACKNOWLEDGED}: {error}"))?;
    let mut count = 0;
    for line in acknowledged.lines() {
        let seed = line.parse().map_err(|error| format!("{line}: {error}"))?;
        let digest = Digest::of(F, &bytes_of(seed));
        match is_readable(store, &digest).await {
            Ok(true) => {}
            Ok(false) => say(&format!("lost {seed}, {} bytes", digest.size_bytes())),
            Err(error) => say(&format!("lost {seed}: {error}")),
        }
        count += 1;
    }
    let mut present = Vec::new();
    store
        .survey(|digest| present.push(*digest))
        .await
        .map_err(|error| error.to_string())?;
    for digest in &present {
        if let Ok(false) | Err(_) = is_readable(store, digest).await {
            say(&format!("lied {digest}"));
        }
    }
    say(&format!("checked {count} {}", present.len()));
    Ok(())
}

async fn is_readable(store: &DiskBlobStore, digest: &Digest) -> Result<bool, String> {
    let stream = store
        .get(digest, ByteRange::FULL)
        .await
        .map_err(|error| error.to_string())?;
    let Some(stream) = stream else { return Ok(false) };
    // Checks the digest on the way.
    let mut bytes = Blob::checked(*digest, stream).into_stream();
    while let Some(piece) = bytes.next().await {
        piece.map_err(|error| error.to_string())?;
    }
    Ok(true)
}

async fn write(store: Arc<DiskBlobStore>, first: u64) -> Result<(), String> {
    for seed in first.. {
        let bytes = bytes_of(seed);
        let chunks = (0..bytes.len())
            .step_by(CHUNK_BYTES)
            .map(|at| Ok::<_, std::io::Error>(bytes.slice(at..bytes.len().min(at + CHUNK_BYTES))));
        let chunks: Vec<_> = chunks.collect();
        let blob = Blob::checked(Digest::of(F, &bytes), stream::iter(chunks));
        store.put(blob).await.map_err(|error| error.to_string())?;
        say(&format!("kept {seed}"));
    }
    Ok(())
}

/// Small ones mostly, sometimes one with a segment of its own; half of them compress.
fn bytes_of(seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let size = match next() % 12 {
        0 => 2_200_000 + next() % 900_000,
        1..4 => 40_000 + next() % 100_000,
        _ => 1 + next() % 6_000,
    };
    let mask = if next() % 2 == 0 { 0xff } else { 0x03 };
    (0..size)
        .map(|_| (next() & mask) as u8)
        .collect::<Vec<u8>>()
        .into()
}
