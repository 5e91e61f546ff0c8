//! A `BlobStore` and an `ActionCache` that speak REAPI to any server.
//!
//! One [`RemoteChannel`] serves any number of instances. What is small is coalesced: gets, puts and questions that are
//! under way together travel as one `BatchReadBlobs`, `BatchUpdateBlobs` or `FindMissingBlobs`, without waiting for a
//! timer. What is large
//! flows through `ByteStream`, pulled piece by piece, or as chunks of which only the
//! missing ones travel. Every call has a deadline and is tried again with jitter, a
//! bound and a budget; whole blobs are proven against their digest before they count.
//!
//! It keeps nothing: no cache of blobs, no memory of what was found. Ranges cannot be proven against a digest; they
//! are only as good as the server.
//!
//! Read `channel.rs` first (how to get a store), then `store.rs` (which way a blob goes), `gather.rs` (how small
//! requests become one), `chunks.rs` (when a blob is cut), `byte_stream/write.rs` (what survives a broken upload), `retry.rs` (what is tried again) and
//! `limits.rs` for every number.

mod action_cache;
mod batch_read;
mod batch_update;
mod byte_stream;
mod capabilities;
mod channel;
mod chunks;
mod coalesce;
mod connection;
mod endpoint;
mod find_missing;
mod gather;
mod headers;
mod limits;
mod retry;
mod settle;
mod status;
mod store;
mod tls;

pub use channel::{Compression, RemoteChannel, RemoteOptions};
pub use connection::ConnectError;
pub use endpoint::{DEFAULT_PORT, EndpointError};
pub use headers::{CallHeaders, HeaderError};
pub use limits::MESSAGE_BYTES_MAX;
pub use retry::Retries;
pub use tls::RemoteTls;
