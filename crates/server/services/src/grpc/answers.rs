//! Response bodies: payloads go to the connection as they are, behind a few bytes of their own.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::BoxStream;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response};
use http_body::Frame;
use prost::Message;
use prost::encoding::{encode_varint, encoded_len_varint};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::body::Body;
use tonic::{Code, Status};

use super::PREFIX_BYTES;
use crate::status;

/// Payloads below this are copied behind their prefix: one frame costs less than two. Peers also count frames of a
/// few bytes against those that send them, unless larger ones follow.
const JOINED_BYTES_MAX: usize = 16 * 1024;

/// Tag of field 10, with a length: `ReadResponse.data`.
const READ_RESPONSE_DATA: u8 = 10 << 3 | 2;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// A call that failed before it had anything to say: a response of trailers only.
pub(crate) fn refusal(status: Status) -> Response<Body> {
    status.into_http()
}

/// The one message of a call.
pub(crate) fn message(message: &impl Message) -> Response<Body> {
    let length = message.encoded_len();
    let mut frame = prefix(length, length);
    message
        .encode(&mut frame)
        .expect("a BytesMut grows as far as needed");
    encoded(frame.freeze())
}

/// The one message of a call, encoded already, with its prefix.
pub(crate) fn encoded(frame: Bytes) -> Response<Body> {
    response(Answers {
        source: Source::Encoded(Some(frame)),
        payload: None,
        deadline: None,
    })
}

/// A stream of `ReadResponse`s with these data. At `deadline` it ends with DEADLINE_EXCEEDED, as a client that goes on
/// reading is told; a client that does not read has nobody to tell.
pub(crate) fn read_responses(
    data: BoxStream<'static, Result<Bytes, Status>>,
    deadline: Option<Instant>,
) -> Response<Body> {
    response(Answers {
        source: Source::Data(data),
        payload: None,
        deadline: deadline.map(|at| Box::pin(sleep_until(at))),
    })
}

fn response(answers: Answers) -> Response<Body> {
    let mut response = Response::new(Body::new(answers));
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

/// The frames of a response.
struct Answers {
    source: Source,
    /// What follows the prefix that was sent last.
    payload: Option<Bytes>,
    deadline: Option<Pin<Box<Sleep>>>,
}

enum Source {
    Encoded(Option<Bytes>),
    Data(BoxStream<'static, Result<Bytes, Status>>),
    /// The trailers have been sent.
    Over,
}

impl Answers {
    /// The next frame, or how the call ends.
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, Status>> {
        if let Some(payload) = self.payload.take() {
            return Poll::Ready(Ok(payload));
        }
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(context).is_ready()
        {
            let why = "the client's deadline passed before everything was sent";
            return Poll::Ready(Err(status::status(Code::DeadlineExceeded, why)));
        }
        match &mut self.source {
            Source::Encoded(frame) => Poll::Ready(frame.take().ok_or_else(|| Status::ok(""))),
            Source::Over => Poll::Ready(Err(Status::ok(""))),
            Source::Data(data) => match ready!(data.as_mut().poll_next(context)) {
                None => Poll::Ready(Err(Status::ok(""))),
                Some(Err(status)) => Poll::Ready(Err(status)),
                Some(Ok(data)) => {
                    let mut frame = read_response_prefix(data.len());
                    if data.len() <= JOINED_BYTES_MAX {
                        frame.extend_from_slice(&data);
                    } else {
                        self.payload = Some(data);
                    }
                    Poll::Ready(Ok(frame.freeze()))
                }
            },
        }
    }
}

impl http_body::Body for Answers {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if matches!(self.source, Source::Over) {
            return Poll::Ready(None);
        }
        match ready!(self.poll_data(context)) {
            Ok(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Err(end) => {
                self.source = Source::Over;
                let mut trailers = HeaderMap::new();
                Poll::Ready(Some(match end.add_header(&mut trailers) {
                    Ok(()) => Ok(Frame::trailers(trailers)),
                    Err(unsendable) => Err(unsendable),
                }))
            }
        }
    }
}

/// The prefix of a message of `length` bytes, with room for `more` after it.
pub(crate) fn prefix(length: usize, more: usize) -> BytesMut {
    let mut frame = BytesMut::with_capacity(PREFIX_BYTES + more);
    frame.put_u8(0);
    // Messages are a few MiB at most.
    frame.put_u32(length as u32);
    frame
}

/// Everything of a `ReadResponse` that comes before its data; without data it has no field at all.
fn read_response_prefix(data_len: usize) -> BytesMut {
    if data_len == 0 {
        return prefix(0, 0);
    }
    let field_bytes = 1 + encoded_len_varint(data_len as u64);
    let joined = if data_len <= JOINED_BYTES_MAX { data_len } else { 0 };
    let mut frame = prefix(field_bytes + data_len, field_bytes + joined);
    frame.put_u8(READ_RESPONSE_DATA);
    encode_varint(data_len as u64, &mut frame);
    frame
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::stream::{self, StreamExt};
    use http_body::Body as _;
    use reapi::bytestream::{ReadResponse, WriteResponse};

    use super::*;

    /// Data frames and, at the end, the status.
    async fn frames(response: Response<Body>) -> (Vec<Bytes>, Status) {
        let mut body = std::pin::pin!(response.into_body());
        let mut data = Vec::new();
        loop {
            let next = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await;
            match next.expect("trailers come first").unwrap().into_data() {
                Ok(frame) => data.push(frame),
                Err(frame) => {
                    let trailers = frame.into_trailers().expect("the other kind");
                    let end = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await;
                    assert!(end.is_none());
                    return (data, Status::from_header_map(&trailers).unwrap());
                }
            }
        }
    }

    #[tokio::test]
    async fn what_is_written_by_hand_is_what_the_generated_code_writes() {
        for len in [0, 1, 127, 128, JOINED_BYTES_MAX, JOINED_BYTES_MAX + 1, 3 << 20] {
            let data = Bytes::from(vec![7; len]);
            let response = read_responses(stream::iter([Ok(data.clone())]).boxed(), None);
            let (frames, status) = frames(response).await;
            assert_eq!(status.code(), Code::Ok);
            let message = ReadResponse { data: data.clone() }.encode_to_vec();
            let expected = [&[0], &(message.len() as u32).to_be_bytes()[..], &message].concat();
            assert!(frames.concat() == expected, "{len}");
            // The payload is the store's own bytes.
            if len > JOINED_BYTES_MAX {
                assert_eq!(frames[1].as_ptr(), data.as_ptr());
            }
        }
        let written = WriteResponse { committed_size: -1 };
        let (frames, status) = frames(message(&written)).await;
        assert_eq!((frames.len(), status.code()), (1, Code::Ok));
        assert_eq!(
            WriteResponse::decode(&frames[0][PREFIX_BYTES..]).unwrap(),
            written
        );
    }

    #[tokio::test]
    async fn an_error_ends_it_with_its_details() {
        let error = status::overloaded("full");
        let data = [Ok(Bytes::from_static(b"first")), Err(error.clone())];
        let (frames, status) = frames(read_responses(stream::iter(data).boxed(), None)).await;
        assert_eq!(frames.len(), 1);
        assert_eq!(
            (status.code(), status.message(), status.details()),
            (error.code(), error.message(), error.details())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_ends_a_store_that_says_nothing() {
        let deadline = Instant::now() + Duration::from_secs(3);
        let (frames, status) = frames(read_responses(stream::pending().boxed(), Some(deadline))).await;
        assert!(frames.is_empty());
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_eq!(Instant::now(), deadline);
    }
}
