//! The doors alone: the server's own services over stores in memory, clients in the same process, so that what is
//! measured is protocol, checks and hashes, and not storage.

use std::sync::Arc;
use std::time::{Duration, Instant};

use action::ActionDigest;
use action_cache::complete_only;
use anyhow::{Result, ensure};
use async_trait::async_trait;
use blob::{Blob, BlobStream, ByteRange, Digest, DigestSet, InstanceName};
use bytes::Bytes;
use cas::{BlobStore, StoreError, always_has_empty};
use futures::TryStreamExt;
use futures::future::try_join_all;
use futures::stream::{self, StreamExt};
use reapi::execution as proto;
use reapi::execution::action_cache_client::ActionCacheClient;
use reapi::execution::content_addressable_storage_client::ContentAddressableStorageClient;
use services::{Instance, Instances, StorageOptions, storage_routes, tuned};
use tasks::Group;
use tokio::net::TcpListener;
use tonic::transport::{Channel, Endpoint};

use crate::byte_stream::{SIZE_BYTES, incompressible};
use crate::client::{Client, FUNCTION};
use crate::report::{head, median, quantile, rate, row};
use crate::server::cpu_seconds;

const ROUNDS: usize = 3;
const DIGESTS_PER_CALL: usize = 10_000;
const CALLS: usize = 100;
const SMALL_BYTES: usize = 4096;
const BLOBS_PER_CALL: usize = 800;
const IN_FLIGHT: usize = 8;

pub(crate) async fn run() -> Result<()> {
    let group = Group::new("doors");
    let store = Arc::new(Bulk::default());
    let endpoint = serve(&group, store.clone()).await?;
    head(&["figure", "value", "CPU, client and server"]);
    bulk(&endpoint, &store).await?;
    let channel = Endpoint::from_shared(endpoint)?
        .tcp_nodelay(true)
        .initial_stream_window_size(16 << 20)
        .initial_connection_window_size(64 << 20)
        .max_frame_size(1 << 20)
        .connect()
        .await?;
    find_missing(&channel).await?;
    batch_update(&channel).await?;
    action_results(&channel).await?;
    group.stop();
    Ok(())
}

async fn serve(group: &Group, bulk: Arc<Bulk>) -> Result<String> {
    let small = always_has_empty(cas::memory(2 << 30));
    let instance = |store: Arc<dyn BlobStore>| Instance {
        recipes: None,
        action_cache: complete_only(action_cache::memory(64 << 20), store.clone()),
        cas: store,
        actions_are_elsewhere: false,
        clients_may_update_action_cache: true,
    };
    let instances: Instances = [
        (InstanceName::default(), instance(bulk)),
        (InstanceName::new(SMALL)?, instance(small)),
    ]
    .into_iter()
    .collect();
    let routes = storage_routes(Arc::new(instances), group, StorageOptions::default());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let stopping = group.stopping();
    group.spawn("server", async move {
        let server = tuned(tonic::transport::Server::builder()).add_routes(routes);
        let served = server
            .serve_with_incoming_shutdown(services::incoming(listener), stopping.cancelled_owned())
            .await;
        if let Err(error) = served {
            eprintln!("bench: the server stopped: {error}");
        }
    });
    Ok(endpoint)
}

/// The instance whose store is in memory.
const SMALL: &str = "small";

async fn bulk(endpoint: &str, store: &Bulk) -> Result<()> {
    for (name, frame_bytes) in [("1 MiB frames", 1u32 << 20), ("16 KiB frames", 16 << 10)] {
        let client = Client::connect(endpoint, frame_bytes).await?;
        let (mut written, mut read, mut hashed) = (Vec::new(), Vec::new(), Vec::new());
        let (mut write_cpu, mut read_cpu) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let data = incompressible(round as u64);
            let started = Instant::now();
            let digest = Digest::of(FUNCTION, &data);
            hashed.push(rate(SIZE_BYTES as u64, started.elapsed()));
            let (elapsed, cpu) = timed(client.write(digest, data.clone())).await?;
            written.push(rate(SIZE_BYTES as u64, elapsed));
            write_cpu.push(cpu / (SIZE_BYTES as f64 / 1e9));
            *store.bytes.lock() = data;
            let (elapsed, cpu) = timed(client.read(digest)).await?;
            read.push(rate(SIZE_BYTES as u64, elapsed));
            read_cpu.push(cpu / (SIZE_BYTES as f64 / 1e9));
            *store.bytes.lock() = Bytes::new();
        }
        let (written, hashed) = (median(written), median(hashed));
        row(&[
            format!("write, {name}"),
            format!("{written:.0} MB/s, {:.2} of SHA-256", written / hashed),
            format!("{:.2} s/GB", median(write_cpu)),
        ]);
        row(&[
            format!("read, {name}"),
            format!("{:.0} MB/s", median(read)),
            format!("{:.2} s/GB", median(read_cpu)),
        ]);
    }
    Ok(())
}

