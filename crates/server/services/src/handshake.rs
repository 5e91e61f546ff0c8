//! One port for those who speak TLS and those who do not: the first byte says which it is.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use futures::stream::Stream;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::connection_life::Socket;
use crate::connections::accepted;
use crate::peer::Peer;

/// How long a new connection may take to say what it is, and to prove it.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Connections that are doing so at once; more wait to be accepted.
const HANDSHAKES_MAX: usize = 1024;
/// How TLS begins: a record of the handshake. HTTP/2 begins with a `P`.
const TLS_FIRST_BYTE: u8 = 0x16;

/// How connections may come.
#[derive(Clone)]
pub struct Doors {
    /// For those who speak TLS.
    pub tls: Arc<ServerConfig>,
    /// Whether others may come without it from other machines.
    pub plain_from_afar: bool,
}

/// The connections of a listener, with or without TLS, as each begins. Tuned as by [`incoming`](crate::incoming).
pub fn incoming_by(
    listener: TcpListener,
    doors: Doors,
) -> impl Stream<Item = io::Result<Socket>> + Send + 'static {
    accepted(listener)
        .map(move |accepted| {
            let doors = doors.clone();
            async move {
                let stream = match accepted {
                    Ok(stream) => stream,
                    Err(error) => return Some(Err(error)),
                };
                let peer = stream.peer_addr();
                match tokio::time::timeout(HANDSHAKE_MAX, open(stream, &doors)).await {
                    Ok(Ok(socket)) => return Some(Ok(socket)),
                    Ok(Err(error)) => tracing::info!(?peer, %error, "a connection did not come about"),
                    Err(_elapsed) => tracing::debug!(?peer, "a connection did not begin in time"),
                }
                None
            }
        })
        .buffer_unordered(HANDSHAKES_MAX)
        .filter_map(std::future::ready)
}

async fn open(stream: TcpStream, doors: &Doors) -> io::Result<Socket> {
    let mut first = [0];
    match stream.peek(&mut first).await? {
        0 => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "it was closed before its first byte",
        )),
        _ if first[0] == TLS_FIRST_BYTE => {
            let acceptor = TlsAcceptor::from(doors.tls.clone());
            Ok(Socket::tls(acceptor.accept(stream).await?, SystemTime::now()))
        }
        _ => {
            let socket = Socket::plain(stream);
            match socket.peer() {
                Peer::Plain { is_local: false } if !doors.plain_from_afar => Err(io::Error::other(
                    "it has no TLS, which is wanted of other machines here: write grpcs:// or https:// there",
                )),
                _ => Ok(socket),
            }
        }
    }
}

#[cfg(test)]
mod tests;
