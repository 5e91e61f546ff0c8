//! Every numeric bound of this crate.
//!
//! Trees come from strangers. A few kilobytes of nested directories can stand for more paths than there are
//! atoms, so distinct directories, nodes, depth and expanded paths each have a bound of their own.

/// Longest name of a file, directory or symlink, in bytes; what Linux file systems take.
pub const NODE_NAME_BYTES_MAX: usize = 255;

/// Longest target of a symlink, in bytes; what `symlink(2)` takes.
pub const SYMLINK_TARGET_BYTES_MAX: usize = 4095;

/// Most nodes (files, directories and symlinks together) in one directory.
pub const DIRECTORY_NODES_MAX: usize = 1_000_000;

/// Most string properties on one node.
pub const NODE_PROPERTIES_MAX: usize = 100;

/// Most directories on the way from the root to any directory, both included.
pub const TREE_DEPTH_MAX: usize = 1000;

/// Most distinct directories in one tree.
pub const TREE_DIRECTORIES_MAX: usize = 1_000_000;

/// Most nodes over all distinct directories of one tree: bounds the memory that a tree takes.
pub const TREE_NODES_MAX: usize = 4_000_000;

/// Most paths that a tree may expand to: bounds the work of putting it on a disk.
pub const TREE_PATHS_MAX: u64 = 4_000_000;

/// Longest path inside a tree, in bytes; the system's own limit on paths.
pub const TREE_PATH_BYTES_MAX: usize = 4095;

/// Longest piece of a malformed name or path that an error message repeats, in characters.
pub(crate) const QUOTED_CHARS_MAX: usize = 120;

/// `text`, cut to a printable length for an error message.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
