//! Every RPC of the storage services over a real connection, one file each. Names begin with the item of the
//! conformance checklist they show (`docs/reapi.md` lists them).

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(
    unreachable_pub,
    reason = "a test program exports nothing; `pub` says what the support is for"
)]

mod action_cache;
mod batch_read_blobs;
mod batch_update_blobs;
mod byte_stream_read;
mod byte_stream_write;
mod capabilities;
mod chunk_server;
mod find_missing_blobs;
mod general;
mod get_tree;
mod invocations;
mod log_streams;
mod query_write_status;
mod splice_blob;
mod split_blob;
mod support;
