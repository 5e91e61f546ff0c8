//! Who is at the other end of a connection, and what workers may do because of it.

use std::time::SystemTime;

use tokio_rustls::rustls::pki_types::CertificateDer;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};
use trust::{Standing, shown, standing};

use crate::connection_life::Caller;
use crate::workers::equal_in_constant_time;

/// What a connection says of whoever made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Anybody.
    Plain {
        /// On this machine.
        is_local: bool,
    },
    /// Somebody who knows that this is the server, and whom nobody can listen to.
    Tls {
        /// Whom the server's authority has signed for, if it has. The certificate may have ended since.
        worker: Option<Standing>,
    },
}

/// Who takes work.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// The worker that the server has started itself.
    Own,
    /// One with a certificate for this name.
    Certified {
        /// Of the worker.
        name: String,
    },
}

impl Peer {
    /// Of a connection over TLS, whose certificates the handshake has checked.
    pub(crate) fn of(certificates: Option<&[CertificateDer<'_>]>) -> Peer {
        let shown = certificates.and_then(<[_]>::first);
        Peer::Tls {
            worker: shown.and_then(|certificate| standing(certificate).ok()),
        }
    }

    /// Of a call. One that has come by some other way is anybody.
    pub(crate) fn of_call<T>(request: &Request<T>) -> Peer {
        match request.extensions().get::<Caller>() {
            Some(caller) => caller.peer.clone(),
            None => Peer::Plain { is_local: false },
        }
    }

    /// When it is nobody any more.
    pub(crate) fn ends(&self) -> Option<SystemTime> {
        match self {
            Peer::Tls { worker: Some(worker) } => Some(worker.not_after),
            _ => None,
        }
    }

    /// Whether somebody with the secret of the join token may show it here. Elsewhere it would be no secret any more.
    pub(crate) fn keeps_secrets(&self) -> bool {
        !matches!(self, Peer::Plain { is_local: false })
    }

    /// The name in a certificate that is good at this time.
    pub(crate) fn certified_name(&self, now: SystemTime) -> Option<&str> {
        match self {
            Peer::Tls { worker: Some(worker) } if worker.is_good_at(now) => Some(&worker.name),
            _ => None,
        }
    }
}

/// Who may take work: a worker with a certificate, or the server's own with its own token. The token that brings a worker
/// in is not enough.
pub(crate) fn admit(
    peer: &Peer,
    bearer: Option<&[u8]>,
    own_token: &str,
    now: SystemTime,
) -> Result<Admitted, Status> {
    match peer {
        Peer::Tls { worker: Some(worker) } => match worker.is_good_at(now) {
            true => Ok(Admitted::Certified {
                name: worker.name.clone(),
            }),
            false => Err(Status::unauthenticated(format!(
                "the certificate of worker `{}` is good from {} to {}, and here it is {}. If that is the time, start the \
                 worker with its --token to get another; if not, set the clock",
                worker.name,
                shown(worker.not_before),
                shown(worker.not_after),
                shown(now)
            ))),
        },
        Peer::Tls { worker: None } => Err(Status::unauthenticated(
            "work is for workers with a certificate; `farrier join` gets one with the token that `farrier up` prints",
        )),
        Peer::Plain { is_local: true } if bearer.is_some_and(|sent| equal(sent, own_token)) => {
            Ok(Admitted::Own)
        }
        Peer::Plain { .. } => Err(Status::unauthenticated(
            "workers come over TLS, with a certificate that the token of `farrier up` gets them; `farrier join` of this \
             version does all that by itself",
        )),
    }
}

/// What a call has as `authorization: Bearer`.
pub(crate) fn bearer(metadata: &MetadataMap) -> Option<&[u8]> {
    metadata.get("authorization")?.as_bytes().strip_prefix(b"Bearer ")
}

/// Whether the call shows this secret, where that is seemly.
pub(crate) fn authorise<T>(request: &Request<T>, secret: &str) -> Result<(), Status> {
    if !Peer::of_call(request).keeps_secrets() {
        return Err(Status::unauthenticated(
            "the worker token is taken over TLS only, or on the server's own machine; a farrier of this version does so by \
             itself",
        ));
    }
    match bearer(request.metadata()) {
        None => Err(Status::unauthenticated(
            "the server's worker token is missing; `farrier up` prints it, see `farrier join --help`",
        )),
        Some(sent) if equal(sent, secret) => Ok(()),
        Some(_) => Err(Status::unauthenticated(
            "wrong worker token: the server has made a new one since. Paste the `farrier join` line that it prints now",
        )),
    }
}

fn equal(sent: &[u8], secret: &str) -> bool {
    !secret.is_empty() && equal_in_constant_time(sent, secret.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + 1_000_000 * HOUR / 2
    }

    fn certified(from: SystemTime, to: SystemTime) -> Peer {
        Peer::Tls {
            worker: Some(Standing {
                name: "a".to_owned(),
                not_before: from,
                not_after: to,
            }),
        }
    }

    #[test]
    fn work_is_for_those_with_a_good_certificate_and_for_the_servers_own() {
        let good = certified(now() - HOUR, now() + HOUR);
        let ended = certified(now() - 2 * HOUR, now() - HOUR);
        let not_yet = certified(now() + HOUR, now() + 2 * HOUR);
        let nobody = Peer::Tls { worker: None };
        let (local, remote) = (Peer::Plain { is_local: true }, Peer::Plain { is_local: false });
        let own = Some(&b"own"[..]);
        let certified = Some(Admitted::Certified { name: "a".to_owned() });
        for (peer, bearer, expected) in [
            (&good, None, certified),
            (&ended, own, None),
            (&not_yet, own, None),
            (&nobody, own, None),
            (&nobody, Some(&b"join"[..]), None),
            (&local, own, Some(Admitted::Own)),
            (&local, Some(b"join"), None),
            (&local, Some(b""), None),
            (&local, None, None),
            (&remote, own, None),
        ] {
            let admitted = admit(peer, bearer, "own", now());
            assert_eq!(admitted.ok(), expected, "{peer:?} {bearer:?}");
        }
        assert!(
            admit(&local, Some(b""), "", now()).is_err(),
            "no token at all opens nothing"
        );
        let refused = admit(&ended, None, "own", now()).unwrap_err();
        assert!(
            refused.message().contains("start the worker with its --token"),
            "{refused}"
        );
    }

    #[test]
    fn the_token_of_the_door_is_not_shown_where_others_listen() {
        for (peer, seemly) in [
            (Peer::Plain { is_local: false }, false),
            (Peer::Plain { is_local: true }, true),
            (Peer::Tls { worker: None }, true),
        ] {
            assert_eq!(peer.keeps_secrets(), seemly);
        }
        let mut request = Request::new(());
        request
            .metadata_mut()
            .insert("authorization", "Bearer s".parse().unwrap());
        let refused = authorise(&request, "s").unwrap_err();
        assert!(refused.message().contains("over TLS only"), "{refused}");
    }
}
