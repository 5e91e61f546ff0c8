//! The [`ActionCache`] contract, the decorators around it, a cache in memory and the suite every cache passes.
//!
//! A cache keeps what it is given under the digest of an action; whether a result makes sense is checked by
//! whoever puts it, and whether it can still be used by [`complete_only`] when it is asked for. Nothing here
//! knows gRPC or instances.
//!
//! Read `action_cache.rs` first, then `complete_only.rs`, the rule that keeps builds without the bytes alive.

mod action_cache;
mod complete_only;
#[cfg(any(test, doc, feature = "conformance"))]
pub mod conformance;
mod deadlined;
#[cfg(test)]
mod examples;
mod memory;
mod metered;
mod mirrored;
mod overlaid;
mod pulled_through;
mod read_only;
mod read_through;
mod sharded;

pub use action_cache::ActionCache;
pub use complete_only::{TREE_BYTES_MAX, complete_only};
pub use deadlined::deadlined;
pub use memory::memory;
pub use metered::{Meters, metered};
pub use mirrored::mirrored;
pub use overlaid::overlaid;
pub use pulled_through::pulled_through;
pub use read_only::read_only;
pub use read_through::read_through;
pub use sharded::{Shard, sharded};
