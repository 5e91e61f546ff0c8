//! A plain REAPI client: one call a method, nothing clever, so that a test says exactly what goes over the wire.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use prost::Message;
use reapi::bytestream::byte_stream_client::ByteStreamClient;
use reapi::bytestream::{ReadRequest, ReadResponse, WriteRequest};
use reapi::execution::action_cache_client::ActionCacheClient;
use reapi::execution::capabilities_client::CapabilitiesClient;
use reapi::execution::content_addressable_storage_client::ContentAddressableStorageClient;
use reapi::execution::execution_client::ExecutionClient;
use reapi::execution::{
    Action, ActionResult, BatchReadBlobsRequest, BatchUpdateBlobsRequest, Command, Digest, Directory,
    ExecuteOperationMetadata, ExecuteRequest, ExecuteResponse, FindMissingBlobsRequest,
    GetActionResultRequest, GetCapabilitiesRequest, GetTreeRequest, ServerCapabilities,
    UpdateActionResultRequest, batch_update_blobs_request,
};
use reapi::longrunning::{Operation, operation};
use sha2::{Digest as _, Sha256};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

/// No call takes longer.
const CALL_AT_MOST: Duration = Duration::from_secs(60);
/// Bytes of a blob in one message of an upload.
const CHUNK_BYTES: usize = 512 * 1024;

/// A connection to a server, and the instance name that every call uses.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    instance: String,
}

/// The SHA-256 digest of some bytes.
pub fn digest(bytes: &[u8]) -> Digest {
    let hash = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Digest {
        hash,
        size_bytes: i64::try_from(bytes.len()).expect("no test blob is that large"),
    }
}

impl Client {
    /// Connects to a server at an `http://` address.
    pub async fn connect(url: &str, instance: &str) -> Result<Self> {
        let endpoint = Endpoint::from_shared(url.to_owned())?
            .timeout(CALL_AT_MOST)
            .tcp_nodelay(true);
        let channel = endpoint
            .connect()
            .await
            .with_context(|| format!("cannot connect to {url}"))?;
        Ok(Self {
            channel,
            instance: instance.to_owned(),
        })
    }

    /// `GetCapabilities`.
    pub async fn capabilities(&self) -> Result<ServerCapabilities, Status> {
        let request = GetCapabilitiesRequest {
            instance_name: self.instance.clone(),
        };
        Ok(CapabilitiesClient::new(self.channel.clone())
            .get_capabilities(request)
            .await?
            .into_inner())
    }

    /// `FindMissingBlobs`.
    pub async fn find_missing(&self, digests: &[Digest]) -> Result<Vec<Digest>, Status> {
        let request = FindMissingBlobsRequest {
            instance_name: self.instance.clone(),
            blob_digests: digests.to_vec(),
            ..Default::default()
        };
        Ok(self
            .cas()
            .find_missing_blobs(request)
            .await?
            .into_inner()
            .missing_blob_digests)
    }

    /// Uploads an action that runs this shell text, and returns its digest.
    pub async fn upload_shell_action(&self, text: &str) -> Result<Digest> {
        let command = Command {
            arguments: ["/bin/sh", "-c", text].map(str::to_owned).to_vec(),
            ..Default::default()
        };
        let (command, root) = (command.encode_to_vec(), Directory::default().encode_to_vec());
        let action = Action {
            command_digest: Some(digest(&command)),
            input_root_digest: Some(digest(&root)),
            ..Default::default()
        };
        let action = action.encode_to_vec();
        self.batch_upload(&[&command, &root, &action]).await?;
        Ok(digest(&action))
    }

    /// `BatchUpdateBlobs` with these blobs; the first that was refused is the error.
    pub async fn batch_upload(&self, blobs: &[&[u8]]) -> Result<Vec<Digest>> {
        let digests: Vec<Digest> = blobs.iter().map(|bytes| digest(bytes)).collect();
        let requests =
            blobs
                .iter()
                .zip(&digests)
                .map(|(bytes, digest)| batch_update_blobs_request::Request {
                    digest: Some(digest.clone()),
                    data: bytes.to_vec().into(),
                    ..Default::default()
                });
        let request = BatchUpdateBlobsRequest {
            instance_name: self.instance.clone(),
            requests: requests.collect(),
            ..Default::default()
        };
        for response in self
            .cas()
            .batch_update_blobs(request)
            .await?
            .into_inner()
            .responses
        {
            let status = response.status.unwrap_or_default();
            if status.code != 0 {
                bail!("blob {:?} was refused: {status:?}", response.digest);
            }
        }
        Ok(digests)
    }

    /// `BatchReadBlobs` of one blob; `None` when the server has it not.
    pub async fn batch_read(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        let request = BatchReadBlobsRequest {
            instance_name: self.instance.clone(),
            digests: vec![digest.clone()],
            ..Default::default()
        };
        let mut responses = self.cas().batch_read_blobs(request).await?.into_inner().responses;
        let response = responses.pop().context("no answer for the blob")?;
        match Code::from(response.status.unwrap_or_default().code) {
            Code::Ok => Ok(Some(response.data.to_vec())),
            Code::NotFound => Ok(None),
            other => bail!("blob {digest:?} cannot be read: {other}"),
        }
    }

