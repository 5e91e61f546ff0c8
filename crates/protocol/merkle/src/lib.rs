//! Merkle directories and trees: canonical, checked, bounded.
//!
//! Pure values: nothing here opens a file or a socket. What exists is valid: a [`NodeName`] can never lead out of
//! its directory, a [`Directory`] is sorted and free of duplicates, a [`Tree`] is complete. What comes from
//! strangers is bounded before it is expanded, and walked without recursion.
//!
//! Read `directory.rs` first, then `builder.rs` (making a tree), `walk.rs` (collecting one whose directories are
//! elsewhere) and `tree.rs` (all of it in one message). `limits.rs` holds every bound.

mod builder;
mod directory;
mod input_tree;
mod limits;
mod name;
mod node;
mod shape;
mod tree;
mod walk;
mod wire;

pub use builder::{BuiltTree, TreeBuildError, TreeBuilder};
pub use directory::{Directory, DirectoryError};
pub use input_tree::{Entry, InputTree, TreeBoundError, TreePathError};
pub use limits::{
    DIRECTORY_NODES_MAX, NODE_NAME_BYTES_MAX, NODE_PROPERTIES_MAX, SYMLINK_TARGET_BYTES_MAX, TREE_DEPTH_MAX,
    TREE_DIRECTORIES_MAX, TREE_NODES_MAX, TREE_PATH_BYTES_MAX, TREE_PATHS_MAX,
};
pub use name::{NodeName, NodeNameError};
pub use node::{DirectoryNode, FileNode, NodeKind, NodeProperties, SymlinkNode, SymlinkTarget};
pub use tree::{Tree, TreeError};
pub use walk::{Walk, WalkError};
