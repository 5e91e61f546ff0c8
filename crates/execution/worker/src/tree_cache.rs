//! Directory trees that are laid out on this machine already.
//!
//! A tree is a REAPI directory with all below it, of hard links into the file cache where those are possible, laid out
//! once and never written again: many actions see it at the same time, each below an overlay of its own. What is here
//! when the worker starts was left by an earlier one and is removed: no tree is ever used that was not completed in this
//! life of the worker.

mod choice;
mod difference;
mod merged;
mod state;

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use blob::Digest;
use cas::BlobStore;
use merkle::InputTree;
use parking_lot::Mutex;
use rustix::fs::{self as sys, Mode, OFlags};
use tasks::Group;
use thiserror::Error;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) use merged::{mark_absent, merged};

use crate::blocking::blocking;
use crate::build_directory::{
    DIRECTORY_MODE, Layout, LayoutError, OutputPlaces, Placement, PrepareError, Sweeper, Swept, disk,
    remove_left_over,
};
use crate::file_cache::FileCache;
use crate::limits::{
    BASE_PATHS_MIN, BASES_COMPARED_MAX, PLACEMENT_ATTEMPTS_MAX, TREE_PATHS_KEPT_MAX, TREES_MAX,
};
use choice::{Choice, Facts, choose, steps_max};
use difference::difference;
use state::{Found, State, Weight};

/// Trees by the digest of their root, the most recently used first; at most `bytes_max` of them, [`TREES_MAX`] and
/// [`TREE_PATHS_KEPT_MAX`], plus what is in use.
pub(crate) struct TreeCache {
    path: PathBuf,
    directory: Arc<OwnedFd>,
    files: Arc<FileCache>,
    placement: Arc<Placement>,
    bytes_max: u64,
    sweeper: Sweeper,
    next: AtomicU64,
    state: Mutex<State>,
}

/// A tree that stays as it is for as long as somebody has this; removed some time after it was forgotten by the cache
/// and by all who use it.
pub(crate) struct CachedTree {
    path: PathBuf,
    input: Arc<InputTree>,
    weight: Weight,
    _swept: Swept,
}

/// How an input root gets into a build directory.
pub(crate) enum Way {
    /// By itself.
    Link,
    /// Over this tree, which it is put above as this says.
    Over(Arc<CachedTree>, Arc<Layout>),
}

/// Why there is no tree.
#[derive(Debug, Error)]
pub(crate) enum TreeError {
    /// It cannot be laid out on any disk.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Its files are not to be had, or the disk failed.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// More than all trees may have.
    #[error(
        "tree {root} takes {bytes} bytes and {paths} files and directories; this worker keeps trees of {bytes_max} bytes and \
         {TREE_PATHS_KEPT_MAX} files and directories; give it a larger --tree-cache-size"
    )]
    TooLarge {
        root: Digest,
        bytes: u64,
        paths: u64,
        bytes_max: u64,
    },
}

/// Below the cache's directory, while it is tried whether overlays work.
const TRIAL: &str = "trial";

impl TreeCache {
    /// Takes over `path`: whatever is in it was left behind by an earlier worker and is removed, before this returns. An
    /// error of the second kind says why the disk or the kernel does not take overlays.
    pub(crate) fn open(
        path: &Path,
        files: Arc<FileCache>,
        placement: Arc<Placement>,
        bytes_max: u64,
        in_use_max: usize,
        group: &Group,
    ) -> io::Result<Result<Self, io::Error>> {
        std::fs::create_dir_all(path)?;
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let directory = Arc::new(sys::open(path, flags, Mode::empty())?);
        remove_left_over(path, &directory)?;
        let trial = path.join(TRIAL);
        std::fs::create_dir(&trial)?;
        if let Err(why) = merged::try_in(&trial) {
            remove_left_over(path, &directory)?;
            return Ok(Err(why));
        }
        std::fs::remove_dir(&trial)?;
        let sweeper = Sweeper::start(directory.clone(), path, TREES_MAX + in_use_max, group);
        Ok(Ok(TreeCache {
            path: path.to_owned(),
            directory,
            files,
            placement,
            bytes_max,
            sweeper,
            next: AtomicU64::new(0),
            state: Mutex::default(),
        }))
    }

