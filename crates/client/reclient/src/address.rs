//! Where reproxy listens, and where our daemon listens for frames when it stands in reproxy's place.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

/// What is behind the name of reproxy's socket in the name of the daemon's own.
const FRAMES_SUFFIX: &str = ".farrier";

/// A `-server_address`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `unix:///path` or `unix:path`.
    Unix(PathBuf),
    /// `host:port`.
    Tcp {
        /// Name or number of the host; empty is any.
        host: String,
        /// The port.
        port: u16,
    },
}

/// This is no address.
#[derive(Debug, PartialEq, Eq)]
pub struct NoAddress {
    /// What was given.
    pub text: String,
}

impl fmt::Display for NoAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.text;
        match text.starts_with("pipe://") {
            true => write!(f, "{text}: named pipes are an address on Windows only"),
            false => write!(f, "{text:?} is no address: expected unix:///path or host:port"),
        }
    }
}

impl std::error::Error for NoAddress {}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix://{}", path.display()),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

impl Address {
    /// Reads one.
    pub fn parse(text: &str) -> Result<Self, NoAddress> {
        let wrong = || NoAddress {
            text: text.to_owned(),
        };
        if let Some(path) = text
            .strip_prefix("unix://")
            .or_else(|| text.strip_prefix("unix:"))
        {
            return match path.is_empty() {
                true => Err(wrong()),
                false => Ok(Address::Unix(path.into())),
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        if host.contains("//") {
            return Err(wrong());
        }
        Ok(Address::Tcp {
            host: host.to_owned(),
            port: port.parse().map_err(|_| wrong())?,
        })
    }

    /// The socket on which our daemon takes frames when its gRPC services are at this address: beside a Unix socket, and
    /// in the user's directory for sockets otherwise. `None` where the environment names no such directory.
    pub fn frames_socket(&self, variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
        match self {
            Address::Unix(path) => Some(with_suffix(path, FRAMES_SUFFIX)),
            Address::Tcp { port, .. } => {
                // Not where somebody has put one socket by name, but where sockets are.
                let without_name = |name: &str| match name == daemon_api::SOCKET_VARIABLE {
                    true => None,
                    false => variable(name),
                };
                let usual = daemon_api::socket_path(&without_name)?;
                Some(usual.with_file_name(format!("reproxy_{port}{FRAMES_SUFFIX}")))
            }
        }
    }

    /// The file with reproxy's process number: beside a Unix socket, and in `temporary` otherwise.
    pub fn pid_file(&self, temporary: &Path) -> PathBuf {
        match self {
            Address::Unix(path) => with_suffix(path, ".pid"),
            Address::Tcp { port, .. } => temporary.join(format!("reproxy_{port}.pid")),
        }
    }

    /// Where the daemon starts from scratch it must find no file in its way.
    pub fn socket_file(&self) -> Option<&Path> {
        match self {
            Address::Unix(path) => Some(path),
            Address::Tcp { .. } => None,
        }
    }
}

fn with_suffix(path: &Path, suffix: impl AsRef<OsStr>) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let tcp = |host: &str, port| Address::Tcp {
            host: host.to_owned(),
            port,
        };
        let cases = [
            (
                "unix:///tmp/reproxy.sock",
                Some(Address::Unix("/tmp/reproxy.sock".into())),
            ),
            ("unix:rel.sock", Some(Address::Unix("rel.sock".into()))),
            ("127.0.0.1:8000", Some(tcp("127.0.0.1", 8000))),
            ("[::1]:80", Some(tcp("[::1]", 80))),
            (":8000", Some(tcp("", 8000))),
            ("unix://", None),
            ("localhost", None),
            ("localhost:x", None),
            ("localhost:99999", None),
            ("http://localhost:80", None),
            ("pipe://reproxy", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Address::parse(text).ok(), expected, "{text}");
        }
        let error = Address::parse("pipe://x").unwrap_err().to_string();
        assert!(error.contains("Windows"), "{error}");
    }

    #[test]
    fn files_beside_an_address() {
        let variable = |name: &str| match name {
            "XDG_RUNTIME_DIR" => Some("/run/user/1".into()),
            "FARRIER_SOCKET" => Some("/elsewhere".into()),
            _ => None,
        };
        let unix = Address::parse("unix:///tmp/r.sock").unwrap();
        assert_eq!(unix.frames_socket(&variable), Some("/tmp/r.sock.farrier".into()));
        assert_eq!(unix.pid_file(Path::new("/t")), Path::new("/tmp/r.sock.pid"));
        let tcp = Address::parse("localhost:9000").unwrap();
        let expected = "/run/user/1/farrier/reproxy_9000.farrier";
        assert_eq!(tcp.frames_socket(&variable), Some(expected.into()));
        assert_eq!(tcp.frames_socket(&|_| None), None);
        assert_eq!(tcp.pid_file(Path::new("/t")), Path::new("/t/reproxy_9000.pid"));
    }
}
