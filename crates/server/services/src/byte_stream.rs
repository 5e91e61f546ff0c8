//! The `google.bytestream.ByteStream` service: blobs of any size, one way or the other, one file per RPC.
//!
//! `write.rs` and `read.rs` are the two journeys, `door.rs` the way to them; `uploads.rs` is what an interrupted upload
//! is kept in, `taken_reads.rs` what becomes of a download that nobody takes. Log streams are read and written by the same calls: `log_stream.rs`.

mod decoding;
mod door;
mod log_stream;
mod query_write_status;
mod read;
mod sequence;
mod taken_reads;
mod upload;
mod uploads;
mod write;
mod write_message;

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use reapi::bytestream::byte_stream_server::ByteStream as ByteStreamService;
use reapi::bytestream::{
    QueryWriteStatusRequest, QueryWriteStatusResponse, ReadRequest, ReadResponse, WriteRequest, WriteResponse,
};
use tonic::{Request, Response, Status, Streaming};

pub(crate) use self::door::ByteStreamDoor;
pub(crate) use self::log_stream::blob_from;
use self::taken_reads::TakenReads;
use self::uploads::Uploads;
use crate::admission::Admission;
use crate::log_streams::LogStreams;
use crate::{Instances, SchedulerActor, request_metadata};

/// The service.
#[derive(Clone)]
pub struct ByteStream {
    instances: Arc<Instances>,
    admission: Admission,
    blob_size_bytes_max: u64,
    uploads: Uploads,
    reads: TakenReads,
    log_streams: LogStreams,
    /// Whose actions' outputs are read here.
    scheduler: Option<SchedulerActor>,
}

impl ByteStream {
    /// Interrupted uploads are watched over by a task of `group`, and so are reads: one whose client takes nothing for
    /// `read_idle_max` is ended.
    pub(crate) fn new(
        instances: Arc<Instances>,
        admission: Admission,
        blob_size_bytes_max: u64,
        read_idle_max: Duration,
        group: &tasks::Group,
        log_streams: LogStreams,
        scheduler: Option<SchedulerActor>,
    ) -> Self {
        ByteStream {
            instances,
            admission,
            blob_size_bytes_max,
            uploads: Uploads::start(group),
            reads: TakenReads::start(group, read_idle_max),
            log_streams,
            scheduler,
        }
    }
}

#[tonic::async_trait]
impl ByteStreamService for ByteStream {
    type ReadStream = BoxStream<'static, Result<ReadResponse, Status>>;

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let header = request_metadata::resource_name(request.metadata());
        let request = request.into_inner();
        request_metadata::check_resource_name(header.as_deref(), &request.resource_name)?;
        let data = read::read(self, request).await?;
        Ok(Response::new(data.map_ok(|data| ReadResponse { data }).boxed()))
    }

    async fn write(
        &self,
        request: Request<Streaming<WriteRequest>>,
    ) -> Result<Response<WriteResponse>, Status> {
        let header = request_metadata::resource_name(request.metadata());
        write::write(self, header.as_deref(), request.into_inner())
            .await
            .map(Response::new)
    }

    async fn query_write_status(
        &self,
        request: Request<QueryWriteStatusRequest>,
    ) -> Result<Response<QueryWriteStatusResponse>, Status> {
        query_write_status::query_write_status(self, request.into_inner())
            .await
            .map(Response::new)
    }
}
