//! The second version of a 200 MiB binary, one percent of it changed in a few places: what it costs on the wire, up and
//! down, and on the disk, when the first is known.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use blob::{Blob, ByteRange, Digest, InstanceName};
use bytes::Bytes;
use cas::BlobStore;
use cas_remote::{Compression, RemoteChannel, RemoteOptions};
use futures::StreamExt;

use super::ROUNDS;
use super::figure::{Aim, figure, figures};
use super::peer::{Kind, Peer};
use super::requests::random;
use crate::client::FUNCTION;

const SIZE_BYTES: usize = 200 << 20;
/// The changes, together a hundredth.
const PLACES: usize = 4;
const CHANGED_BYTES: usize = SIZE_BYTES / 100 / PLACES;
const SHARE_AIM: f64 = 0.05;
/// Room for both versions at whoever downloads.
const LOCAL_BYTES: u64 = 1 << 30;

pub(crate) async fn run() -> Result<()> {
    let (mut up, mut disk, mut down) = (vec![], vec![], vec![]);
    for round in 0..ROUNDS as u64 {
        let peer = Peer::start(Kind::Farrier).await?;
        let first = random(round, SIZE_BYTES);
        let second = changed(&first, round);
        let uploader = connect(&peer).await?.blob_store(InstanceName::default());
        let local = cas::memory(LOCAL_BYTES);
        let downloader = connect(&peer)
            .await?
            .blob_store_with_chunks(InstanceName::default(), local);

        uploader.put(Blob::from_bytes(FUNCTION, first.clone())).await?;
        read(&*downloader, &first).await?;
        let (wire, held) = (loopback_bytes()?, disk_bytes(peer.directory())?);
        uploader.put(Blob::from_bytes(FUNCTION, second.clone())).await?;
        up.push((loopback_bytes()? - wire) as f64 / SIZE_BYTES as f64);
        disk.push((disk_bytes(peer.directory())? - held) as f64 / SIZE_BYTES as f64);
        let wire = loopback_bytes()?;
        read(&*downloader, &second).await?;
        down.push((loopback_bytes()? - wire) as f64 / SIZE_BYTES as f64);
    }
    figures();
    let of_its_size = |what: &str| format!("the second version's {what}, of its size");
    for (what, shares) in [("upload", &up), ("disk", &disk), ("download", &down)] {
        figure(&of_its_size(what), shares, &[], Aim::AtMost(SHARE_AIM));
    }
    println!("\nWire: every byte that the loopback device carried meanwhile, headers and answers included.");
    Ok(())
}

fn changed(first: &[u8], round: u64) -> Bytes {
    let mut second = first.to_vec();
    for place in 0..PLACES {
        let start = place * (SIZE_BYTES / PLACES) + (7 << 20);
        let seed = u64::MAX - round * PLACES as u64 - place as u64;
        second[start..start + CHANGED_BYTES].copy_from_slice(&random(seed, CHANGED_BYTES));
    }
    second.into()
}

async fn connect(peer: &Peer) -> Result<RemoteChannel> {
    let mut options = RemoteOptions::new(&peer.endpoint().replace("http://", "grpc://"));
    options.compression = Compression::Never;
    Ok(RemoteChannel::connect(options).await?)
}

async fn read(store: &dyn BlobStore, expected: &Bytes) -> Result<()> {
    let digest = Digest::of(FUNCTION, expected);
    let mut stream = store
        .get(&digest, ByteRange::FULL)
        .await?
        .context("an uploaded blob is missing")?;
    let mut at = 0;
    while let Some(piece) = stream.next().await.transpose()? {
        ensure!(expected[at..].starts_with(&piece), "wrong bytes came at {at}");
        at += piece.len();
    }
    ensure!(at == expected.len(), "{at} bytes came of {}", expected.len());
    Ok(())
}

/// Bytes that the loopback device has carried, from proc_net(5).
fn loopback_bytes() -> Result<u64> {
    let table = std::fs::read_to_string("/proc/net/dev").context("cannot read /proc/net/dev")?;
    let line = table
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("lo:"));
    let received = line.and_then(|line| line.split_whitespace().next());
    Ok(received.context("no line for lo in /proc/net/dev")?.parse()?)
}

/// Bytes that the files of a directory take on the disk.
fn disk_bytes(directory: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += match metadata.is_dir() {
            true => disk_bytes(&entry.path())?,
            false => metadata.blocks() * 512,
        };
    }
    Ok(bytes)
}
