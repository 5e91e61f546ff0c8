//! A server with stores in memory, on a free port of the loopback interface.

use std::sync::Arc;

use action_cache::{ActionCache, complete_only};
use blob::{Blob, ByteRange, Digest, DigestFunction, InstanceName};
use bytes::Bytes;
use cas::{BlobStore, Recipes, always_has_empty, memory};
use futures::TryStreamExt;
use prost::Message;
use reapi::bytestream::byte_stream_client::ByteStreamClient;
use reapi::bytestream::{ReadRequest, WriteRequest, WriteResponse};
use reapi::execution as proto;
use reapi::execution::action_cache_client::ActionCacheClient;
use reapi::execution::capabilities_client::CapabilitiesClient;
use reapi::execution::content_addressable_storage_client::ContentAddressableStorageClient;
use services::{Instance, Instances, StorageOptions, incoming, storage_routes, tuned};
use tasks::Group;
use tokio::net::TcpListener;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

pub const SHA256: DigestFunction = DigestFunction::Sha256;
pub const BLAKE3: DigestFunction = DigestFunction::Blake3;

/// An instance whose name has a slash.
pub const SLASHED: &str = "team/a";
/// An instance whose action cache only workers may write.
pub const WORKERS_ONLY: &str = "workers-only";

/// A server, its stores behind the scenes, and a connection to it. Stops when dropped.
pub struct Server {
    pub store: Arc<dyn BlobStore>,
    /// As it is, without the check that results are complete.
    pub cache: Arc<dyn ActionCache>,
    pub channel: Channel,
    pub endpoint: Endpoint,
    group: Group,
}

impl Server {
    pub async fn start() -> Self {
        Self::with(memory(64 << 20), StorageOptions::default()).await
    }

    /// Without chunks.
    pub async fn with(store: Arc<dyn BlobStore>, options: StorageOptions) -> Self {
        Self::with_recipes(store, None, options).await
    }

    /// With `recipes` of the same store.
    pub async fn with_recipes(
        store: Arc<dyn BlobStore>,
        recipes: Option<Arc<dyn Recipes>>,
        options: StorageOptions,
    ) -> Self {
        let store = always_has_empty(store);
        let cache = action_cache::memory(64 << 20);
        let instance = |clients_may_update_action_cache| Instance {
            cas: store.clone(),
            recipes: recipes.clone(),
            action_cache: complete_only(cache.clone(), store.clone()),
            actions_are_elsewhere: false,
            clients_may_update_action_cache,
        };
        let names = [("", true), (SLASHED, true), (WORKERS_ONLY, false)];
        let instances: Instances = names
            .into_iter()
            .map(|(name, update)| (InstanceName::new(name).unwrap(), instance(update)))
            .collect();
        let group = Group::new("test server");
        let routes = storage_routes(Arc::new(instances), &group, options);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stopping = group.stopping();
        group.spawn("server", async move {
            let server = tuned(tonic::transport::Server::builder()).add_routes(routes);
            server
                .serve_with_incoming_shutdown(incoming(listener), stopping.cancelled_owned())
                .await
                .unwrap();
        });
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let channel = endpoint.connect().await.unwrap();
        Server {
            store,
            cache,
            channel,
            endpoint,
            group,
        }
    }

    pub fn cas(&self) -> ContentAddressableStorageClient<Channel> {
        ContentAddressableStorageClient::new(self.channel.clone())
    }

    pub fn byte_stream(&self) -> ByteStreamClient<Channel> {
        ByteStreamClient::new(self.channel.clone())
    }

    pub fn action_cache(&self) -> ActionCacheClient<Channel> {
        ActionCacheClient::new(self.channel.clone())
    }

    pub fn capabilities(&self) -> CapabilitiesClient<Channel> {
        CapabilitiesClient::new(self.channel.clone())
    }

    /// Puts a blob behind the scenes.
    pub async fn put(&self, content: impl Into<Bytes>) -> Digest {
        self.put_as(SHA256, content).await
    }

    pub async fn put_as(&self, function: DigestFunction, content: impl Into<Bytes>) -> Digest {
        let blob = Blob::from_bytes(function, content);
        let digest = blob.digest();
        self.store.put(blob).await.unwrap();
        digest
    }

    pub async fn put_message(&self, message: &impl Message) -> Digest {
        self.put(message.encode_to_vec()).await
    }