    /// `ByteStream.Write` of a whole blob, in messages of half a mebibyte.
    pub async fn write(&self, bytes: Vec<u8>) -> Result<Digest, Status> {
        // The last group is free: one test never uploads the same blob twice at once.
        let resource_name = format!(
            "{}uploads/8a2b6c1e-0000-4000-8000-000000000001/{}",
            self.prefix(),
            blob_name(&digest(&bytes))
        );
        let digest = digest(&bytes);
        let last = bytes.len().div_ceil(CHUNK_BYTES).max(1) - 1;
        let requests: Vec<WriteRequest> = (0..=last)
            .map(|number| {
                let start = number * CHUNK_BYTES;
                let end = bytes.len().min(start + CHUNK_BYTES);
                WriteRequest {
                    resource_name: if number == 0 {
                        resource_name.clone()
                    } else {
                        String::new()
                    },
                    write_offset: i64::try_from(start).expect("no test blob is that large"),
                    finish_write: number == last,
                    data: bytes[start..end].to_vec().into(),
                }
            })
            .collect();
        let mut client = ByteStreamClient::new(self.channel.clone());
        let response = client.write(tokio_stream::iter(requests)).await?.into_inner();
        if response.committed_size != digest.size_bytes {
            return Err(Status::data_loss(format!(
                "{} of {} bytes committed",
                response.committed_size,
                bytes.len()
            )));
        }
        Ok(digest)
    }

    /// `ByteStream.Read` of a whole blob.
    pub async fn read(&self, digest: &Digest) -> Result<Vec<u8>, Status> {
        let request = ReadRequest {
            resource_name: format!("{}{}", self.prefix(), blob_name(digest)),
            ..Default::default()
        };
        let mut stream = ByteStreamClient::new(self.channel.clone())
            .read(request)
            .await?
            .into_inner();
        let mut bytes = Vec::new();
        while let Some(response) = stream.message().await? {
            bytes.extend_from_slice(&response.data);
        }
        Ok(bytes)
    }

    /// `GetTree`: every directory below a root.
    pub async fn tree(&self, root: &Digest) -> Result<Vec<Directory>, Status> {
        let request = GetTreeRequest {
            instance_name: self.instance.clone(),
            root_digest: Some(root.clone()),
            ..Default::default()
        };
        let mut stream = self.cas().get_tree(request).await?.into_inner();
        let mut directories = Vec::new();
        while let Some(response) = stream.message().await? {
            directories.extend(response.directories);
        }
        Ok(directories)
    }

    /// `GetActionResult`; `None` when there is none.
    pub async fn action_result(&self, action: &Digest) -> Result<Option<ActionResult>, Status> {
        let request = GetActionResultRequest {
            instance_name: self.instance.clone(),
            action_digest: Some(action.clone()),
            ..Default::default()
        };
        match ActionCacheClient::new(self.channel.clone())
            .get_action_result(request)
            .await
        {
            Ok(response) => Ok(Some(response.into_inner())),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status),
        }
    }

    /// `UpdateActionResult`.
    pub async fn update_action_result(
        &self,
        action: &Digest,
        result: ActionResult,
    ) -> Result<ActionResult, Status> {
        let request = UpdateActionResultRequest {
            instance_name: self.instance.clone(),
            action_digest: Some(action.clone()),
            action_result: Some(result),
            ..Default::default()
        };
        Ok(ActionCacheClient::new(self.channel.clone())
            .update_action_result(request)
            .await?
            .into_inner())
    }

    /// `Execute`, until it is done.
    pub async fn execute(&self, action: &Digest) -> Result<ExecuteResponse> {
        let request = ExecuteRequest {
            instance_name: self.instance.clone(),
            action_digest: Some(action.clone()),
            ..Default::default()
        };
        let mut stream = ExecutionClient::new(self.channel.clone())
            .execute(request)
            .await?
            .into_inner();
        while let Some(operation) = stream.message().await? {
            if !operation.done {
                continue;
            }
            return match operation.result {
                Some(operation::Result::Response(response)) => Ok(response.to_msg()?),
                other => bail!("the operation ended without a response: {other:?}"),
            };
        }
        bail!("the stream of the operation ended before the operation did")
    }

    /// `Execute`, up to the first state that names the stream of standard output, and what follows that state.
    pub async fn execute_until_live(&self, action: &Digest) -> Result<(String, Streaming<Operation>)> {
        let request = ExecuteRequest {
            instance_name: self.instance.clone(),
            action_digest: Some(action.clone()),
            ..Default::default()
        };
        let mut states = ExecutionClient::new(self.channel.clone())
            .execute(request)
            .await?
            .into_inner();
        while let Some(operation) = states.message().await? {
            let metadata = operation.metadata.context("an operation has metadata")?;
            let name = metadata.to_msg::<ExecuteOperationMetadata>()?.stdout_stream_name;
            if !name.is_empty() {
                return Ok((name, states));
            }
        }
        bail!("the operation ended before its output had a name")
    }

    /// `ByteStream.Read` of something that may still grow.
    pub async fn open(&self, resource_name: &str) -> Result<Streaming<ReadResponse>, Status> {
        let request = ReadRequest {
            resource_name: resource_name.to_owned(),
            ..Default::default()
        };
        let mut client = ByteStreamClient::new(self.channel.clone());
        Ok(client.read(request).await?.into_inner())
    }

    fn cas(&self) -> ContentAddressableStorageClient<Channel> {
        ContentAddressableStorageClient::new(self.channel.clone())
    }

    fn prefix(&self) -> String {
        if self.instance.is_empty() {
            String::new()
        } else {
            format!("{}/", self.instance)
        }
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.hash, digest.size_bytes)
}
