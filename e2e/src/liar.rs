//! A server that answers wrongly, slowly or not at all.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use prost_types::Any;
use reapi::bytestream::byte_stream_server::{ByteStream, ByteStreamServer};
use reapi::bytestream::{
    QueryWriteStatusRequest, QueryWriteStatusResponse, ReadRequest, ReadResponse, WriteRequest, WriteResponse,
};
use reapi::execution::action_cache_server::{ActionCache, ActionCacheServer};
use reapi::execution::capabilities_server::{Capabilities, CapabilitiesServer};
use reapi::execution::content_addressable_storage_server::{
    ContentAddressableStorage, ContentAddressableStorageServer,
};
use reapi::execution::execution_server::{Execution, ExecutionServer};
use reapi::execution::{self as proto, ActionResult, Digest, ExecuteResponse, OutputFile};
use reapi::longrunning::{Operation, operation};
use reapi::rpc::Status as RpcStatus;
use reapi::semver::SemVer;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status};

/// What is said to be the object that the command makes. None of it may ever be seen.
const FALSE: &[u8] = b"this is no object, and whoever writes it has believed a liar";
/// The object, as the command names it.
pub const OBJECT: &str = "a.o";

/// How a server is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Other bytes than the digest says.
    OtherBytes,
    /// The beginning of what the digest says.
    Truncated,
    /// A result that refers to what nobody has.
    NoSuchBlob,
    /// A result without the output.
    OutputMissing,
    /// A result with another output.
    OtherOutput,
    /// A digest with another size.
    OtherSize,
    /// A digest that is none.
    NoDigest,
    /// It does not answer who asks for a result.
    SlowResults,
    /// It does not answer who asks for a blob.
    SlowBlobs,
    /// It takes nothing.
    Full,
}

/// Who tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teller {
    /// Its action cache.
    ActionCache,
    /// Its workers.
    Execution,
}

/// A server that tells one lie.
#[derive(Clone)]
pub struct Liar {
    /// Which.
    pub lie: Lie,
    /// Where.
    pub teller: Teller,
    /// How often somebody has heard it.
    heard: Arc<AtomicUsize>,
}

impl Liar {
    /// Nobody has heard it yet.
    pub fn new(lie: Lie, teller: Teller) -> Self {
        Liar {
            lie,
            teller,
            heard: Arc::default(),
        }
    }

    /// How often somebody has asked where it lies.
    pub fn heard(&self) -> usize {
        self.heard.load(Ordering::Relaxed)
    }

    fn is_heard(&self) {
        self.heard.fetch_add(1, Ordering::Relaxed);
    }

    fn result(&self) -> ActionResult {
        let hash: String = Sha256::digest(FALSE)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let digest = match self.lie {
            Lie::NoDigest => Digest {
                hash: "none".to_owned(),
                size_bytes: -1,
            },
            Lie::OtherSize => Digest {
                hash,
                size_bytes: FALSE.len() as i64 + 1,
            },
            // Nobody has the contents, whatever they would be.
            Lie::NoSuchBlob => Digest {
                hash: "0".repeat(64),
                size_bytes: 10,
            },
            _ => Digest {
                hash,
                size_bytes: FALSE.len() as i64,
            },
        };
        let path = match self.lie {
            Lie::OtherOutput => "../../other",
            _ => OBJECT,
        };
        let output = OutputFile {
            path: path.to_owned(),
            digest: Some(digest),
            ..OutputFile::default()
        };
        ActionResult {
            output_files: match self.lie {
                Lie::OutputMissing => Vec::new(),
                _ => vec![output],
            },
            ..ActionResult::default()
        }
    }

    /// What it says of a blob.
    async fn blob(&self) -> Result<Vec<u8>, Status> {
        match self.lie {
            Lie::Truncated => Ok(FALSE[..FALSE.len() / 2].to_vec()),
            Lie::NoSuchBlob => Err(Status::not_found("there is no such blob")),
            Lie::SlowBlobs => never().await,
            // As long, and something else.
            Lie::OtherBytes => Ok(FALSE.iter().map(u8::to_ascii_uppercase).collect()),
            _ => Ok(FALSE.to_vec()),
        }
    }
}

