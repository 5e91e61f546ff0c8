//! The [`BlobStore`] contract, the decorators around it, a store in memory and the suite every store passes.
//!
//! A leaf (memory, disk, remote) proves what it returns; a decorator knows the contract only, one file each.
//! Nothing here knows gRPC. Read `blob_store.rs` first, then any decorator, then `conformance.rs`.

mod blob_store;
mod chunked;
#[cfg(any(test, doc, feature = "conformance"))]
pub mod conformance;
mod empty_blob;
mod invocation;
mod leases;
mod lru;
mod memory;
mod recipes;
mod size_limited;
pub mod tree;

pub use blob_store::{BlobStore, StoreError};
pub use chunked::{Chunked, chunked};
pub use empty_blob::always_has_empty;
pub use invocation::Invocation;
pub use leases::{Hold, Leases, no_leases};
pub use lru::Lru;
pub use memory::memory;
pub use recipes::{ChunkingFunction, Recipe, Recipes, SpliceError};
pub use size_limited::size_limited;
