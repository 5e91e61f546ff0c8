//! Where a server is.

use std::fmt;
use std::net::IpAddr;

use thiserror::Error;

/// The port of a farrier that was not told another one; used where an endpoint names none.
pub const DEFAULT_PORT: u16 = 8980;

/// Host and port of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemoteEndpoint {
    /// As in a URL: an IPv6 address has brackets.
    host: String,
    port: u16,
    /// Whether it was written as one with TLS.
    wants_tls: bool,
}

/// Why something is not an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EndpointError {
    /// Not of any known shape.
    #[error(
        "`{endpoint}` is not an endpoint ({reason}); write http://HOST:PORT, grpc://HOST:PORT or HOST:PORT, or https:// or grpcs:// for TLS"
    )]
    Malformed {
        /// As given.
        endpoint: String,
        /// What is wrong.
        reason: &'static str,
    },
}

impl RemoteEndpoint {
    /// Reads `http://host:port`, `grpc://host:port` or `host:port`; `https://` and `grpcs://` ask for TLS.
    pub(crate) fn parse(text: &str) -> Result<Self, EndpointError> {
        let malformed = |reason| EndpointError::Malformed {
            endpoint: text.to_owned(),
            reason,
        };
        let (authority, wants_tls) = match text.split_once("://") {
            None => (text, false),
            Some(("http" | "grpc", authority)) => (authority, false),
            Some(("https" | "grpcs", authority)) => (authority, true),
            Some(_) => return Err(malformed("unknown scheme")),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        // What follows the last colon is the port, unless the colon stands inside brackets or there are several
        // and no brackets: an IPv6 address that somebody forgot to put in brackets.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| malformed("bad port"))?,
        };
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let legal = match bracketed {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
                !host.is_empty() && host.bytes().all(legal)
            }
        };
        match legal {
            true => Ok(RemoteEndpoint {
                host: host.to_owned(),
                port,
                wants_tls,
            }),
            false => Err(malformed("bad host")),
        }
    }

    /// As in a URL.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Whether it is written `https://` or `grpcs://`.
    pub(crate) fn wants_tls(&self) -> bool {
        self.wants_tls
    }

    /// Whether the server is on this machine, so that bytes travel faster than they can be compressed.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for RemoteEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_an_endpoint_is_read() {
        for (text, url, is_loopback) in [
            ("http://127.0.0.1:8980", "http://127.0.0.1:8980", true),
            ("grpc://localhost:1", "http://localhost:1", true),
            ("build-server:9092", "http://build-server:9092", false),
            (
                "http://build.example.org/",
                "http://build.example.org:8980",
                false,
            ),
            ("[::1]:50051", "http://[::1]:50051", true),
            ("[fe80::1]", "http://[fe80::1]:8980", false),
            ("10.0.0.1", "http://10.0.0.1:8980", false),
        ] {
            let endpoint = RemoteEndpoint::parse(text).unwrap();
            assert_eq!(
                (endpoint.to_string().as_str(), endpoint.is_loopback()),
                (url, is_loopback),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_endpoint_says_why() {
        for text in [
            "",
            "http://",
            "http://:80",
            "host:",
            "host:0",
            "host:65536",
            "host:a",
            "ftp://host:1",
            "::1",
            "a b:1",
            "http://host:1/path",
            "user@host:1",
            "[::1",
            "[host]:1",
        ] {
            assert!(
                matches!(RemoteEndpoint::parse(text), Err(EndpointError::Malformed { .. })),
                "{text}"
            );
        }
        for (text, wants_tls) in [
            ("https://host:1", true),
            ("grpcs://host", true),
            ("grpc://host", false),
        ] {
            assert_eq!(
                RemoteEndpoint::parse(text).unwrap().wants_tls(),
                wants_tls,
                "{text}"
            );
        }
    }
}
