//! Both sides of TLS, with bytes passed from hand to hand.

use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, ServerConnection};

use super::*;
use crate::{CertificateRequest, Identity, known, shown, stranger};

const DAY: Duration = Duration::from_secs(24 * 3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn identity(authority: &Authority, name: &str) -> Identity {
    let request = CertificateRequest::new().unwrap();
    let certificate = authority.certify(request.der(), name, noon(), WEEK).unwrap();
    let certificate = certificate.to_vec();
    request
        .granted(
            certificate,
            authority.certificate().to_vec(),
            authority.fingerprint(),
        )
        .unwrap()
}

#[derive(Debug)]
struct Clock(SystemTime);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix(self.0))
    }
}

/// Whose certificate the server has seen at the end, or what either side says.
fn shake(
    mut client: ClientConfig,
    mut server: ServerConfig,
    at: SystemTime,
) -> Result<Option<String>, String> {
    client.time_provider = Arc::new(Clock(at));
    server.time_provider = Arc::new(Clock(at));
    shake_as_set(client, server)
}

fn shake_as_set(client: ClientConfig, server: ServerConfig) -> Result<Option<String>, String> {
    let name = ServerName::try_from(SERVER_NAME).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    // Two round trips are enough for either version of TLS.
    for _ in 0..4 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        server.read_tls(&mut &*wire).unwrap();
        server
            .process_new_packets()
            .map_err(|error| format!("server: {error}"))?;
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut &*wire).unwrap();
        client
            .process_new_packets()
            .map_err(|error| format!("client: {}", in_words(&error)))?;
    }
    assert!(!server.is_handshaking() && !client.is_handshaking());
    assert_eq!(server.alpn_protocol(), Some(ALPN_H2));
    let shown = server.peer_certificates().and_then(|chain| chain.first());
    Ok(shown.map(|certificate| standing(certificate).unwrap().name))
}

/// What whoever connects tells people.
fn in_words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(rustls::CertificateError::Other(ours)) => ours.0.to_string(),
        error => error.to_string(),
    }
}

#[test]
fn a_stranger_comes_in_as_nobody_and_a_worker_by_its_name() {
    let authority = Authority::new(noon()).unwrap();
    let server = || server_config(&authority, None, noon()).unwrap();
    let nobody = stranger(authority.fingerprint()).unwrap();
    assert_eq!(shake(nobody, server(), noon()), Ok(None));
    let worker = identity(&authority, "höst-1 (2)");
    let worker = Identity::from_pem(&worker.to_pem()).unwrap();
    assert_eq!(worker.standing().not_after, noon() + WEEK);
    let came = shake(known(&worker).unwrap(), server(), noon());
    assert_eq!(came, Ok(Some("höst-1 (2)".to_owned())));
    // Whether it is still good is not for TLS to say.
    let came = shake(known(&worker).unwrap(), server(), noon() + WEEK + DAY);
    assert_eq!(came, Ok(Some("höst-1 (2)".to_owned())));
}

#[test]
fn an_authority_survives_its_file_and_another_one_is_not_trusted() {
    let authority = Authority::new(noon()).unwrap();
    let again = Authority::from_pem(authority.to_pem()).unwrap();
    assert_eq!(again.fingerprint(), authority.fingerprint());
    let worker = identity(&authority, "a");
    let server = server_config(&again, None, noon()).unwrap();
    assert_eq!(
        shake(known(&worker).unwrap(), server, noon()),
        Ok(Some("a".to_owned()))
    );

    let other = Authority::new(noon()).unwrap();
    let server = || server_config(&other, None, noon()).unwrap();
    let error = shake(known(&worker).unwrap(), server(), noon()).unwrap_err();
    assert!(
        error.starts_with("client: ") && error.contains("not the server that the token is for"),
        "{error}"
    );
    // One who trusts the server, but whom the server has no reason to trust.
    let (chain, key) = worker.shown();
    let mut client = stranger(other.fingerprint()).unwrap();
    let resolver =
        rustls::sign::SingleCertAndKey::from(CertifiedKey::from_der(chain, key, &provider()).unwrap());
    client.client_auth_cert_resolver = Arc::new(resolver);
    let error = shake(client, server(), noon()).unwrap_err();
    assert!(error.starts_with("server: "), "{error}");
}

