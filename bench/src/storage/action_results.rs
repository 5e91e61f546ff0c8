//! GetActionResult hits, one at a time and eight in flight; every result names two output files that the server has to
//! know it still has.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use blob::Digest;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use prost::Message;
use reapi::execution::{
    Action, ActionResult, Command, GetActionResultRequest, OutputFile, UpdateActionResultRequest,
};

use super::ROUNDS;
use super::figure::{Aim, figure, figures};
use super::peer::{BOTH, Peer};
use super::requests::{Connections, random, tiny, update};
use crate::client::FUNCTION;
use crate::report::quantile;

const RESULTS: u64 = 1000;
const OUTPUT_BYTES: usize = 300;
/// Calls of a round, one at a time and then in flight.
const ALONE: u64 = 3000;
const TOGETHER: u64 = 30_000;
const IN_FLIGHT: usize = 8;
const CONNECTIONS: usize = 4;
const P50_MILLISECONDS_AIM: f64 = 0.25;
const RATE_AIM: f64 = 15_000.0;

/// What the rounds gave for one server.
#[derive(Default)]
struct Measured {
    p50: Vec<f64>,
    p99: Vec<f64>,
    rate: Vec<f64>,
    per_core: Vec<f64>,
}

pub(crate) async fn run() -> Result<()> {
    let mut measured = [Measured::default(), Measured::default()];
    let mut peers = Vec::new();
    for kind in BOTH {
        let peer = Peer::start(kind).await?;
        let connections = Connections::open(&peer, CONNECTIONS).await?;
        store(&connections)
            .await
            .with_context(|| format!("{kind:?} does not take results"))?;
        peers.push((peer, connections));
    }
    for _ in 0..ROUNDS {
        for ((peer, connections), measured) in peers.iter().zip(&mut measured) {
            round(peer, connections, measured).await?;
        }
    }
    let [farrier, casd] = &measured;
    figures();
    figure(
        "hit, one at a time, p50 in ms",
        &farrier.p50,
        &casd.p50,
        Aim::AtMost(P50_MILLISECONDS_AIM),
    );
    figure(
        "hit, one at a time, p99 in ms",
        &farrier.p99,
        &casd.p99,
        Aim::None,
    );
    figure(
        "hits/s, 8 in flight",
        &farrier.rate,
        &casd.rate,
        Aim::AtLeast(RATE_AIM),
    );
    figure(
        "hits per second of server CPU",
        &farrier.per_core,
        &casd.per_core,
        Aim::None,
    );
    Ok(())
}

/// Different actions with the same command; what it would do is never asked.
fn action(number: u64) -> Bytes {
    let command_digest = Digest::of(FUNCTION, &Command::default().encode_to_vec());
    let action = Action {
        command_digest: Some(command_digest.to_proto()),
        input_root_digest: Some(Digest::empty(FUNCTION).to_proto()),
        salt: tiny(number).to_vec(),
        ..Default::default()
    };
    action.encode_to_vec().into()
}

fn action_digest(number: u64) -> Option<reapi::execution::Digest> {
    Some(Digest::of(FUNCTION, &action(number)).to_proto())
}

async fn store(connections: &Connections) -> Result<()> {
    let outputs: Vec<_> = (0..2 * RESULTS).map(|seed| random(seed, OUTPUT_BYTES)).collect();
    connections.update([update(outputs.clone())], 1).await?;
    connections
        .update([update((0..RESULTS).map(action).collect())], 1)
        .await?;
    for (number, pair) in (0..RESULTS).zip(outputs.chunks(2)) {
        let output_files = pair
            .iter()
            .enumerate()
            .map(|(index, data)| OutputFile {
                path: format!("out/file-{index}.o"),
                digest: Some(Digest::of(FUNCTION, data).to_proto()),
                ..Default::default()
            })
            .collect();
        let request = UpdateActionResultRequest {
            action_digest: action_digest(number),
            action_result: Some(ActionResult {
                output_files,
                ..Default::default()
            }),
            ..Default::default()
        };
        connections.action_cache(0).update_action_result(request).await?;
    }
    Ok(())
}

async fn round(peer: &Peer, connections: &Connections, measured: &mut Measured) -> Result<()> {
    let requests: Vec<_> = (0..RESULTS)
        .map(|number| GetActionResultRequest {
            action_digest: action_digest(number),
            ..Default::default()
        })
        .collect();
    let request = |number: u64| requests[(number % RESULTS) as usize].clone();
    let mut times: Vec<Duration> = Vec::new();
    for number in 0..ALONE {
        let request = request(number);
        let began = Instant::now();
        connections.action_cache(0).get_action_result(request).await?;
        times.push(began.elapsed());
    }
    times.sort();
    let milliseconds = |part| quantile(&times, part).as_secs_f64() * 1e3;
    measured.p50.push(milliseconds(0.5));
    measured.p99.push(milliseconds(0.99));

    let (cpu, began) = (peer.cpu_seconds()?, Instant::now());
    stream::iter(0..TOGETHER)
        .map(|number| {
            let request = request(number);
            async move {
                let mut client = connections.action_cache(number as usize);
                client.get_action_result(request).await.map(drop)
            }
        })
        .buffer_unordered(IN_FLIGHT)
        .try_collect::<()>()
        .await?;
    measured
        .rate
        .push(TOGETHER as f64 / began.elapsed().as_secs_f64());
    measured
        .per_core
        .push(TOGETHER as f64 / (peer.cpu_seconds()? - cpu));
    Ok(())
}
