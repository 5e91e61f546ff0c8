//! Every bound on what an image may be.

/// Largest index, manifest or configuration.
pub const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
/// Layers of one image.
pub const LAYERS_MAX: usize = 512;
/// Descriptors of one index.
pub(crate) const DESCRIPTORS_MAX: usize = 1024;
/// Indexes in indexes.
pub const INDEX_DEPTH_MAX: usize = 4;
/// Bytes of one layer after decompression: what a small file can be blown up to.
pub const LAYER_BYTES_MAX: u64 = 64 << 30;
/// Files, directories and symlinks of an image.
pub(crate) const PATHS_MAX: usize = 1_000_000;
/// Entries of one tar: an image may say the same again and again.
pub(crate) const TAR_ENTRIES_MAX: u64 = 4_000_000;
/// Longest path or symlink target.
pub(crate) const PATH_BYTES_MAX: usize = 4096;
/// Largest extended header of an entry.
pub(crate) const EXTENDED_HEADER_BYTES_MAX: u64 = 1 << 20;
/// Symlinks followed on the way to one path.
pub(crate) const SYMLINKS_FOLLOWED_MAX: usize = 40;
/// Compressed bytes read at a time.
pub(crate) const PIECE_BYTES: usize = 64 << 10;
/// Variables of an image's environment.
pub(crate) const VARIABLES_MAX: usize = 1000;
