//! Where an action runs: its inputs laid out on disk, and room for its outputs.

mod beneath;
mod copy;
mod layout;
mod lazy;
mod lent;
mod placement;
mod sweeper;

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cas::BlobStore;
use rustix::fs::{self as sys, AtFlags, Gid, Mode, OFlags, Uid};
use tasks::Group;
use thiserror::Error;

pub(crate) use crate::blocking::blocking;
use crate::disk_use::DiskUse;
use crate::file_cache::{FileCache, FileCacheError};
use crate::limits::{DISK_BYTES_WANTED, DISK_FILES_WANTED, PLACEMENT_ATTEMPTS_MAX};
use crate::tree_cache::CachedTree;
pub(crate) use beneath::Beneath;
pub(crate) use layout::{Layout, LayoutError, OutputPlaces, Step};
pub(crate) use lazy::{LazyInputs, LazyLayout};
pub(crate) use lent::Kept;
pub(crate) use placement::Placement;
pub(crate) use sweeper::{Sweeper, Swept};

/// Makes build directories below one directory of its own, and removes them behind everybody's back.
pub(crate) struct BuildDirectories {
    path: PathBuf,
    directory: Arc<OwnedFd>,
    cache: Arc<FileCache>,
    placement: Arc<Placement>,
    sweeper: Sweeper,
    next: AtomicU64,
}

/// One action's directory; removed some time after this is dropped. By then no process of the action may be alive.
pub(crate) struct BuildDirectory {
    path: PathBuf,
    root: Arc<OwnedFd>,
    /// Where inputs come when they are opened.
    lazy: Option<LazyInputs>,
    beneath: Beneath,
    _swept: Swept,
}

/// Why inputs could not be laid out.
#[derive(Debug, Error)]
pub(crate) enum PrepareError {
    /// Missing or unreachable inputs, or no room for them.
    #[error(transparent)]
    Files(#[from] FileCacheError),
    /// The input tree has a file or a symlink where an output's parent directory has to be (E21).
    #[error(
        "`{at}` has to be a directory, as an output is to be written to `{parent}`; the input root has something else there"
    )]
    OutputParent { parent: String, at: String },
    /// Cached files were changed or removed again and again while they were in use.
    #[error(
        "the worker's cached files keep being changed by somebody else; nothing else may write to its directory"
    )]
    Unstable,
    /// This machine's disk failed.
    #[error("laying out `{path}`: {source}")]
    Disk { path: String, source: io::Error },
}

/// Below a build directory: the input root, and where the runner writes the logs.
const ROOT: &str = "root";
const STDOUT: &str = "stdout";
const STDERR: &str = "stderr";

