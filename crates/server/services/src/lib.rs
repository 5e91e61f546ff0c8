//! The gRPC front door: one file per RPC.
//!
//! A request is parsed into words that cannot be wrong, its instance name becomes a set of stores, and a journey runs
//! that reads from top to bottom. Nothing here knows how blobs are stored; nothing behind here knows gRPC, instance
//! names or statuses.
//!
//! Read `byte_stream/write.rs` for the longest journey, `limits.rs` for every number, `status.rs` for what an error
//! is to a client. `server.rs` puts the storage services together, `connections.rs` tunes what they are reached by.

mod action_cache;
mod admission;
mod byte_stream;
mod capabilities;
mod cas;
mod connection_life;
mod connections;
mod execution;
mod grpc;
mod handshake;
mod instances;
mod invocations;
mod joining;
pub mod limits;
mod log_streams;
mod malformed;
mod peer;
mod queue_admin;
mod request_metadata;
mod server;
mod status;
mod whole_blob;
mod workers;

pub use self::action_cache::ActionCache;
pub use self::byte_stream::ByteStream;
pub use self::capabilities::{Capabilities, ExecutionOffer};
pub use self::cas::ContentAddressableStorage;
pub use self::connection_life::{Caller, ConnectionLife, Socket};
pub use self::connections::{incoming, tuned};
pub use self::execution::{Execution, PRIORITIES, SchedulerActor, Timeouts};
pub use self::handshake::{Doors, incoming_by};
pub use self::instances::{Instance, Instances, UnknownInstance};
pub use self::invocations::{InvocationLayer, Scoped};
pub use self::joining::JoiningDoor;
pub use self::log_streams::{LogStreamService, LogStreams};
pub use self::queue_admin::QueueAdmin;
pub use self::server::{StorageOptions, storage_routes};
pub use self::workers::{WorkersDoor, WorkersOptions};