async fn find_missing(channel: &Channel) -> Result<()> {
    let digests = |start: usize| {
        (start..start + DIGESTS_PER_CALL).map(|number| Digest::of(FUNCTION, &number.to_le_bytes()))
    };
    let request = |instance: &str, start: usize| proto::FindMissingBlobsRequest {
        instance_name: instance.to_owned(),
        blob_digests: digests(start).map(|digest| digest.to_proto()).collect(),
        ..Default::default()
    };
    // Those of the bulk store are there without a look-up, so that this is the door's cost; those of the other are not.
    for (name, instance) in [("all present", ""), ("all missing", SMALL)] {
        let request = request(instance, 0);
        let mut client = ContentAddressableStorageClient::new(channel.clone());
        let mut missing = 0;
        let (elapsed, cpu) = timed(async {
            for _ in 0..CALLS {
                let answer = client.find_missing_blobs(request.clone()).await?.into_inner();
                missing = answer.missing_blob_digests.len();
            }
            Ok(())
        })
        .await?;
        ensure!(missing == if instance.is_empty() { 0 } else { DIGESTS_PER_CALL });
        let count = (CALLS * DIGESTS_PER_CALL) as f64 / 1e6;
        row(&[
            format!("FindMissingBlobs of {DIGESTS_PER_CALL}, {name}"),
            format!("{:.2} M digests/s", count / elapsed.as_secs_f64()),
            format!("{:.2} M digests a CPU-second", count / cpu),
        ]);
    }
    Ok(())
}

async fn batch_update(channel: &Channel) -> Result<()> {
    let calls = 40;
    let requests: Vec<proto::BatchUpdateBlobsRequest> = (0..calls)
        .map(|call| {
            let requests = (0..BLOBS_PER_CALL).map(|number| {
                let mut data = vec![7; SMALL_BYTES];
                data[..8].copy_from_slice(&((call * BLOBS_PER_CALL + number) as u64).to_le_bytes());
                proto::batch_update_blobs_request::Request {
                    digest: Some(Digest::of(FUNCTION, &data).to_proto()),
                    data: data.into(),
                    ..Default::default()
                }
            });
            proto::BatchUpdateBlobsRequest {
                instance_name: SMALL.to_owned(),
                requests: requests.collect(),
                ..Default::default()
            }
        })
        .collect();
    let (elapsed, cpu) = timed(async {
        let mut calls = stream::iter(requests)
            .map(|request| {
                let mut client =
                    ContentAddressableStorageClient::new(channel.clone()).max_encoding_message_size(8 << 20);
                async move { client.batch_update_blobs(request).await }
            })
            .buffer_unordered(4);
        while let Some(answer) = calls.try_next().await? {
            let failed = answer
                .into_inner()
                .responses
                .into_iter()
                .find(|entry| entry.status.as_ref().is_none_or(|status| status.code != 0));
            ensure!(failed.is_none(), "{failed:?}");
        }
        Ok(())
    })
    .await?;
    let count = (calls * BLOBS_PER_CALL) as f64;
    row(&[
        "BatchUpdateBlobs of 4 KiB blobs".to_owned(),
        format!("{:.0} blobs/s", count / elapsed.as_secs_f64()),
        format!("{:.1} µs a blob", cpu / count * 1e6),
    ]);
    Ok(())
}

