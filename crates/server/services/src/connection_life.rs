//! How the connection ended that a call came over.
//!
//! A call whose stream is dropped has been given up by its client, or was cut off with its connection. For a cache that
//! makes no difference. For an action that runs it does: who pressed Ctrl-C wants it to end, and whose network failed
//! will come back for it. A client that gives up resets its stream, or closes the connection, or is killed, and then its
//! kernel closes it; one that had more to read resets it. Of a network that has failed nothing is heard at all.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tonic::transport::server::Connected;

/// A connection that tells its calls when it is gone.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    life: ConnectionLife,
    /// The other side has said that nothing more comes, or that it is not there any more; or it has said goodbye, and we
    /// close it in order.
    closed: bool,
}

/// In the extensions of every call that came over a [`Socket`].
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
    pub(crate) fn new(stream: TcpStream) -> Self {
        let was_cut = Arc::default();
        Socket {
            stream,
            life: ConnectionLife { was_cut },
            closed: false,
        }
    }

    #[cfg(test)]
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.life.was_cut.store(!self.closed, Ordering::Release);
    }
}

impl Connected for Socket {
    type ConnectInfo = ConnectionLife;

    fn connect_info(&self) -> ConnectionLife {
        self.life.clone()
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.closed |= match &read {
            Poll::Ready(Ok(())) => buffer.filled().len() == filled && buffer.remaining() > 0,
            Poll::Ready(Err(error)) => error.kind() == io::ErrorKind::ConnectionReset,
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
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.closed = true;
        Pin::new(&mut self.stream).poll_shutdown(context)
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
            let mut socket = Socket::new(listener.accept().await.unwrap().0);
            let life = socket.connect_info();
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
        let socket = Socket::new(listener.accept().await.unwrap().0);
        let life = socket.connect_info();
        drop(socket);
        assert!(life.was_cut());
    }
}
