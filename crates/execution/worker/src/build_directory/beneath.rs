//! What lies under a build directory, and under the root of its command: trees that are shared.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use runner_api::{BUILD_PATH, Base, Image, InputRootPlace, MOUNT_POINTS};
use rustix::fs::{self as sys, Gid, Mode, Uid};

use super::make_directory;
use crate::tree_cache::CachedTree;

/// Trees that a build directory keeps in place for as long as it is there.
#[derive(Clone, Default)]
pub(crate) struct Beneath {
    /// What shows through the input root.
    pub(crate) inputs: Option<Arc<CachedTree>>,
    /// What the command has as its root file system.
    pub(crate) image: Option<Arc<CachedTree>>,
    /// Where in that it sees its input root, if not at the usual place.
    pub(crate) place: Option<InputRootPlace>,
}

/// Below a build directory: what overlayfs needs for itself, and what the command changes in its image.
const WORK: &str = "work";
const IMAGE: &str = "image";
const IMAGE_WORK: &str = "image-work";

impl Beneath {
    /// Makes the directories that overlays take beside the trees, below the build directory `name`.
    pub(super) fn make_places(
        &self,
        directory: &OwnedFd,
        name: &str,
        owner: Option<(Uid, Gid)>,
    ) -> io::Result<()> {
        if self.inputs.is_some() {
            sys::mkdirat(directory, format!("{name}/{WORK}"), Mode::RWXU)?;
        }
        if self.image.is_some() {
            sys::mkdirat(directory, format!("{name}/{IMAGE_WORK}"), Mode::RWXU)?;
            let image = format!("{name}/{IMAGE}");
            make_directory(directory, &image, owner)?;
            // Whatever the image has there: a directory, a symlink or nothing.
            for mount_point in MOUNT_POINTS {
                make_directory(directory, &format!("{image}/{mount_point}"), owner)?;
            }
            let place = self.place.as_ref().map_or(BUILD_PATH, InputRootPlace::as_str);
            let mut below = image;
            for name in place.split('/').skip(1) {
                below = format!("{below}/{name}");
                make_directory(directory, &below, owner)?;
            }
        }
        Ok(())
    }

    pub(super) fn input_root_base(&self, build_directory: &Path) -> Option<Base> {
        self.inputs.as_ref().map(|tree| Base {
            tree: tree.path().to_owned(),
            work: build_directory.join(WORK),
        })
    }

    pub(super) fn image(&self, build_directory: &Path) -> Option<Image> {
        self.image.as_ref().map(|tree| Image {
            upper: build_directory.join(IMAGE),
            base: Base {
                tree: tree.path().to_owned(),
                work: build_directory.join(IMAGE_WORK),
            },
        })
    }
}
