//! Where a tree's directories and files come from.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use blob::Digest;
use merkle::Directory;

/// A file of the tree: content and executable bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InputFile {
    /// Its content.
    pub digest: Digest,
    /// Whether it may be executed.
    pub is_executable: bool,
}

/// What a mount asks for. Both answer at once, without a pause, if they have it at hand: then no clock stops.
///
/// Both may be dropped at any time.
pub trait Contents: Send + Sync + 'static {
    /// Why something could not be had.
    type Error: Send + 'static;

    /// A directory of the tree.
    fn directory(
        &self,
        digest: Digest,
    ) -> impl Future<Output = Result<Arc<Directory>, Self::Error>> + Send + 'static;

    /// A file of the tree, opened for reading, complete and checked.
    fn file(&self, file: InputFile) -> impl Future<Output = Result<OwnedFd, Self::Error>> + Send + 'static;

    /// Whoever waited for `path` has waited too long, all in all.
    fn too_slow(&self, path: &str) -> Self::Error;

    /// This machine could not do its part for `path`.
    fn broken(&self, path: &str, error: std::io::Error) -> Self::Error;
}