    /// Decides how `input` gets into a build directory with `places` for its outputs, and makes a tree of it if that
    /// pays. Files of that tree are fetched.
    pub(crate) async fn way(
        self: &Arc<Self>,
        store: &dyn BlobStore,
        input: &Arc<InputTree>,
        places: &OutputPlaces,
    ) -> Result<Way, TreeError> {
        let weight = Weight::of(input);
        let bases: Vec<Arc<CachedTree>> = {
            let state = self.state.lock();
            state.trees.iter().take(BASES_COMPARED_MAX).cloned().collect()
        };
        let steps_max = steps_max(weight.paths);
        let mut layouts: Vec<Option<Layout>> = bases
            .iter()
            .map(|base| difference(&base.input, input, places, steps_max))
            .collect();
        let differences: Vec<Option<usize>> = layouts
            .iter()
            .map(|layout| layout.as_ref().map(Layout::len))
            .collect();
        let choice = choose(Facts {
            paths: weight.paths,
            differences: &differences,
            recurs: weight.paths >= BASE_PATHS_MIN && self.recurs(input, steps_max),
            fits: self.fits(weight),
        });
        let over = |base: &Arc<CachedTree>, layout: Option<Layout>| match layout {
            Some(layout) => Way::Over(base.clone(), Arc::new(layout)),
            None => Way::Link,
        };
        match choice {
            Choice::Over(number) => {
                let base = &bases[number];
                self.state.lock().touch(base);
                Ok(over(base, layouts[number].take()))
            }
            Choice::MakeBase => {
                let base = self.tree(store, input).await?;
                tracing::debug!(root = %input.root(), paths = weight.paths, "an input root has become a shared tree");
                Ok(over(&base, difference(&base.input, input, places, steps_max)))
            }
            Choice::Link => {
                if weight.paths >= BASE_PATHS_MIN {
                    self.state.lock().see(input);
                }
                Ok(Way::Link)
            }
        }
    }

    /// The tree of `input`, laid out if it is not there yet; what another action is making just now is waited for.
    pub(crate) async fn tree(
        self: &Arc<Self>,
        store: &dyn BlobStore,
        input: &Arc<InputTree>,
    ) -> Result<Arc<CachedTree>, TreeError> {
        let root = input.root();
        let weight = Weight::of(input);
        if !self.fits(weight) {
            let Weight { paths, bytes } = weight;
            let bytes_max = self.bytes_max;
            return Err(TreeError::TooLarge {
                root,
                bytes,
                paths,
                bytes_max,
            });
        }
        // Ends: each round finds the tree, makes it, or waits for the end of somebody else's attempt.
        let _turn = loop {
            let found = self.state.lock().find_or_claim(root);
            match found {
                Found::Tree(tree) => return Ok(tree),
                Found::Turn(ended) => break Turn::new(self.clone(), root, ended),
                Found::Making(ended) => ended.cancelled().await,
            }
        };
        let tree = Arc::new(self.make(store, input, weight).await?);
        let mut state = self.state.lock();
        state.trees.push_front(tree.clone());
        state.evict(self.bytes_max);
        Ok(tree)
    }

    async fn make(
        self: &Arc<Self>,
        store: &dyn BlobStore,
        input: &Arc<InputTree>,
        weight: Weight,
    ) -> Result<CachedTree, TreeError> {
        let layout = Arc::new(Layout::new(input, OutputPlaces::default())?);
        for _ in 0..PLACEMENT_ATTEMPTS_MAX {
            let room = self.sweeper.room().await;
            let held = self
                .files
                .hold(store, layout.files())
                .await
                .map_err(PrepareError::from)?;
            let name = format!("tree-{}", self.next.fetch_add(1, Ordering::Relaxed));
            let path = self.path.join(&name);
            let (this, layout, input) = (self.clone(), layout.clone(), input.clone());
            let made = blocking(move || {
                let failed = |error: rustix::io::Errno| disk(&name, error.into());
                sys::mkdirat(&this.directory, &*name, DIRECTORY_MODE).map_err(failed)?;
                let swept = this.sweeper.sweeps(&name, room);
                let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let root = sys::openat(&this.directory, &*name, flags, Mode::empty()).map_err(failed)?;
                if let Some((uid, gid)) = this.placement.owner {
                    sys::fchown(&root, Some(uid), Some(gid)).map_err(failed)?;
                }
                let is_complete = this.placement.place(&this.files, &root, &layout)?;
                drop(held);
                let tree = CachedTree {
                    path,
                    input,
                    weight,
                    _swept: swept,
                };
                Ok::<_, PrepareError>(is_complete.then_some(tree))
            });
            if let Some(tree) = made.await? {
                return Ok(tree);
            }
        }
        Err(PrepareError::Unstable.into())
    }

    fn fits(&self, weight: Weight) -> bool {
        weight.bytes <= self.bytes_max && weight.paths <= TREE_PATHS_KEPT_MAX
    }

    fn recurs(&self, input: &InputTree, steps_max: usize) -> bool {
        let seen: Vec<Arc<InputTree>> = self.state.lock().seen.iter().cloned().collect();
        let nowhere = OutputPlaces::default();
        seen.iter()
            .any(|seen| difference(seen, input, &nowhere, steps_max).is_some())
    }
}

impl CachedTree {
    /// Where it is: an absolute path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// The right to make one tree. Dropping it, however that ended, lets those who wait look again.
struct Turn {
    cache: Arc<TreeCache>,
    root: Digest,
    _ended: DropGuard,
}

impl Turn {
    fn new(cache: Arc<TreeCache>, root: Digest, ended: CancellationToken) -> Self {
        Turn {
            cache,
            root,
            _ended: ended.drop_guard(),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.cache.state.lock().making.remove(&self.root);
    }
}

#[cfg(test)]
mod tests;
