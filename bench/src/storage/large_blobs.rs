//! ByteStream of 256 MiB that do not compress, in messages of 1 MiB: how fast, beside one core's SHA-256 and the disk
//! alone, and what CPU it takes, client and server together.

use std::io::Write;
use std::time::Instant;

use anyhow::{Result, ensure};
use blob::Digest;

use super::ROUNDS;
use super::figure::{Aim, figure, figures};
use super::peer::{BOTH, Peer};
use super::requests::random;
use crate::client::{Client, FUNCTION};
use crate::report::rate;
use crate::server::cpu_seconds;

const SIZE_BYTES: usize = 256 << 20;
const FRAME_BYTES: u32 = 1 << 20;
const WRITE_OF_HASH_AIM: f64 = 0.7;
const READ_AIM: f64 = 2000.0;
const READ_CPU_AIM: f64 = 0.7;

/// What the rounds gave for one server.
#[derive(Default)]
struct Measured {
    write: Vec<f64>,
    write_of_hash: Vec<f64>,
    write_cpu: Vec<f64>,
    read: Vec<f64>,
    read_cpu: Vec<f64>,
}

pub(crate) async fn run() -> Result<()> {
    let mut peers = Vec::new();
    for kind in BOTH {
        peers.push(Peer::start(kind).await?);
    }
    let mut measured = [Measured::default(), Measured::default()];
    let (mut hash, mut disk) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let data = random(round as u64, SIZE_BYTES);
        let began = Instant::now();
        let digest = Digest::of(FUNCTION, &data);
        let hashed = rate(SIZE_BYTES as u64, began.elapsed());
        hash.push(hashed);
        disk.push(disk_alone(&data)?);
        for (peer, measured) in peers.iter().zip(&mut measured) {
            let client = Client::connect(&peer.endpoint(), FRAME_BYTES).await?;
            let together = || anyhow::Ok(peer.cpu_seconds()? + cpu_seconds(std::process::id())?);
            let gigabytes = SIZE_BYTES as f64 / 1e9;

            let (cpu, began) = (together()?, Instant::now());
            client.write(digest, data.clone()).await?;
            let written = rate(SIZE_BYTES as u64, began.elapsed());
            measured.write.push(written);
            measured.write_of_hash.push(written / hashed);
            measured.write_cpu.push((together()? - cpu) / gigabytes);

            let (cpu, began) = (together()?, Instant::now());
            let size_bytes = client.read(digest).await?;
            measured.read.push(rate(SIZE_BYTES as u64, began.elapsed()));
            measured.read_cpu.push((together()? - cpu) / gigabytes);
            ensure!(size_bytes == SIZE_BYTES as u64, "read {size_bytes} bytes");
        }
    }
    let [farrier, casd] = &measured;
    figures();
    figure("SHA-256 on one core, MB/s", &hash, &hash, Aim::None);
    figure(
        "the disk alone, written and synced, MB/s",
        &disk,
        &disk,
        Aim::None,
    );
    figure("write, MB/s", &farrier.write, &casd.write, Aim::None);
    figure(
        "write, of SHA-256",
        &farrier.write_of_hash,
        &casd.write_of_hash,
        Aim::AtLeast(WRITE_OF_HASH_AIM),
    );
    figure(
        "write, CPU seconds a GB, both ends",
        &farrier.write_cpu,
        &casd.write_cpu,
        Aim::None,
    );
    figure("read, MB/s", &farrier.read, &casd.read, Aim::AtLeast(READ_AIM));
    figure(
        "read, CPU seconds a GB, both ends",
        &farrier.read_cpu,
        &casd.read_cpu,
        Aim::AtMost(READ_CPU_AIM),
    );
    Ok(())
}

/// The same bytes into a file, in the same pieces, with one sync at the end: what no server that syncs can beat.
fn disk_alone(data: &[u8]) -> Result<f64> {
    let mut file = tempfile::tempfile()?;
    let began = Instant::now();
    for piece in data.chunks(FRAME_BYTES as usize) {
        file.write_all(piece)?;
    }
    file.sync_data()?;
    Ok(rate(data.len() as u64, began.elapsed()))
}