#[test]
fn a_worker_cannot_pass_for_the_server_nor_the_server_for_a_worker() {
    let authority = Authority::new(noon()).unwrap();
    let (mut chain, key) = identity(&authority, SERVER_NAME).shown();
    chain.push(authority.certificate().clone());
    let mut false_server = server_config(&authority, None, noon()).unwrap();
    let key = certified("x", chain, key).unwrap();
    false_server.cert_resolver = Arc::new(ByName {
        workers: key,
        clients: None,
    });
    let error = shake(stranger(authority.fingerprint()).unwrap(), false_server, noon()).unwrap_err();
    assert!(error.starts_with("client: "), "{error}");

    let ServerIdentity { chain, key } = authority.server_identity(noon()).unwrap();
    let mut false_worker = stranger(authority.fingerprint()).unwrap();
    let resolver =
        rustls::sign::SingleCertAndKey::from(CertifiedKey::from_der(chain, key, &provider()).unwrap());
    false_worker.client_auth_cert_resolver = Arc::new(resolver);
    let server = server_config(&authority, None, noon()).unwrap();
    let error = shake(false_worker, server, noon()).unwrap_err();
    assert!(error.starts_with("server: "), "{error}");
}

#[test]
fn a_clock_that_is_off_is_named() {
    let authority = Authority::new(noon()).unwrap();
    let server = || server_config(&authority, None, noon()).unwrap();
    let nobody = || stranger(authority.fingerprint()).unwrap();
    assert_eq!(shake(nobody(), server(), noon() - DAY / 2), Ok(None), "a little");
    let late = noon() - 2 * DAY;
    let error = shake(nobody(), server(), late).unwrap_err();
    assert!(
        error.contains("set the clock here") && error.contains(&shown(late)),
        "{error}"
    );
}

#[test]
fn clients_are_shown_the_certificate_that_is_for_them() {
    let authority = Authority::new(noon()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["build.example.org".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let door = front_door(&certificate.pem(), &key.serialize_pem()).unwrap();
    let server = server_config(&authority, Some(door), SystemTime::now()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("build.example.org").unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server_side = ServerConnection::new(Arc::new(server)).unwrap();
    for _ in 0..4 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        server_side.read_tls(&mut &*wire).unwrap();
        server_side.process_new_packets().unwrap();
        let mut wire = Vec::new();
        while server_side.wants_write() {
            server_side.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut &*wire).unwrap();
        client.process_new_packets().unwrap();
    }
    assert!(!client.is_handshaking() && !server_side.is_handshaking());

    let other = rcgen::KeyPair::generate().unwrap();
    let error = front_door(&certificate.pem(), &other.serialize_pem()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the certificate for clients cannot be read"),
        "{error}"
    );
}

#[test]
fn a_request_that_proves_nothing_is_refused() {
    let authority = Authority::new(noon()).unwrap();
    let request = CertificateRequest::new().unwrap();
    let mut forged = request.der().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    for (der, name) in [
        (&b"what?"[..], "a"),
        (&forged, "a"),
        (request.der(), ""),
        (request.der(), "a\nb"),
    ] {
        let refused = authority.certify(der, name, noon(), WEEK);
        assert!(
            matches!(refused, Err(TrustError::Request { .. })),
            "{name:?}: {refused:?}"
        );
    }
    // What another authority signed, or what is signed for another key, is not taken.
    let granted = request.granted(
        vec![1, 2, 3],
        authority.certificate().to_vec(),
        authority.fingerprint(),
    );
    assert!(matches!(granted, Err(TrustError::Answer { .. })));
}

/// What a stranger shows is looked at before it is known to be nobody's.
#[test]
fn a_certificate_that_ends_before_it_begins_is_refused_like_any_other_stranger_s() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "stranger");
    (params.not_before, params.not_after) = ((noon() + WEEK).into(), noon().into());
    let certificate = params.self_signed(&key).unwrap();
    let authority = Authority::new(noon()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone()).unwrap();
    let ours = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let verifier = AtAnyTime(ours.build().unwrap());
    for now in [noon() - DAY, noon() + DAY, noon() + WEEK + DAY] {
        let refused = verifier.verify_client_cert(certificate.der(), &[], unix(now));
        assert!(refused.is_err());
    }
}
