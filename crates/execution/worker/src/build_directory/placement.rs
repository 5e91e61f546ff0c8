//! Laying out an input root.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::AtomicBool;

use runner_api::Capabilities;
use rustix::fs::{self as sys, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::copy::copy;
use super::layout::{Layout, Step};
use super::{PrepareError, disk, make_directory};
use crate::file_cache::{FileCache, FileId};
use crate::tree_cache::mark_absent;

/// How input files get into a build directory.
pub(crate) struct Placement {
    /// Hard links to cached files, which the action's user can neither write nor change the mode of. Otherwise copies.
    pub(crate) links_files: bool,
    /// Whom directories and private copies are given to; `None` when the action runs as the worker's own user.
    pub(crate) owner: Option<(Uid, Gid)>,
    /// Set when the file system turned out not to share blocks between files, so that this is tried once.
    pub(crate) cannot_reflink: AtomicBool,
}

impl Placement {
    /// What the runner's capabilities allow (E27).
    pub(crate) fn for_runner(capabilities: &Capabilities) -> Self {
        let worker = rustix::process::geteuid();
        let owner = (
            Uid::from_raw(capabilities.action_uid),
            Gid::from_raw(capabilities.action_gid),
        );
        let is_other = worker != owner.0;
        Placement {
            // The files must also be out of the action's reach by ownership, whatever the runner says of itself.
            links_files: capabilities.hardlinks_safe && is_other,
            owner: (worker.is_root() && is_other).then_some(owner),
            cannot_reflink: AtomicBool::new(false),
        }
    }

    /// Does every step of `layout` below `root`, whose files the caller holds. `Ok(false)`: a cached file was damaged
    /// or gone and has been forgotten; the build directory is incomplete.
    pub(crate) fn place(
        &self,
        cache: &FileCache,
        root: &OwnedFd,
        layout: &Layout,
    ) -> Result<bool, PrepareError> {
        for step in layout.steps() {
            match step {
                // New directories only, and below directories made here: no path component is ever a symlink.
                Step::Directory { path } => {
                    make_directory(root, path, self.owner).map_err(|source| disk(path, source))?;
                }
                Step::Symlink { path, target } => {
                    sys::symlinkat(&**target, root, &**path).map_err(|error| disk(path, error.into()))?;
                }
                Step::File {
                    path,
                    file,
                    is_private,
                } => {
                    let placed = self.place_file(cache, root, path, file, *is_private);
                    if !placed.map_err(|source| disk(path, source))? {
                        return Ok(false);
                    }
                }
            }
        }
        for path in layout.absent() {
            mark_absent(root, path).map_err(|source| disk(path, source))?;
        }
        for parent in layout.output_parents() {
            self.make_output_parent(root, parent)?;
        }
        Ok(true)
    }

    fn place_file(
        &self,
        cache: &FileCache,
        root: &OwnedFd,
        path: &str,
        file: &FileId,
        is_private: bool,
    ) -> io::Result<bool> {
        if self.links_files && !is_private {
            match cache.link(file, root, path.as_bytes()) {
                // So many links to one file that the file system takes no more.
                Err(error) if error.raw_os_error() == Some(Errno::MLINK.raw_os_error()) => {}
                linked => return linked,
            }
        }
        let Some(cached) = cache.read(file)? else {
            return Ok(false);
        };
        let write = if is_private { Mode::WUSR } else { Mode::empty() };
        let mode = file.mode() | write;
        copy(&cached, root, path, file.digest.size_bytes(), mode, self)?;
        Ok(true)
    }

    /// Makes a directory and those above it. The input root may hold symlinks, and nothing outside may ever be
    /// touched through one: each component is opened by itself and must be a directory.
    pub(super) fn make_output_parent(&self, root: &OwnedFd, parent: &str) -> Result<(), PrepareError> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::PATH | OFlags::CLOEXEC;
        let mut current: Option<OwnedFd> = None;
        let mut end = 0;
        for component in parent.split('/').filter(|component| !component.is_empty()) {
            let at = current.as_ref().unwrap_or(root);
            make_directory(at.as_fd(), component, self.owner).map_err(|source| disk(parent, source))?;
            end += component.len() + usize::from(end > 0);
            current = match sys::openat(at, component, flags, Mode::empty()) {
                Ok(next) => Some(next),
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    let at = parent.get(..end).unwrap_or(parent).to_owned();
                    return Err(PrepareError::OutputParent {
                        parent: parent.to_owned(),
                        at,
                    });
                }
                Err(error) => return Err(disk(parent, error.into())),
            };
        }
        Ok(())
    }
}