async fn never<T>() -> T {
    std::future::pending().await
}

type Answer<T> = Result<Response<T>, Status>;
type Streamed<T> = tokio_stream::Iter<std::vec::IntoIter<Result<T, Status>>>;

fn streamed<T>(item: T) -> Answer<Streamed<T>> {
    Ok(Response::new(tokio_stream::iter(vec![Ok(item)])))
}

#[tonic::async_trait]
impl Capabilities for Liar {
    async fn get_capabilities(
        &self,
        _: Request<proto::GetCapabilitiesRequest>,
    ) -> Answer<proto::ServerCapabilities> {
        let function = proto::digest_function::Value::Sha256 as i32;
        let version = |minor| SemVer {
            major: 2,
            minor,
            ..SemVer::default()
        };
        Ok(Response::new(proto::ServerCapabilities {
            cache_capabilities: Some(proto::CacheCapabilities {
                digest_functions: vec![function],
                action_cache_update_capabilities: Some(proto::ActionCacheUpdateCapabilities {
                    update_enabled: true,
                }),
                ..proto::CacheCapabilities::default()
            }),
            execution_capabilities: Some(proto::ExecutionCapabilities {
                digest_function: function,
                digest_functions: vec![function],
                exec_enabled: true,
                ..proto::ExecutionCapabilities::default()
            }),
            low_api_version: Some(version(0)),
            high_api_version: Some(version(3)),
            ..proto::ServerCapabilities::default()
        }))
    }
}

#[tonic::async_trait]
impl ActionCache for Liar {
    async fn get_action_result(&self, _: Request<proto::GetActionResultRequest>) -> Answer<ActionResult> {
        match (self.teller, self.lie) {
            (Teller::Execution, _) | (_, Lie::Full) => Err(Status::not_found("not known")),
            (Teller::ActionCache, Lie::SlowResults) => {
                self.is_heard();
                never().await
            }
            (Teller::ActionCache, _) => {
                self.is_heard();
                Ok(Response::new(self.result()))
            }
        }
    }

    async fn update_action_result(
        &self,
        request: Request<proto::UpdateActionResultRequest>,
    ) -> Answer<ActionResult> {
        match self.lie {
            Lie::Full => Err(full()),
            _ => Ok(Response::new(
                request.into_inner().action_result.unwrap_or_default(),
            )),
        }
    }
}

fn full() -> Status {
    Status::resource_exhausted("no room")
}

#[tonic::async_trait]
impl ContentAddressableStorage for Liar {
    async fn find_missing_blobs(
        &self,
        request: Request<proto::FindMissingBlobsRequest>,
    ) -> Answer<proto::FindMissingBlobsResponse> {
        let missing_blob_digests = match self.lie {
            // What it will not take.
            Lie::Full => request.into_inner().blob_digests,
            // It has everything, it says.
            _ => Vec::new(),
        };
        Ok(Response::new(proto::FindMissingBlobsResponse {
            missing_blob_digests,
        }))
    }

    async fn batch_update_blobs(
        &self,
        request: Request<proto::BatchUpdateBlobsRequest>,
    ) -> Answer<proto::BatchUpdateBlobsResponse> {
        let code = match self.lie {
            Lie::Full => {
                self.is_heard();
                Code::ResourceExhausted
            }
            _ => Code::Ok,
        };
        let taken = request.into_inner().requests.into_iter();
        let responses = taken.map(|blob| proto::batch_update_blobs_response::Response {
            digest: blob.digest,
            status: Some(RpcStatus {
                code: code as i32,
                ..RpcStatus::default()
            }),
        });
        Ok(Response::new(proto::BatchUpdateBlobsResponse {
            responses: responses.collect(),
        }))
    }

    async fn batch_read_blobs(
        &self,
        request: Request<proto::BatchReadBlobsRequest>,
    ) -> Answer<proto::BatchReadBlobsResponse> {
        let mut responses = Vec::new();
        for digest in request.into_inner().digests {
            let (data, code) = match self.blob().await {
                Ok(bytes) => (bytes, Code::Ok),
                Err(status) => (Vec::new(), status.code()),
            };
            responses.push(proto::batch_read_blobs_response::Response {
                digest: Some(digest),
                data: data.into(),
                status: Some(RpcStatus {
                    code: code as i32,
                    ..RpcStatus::default()
                }),
                ..proto::batch_read_blobs_response::Response::default()
            });
        }
        Ok(Response::new(proto::BatchReadBlobsResponse { responses }))
    }

