//! OCI images: their documents, and their layers as one directory tree.
//!
//! Pure: bytes come in by [`std::io::Read`], content goes out by [`Contents`], nothing is opened or written here. A layer
//! is a stranger's tar, so nothing in it is ever a path of this machine: names are resolved in a [`FileTree`] in memory,
//! symlinks included, where nothing leads out. Everything is bounded by `limits.rs`.
//!
//! What REAPI cannot carry is left behind: owners, times, modes beyond the executable bit, extended attributes, devices
//! and pipes.
//!
//! Read `layer.rs` first, then `file_tree.rs` (where names lead), `tar.rs`, and `documents.rs` (manifests).

mod content_digest;
mod decompress;
mod documents;
mod error;
mod file_tree;
mod layer;
mod limits;
mod tar;

pub use content_digest::ContentDigest;
pub use decompress::Decompressed;
pub use documents::{Config, Descriptor, DockerImage, Document, Manifest, Platform};
pub use error::ImageError;
pub use file_tree::FileTree;
pub use layer::{Contents, Skipped, apply};
pub use limits::{DOCUMENT_BYTES_MAX, INDEX_DEPTH_MAX, LAYER_BYTES_MAX, LAYERS_MAX};
pub use tar::{Kind, Tar, TarEntry, TarError};
