//! Serving at an address of reclient's.

use std::future::Future;
use std::io;
use std::pin::Pin;

use reclient::address::Address;
use tokio::net::{TcpListener, UnixListener};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;

/// Says when to stop.
pub type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Serves until `stop` is there, and then until everything that runs has ended. What is in the way of a Unix socket is
/// removed: whoever calls this has made sure that nobody listens there.
pub async fn serve(address: &Address, routes: Routes, stop: Stop) -> io::Result<()> {
    let server = tonic::transport::Server::builder().add_routes(routes);
    let served = match address {
        Address::Unix(path) => {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            if let Some(directory) = path.parent() {
                std::fs::create_dir_all(directory)?;
            }
            let listener = UnixListenerStream::new(UnixListener::bind(path)?);
            let served = server.serve_with_incoming_shutdown(listener, stop).await;
            // Whoever comes now finds nobody, instead of a socket without anybody behind it.
            let _ = std::fs::remove_file(path);
            served
        }
        Address::Tcp { host, port } => {
            let host = if host.is_empty() { "127.0.0.1" } else { host };
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let listener = TcpListener::bind((host, *port)).await?;
            server
                .serve_with_incoming_shutdown(incoming(listener), stop)
                .await
        }
    };
    served.map_err(io::Error::other)
}

/// Small answers leave at once: without this each may wait 40 ms for the other side.
fn incoming(listener: TcpListener) -> TcpIncoming {
    TcpIncoming::from(listener).with_nodelay(Some(true))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;
    use tokio_stream::StreamExt;

    use super::*;

    #[tokio::test]
    async fn accepted_sockets_send_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let socket = incoming(listener).next().await.unwrap().unwrap();
        assert!(socket.nodelay().unwrap());
    }
}