impl BuildDirectories {
    /// Takes over `path`: whatever is in it was left behind by an earlier worker and is removed, before this returns.
    pub(crate) fn open(
        path: &Path,
        cache: Arc<FileCache>,
        placement: impl Into<Arc<Placement>>,
        in_use_max: usize,
        group: &Group,
    ) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let directory = Arc::new(sys::open(path, flags, Mode::empty())?);
        remove_left_over(path, &directory)?;
        let sweeper = Sweeper::start(directory.clone(), path, in_use_max, group);
        let path = path.to_owned();
        Ok(BuildDirectories {
            path,
            directory,
            cache,
            placement: placement.into(),
            sweeper,
            next: AtomicU64::new(0),
        })
    }

    /// A new directory with everything in its place; `label` becomes part of its name. Waits while too many old ones are
    /// yet to be removed, and on a full disk for those that are, so that what fails for want of room fails for that alone.
    pub(crate) async fn create(
        self: &Arc<Self>,
        label: &str,
        store: &dyn BlobStore,
        layout: Arc<Layout>,
    ) -> Result<BuildDirectory, PrepareError> {
        self.create_over(Beneath::default(), label, store, layout).await
    }

    /// The same above trees that show through.
    pub(crate) async fn create_over(
        self: &Arc<Self>,
        beneath: Beneath,
        label: &str,
        store: &dyn BlobStore,
        layout: Arc<Layout>,
    ) -> Result<BuildDirectory, PrepareError> {
        for _ in 0..PLACEMENT_ATTEMPTS_MAX {
            let room = self.room().await?;
            let held = self.cache.hold(store, layout.files()).await?;
            let (this, label, layout) = (self.clone(), label.to_owned(), layout.clone());
            let beneath = beneath.clone();
            // Everything in one hop: a thread that may block, and nothing to wait for in between.
            let placed = blocking(move || {
                let build_directory = this.make(&label, beneath, room)?;
                let is_complete = this
                    .placement
                    .place(&this.cache, &build_directory.root, &layout)?;
                drop(held);
                Ok::<_, PrepareError>(is_complete.then_some(build_directory))
            });
            match placed.await {
                Ok(Some(build_directory)) => return Ok(build_directory),
                // What was damaged has been forgotten, so the next round fetches it.
                Ok(None) => continue,
                Err(error) => return Err(error),
            }
        }
        Err(PrepareError::Unstable)
    }

    /// Waits for room for one more.
    async fn room(&self) -> Result<sweeper::Room, PrepareError> {
        let room = self.sweeper.room().await;
        let space = Space::of(&self.directory);
        if space
            .map_err(|source| disk(&self.path.to_string_lossy(), source))?
            .is_used_up()
        {
            self.sweeper.caught_up().await;
        }
        Ok(room)
    }

    /// What an action writes in one of them, from now on.
    pub(crate) async fn disk_use(&self, build_directory: &BuildDirectory) -> io::Result<DiskUse> {
        let path = build_directory.path.clone();
        let owner = self.placement.owner.map(|(uid, _)| uid.as_raw());
        blocking(move || DiskUse::since_now(&path, owner)).await
    }

    fn make(
        &self,
        label: &str,
        beneath: Beneath,
        room: sweeper::Room,
    ) -> Result<BuildDirectory, PrepareError> {
        let name = self
            .make_unique(label)
            .map_err(|source| disk(&self.path.to_string_lossy(), source))?;
        let path = self.path.join(&name);
        let swept = self.sweeper.sweeps(&name, room);
        let make = || -> io::Result<OwnedFd> {
            let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let root = format!("{name}/{ROOT}");
            sys::mkdirat(&self.directory, &*root, DIRECTORY_MODE)?;
            let root = sys::openat(&self.directory, &*root, flags, Mode::empty())?;
            if let Some((uid, gid)) = self.placement.owner {
                sys::fchown(&root, Some(uid), Some(gid))?;
            }
            beneath.make_places(&self.directory, &name, self.placement.owner)?;
            Ok(root)
        };
        let root = make().map_err(|source| disk(&path.to_string_lossy(), source))?;
        Ok(BuildDirectory {
            path,
            root: Arc::new(root),
            lazy: None,
            beneath,
            _swept: swept,
        })
    }

    /// A name of which there is no directory yet. An undeletable one may be left from an earlier worker.
    fn make_unique(&self, label: &str) -> io::Result<String> {
        loop {
            let name = format!("{label}-{}", self.next.fetch_add(1, Ordering::Relaxed));
            match sys::mkdirat(&self.directory, &*name, Mode::RWXU) {
                Ok(()) => return Ok(name),
                // Ends: each such name is in the directory, and the number grows.
                Err(rustix::io::Errno::EXIST) => continue,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl BuildDirectory {
    /// The input root: what the command sees as its build directory.
    pub(crate) fn root_path(&self) -> PathBuf {
        self.path.join(ROOT)
    }

    /// The input root, opened.
    pub(crate) fn root(&self) -> &Arc<OwnedFd> {
        &self.root
    }

    /// The tree that shows through the input root, which has only what differs from it then.
    pub(crate) fn base(&self) -> Option<Arc<CachedTree>> {
        self.beneath.inputs.clone()
    }

    /// The same for the runner.
    pub(crate) fn input_root_base(&self) -> Option<runner_api::Base> {
        self.beneath.input_root_base(&self.path)
    }

    /// The root file system that was brought, if one was.
    pub(crate) fn image(&self) -> Option<runner_api::Image> {
        self.beneath.image(&self.path)
    }

    /// Moves the whole input root to where a process works on it, under `name`. It is the same directory there.
    pub(crate) fn lend_root(&self, to: &OwnedFd, name: &str) -> io::Result<()> {
        let flags = sys::RenameFlags::NOREPLACE;
        Ok(sys::renameat_with(sys::CWD, self.root_path(), to, name, flags)?)
    }

    /// Moves it back, out of reach of the process.
    pub(crate) fn take_root_back(&self, from: &OwnedFd, name: &str) -> io::Result<()> {
        let flags = sys::RenameFlags::NOREPLACE;
        sys::renameat_with(from, name, sys::CWD, self.root_path(), flags)?;
        let (came, went) = (
            sys::statat(sys::CWD, self.root_path(), AtFlags::SYMLINK_NOFOLLOW)?,
            sys::fstat(&self.root)?,
        );
        match (came.st_dev, came.st_ino) == (went.st_dev, went.st_ino) {
            true => Ok(()),
            false => Err(io::Error::other("something else stands where the input root was")),
        }
    }

    /// Its lazy input root, if it has one.
    pub(crate) fn lazy(&self) -> Option<&LazyInputs> {
        self.lazy.as_ref()
    }

    /// How much more an action can write here.
    pub(crate) fn space(&self) -> io::Result<Space> {
        Space::of(self.lazy.as_ref().map_or(&self.root, |lazy| &lazy.upper))
    }

    /// Takes away empty directories of the input root that are no part of it. No process of the action may be alive.
    pub(crate) fn remove_directories(&self, names: &[&str]) -> io::Result<()> {
        for name in names {
            sys::unlinkat(&self.root, *name, AtFlags::REMOVEDIR)?;
        }
        Ok(())
    }

    /// Where the standard output is to be written; outside the input root.
    pub(crate) fn stdout_path(&self) -> PathBuf {
        self.path.join(STDOUT)
    }

    /// Where the standard error is to be written; outside the input root.
    pub(crate) fn stderr_path(&self) -> PathBuf {
        self.path.join(STDERR)
    }
}

/// Of every directory that an action may write to.
pub(crate) const DIRECTORY_MODE: Mode = Mode::RWXU
    .union(Mode::RGRP)
    .union(Mode::XGRP)
    .union(Mode::ROTH)
    .union(Mode::XOTH);

/// Removes all that an earlier worker has left in `path`, which `directory` is.
pub(crate) fn remove_left_over(path: &Path, directory: &OwnedFd) -> io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let name =
            CString::new(entry?.file_name().into_encoded_bytes()).expect("the system's names hold no NUL");
        if let Err(error) = crate::removal::remove_tree(directory.as_fd(), &name) {
            tracing::warn!(directory = %path.display(), ?name, %error, "what an earlier worker has left stays");
        }
    }
    Ok(())
}

/// What is free on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Space {
    bytes: u64,
    files: Option<u64>,
}

impl Space {
    fn of(directory: &OwnedFd) -> io::Result<Self> {
        let there = sys::fstatvfs(directory)?;
        Ok(Space {
            bytes: there.f_bavail.saturating_mul(there.f_frsize),
            // Some file systems do not count them.
            files: (there.f_files > 0).then_some(there.f_favail),
        })
    }

    /// Whether a command that fails may well have failed for want of it.
    pub(crate) fn is_used_up(&self) -> bool {
        self.bytes < DISK_BYTES_WANTED || self.files.is_some_and(|files| files < DISK_FILES_WANTED)
    }
}

pub(crate) fn disk(path: &str, source: io::Error) -> PrepareError {
    PrepareError::Disk {
        path: path.to_owned(),
        source,
    }
}

/// Makes a directory that the action may write to. Whether it was not there before.
fn make_directory(at: impl AsFd, path: &str, owner: Option<(Uid, Gid)>) -> io::Result<bool> {
    match sys::mkdirat(&at, path, DIRECTORY_MODE) {
        Ok(()) => {}
        Err(rustix::io::Errno::EXIST) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    if let Some((uid, gid)) = owner {
        sys::chownat(&at, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