    /// What the store holds, behind the scenes.
    pub async fn stored(&self, digest: &Digest) -> Option<Bytes> {
        let chunks = self.store.get(digest, ByteRange::FULL).await.unwrap()?;
        let chunks: Vec<Bytes> = chunks.try_collect().await.unwrap();
        Some(chunks.concat().into())
    }

    /// The whole answer of a ByteStream.Read, piece by piece.
    pub async fn read(&self, name: &str, read_offset: i64, read_limit: i64) -> Result<Vec<Bytes>, Status> {
        let request = ReadRequest {
            resource_name: name.to_owned(),
            read_offset,
            read_limit,
        };
        let mut stream = self.byte_stream().read(request).await?.into_inner();
        let mut pieces = Vec::new();
        while let Some(response) = stream.message().await? {
            pieces.push(response.data);
        }
        Ok(pieces)
    }

    pub async fn write(&self, messages: Vec<WriteRequest>) -> Result<WriteResponse, Status> {
        self.byte_stream()
            .write(tokio_stream::iter(messages))
            .await
            .map(tonic::Response::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.group.stop();
    }
}

/// Bytes that do not compress to nothing, different for each seed.
pub fn noise(seed: u64, len: usize) -> Bytes {
    let mut state = seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}

pub fn zstd(content: &Bytes) -> Bytes {
    compression::compress_all(content.clone()).unwrap()
}

/// `{instance/}uploads/{uuid}/blobs/…`
pub fn upload_name(digest: &Digest) -> String {
    upload_name_as(digest, 0, "blobs")
}

pub fn upload_name_as(digest: &Digest, upload: u32, form: &str) -> String {
    format!("uploads/00000000-0000-4000-8000-{upload:012}/{form}/{digest}")
}

/// A message of an upload.
pub fn message(name: &str, write_offset: usize, data: impl Into<Bytes>, finish_write: bool) -> WriteRequest {
    WriteRequest {
        resource_name: name.to_owned(),
        write_offset: write_offset as i64,
        finish_write,
        data: data.into(),
    }
}

/// A whole upload in pieces.
pub fn messages(name: &str, content: &Bytes, piece_len: usize) -> Vec<WriteRequest> {
    let starts: Vec<usize> = (0..content.len().max(1)).step_by(piece_len).collect();
    let cut = starts.iter().map(|start| {
        let end = content.len().min(start + piece_len);
        message(
            if *start == 0 { name } else { "" },
            *start,
            content.slice(*start..end),
            end == content.len(),
        )
    });
    cut.collect()
}

/// Asserts a code and that the message says something.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: Result<T, Status>, code: Code) -> Status {
    let status = result.unwrap_err();
    assert_eq!(status.code(), code, "{status}");
    assert!(!status.message().is_empty());
    status
}

/// The subjects of `MISSING` violations; asserts that there is no other detail.
pub fn missing_subjects(status: &Status) -> Vec<String> {
    let proto = reapi::rpc::Status::decode(status.details()).unwrap();
    assert_eq!(proto.code, status.code() as i32);
    let failures = proto
        .details
        .iter()
        .map(|any| any.to_msg::<reapi::rpc::PreconditionFailure>().unwrap());
    let violations: Vec<_> = failures.flat_map(|failure| failure.violations).collect();
    assert!(violations.iter().all(|violation| violation.r#type == "MISSING"));
    violations
        .into_iter()
        .map(|violation| violation.subject)
        .collect()
}

pub fn digest_of(hash: impl Into<String>, size_bytes: i64) -> proto::Digest {
    proto::Digest {
        hash: hash.into(),
        size_bytes,
    }
}

/// Digests that no digest function has, as a client may send them for a SHA-256 call (checklist G5, G6).
pub fn malformed_digests() -> Vec<proto::Digest> {
    let good = Digest::of(SHA256, b"x").hash_hex();
    vec![
        digest_of(good.to_uppercase(), 1),
        digest_of(&good[1..], 1),
        digest_of(format!("{good}0"), 1),
        digest_of(format!("{}g", &good[1..]), 1),
        digest_of("", 0),
        digest_of("", 1),
        digest_of(&*good, -1),
        digest_of(&*good, i64::MIN),
        digest_of(&*good, 0),
        digest_of("../../../etc/passwd", 4),
    ]
}
