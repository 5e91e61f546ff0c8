//! What is set on a server's connections, and why: sockets, windows, frames, ages.
//!
//! The receiver of bytes chooses windows and frame sizes, so these are the numbers of uploads; our client's, for
//! downloads, are in the limits of `cas-remote`. Windows are fixed on purpose: adaptive ones grow by a ping for each
//! estimate and make the memory of a connection unknowable, and hyper quietly ignores fixed ones beside them.

use std::io;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, Stream};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::Server;
use tower::layer::util::{Identity, Stack};

use crate::connection_life::Socket;
use crate::invocations::InvocationLayer;

/// A quiet stream may have this much under way towards the server: the product of a fast network's rate and delay.
const STREAM_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// All streams of one connection together.
const CONNECTION_WINDOW_BYTES: u32 = 32 * 1024 * 1024;
/// The receiver chooses the frame size; large frames more than double the rate of an upload.
const FRAME_BYTES_MAX: u32 = 1024 * 1024;
/// Calls of one connection at the same time.
const STREAMS_MAX: u32 = 1024;
/// Headers of one call.
const HEADERS_BYTES_MAX: u32 = 16 * 1024;
/// A silent connection is asked for a sign of life this often …
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// … and closed when none comes for so long.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection this old takes no new calls, so that load balancers get to choose again. Those under way end in their
/// own time: with a grace, tonic would cut them off without having told the client to go.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(3600);
/// Bytes the kernel keeps for a peer beyond what is on the wire. Without it a slow reader fills megabytes of kernel
/// memory, and a small answer waits behind them.
const UNSENT_BYTES_MAX: u32 = 512 * 1024;
/// How long accepting rests after it failed: mostly there are no file descriptors left, and trying again at once would
/// only burn a core.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// A server's connections, tuned for bytes in bulk and small actions alike, with every call in the scope of its build
/// (see [`cas::Invocation`]). Bring connections by [`incoming`].
pub fn tuned(server: Server) -> Server<Stack<InvocationLayer, Identity>> {
    server
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_header_list_size(HEADERS_BYTES_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_connection_age(CONNECTION_AGE_MAX)
        .layer(InvocationLayer)
}

/// The connections of a listener. Small answers leave at once (`TCP_NODELAY`: without it each may wait 40 ms for the
/// other side), and little waits in the kernel.
pub fn incoming(listener: TcpListener) -> impl Stream<Item = io::Result<Socket>> + Send + 'static {
    accepted(listener).map(|accepted| accepted.map(Socket::plain))
}

/// The same, before anything is known of them.
pub(crate) fn accepted(listener: TcpListener) -> impl Stream<Item = io::Result<TcpStream>> + Send + 'static {
    stream::unfold(listener, |listener| async move {
        let accepted = match listener.accept().await {
            Ok((socket, _)) => tune(&socket).map(|()| socket),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_REST).await;
                Err(error)
            }
        };
        Some((accepted, listener))
    })
}

fn tune(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    SockRef::from(socket).set_tcp_notsent_lowat(UNSENT_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn accepted_sockets_send_at_once_and_keep_little() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut incoming = std::pin::pin!(incoming(listener));
        let socket = incoming.next().await.unwrap().unwrap();
        let socket = socket.stream();
        assert!(socket.nodelay().unwrap());
        let unsent = SockRef::from(socket).tcp_notsent_lowat().unwrap();
        assert_eq!(unsent, UNSENT_BYTES_MAX);
    }
}
