//! How a worker and its server know each other: the server's private certificate authority, the token that brings a
//! worker in, the certificate it gets, and what both mean to TLS.
//!
//! Read `join_token.rs` first, then `authority.rs` and `identity.rs`. No I/O and no clock: whoever has files and time brings
//! them. What it never does: trust anybody but the one authority whose fingerprint is in the token.

mod authority;
mod client_tls;
mod error;
mod fingerprint;
mod identity;
mod join_token;
mod moment;
mod pem;
mod server_tls;
mod standing;

pub use self::authority::Authority;
pub use self::client_tls::{certificates, client, client_showing, known, stranger};
pub use self::error::TrustError;
pub use self::fingerprint::Fingerprint;
pub use self::identity::{CertificateRequest, Identity, NAME_BYTES_MAX};
pub use self::join_token::{JoinToken, JoinTokenError};
pub use self::moment::shown;
pub use self::server_tls::{FrontDoor, front_door, server_config};
pub use self::standing::{Standing, standing};

/// The name that workers ask for in TLS, wherever the server is: what they trust is its authority, not its address.
pub const SERVER_NAME: &str = "server.farrier.internal";
