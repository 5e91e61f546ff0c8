//! What an action costs beside its command: 2 000 actions that run `/bin/true` with 10 small inputs.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use blob::Digest;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use prost::Message;
use reapi::execution as proto;

use crate::client::{Client, FUNCTION};
use crate::report::{head, median, milliseconds, quantile, row};
use crate::server::Server;

const ACTIONS: usize = 2_000;
const INPUTS: usize = 10;
const IN_FLIGHT: usize = 8;
const SEQUENTIAL: usize = 400;
const PROGRAM: &str = "/bin/true";

pub(crate) async fn run() -> Result<()> {
    let server = Server::start(&[])?;
    let client = Client::connect(&server.endpoint(), 1 << 20).await?;
    let warm = upload_actions(&client, "warm", 50).await?;
    execute_all(&client, &warm, IN_FLIGHT).await?;
    let throughput = upload_actions(&client, "throughput", ACTIONS).await?;
    let sequential = upload_actions(&client, "sequential", SEQUENTIAL).await?;

    let before = plain_rate(ACTIONS)?;
    let started = Instant::now();
    let results = execute_all(&client, &throughput, IN_FLIGHT).await?;
    let elapsed = started.elapsed();
    let after = plain_rate(ACTIONS)?;
    let actions_per_second = ACTIONS as f64 / elapsed.as_secs_f64();
    let plain = (before + after) / 2.0;

    let mut latencies = Vec::new();
    let mut alone = Vec::new();
    for action in &sequential {
        let started = Instant::now();
        alone.push(client.execute(*action, false).await?);
        latencies.push(started.elapsed());
    }
    latencies.sort();
    let mut hits = Vec::new();
    for action in &sequential {
        let started = Instant::now();
        client.execute(*action, false).await?;
        hits.push(started.elapsed());
    }
    hits.sort();

    head(&["figure", "value"]);
    row(&[
        "plain fork+exec+wait, one a core".into(),
        format!("{plain:.0} /s"),
    ]);
    row(&[
        format!("actions, {IN_FLIGHT} in flight"),
        format!("{actions_per_second:.0} /s"),
    ]);
    row(&["ratio".into(), format!("{:.3}", actions_per_second / plain)]);
    row(&["sequential p50".into(), milliseconds(quantile(&latencies, 0.5))]);
    row(&["sequential p99".into(), milliseconds(quantile(&latencies, 0.99))]);
    row(&["cache hit p50".into(), milliseconds(quantile(&hits, 0.5))]);
    println!("\nWhere the time goes (median of each phase, as the worker's timestamps tell):\n");
    head(&["phase", "alone", &format!("{IN_FLIGHT} in flight")]);
    for (name, phase) in PHASES {
        row(&[
            name.into(),
            phase_median(&alone, phase),
            phase_median(&results, phase),
        ]);
    }
    Ok(())
}

pub(crate) type Phase = fn(&proto::ExecutedActionMetadata) -> Option<Duration>;

pub(crate) const PHASES: [(&str, Phase); 6] = [
    ("queued", |m| {
        between(&m.queued_timestamp, &m.worker_start_timestamp)
    }),
    ("inputs", |m| {
        between(&m.input_fetch_start_timestamp, &m.input_fetch_completed_timestamp)
    }),
    // The worker dates the command by the runner's own clock, so what remains is the runner's set-up and tear-down.
    ("sandbox around the command", |m| {
        between(&m.input_fetch_completed_timestamp, &m.execution_start_timestamp)
    }),
    ("command", |m| {
        between(&m.execution_start_timestamp, &m.execution_completed_timestamp)
    }),
    ("outputs", |m| {
        between(
            &m.output_upload_start_timestamp,
            &m.output_upload_completed_timestamp,
        )
    }),
    ("on the worker in all", |m| {
        between(&m.worker_start_timestamp, &m.worker_completed_timestamp)
    }),
];

fn between(from: &Option<prost_types::Timestamp>, to: &Option<prost_types::Timestamp>) -> Option<Duration> {
    let nanoseconds =
        |time: &prost_types::Timestamp| time.seconds as i128 * 1_000_000_000 + i128::from(time.nanos);
    let difference = nanoseconds(to.as_ref()?) - nanoseconds(from.as_ref()?);
    u64::try_from(difference).ok().map(Duration::from_nanos)
}

pub(crate) fn phase_median(results: &[proto::ActionResult], phase: Phase) -> String {
    let values: Vec<f64> = results
        .iter()
        .filter_map(|result| phase(result.execution_metadata.as_ref()?))
        .map(|duration| duration.as_secs_f64() * 1e3)
        .collect();
    format!("{:.2} ms", median(values))
}

async fn execute_all(
    client: &Client,
    actions: &[Digest],
    in_flight: usize,
) -> Result<Vec<proto::ActionResult>> {
    stream::iter(actions.iter().copied())
        .map(|action| async move { client.execute(action, false).await })
        .buffer_unordered(in_flight)
        .try_collect()
        .await
}

/// Actions that differ in one of their inputs, with everything they refer to uploaded.
async fn upload_actions(client: &Client, kind: &str, count: usize) -> Result<Vec<Digest>> {
    let command = proto::Command {
        arguments: vec![PROGRAM.to_owned()],
        ..Default::default()
    }
    .encode_to_vec();
    let command = Bytes::from(command);
    let mut blobs = vec![command.clone()];
    let shared: Vec<Bytes> = (1..INPUTS)
        .map(|index| Bytes::from(format!("shared input {index}\n")))
        .collect();
    blobs.extend(shared.iter().cloned());
    let mut actions = Vec::new();
    for number in 0..count {
        let own = Bytes::from(format!(
            "input of action {kind} {number} of process {}\n",
            std::process::id()
        ));
        let files = std::iter::once(&own)
            .chain(&shared)
            .enumerate()
            .map(|(index, content)| proto::FileNode {
                name: format!("input-{index}.txt"),
                digest: Some(Digest::of(FUNCTION, content).to_proto()),
                ..Default::default()
            });
        let root = proto::Directory {
            files: files.collect(),
            ..Default::default()
        };
        let root = Bytes::from(root.encode_to_vec());
        let action = proto::Action {
            command_digest: Some(Digest::of(FUNCTION, &command).to_proto()),
            input_root_digest: Some(Digest::of(FUNCTION, &root).to_proto()),
            ..Default::default()
        };
        let action = Bytes::from(action.encode_to_vec());
        actions.push(Digest::of(FUNCTION, &action));
        blobs.extend([own, root, action]);
    }
    client.upload(&blobs).await?;
    Ok(actions)
}

/// How many commands a second this machine runs with nothing around them, one at a time on each core.
fn plain_rate(count: usize) -> Result<f64> {
    let cores = std::thread::available_parallelism()?.get();
    let started = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores)
            .map(|_| {
                scope.spawn(move || -> Result<()> {
                    for _ in 0..count / cores {
                        Command::new(PROGRAM)
                            .status()
                            .context("cannot run the plain command")?;
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(outcome) => outcome,
            Err(_) => anyhow::bail!("a thread panicked"),
        })
    })?;
    Ok((count / cores * cores) as f64 / started.elapsed().as_secs_f64())
}
