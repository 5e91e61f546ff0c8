//! Build directories whose input root is an overlay over a lazy one.
//!
//! Beside what every build directory has stand `inputs` (the lazy root), `upper` (what is written) and `work` (the
//! kernel's); `root` is the overlay. All is mounted by the worker where the runner finds it as it finds any build
//! directory, and outputs are collected from `root` by the same code as ever.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use lazy_root::{Id, Layers, LazyRoot, Owners, RootOptions};
use rustix::fs::{self as sys, Mode, OFlags};
use tasks::{CancellationToken, Group};
use tokio_util::sync::DropGuard;

use super::{Beneath, BuildDirectories, BuildDirectory, PrepareError, ROOT, disk, sweeper};
use crate::blocking::blocking;
use crate::file_cache::INPUT_MTIME_S;
use crate::lazy_inputs::FromCache;

const INPUTS: &str = "inputs";
const UPPER: &str = "upper";
const WORK: &str = "work";

/// A lazy input root in use. Everybody who still waits for a file is answered when this is dropped.
pub(crate) struct LazyInputs {
    pub(crate) root: LazyRoot<FromCache>,
    /// What the action has written.
    pub(crate) upper: OwnedFd,
    /// Where its outputs are to be.
    pub(crate) outputs: BTreeSet<String>,
    /// Ends with this.
    pub(crate) ends: CancellationToken,
    _ended: DropGuard,
}

/// What is to be mounted.
pub(crate) struct LazyLayout {
    pub(crate) contents: FromCache,
    /// What the input root has there, or below, the action may overwrite (E21).
    pub(crate) outputs: BTreeSet<String>,
    /// Directories that have to be there beforehand.
    pub(crate) parents: Vec<String>,
    /// What fetches run in.
    pub(crate) group: Group,
    /// What else shows through.
    pub(crate) beneath: Beneath,
}

impl BuildDirectories {
    /// A new directory with `layout` mounted in it; otherwise as [`create`](Self::create).
    pub(crate) async fn create_lazy(
        self: &Arc<Self>,
        label: &str,
        layout: LazyLayout,
    ) -> Result<BuildDirectory, PrepareError> {
        let room = self.room().await?;
        let (this, label) = (self.clone(), label.to_owned());
        blocking(move || this.mount(&label, room, layout)).await
    }

    fn mount(
        &self,
        label: &str,
        room: sweeper::Room,
        layout: LazyLayout,
    ) -> Result<BuildDirectory, PrepareError> {
        let LazyLayout {
            contents,
            outputs,
            parents,
            group,
            beneath,
        } = layout;
        let mut build_directory = self.make(label, beneath, room)?;
        let path = build_directory.path.clone();
        let failed = |source| disk(&path.to_string_lossy(), source);
        let upper = self.make_layers(&path).map_err(failed)?;
        let options = RootOptions {
            root: contents.tree.root(),
            owners: self.owners(outputs.clone()),
        };
        let at = |name: &str| path.join(name);
        let (root, lower) = lazy_root::mount(&at(INPUTS), contents, options, &group).map_err(failed)?;
        let layers = Layers {
            lower: &at(INPUTS),
            upper: &at(UPPER),
            work: &at(WORK),
        };
        let overlay = lazy_root::overlay(&at(ROOT), layers).map_err(failed)?;
        // In this order: the overlay stands on the other.
        build_directory._swept.unmounts(vec![overlay, lower]);
        build_directory.root = Arc::new(open(&at(ROOT)).map_err(failed)?);
        for parent in &parents {
            self.placement.make_output_parent(&build_directory.root, parent)?;
        }
        let ends = CancellationToken::new();
        build_directory.lazy = Some(LazyInputs {
            root,
            upper,
            outputs,
            _ended: ends.clone().drop_guard(),
            ends,
        });
        Ok(build_directory)
    }

    /// The upper one becomes the action's, as the root of an overlay looks like it.
    fn make_layers(&self, path: &Path) -> io::Result<OwnedFd> {
        let mode = Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH;
        for name in [INPUTS, UPPER, WORK] {
            sys::mkdir(path.join(name), mode)?;
        }
        let upper = open(&path.join(UPPER))?;
        if let Some((uid, gid)) = self.placement.owner {
            sys::fchown(&upper, Some(uid), Some(gid))?;
        }
        Ok(upper)
    }

    /// As they are when inputs are laid out: files are the worker's, all else the action's.
    fn owners(&self, outputs: BTreeSet<String>) -> Owners {
        let us = Id {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        };
        let action = self.placement.owner.map(|(uid, gid)| Id {
            uid: uid.as_raw(),
            gid: gid.as_raw(),
        });
        Owners {
            action: action.unwrap_or(us),
            files: us,
            outputs,
            modified: std::time::Duration::from_secs(INPUT_MTIME_S as u64),
        }
    }
}

impl Drop for LazyInputs {
    fn drop(&mut self) {
        self.root.give_up();
    }
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(sys::open(path, flags, Mode::empty())?)
}