    type GetTreeStream = Streamed<proto::GetTreeResponse>;

    async fn get_tree(&self, _: Request<proto::GetTreeRequest>) -> Answer<Self::GetTreeStream> {
        Err(Status::unimplemented("not here"))
    }

    async fn split_blob(&self, _: Request<proto::SplitBlobRequest>) -> Answer<proto::SplitBlobResponse> {
        Err(Status::unimplemented("not here"))
    }

    async fn splice_blob(&self, _: Request<proto::SpliceBlobRequest>) -> Answer<proto::SpliceBlobResponse> {
        Err(Status::unimplemented("not here"))
    }
}

#[tonic::async_trait]
impl ByteStream for Liar {
    type ReadStream = Streamed<ReadResponse>;

    async fn read(&self, _: Request<ReadRequest>) -> Answer<Self::ReadStream> {
        let data = self.blob().await?.into();
        streamed(ReadResponse { data })
    }

    async fn write(&self, request: Request<tonic::Streaming<WriteRequest>>) -> Answer<WriteResponse> {
        if self.lie == Lie::Full {
            self.is_heard();
            return Err(full());
        }
        let mut pieces = request.into_inner();
        let mut committed_size = 0;
        while let Some(piece) = pieces.message().await? {
            committed_size += piece.data.len() as i64;
        }
        Ok(Response::new(WriteResponse { committed_size }))
    }

    async fn query_write_status(
        &self,
        _: Request<QueryWriteStatusRequest>,
    ) -> Answer<QueryWriteStatusResponse> {
        Err(Status::not_found("no such upload"))
    }
}

#[tonic::async_trait]
impl Execution for Liar {
    type ExecuteStream = Streamed<Operation>;

    async fn execute(&self, _: Request<proto::ExecuteRequest>) -> Answer<Self::ExecuteStream> {
        self.is_heard();
        if self.lie == Lie::Full {
            return Err(full());
        }
        let response = ExecuteResponse {
            result: Some(self.result()),
            ..ExecuteResponse::default()
        };
        let packed = Any::from_msg(&response).map_err(|error| Status::internal(error.to_string()))?;
        streamed(Operation {
            name: "operations/1".to_owned(),
            done: true,
            result: Some(operation::Result::Response(packed)),
            ..Operation::default()
        })
    }

    type WaitExecutionStream = Streamed<Operation>;

    async fn wait_execution(
        &self,
        _: Request<proto::WaitExecutionRequest>,
    ) -> Answer<Self::WaitExecutionStream> {
        Err(Status::not_found("no such operation"))
    }
}

/// A liar that listens; it ends with this.
pub struct Listening {
    /// Where.
    pub address: SocketAddr,
    end: Option<oneshot::Sender<Infallible>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Listening {
    /// Listens on a port of this machine.
    pub fn start(liar: Liar) -> Result<Self> {
        let runtime = tokio::runtime::Runtime::new()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let (end, ended) = oneshot::channel::<Infallible>();
        let thread = std::thread::spawn(move || {
            let serving = tonic::transport::Server::builder()
                .add_service(CapabilitiesServer::new(liar.clone()))
                .add_service(ActionCacheServer::new(liar.clone()))
                .add_service(ContentAddressableStorageServer::new(liar.clone()))
                .add_service(ByteStreamServer::new(liar.clone()))
                .add_service(ExecutionServer::new(liar.clone()))
                .serve_with_incoming(TcpListenerStream::new(listener));
            runtime.block_on(async {
                tokio::select! {
                    served = serving => served.expect("the liar can be served"),
                    // The sender is only ever dropped.
                    _ = ended => {}
                }
            });
            // Calls that are never answered have no end.
            runtime.shutdown_background();
        });
        Ok(Listening {
            address,
            end: Some(end),
            thread: Some(thread),
        })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
