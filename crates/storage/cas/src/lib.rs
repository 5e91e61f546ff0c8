//! The [`BlobStore`] contract, the decorators around it, a store in memory and the suite every store passes.
//!
//! A leaf (memory, disk, remote) proves what it returns; a decorator knows the contract only, one file each.
//! Nothing here knows gRPC. Read `blob_store.rs` first, then any decorator, then `conformance.rs`.

mod blob_store;
mod chunked;
mod coalesced;
#[cfg(any(test, doc, feature = "conformance"))]
pub mod conformance;
mod deadlined;
mod empty_blob;
mod existence_cached;
mod health;
mod invocation;
mod leases;
mod lru;
mod memory;
mod metered;
mod mirrored;
mod overlaid;
mod patience;
mod pulled_through;
mod read_only;
mod read_through;
mod recipes;
mod rendezvous;
mod sharded;
mod size_limited;
mod size_split;
mod spelled_out;
mod tee;
pub mod tree;

pub use blob_store::{BlobStore, StoreError};
pub use chunked::{Chunked, chunked};
pub use coalesced::coalesced;
pub use deadlined::{Deadlines, deadlined};
pub use empty_blob::always_has_empty;
pub use existence_cached::{ExistenceOptions, existence_cached};
pub use health::Health;
pub use invocation::Invocation;
pub use leases::{Hold, Leases, no_leases};
pub use lru::Lru;
pub use memory::memory;
pub use metered::{BUCKETS, Calls, Meters, metered};
pub use mirrored::{Mirrored, Repaired, mirrored};
pub use overlaid::overlaid;
pub use patience::Patience;
pub use pulled_through::pulled_through;
pub use read_only::read_only;
pub use read_through::read_through;
pub use recipes::{ChunkingFunction, Recipe, Recipes, SpliceError};
pub use rendezvous::Rendezvous;
pub use sharded::{Shard, Sharded, sharded};
pub use size_limited::size_limited;
pub use size_split::size_split;
pub use spelled_out::spelled_out;
