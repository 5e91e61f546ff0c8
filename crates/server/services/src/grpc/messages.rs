//! The messages of a request, cut out of its body without copying them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use futures::stream::{Stream, StreamExt};
use http_body::Body as _;
use tonic::body::Body;
use tonic::{Code, Status};

use super::PREFIX_BYTES;
use super::pieces::Pieces;
use crate::limits::REQUEST_BYTES_MAX;
use crate::status;

/// Each message as the pieces it came in. Holds at most one message of [`REQUEST_BYTES_MAX`] and the frame in which
/// it ends. After an error it ends.
pub(crate) struct Messages {
    /// `None` once it has ended.
    body: Option<Body>,
    /// What came and is not handed out.
    came: Pieces,
    /// Length of the message that is coming, once its prefix is here.
    length: Option<usize>,
}

impl Messages {
    pub(crate) fn new(body: Body) -> Self {
        Messages {
            body: Some(body),
            came: Pieces::default(),
            length: None,
        }
    }

    /// The one message of a call that has one.
    pub(crate) async fn only(mut self) -> Result<Pieces, Status> {
        match self.next().await {
            Some(message) => message,
            None => Err(status::status(
                Code::Internal,
                "the call ended before its request message",
            )),
        }
    }

    /// The next message, if all of it has come.
    fn cut(&mut self) -> Result<Option<Pieces>, Status> {
        let length = match self.length {
            Some(length) => length,
            None if self.came.len() < PREFIX_BYTES => return Ok(None),
            None => {
                let flag = self.came.get_u8();
                if flag != 0 {
                    let why = format!(
                        "a message has the compression flag {flag}, but the call names no grpc-encoding"
                    );
                    return Err(status::status(Code::Internal, why));
                }
                let length = self.came.get_u32() as usize;
                if length > REQUEST_BYTES_MAX {
                    let why = format!("a message of {length} bytes; at most {REQUEST_BYTES_MAX} are taken");
                    return Err(status::status(Code::OutOfRange, why));
                }
                self.length = Some(length);
                length
            }
        };
        if self.came.len() < length {
            return Ok(None);
        }
        self.length = None;
        Ok(Some(self.came.split_to(length)))
    }

    fn ended(&self) -> Result<(), Status> {
        if self.came.is_empty() && self.length.is_none() {
            return Ok(());
        }
        Err(status::status(
            Code::Internal,
            "the call ended in the middle of a message",
        ))
    }
}

impl Stream for Messages {
    type Item = Result<Pieces, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let end = loop {
            match this.cut() {
                Ok(Some(message)) => return Poll::Ready(Some(Ok(message))),
                Ok(None) => {}
                Err(status) => break Err(status),
            }
            let Some(body) = &mut this.body else {
                return Poll::Ready(None);
            };
            match ready!(Pin::new(body).poll_frame(context)) {
                Some(Ok(frame)) => {
                    // Trailers of a request say nothing.
                    if let Ok(data) = frame.into_data() {
                        this.came.push(data);
                    }
                }
                Some(Err(status)) => break Err(status),
                None => break this.ended(),
            }
        };
        this.body = None;
        this.came = Pieces::default();
        this.length = None;
        Poll::Ready(end.err().map(Err))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use futures::executor::block_on;
    use futures::stream::TryStreamExt;
    use http_body::Frame;

    use super::*;

    /// A body that comes in these frames.
    struct Frames(Vec<Bytes>);

    impl http_body::Body for Frames {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let next = (!self.0.is_empty()).then(|| self.0.remove(0));
            Poll::Ready(next.map(|data| Ok(Frame::data(data))))
        }
    }

    fn read(bytes: &[u8], frame_len: usize) -> Result<Vec<Bytes>, Status> {
        let frames = bytes.chunks(frame_len).map(Bytes::copy_from_slice).collect();
        let messages = Messages::new(Body::new(Frames(frames)));
        block_on(messages.map_ok(Pieces::into_bytes).try_collect())
    }

    fn message(payload: &[u8]) -> Vec<u8> {
        [&[0], &(payload.len() as u32).to_be_bytes()[..], payload].concat()
    }

    #[test]
    fn messages_are_found_however_the_frames_are_cut() {
        let payloads = [&b"hello"[..], b"", b"world of bytes"];
        let bytes = payloads.map(message).concat();
        for frame_len in 1..=bytes.len() {
            assert_eq!(read(&bytes, frame_len).unwrap(), payloads, "{frame_len}");
        }
    }

    #[test]
    fn what_is_cut_short_compressed_or_too_long_is_an_error_and_the_end() {
        let whole = message(b"hello");
        for cut in 1..whole.len() {
            assert_eq!(read(&whole[..cut], 3).unwrap_err().code(), Code::Internal);
        }
        let flagged = [&[1], &whole[1..]].concat();
        assert_eq!(read(&flagged, 3).unwrap_err().code(), Code::Internal);
        let length = (REQUEST_BYTES_MAX as u32 + 1).to_be_bytes();
        let too_long = [&[0], &length[..]].concat();
        assert_eq!(read(&too_long, 3).unwrap_err().code(), Code::OutOfRange);

        let frames = Frames(vec![flagged.into(), whole.into()]);
        let mut messages = Messages::new(Body::new(frames));
        block_on(async {
            assert!(messages.next().await.unwrap().is_err());
            assert!(messages.next().await.is_none());
        });
    }

    #[test]
    fn a_call_without_its_message_is_an_error() {
        let empty = block_on(Messages::new(Body::empty()).only());
        assert_eq!(empty.unwrap_err().code(), Code::Internal);
    }
}
