//! A bare client: tonic and the protocol, nothing of ours between the clock and the wire.

use anyhow::{Context, Result, bail};
use blob::{Digest, DigestFunction};
use bytes::Bytes;
use futures::StreamExt;
use prost::Message;
use reapi::bytestream::byte_stream_client::ByteStreamClient;
use reapi::bytestream::{ReadRequest, WriteRequest};
use reapi::execution as proto;
use reapi::execution::content_addressable_storage_client::ContentAddressableStorageClient;
use reapi::execution::execution_client::ExecutionClient;
use reapi::longrunning::operation::Result as OperationResult;
use tonic::transport::{Channel, Endpoint};

/// The hash of every scenario.
pub(crate) const FUNCTION: DigestFunction = DigestFunction::Sha256;
const MESSAGE_BYTES_MAX: usize = 8 << 20;
const CHUNK_BYTES: usize = 1 << 20;

/// One connection.
#[derive(Clone)]
pub(crate) struct Client {
    channel: Channel,
}

impl Client {
    /// `frame_bytes` is the HTTP/2 frame size this client offers: 16 KiB as Bazel does, or more.
    pub(crate) async fn connect(endpoint: &str, frame_bytes: u32) -> Result<Self> {
        let channel = Endpoint::from_shared(endpoint.to_owned())?
            .tcp_nodelay(true)
            .initial_stream_window_size(16 << 20)
            .initial_connection_window_size(64 << 20)
            .max_frame_size(frame_bytes)
            .connect()
            .await
            .with_context(|| format!("cannot connect to {endpoint}"))?;
        Ok(Client { channel })
    }

    /// Uploads small blobs in batches.
    pub(crate) async fn upload(&self, blobs: &[Bytes]) -> Result<()> {
        let mut client = ContentAddressableStorageClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX);
        for batch in blobs.chunks(500) {
            let requests = batch
                .iter()
                .map(|data| proto::batch_update_blobs_request::Request {
                    digest: Some(Digest::of(FUNCTION, data).to_proto()),
                    data: data.clone(),
                    ..Default::default()
                })
                .collect();
            let request = proto::BatchUpdateBlobsRequest {
                requests,
                ..Default::default()
            };
            for response in client.batch_update_blobs(request).await?.into_inner().responses {
                let status = response.status.unwrap_or_default();
                if status.code != 0 {
                    bail!("upload refused: {}", status.message);
                }
            }
        }
        Ok(())
    }

    /// Executes and returns the result; anything but exit code 0 is an error.
    pub(crate) async fn execute(
        &self,
        action: Digest,
        skip_cache_lookup: bool,
    ) -> Result<proto::ActionResult> {
        let request = proto::ExecuteRequest {
            action_digest: Some(action.to_proto()),
            skip_cache_lookup,
            ..Default::default()
        };
        let mut operations = ExecutionClient::new(self.channel.clone())
            .execute(request)
            .await?
            .into_inner();
        while let Some(operation) = operations.next().await.transpose()? {
            let Some(OperationResult::Response(response)) = operation.result else {
                continue;
            };
            let response = proto::ExecuteResponse::decode(&*response.value)?;
            let status = response.status.unwrap_or_default();
            if status.code != 0 {
                bail!("execution failed: {}", status.message);
            }
            let result = response.result.context("no result")?;
            if result.exit_code != 0 {
                bail!("exit code {}", result.exit_code);
            }
            return Ok(result);
        }
        bail!("the stream ended before the operation was done")
    }

    /// Uploads one large blob.
    pub(crate) async fn write(&self, digest: Digest, data: Bytes) -> Result<()> {
        let name = format!("uploads/{}/blobs/{digest}", uuid::Uuid::new_v4());
        let size = data.len();
        let messages = (0..size.div_ceil(CHUNK_BYTES)).map(move |index| {
            let start = index * CHUNK_BYTES;
            let end = (start + CHUNK_BYTES).min(size);
            WriteRequest {
                resource_name: if index == 0 { name.clone() } else { String::new() },
                write_offset: start as i64,
                finish_write: end == size,
                data: data.slice(start..end),
            }
        });
        let mut client = ByteStreamClient::new(self.channel.clone());
        let response = client.write(futures::stream::iter(messages)).await?.into_inner();
        if response.committed_size != size as i64 {
            bail!("committed {} of {size} bytes", response.committed_size);
        }
        Ok(())
    }

    /// Downloads one blob and drops its bytes; returns how many there were.
    pub(crate) async fn read(&self, digest: Digest) -> Result<u64> {
        let mut client =
            ByteStreamClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let request = ReadRequest {
            resource_name: format!("blobs/{digest}"),
            ..Default::default()
        };
        let mut responses = client.read(request).await?.into_inner();
        let mut size_bytes = 0;
        while let Some(response) = responses.next().await.transpose()? {
            size_bytes += response.data.len() as u64;
        }
        Ok(size_bytes)
    }

    /// The stream of a read, for those who want to stop in the middle.
    pub(crate) async fn start_read(
        &self,
        digest: Digest,
    ) -> Result<tonic::Streaming<reapi::bytestream::ReadResponse>> {
        let mut client =
            ByteStreamClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let request = ReadRequest {
            resource_name: format!("blobs/{digest}"),
            ..Default::default()
        };
        Ok(client.read(request).await?.into_inner())
    }
}