async fn action_results(channel: &Channel) -> Result<()> {
    let mut client = ActionCacheClient::new(channel.clone());
    let mut cas = ContentAddressableStorageClient::new(channel.clone());
    let command = Blob::from_bytes(FUNCTION, Bytes::new()).digest();
    let action = proto::Action {
        command_digest: Some(command.to_proto()),
        input_root_digest: Some(command.to_proto()),
        ..Default::default()
    };
    let action = Bytes::from(prost::Message::encode_to_vec(&action));
    let action_digest = ActionDigest::new(Digest::of(FUNCTION, &action))
        .digest()
        .to_proto();
    let output = Bytes::from_static(b"output");
    let uploads = [&action, &output].map(|data| proto::batch_update_blobs_request::Request {
        digest: Some(Digest::of(FUNCTION, data).to_proto()),
        data: data.clone(),
        ..Default::default()
    });
    cas.batch_update_blobs(proto::BatchUpdateBlobsRequest {
        instance_name: SMALL.to_owned(),
        requests: uploads.to_vec(),
        ..Default::default()
    })
    .await?;
    let result = proto::ActionResult {
        output_files: vec![proto::OutputFile {
            path: "out".to_owned(),
            digest: Some(Digest::of(FUNCTION, &output).to_proto()),
            ..Default::default()
        }],
        ..Default::default()
    };
    client
        .update_action_result(proto::UpdateActionResultRequest {
            instance_name: SMALL.to_owned(),
            action_digest: Some(action_digest.clone()),
            action_result: Some(result),
            ..Default::default()
        })
        .await?;
    let request = proto::GetActionResultRequest {
        instance_name: SMALL.to_owned(),
        action_digest: Some(action_digest),
        ..Default::default()
    };
    let mut latencies = Vec::new();
    for _ in 0..5000 {
        let started = Instant::now();
        client.get_action_result(request.clone()).await?;
        latencies.push(started.elapsed());
    }
    latencies.sort_unstable();
    row(&[
        "GetActionResult, one at a time".to_owned(),
        format!(
            "p50 {:.0} µs, p99 {:.0} µs",
            quantile(&latencies, 0.5).as_secs_f64() * 1e6,
            quantile(&latencies, 0.99).as_secs_f64() * 1e6
        ),
        String::new(),
    ]);
    let each = 10_000;
    let (elapsed, cpu) = timed(async {
        try_join_all((0..IN_FLIGHT).map(|_| {
            let (mut client, request) = (client.clone(), request.clone());
            async move {
                for _ in 0..each {
                    client.get_action_result(request.clone()).await?;
                }
                Ok::<_, anyhow::Error>(())
            }
        }))
        .await
        .map(drop)
    })
    .await?;
    let count = (IN_FLIGHT * each) as f64;
    row(&[
        format!("GetActionResult, {IN_FLIGHT} in flight"),
        format!("{:.0} /s", count / elapsed.as_secs_f64()),
        format!("{:.0} µs a call", cpu / count * 1e6),
    ]);
    Ok(())
}

/// How long it takes, and the CPU seconds of this process meanwhile.
async fn timed<T>(work: impl Future<Output = Result<T>>) -> Result<(Duration, f64)> {
    let cpu = cpu_seconds(std::process::id())?;
    let started = Instant::now();
    work.await?;
    Ok((started.elapsed(), cpu_seconds(std::process::id())? - cpu))
}

/// Takes everything and keeps nothing; gives one blob, whatever is asked for.
#[derive(Default)]
struct Bulk {
    bytes: parking_lot::Mutex<Bytes>,
}

/// Pieces as a store on disk reads them.
const PIECE_BYTES: usize = 1 << 20;

#[async_trait]
impl BlobStore for Bulk {
    async fn get(&self, _: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        let bytes = self.bytes.lock().clone();
        let Some(range) = range.within(bytes.len() as u64) else {
            return Ok(None);
        };
        let bytes = bytes.slice(range.start as usize..range.end as usize);
        let starts = (0..bytes.len()).step_by(PIECE_BYTES);
        let pieces = starts.map(move |at| Ok(bytes.slice(at..bytes.len().min(at + PIECE_BYTES))));
        Ok(Some(stream::iter(pieces).boxed()))
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        let mut pieces = blob.into_stream();
        while pieces.try_next().await?.is_some() {}
        Ok(())
    }

    /// Blobs of a few bytes are here.
    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        Ok(digests
            .iter()
            .filter(|digest| digest.size_bytes() > SMALL_BYTES as u64)
            .copied()
            .collect())
    }
}
