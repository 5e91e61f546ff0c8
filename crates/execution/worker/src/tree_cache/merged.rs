//! What an action has left in an overlay, seen as a whole.
//!
//! The overlay that the action had is the runner's, and gone with the action. For reading, the two trees are joined anew,
//! read-only, attached nowhere and gone with the descriptor.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self as sys, AtFlags, FileType, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
};

/// `upper` over `lower`, to be read.
pub(crate) fn merged(upper: impl AsFd, lower: &Path) -> io::Result<OwnedFd> {
    let lower = sys::open(lower, FLAGS, Mode::empty())?;
    let overlay = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    // By descriptor: paths may be too long for this call, and have letters that mean something to overlayfs.
    let layers = format!(
        "/proc/self/fd/{}:/proc/self/fd/{}",
        upper.as_fd().as_raw_fd(),
        lower.as_raw_fd()
    );
    fsconfig_set_string(&overlay, "lowerdir", layers)?;
    // Directories that the action has renamed.
    fsconfig_set_string(&overlay, "redirect_dir", "follow")?;
    fsconfig_create(&overlay)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV;
    let mount = fsmount(&overlay, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    // A mount is only to be looked up from; its root can be listed.
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(sys::openat(&mount, ".", flags, Mode::empty())?)
}

/// Marks that there is nothing at `path` below `upper`, whatever the tree under it has there.
pub(crate) fn mark_absent(upper: &OwnedFd, path: &str) -> io::Result<()> {
    Ok(sys::mknodat(
        upper,
        path,
        FileType::CharacterDevice,
        Mode::empty(),
        0,
    )?)
}

/// Tries what overlays take in `directory`, which has to be empty and is again afterwards, unless this fails.
pub(crate) fn try_in(directory: &Path) -> io::Result<()> {
    let at = sys::open(directory, FLAGS, Mode::empty())?;
    for name in ["upper", "lower"] {
        sys::mkdirat(&at, name, Mode::RWXU)?;
    }
    sys::openat(
        &at,
        "lower/gone",
        OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC,
        Mode::RUSR,
    )?;
    let upper = sys::openat(&at, "upper", FLAGS, Mode::empty())?;
    mark_absent(&upper, "gone")?;
    let both = merged(&upper, &directory.join("lower"))?;
    if sys::statat(&both, "gone", AtFlags::SYMLINK_NOFOLLOW).is_ok() {
        return Err(io::Error::other("a file that is marked as absent is there"));
    }
    drop((both, upper));
    for name in ["upper/gone", "lower/gone"] {
        sys::unlinkat(&at, name, AtFlags::empty())?;
    }
    for name in ["upper", "lower"] {
        sys::unlinkat(&at, name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

const FLAGS: OFlags = OFlags::DIRECTORY
    .union(OFlags::RDONLY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
