//! BatchUpdateBlobs of 4 KiB blobs, acknowledged: how many a second, and what reaches the block device for them.
//! farrier acknowledges what is synced; whether buildbox-casd does is its own affair and not equalised here.

use std::time::Instant;

use anyhow::Result;

use super::ROUNDS;
use super::figure::{Aim, figure, figures};
use super::peer::{BOTH, Peer};
use super::requests::{Connections, random, update};

const BLOB_BYTES: usize = 4096;
/// As many as fit a message of 4 MiB, which every server takes.
const BLOBS_PER_CALL: usize = 800;
const CALLS: usize = 40;
const IN_FLIGHT: usize = 8;
const CONNECTIONS: usize = 4;
const RATE_AIM: f64 = 30_000.0;
const RATIO_AIM: f64 = 3.0;
const WRITTEN_AIM: f64 = 1.3;

pub(crate) async fn run() -> Result<()> {
    let (mut rates, mut per_core, mut written) = ([vec![], vec![]], [vec![], vec![]], [vec![], vec![]]);
    let mut peers = Vec::new();
    for kind in BOTH {
        let peer = Peer::start(kind).await?;
        let connections = Connections::open(&peer, CONNECTIONS).await?;
        peers.push((peer, connections));
    }
    let blobs = (CALLS * BLOBS_PER_CALL) as f64;
    for round in 0..ROUNDS {
        for (at, (peer, connections)) in peers.iter().enumerate() {
            let requests: Vec<_> = (0..CALLS)
                .map(|call| {
                    let first = ((round * CALLS + call) * BLOBS_PER_CALL) as u64;
                    let seeds = first..first + BLOBS_PER_CALL as u64;
                    update(seeds.map(|seed| random(seed, BLOB_BYTES)).collect())
                })
                .collect();
            rustix::fs::sync();
            let (bytes, cpu, began) = (peer.written_bytes()?, peer.cpu_seconds()?, Instant::now());
            connections.update(requests, IN_FLIGHT).await?;
            rates[at].push(blobs / began.elapsed().as_secs_f64());
            per_core[at].push(blobs / (peer.cpu_seconds()? - cpu));
            rustix::fs::sync();
            written[at].push((peer.written_bytes()? - bytes) as f64 / (blobs * BLOB_BYTES as f64));
        }
    }
    figures();
    let [farrier, casd] = &rates;
    figure(
        "4 KiB blobs/s, acknowledged",
        farrier,
        casd,
        Aim::AtLeast(RATE_AIM),
    );
    let ratios: Vec<f64> = farrier
        .iter()
        .zip(casd)
        .map(|(ours, theirs)| ours / theirs)
        .collect();
    figure(
        "the same, times that of buildbox-casd",
        &ratios,
        &[],
        Aim::AtLeast(RATIO_AIM),
    );
    figure(
        "blobs per second of server CPU",
        &per_core[0],
        &per_core[1],
        Aim::None,
    );
    figure(
        "bytes written per byte of payload (/proc/PID/io, sync before and after)",
        &written[0],
        &written[1],
        Aim::AtMost(WRITTEN_AIM),
    );
    Ok(())
}
