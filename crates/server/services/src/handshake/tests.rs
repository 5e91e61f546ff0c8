use std::net::SocketAddr;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use trust::{Authority, CertificateRequest, known, server_config, stranger};

use super::*;

type Incoming = std::pin::Pin<Box<dyn Stream<Item = io::Result<Socket>> + Send>>;

async fn listening(authority: &Authority) -> (SocketAddr, Incoming) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = Arc::new(server_config(authority, None, SystemTime::now()).unwrap());
    let doors = Doors {
        tls,
        plain_from_afar: true,
    };
    (address, Box::pin(incoming_by(listener, doors)))
}

async fn next(incoming: &mut Incoming) -> Socket {
    let next = tokio::time::timeout(Duration::from_secs(10), incoming.next());
    next.await.expect("in time").unwrap().unwrap()
}

async fn connected(address: SocketAddr, config: ClientConfig) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(trust::SERVER_NAME).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap()
}

fn worker(authority: &Authority, lifetime: Duration) -> ClientConfig {
    let request = CertificateRequest::new().unwrap();
    let signed = authority
        .certify(request.der(), "a", SystemTime::now(), lifetime)
        .unwrap();
    let (signed, by) = (signed.to_vec(), authority.certificate().to_vec());
    known(&request.granted(signed, by, authority.fingerprint()).unwrap()).unwrap()
}

#[tokio::test]
async fn each_comes_in_as_who_it_is_and_the_silent_hold_up_nobody() {
    let authority = Authority::new(SystemTime::now()).unwrap();
    let (address, mut incoming) = listening(&authority).await;
    let _silent = TcpStream::connect(address).await.unwrap();
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"PRI").await.unwrap();
    let mut socket = next(&mut incoming).await;
    assert_eq!(*socket.peer(), Peer::Plain { is_local: true });
    let mut read = [0; 3];
    socket.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"PRI", "nothing was taken away");

    let nobody = stranger(authority.fingerprint()).unwrap();
    let (_client, socket) = tokio::join!(connected(address, nobody), next(&mut incoming));
    assert_eq!(*socket.peer(), Peer::Tls { worker: None });
    let hour = Duration::from_secs(3600);
    let (mut client, mut socket) =
        tokio::join!(connected(address, worker(&authority, hour)), next(&mut incoming));
    assert_eq!(socket.peer().certified_name(SystemTime::now()), Some("a"));
    client.write_all(b"hello").await.unwrap();
    let mut read = [0; 5];
    socket.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"hello");

    // As when it is killed: no goodbye of TLS. That is no cut.
    let life = tonic::transport::server::Connected::connect_info(&socket).life;
    drop(client.into_inner().0);
    socket.read(&mut read).await.unwrap_err();
    drop(socket);
    assert!(!life.was_cut());
}

#[tokio::test]
async fn a_connection_ends_with_its_certificate() {
    let authority = Authority::new(SystemTime::now()).unwrap();
    let (address, mut incoming) = listening(&authority).await;
    let soon = Duration::from_secs(2);
    let (_client, mut socket) =
        tokio::join!(connected(address, worker(&authority, soon)), next(&mut incoming));
    let read = tokio::time::timeout(Duration::from_secs(10), socket.read_u8());
    let error = read.await.expect("it ends").unwrap_err();
    assert!(error.to_string().contains("no longer good"), "{error}");
    // One that comes with such a certificate is told so by the services.
    let config = worker(&authority, Duration::ZERO);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let (mut client, mut socket) = tokio::join!(connected(address, config), next(&mut incoming));
    client.write_all(b"x").await.unwrap();
    assert_eq!(socket.read_u8().await.unwrap(), b'x');
    assert_eq!(socket.peer().certified_name(SystemTime::now()), None);
}
