//! How the connection ended that a call came over.
//!
//! A call whose stream is dropped has been given up by its client, or was cut off with its connection. For a cache that
//! makes no difference. For an action that runs it does: who pressed Ctrl-C wants it to end, and whose network failed
//! will come back for it. A client that gives up resets its stream, or closes the connection, or is killed, and then its
//! kernel closes it; one that had more to read resets it. Of a network that has failed nothing is heard at all.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::SystemTime;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::peer::Peer;

/// A connection that tells its calls who is at its other end, and when it is gone.
#[derive(Debug)]
pub struct Socket {
    stream: Stream,
    caller: Caller,
    /// The other side has said that nothing more comes, or that it is not there any more; or it has said goodbye, and we
    /// close it in order.
    closed: bool,
    /// Ends with the certificate that it was opened with: a worker comes back with its next one.
    ends: Option<Pin<Box<Sleep>>>,
}

/// Bytes, with or without TLS around them.
#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// In the extensions of every call that came over a [`Socket`].
#[derive(Clone, Debug)]
pub struct Caller {
    pub(crate) life: ConnectionLife,
    pub(crate) peer: Peer,
}

/// What became of a connection.
#[derive(Clone, Debug)]
pub struct ConnectionLife {
    was_cut: Arc<AtomicBool>,
}

impl ConnectionLife {
    /// Whether the connection is no more, without the other side having closed it.
    pub(crate) fn was_cut(&self) -> bool {
        self.was_cut.load(Ordering::Acquire)
    }
}

impl Socket {
    pub(crate) fn plain(stream: TcpStream) -> Self {
        // Whoever connects from here to an address of here comes from that address.
        let is_local = match (stream.peer_addr(), stream.local_addr()) {
            (Ok(peer), Ok(own)) => peer.ip().to_canonical().is_loopback() || peer.ip() == own.ip(),
            _ => false,
        };
        Socket::new(Stream::Plain(stream), Peer::Plain { is_local })
    }

    /// One whose handshake is done, at `now`.
    pub(crate) fn tls(stream: TlsStream<TcpStream>, now: SystemTime) -> Self {
        let peer = Peer::of(stream.get_ref().1.peer_certificates());
        let ends = peer.ends().and_then(|ends| ends.duration_since(now).ok());
        let mut socket = Socket::new(Stream::Tls(Box::new(stream)), peer);
        socket.ends = ends.map(|left| Box::pin(tokio::time::sleep(left)));
        socket
    }

    fn new(stream: Stream, peer: Peer) -> Self {
        let was_cut = Arc::default();
        Socket {
            stream,
            caller: Caller {
                life: ConnectionLife { was_cut },
                peer,
            },
            closed: false,
            ends: None,
        }
    }

    pub(crate) fn peer(&self) -> &Peer {
        &self.caller.peer
    }

    #[cfg(test)]
    pub(crate) fn stream(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.caller.life.was_cut.store(!self.closed, Ordering::Release);
    }
}

impl Connected for Socket {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(ends) = &mut self.ends
            && ends.as_mut().poll(context).is_ready()
        {
            let message = "the certificate of this connection is no longer good";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)));
        }
        let filled = buffer.filled().len();
        let read = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        self.closed |= match &read {
            Poll::Ready(Ok(())) => buffer.filled().len() == filled && buffer.remaining() > 0,
            // TLS calls it unexpected when the other side's kernel closes and its program could not say goodbye.
            Poll::Ready(Err(error)) => matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof
            ),
            Poll::Pending => false,
        };
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.closed = true;
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;
    use std::time::Duration;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_that_is_closed_is_not_cut() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for resets in [false, true] {
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let mut socket = Socket::plain(listener.accept().await.unwrap().0);
            let life = socket.connect_info().life;
            if resets {
                SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
            }
            drop(client);
            let read = socket.read(&mut [0; 8]).await;
            assert_eq!(read.is_err(), resets, "{read:?}");
            assert!(!life.was_cut());
            drop(socket);
            assert!(!life.was_cut());
        }
        // We give up, for want of a sign of life.
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let socket = Socket::plain(listener.accept().await.unwrap().0);
        let life = socket.connect_info().life;
        drop(socket);
        assert!(life.was_cut());
    }
}
