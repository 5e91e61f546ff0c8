//! Large blobs as their chunks: what the server has of them already does not travel again.
//!
//! Uploads go this way by themselves where the server offers it: the client has the bytes, cutting them costs a
//! fraction of hashing them, and whatever the server lacks is sent just once. Downloads do so only for whoever brings a
//! store to find chunks in: without one, every chunk would come from the server all the same, in more and smaller calls.

mod download;
mod recipes;
mod upload;

pub(crate) use download::ChunkedDownloads;
pub(crate) use upload::{is_chunked, upload};
