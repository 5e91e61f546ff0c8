//! The way in and out of `Read` and `Write`: by hand, so that no byte of a blob is copied between the connection and
//! the store. Everything else goes to the generated server.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, FutureExt};
use futures::stream::TryStreamExt;
use http::{Request, Response};
use prost::Message;
use reapi::bytestream::ReadRequest;
use reapi::bytestream::byte_stream_server::{ByteStreamServer, SERVICE_NAME};
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tonic::{Status, codegen::Service};

use super::write_message::WriteMessage;
use super::{ByteStream, read, write};
use crate::grpc::messages::Messages;
use crate::grpc::{answers, deadline, is_compressed, wire};
use crate::limits::{REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX};
use crate::request_metadata;

const READ: &str = "/google.bytestream.ByteStream/Read";
const WRITE: &str = "/google.bytestream.ByteStream/Write";

/// The service as a route.
#[derive(Clone)]
pub(crate) struct ByteStreamDoor {
    byte_stream: ByteStream,
    generated: ByteStreamServer<ByteStream>,
}

impl ByteStreamDoor {
    pub(crate) fn new(byte_stream: ByteStream) -> Self {
        let generated = ByteStreamServer::new(byte_stream.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(REQUEST_BYTES_MAX)
            .max_encoding_message_size(RESPONSE_BYTES_MAX);
        ByteStreamDoor {
            byte_stream,
            generated,
        }
    }
}

impl NamedService for ByteStreamDoor {
    const NAME: &'static str = SERVICE_NAME;
}

impl Service<Request<Body>> for ByteStreamDoor {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let service = self.byte_stream.clone();
        match request.uri().path() {
            READ if !is_compressed(&request) => async move {
                Ok(serve_read(&service, request)
                    .await
                    .unwrap_or_else(answers::refusal))
            }
            .boxed(),
            WRITE if !is_compressed(&request) => async move {
                Ok(serve_write(&service, request)
                    .await
                    .unwrap_or_else(answers::refusal))
            }
            .boxed(),
            _ => self.generated.call(request),
        }
    }
}

async fn serve_read(service: &ByteStream, request: Request<Body>) -> Result<Response<Body>, Status> {
    let (head, body) = request.into_parts();
    let deadline = deadline::of(&head.headers);
    let message = Messages::new(body).only().await?;
    let request = ReadRequest::decode(message).map_err(wire::malformed)?;
    let metadata = MetadataMap::from_headers(head.headers);
    request_metadata::check_resource_name(
        request_metadata::resource_name(&metadata).as_deref(),
        &request.resource_name,
    )?;
    let data = read::read(service, request).await?;
    Ok(answers::read_responses(data, deadline))
}

async fn serve_write(service: &ByteStream, request: Request<Body>) -> Result<Response<Body>, Status> {
    let (head, body) = request.into_parts();
    let metadata = MetadataMap::from_headers(head.headers);
    let header = request_metadata::resource_name(&metadata);
    let messages = Messages::new(body).and_then(async |message| WriteMessage::decode(message));
    let messages = std::pin::pin!(messages);
    let response = write::write(service, header.as_deref(), messages).await?;
    Ok(answers::message(&response))
}
