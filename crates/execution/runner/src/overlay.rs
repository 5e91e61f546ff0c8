//! Two directory trees as one: a tree that is shared and never written, below one that takes what a command writes.
//!
//! An overlay is made by the supervisor, which still has rights over mounts, and never attached to the host's tree: it
//! is in nobody's mount table but the command's, and goes with its last process.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use runner_api::{Base, Image};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use crate::setup_error::{Result, Step};

/// What overlayfs is told, beside the directories.
///
/// With `redirect_dir` a directory of the lower tree can be renamed as any other. Nothing of a build directory has to
/// survive a power cut, and without `volatile` the end of each command would wait until its whole file system is on disk.
const OPTIONS: &[(&str, &str)] = &[("redirect_dir", "on"), ("index", "off"), ("metacopy", "off")];
const FLAGS: &[&str] = &["volatile"];
/// The mark of what was mounted so, below the directory for overlayfs itself: a directory with a file in it.
const VOLATILE_MARK: &[(&str, AtFlags)] = &[
    ("work/incompat/volatile/dirty", AtFlags::empty()),
    ("work/incompat/volatile", AtFlags::REMOVEDIR),
];

/// A build directory over its base, attached to nothing yet.
pub(crate) fn over_base(upper: &Path, base: &Base) -> Result<OwnedFd> {
    mount(upper, base)
}

/// An image, attached to nothing yet.
pub(crate) fn image(image: &Image) -> Result<OwnedFd> {
    mount(&image.upper, &image.base)
}

fn mount(upper: &Path, base: &Base) -> Result<OwnedFd> {
    let lower = open(&base.tree)?;
    let (upper, work) = (open(upper)?, open(&base.work)?);
    forget_earlier_attempt(&work).step_with(|| format!("emptying {:?}", base.work))?;
    let make = || {
        let overlay = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        // By descriptor: paths may be too long for this call, and have letters that mean something to overlayfs.
        let by_descriptor = |directory: &OwnedFd| format!("/proc/self/fd/{}", directory.as_raw_fd());
        rustix::mount::fsconfig_set_string(&overlay, "lowerdir", by_descriptor(&lower))?;
        rustix::mount::fsconfig_set_string(&overlay, "upperdir", by_descriptor(&upper))?;
        rustix::mount::fsconfig_set_string(&overlay, "workdir", by_descriptor(&work))?;
        for (name, value) in OPTIONS {
            rustix::mount::fsconfig_set_string(&overlay, *name, *value)?;
        }
        for flag in FLAGS {
            rustix::mount::fsconfig_set_flag(&overlay, *flag)?;
        }
        rustix::mount::fsconfig_create(&overlay)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        rustix::mount::fsmount(&overlay, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    };
    make().step_with(|| format!("making an overlay over {:?}", base.tree))
}

/// A world that was ready may have failed after it got its overlay. Overlayfs marks what was mounted as `volatile`, so
/// that nobody trusts it after a power cut; nothing has written to it here.
fn forget_earlier_attempt(work: &OwnedFd) -> std::result::Result<(), Errno> {
    for (path, flags) in VOLATILE_MARK {
        match rustix::fs::unlinkat(work, *path, *flags) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty()).step_with(|| format!("opening {path:?}"))
}

/// Why overlays cannot be had by this process, as it is; `None` if they can. Whether the worker's disk takes them is
/// the worker's to find out.
pub(crate) fn why_not() -> Option<String> {
    let opened = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).step("opening overlayfs");
    opened.err().map(|error| error.to_string())
}
