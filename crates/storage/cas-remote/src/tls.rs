//! Connections inside of TLS, each with the certificates of its time.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, CertificateError, ClientConfig};
use tonic::transport::Uri;
use tower::Service;

/// Whom to trust and what to show.
#[derive(Clone, Debug)]
pub struct RemoteTls {
    /// Taken anew for each connection, so that a certificate can be renewed while the channel lives.
    pub config: watch::Receiver<Arc<ClientConfig>>,
    /// What the server has to be certified as; `None` for the host of the endpoint.
    pub server_name: Option<ServerName<'static>>,
}

/// Makes connections.
#[derive(Clone)]
pub(crate) struct Connector {
    tcp: HttpConnector,
    tls: RemoteTls,
    host: ServerName<'static>,
}

impl Connector {
    /// To this host, as a URL has it. An error if it has no name that could be in a certificate.
    pub(crate) fn new(tls: RemoteTls, host: &str, connect_timeout: Duration) -> Result<Self, String> {
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let host = match &tls.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(bare)
                .map_err(|error| format!("`{host}` cannot be in a certificate: {error}"))?,
        };
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect_timeout));
        Ok(Connector { tcp, tls, host })
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        self.tcp.poll_ready(context).map_err(io::Error::other)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.tcp.call(uri);
        let connector = TlsConnector::from(self.tls.config.borrow().clone());
        let host = self.host.clone();
        Box::pin(async move {
            let stream = connecting.await.map_err(io::Error::other)?.into_inner();
            let secured = connector.connect(host, stream).await;
            Ok(TokioIo::new(secured.map_err(in_words)?))
        })
    }
}

/// What TLS says when it fails is for those who know it; what can be done is for all others.
fn in_words(error: io::Error) -> io::Error {
    let known = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match known {
        // Words of whoever made the settings.
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(ours))) => {
            io::Error::other(ours.0.to_string())
        }
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => io::Error::other(
            "nobody who is trusted here has signed the server's certificate; --tls-ca can name who has",
        ),
        Some(rustls::Error::InvalidMessage(_)) => io::Error::other("what answers there does not speak TLS"),
        _ => error,
    }
}
