//! FindMissingBlobs of 10 000 digests over stores of different sizes: what a digest costs the server, and whether the
//! size matters.

use std::time::Instant;

use anyhow::{Result, ensure};
use blob::Digest;
use futures::stream::{self, StreamExt, TryStreamExt};
use reapi::execution::FindMissingBlobsRequest;

use super::ROUNDS;
use super::figure::{Aim, figure, figures};
use super::peer::{Kind, Peer};
use super::requests::{Connections, tiny};
use super::start::fill;
use crate::client::FUNCTION;
use crate::report::median;

const DIGESTS_PER_CALL: u64 = 10_000;
/// Different requests of a round; each is sent [`REPEATS`] times.
const REQUESTS: u64 = 20;
const REPEATS: usize = 5;
const IN_FLIGHT: usize = 4;
const CONNECTIONS: usize = 2;
const SMALLEST_STORE: u64 = 100_000;
/// buildbox-casd keeps a file for each blob; above this, storing them takes longer than anyone wants to wait.
const CASD_BLOBS_MAX: u64 = 100_000;
/// Larger stores are filled as `start` fills them, with the server stopped.
const THROUGH_THE_DOOR_MAX: u64 = 1_000_000;
const DIGESTS_PER_CORE_AIM: f64 = 2e6;
/// "Independent of the number of blobs": what a digest may cost more in a larger store.
const SLOWDOWN_AIM: f64 = 1.5;
/// Numbers from here on are never stored.
const ABSENT_FROM: u64 = 1 << 40;

pub(crate) async fn run(blobs_max: u64) -> Result<()> {
    let mut peers = vec![Peer::start(Kind::Farrier).await?, Peer::start(Kind::Casd).await?];
    let mut connections = Vec::new();
    for peer in &peers {
        connections.push(Connections::open(peer, CONNECTIONS).await?);
    }
    figures();
    let (mut stored, mut first) = ([0, 0], None);
    let mut sizes = vec![SMALLEST_STORE];
    sizes.extend(
        [1_000_000, 10_000_000]
            .into_iter()
            .filter(|size| *size <= blobs_max),
    );
    for size in sizes {
        for at in 0..peers.len() {
            let kind = peers[at].kind();
            if kind == Kind::Casd && size > CASD_BLOBS_MAX {
                continue;
            }
            if kind == Kind::Farrier && size > THROUGH_THE_DOOR_MAX {
                let directory = fill(peers.remove(at), size).await?;
                let (peer, _) = Peer::start_in(kind, directory).await?;
                connections[at] = Connections::open(&peer, CONNECTIONS).await?;
                peers.insert(at, peer);
            } else {
                connections[at].fill(stored[at]..size).await?;
            }
            stored[at] = size;
        }
        for (name, absent) in [("all present", false), ("half present", true)] {
            let (mut per_core, mut wall) = ([vec![], vec![]], [vec![], vec![]]);
            for round in 0..ROUNDS as u64 {
                let requests: Vec<_> = (0..REQUESTS)
                    .map(|call| request(round * REQUESTS + call, size, absent))
                    .collect();
                let missing_each = if absent { DIGESTS_PER_CALL / 2 } else { 0 };
                for (at, (peer, connections)) in peers.iter().zip(&connections).enumerate() {
                    if stored[at] == size {
                        let (core, second) = ask(peer, connections, &requests, missing_each).await?;
                        per_core[at].push(core);
                        wall[at].push(second);
                    }
                }
            }
            figure(
                &format!("{size} stored, {name}: digests per second of server CPU"),
                &per_core[0],
                &per_core[1],
                Aim::AtLeast(DIGESTS_PER_CORE_AIM),
            );
            figure(
                &format!("{size} stored, {name}: digests/s, {IN_FLIGHT} calls in flight"),
                &wall[0],
                &wall[1],
                Aim::None,
            );
            if !absent {
                let now = median(per_core[0].clone());
                let smallest = *first.get_or_insert(now);
                if size > SMALLEST_STORE {
                    figure(
                        &format!("{size} stored: cost of a digest, of that with {SMALLEST_STORE}"),
                        &[smallest / now],
                        &[],
                        Aim::AtMost(SLOWDOWN_AIM),
                    );
                }
            }
        }
    }
    Ok(())
}

/// Digests from all over the store, or every other one of a blob that is not there.
fn request(call: u64, stored: u64, absent: bool) -> FindMissingBlobsRequest {
    let number = |index: u64| {
        let spread = (call * DIGESTS_PER_CALL + index).wrapping_mul(0x9e37_79b9_7f4a_7c15) % stored;
        if absent && index.is_multiple_of(2) {
            ABSENT_FROM + call * DIGESTS_PER_CALL + index
        } else {
            spread
        }
    };
    FindMissingBlobsRequest {
        blob_digests: (0..DIGESTS_PER_CALL)
            .map(|index| Digest::of(FUNCTION, &tiny(number(index))).to_proto())
            .collect(),
        ..Default::default()
    }
}

/// Digests per second of the server's CPU, and of the clock.
async fn ask(
    peer: &Peer,
    connections: &Connections,
    requests: &[FindMissingBlobsRequest],
    missing_each: u64,
) -> Result<(f64, f64)> {
    let (cpu, began) = (peer.cpu_seconds()?, Instant::now());
    let calls = (0..REPEATS).flat_map(|_| requests).enumerate();
    stream::iter(calls)
        .map(|(turn, request)| async move {
            let response = connections.cas(turn).find_missing_blobs(request.clone()).await?;
            let missing = response.into_inner().missing_blob_digests.len() as u64;
            ensure!(missing == missing_each, "{missing} missing, not {missing_each}");
            Ok(())
        })
        .buffer_unordered(IN_FLIGHT)
        .try_collect::<()>()
        .await?;
    let digests = (REPEATS * requests.len()) as f64 * DIGESTS_PER_CALL as f64;
    Ok((
        digests / (peer.cpu_seconds()? - cpu),
        digests / began.elapsed().as_secs_f64(),
    ))
}
