//! What an action writes, over what it must not change.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::mount::MountFlags;

use crate::Mounted;
use crate::mount::{SOURCE, failed};

/// The directories of an overlay.
#[derive(Clone, Copy, Debug)]
pub struct Layers<'a> {
    /// What is there already; never written.
    pub lower: &'a Path,
    /// Takes everything that is written. Its owner and mode are those of the whole.
    pub upper: &'a Path,
    /// For the kernel alone: empty, on the same file system as `upper`.
    pub work: &'a Path,
}

/// With directories that can be renamed, and without a care for power cuts: what an action has written is uploaded or
/// gone. The second is for kernels and file systems that do not have the one or the other (before 5.10; without `trusted.`
/// attributes).
const OPTIONS: [&str; 2] = ["xino=off,redirect_dir=on,volatile", "xino=off"];

/// Mounts it at the directory `at`. Needs the right to mount, and an `upper` that is not itself on an overlay.
pub fn overlay(at: &Path, layers: Layers<'_>) -> io::Result<Mounted> {
    let Layers { lower, upper, work } = layers;
    // By descriptor: then no character of a path means anything to the kernel.
    let opened = [open(lower)?, open(upper)?, open(work)?];
    let [lower, upper, work] = opened.each_ref().map(AsRawFd::as_raw_fd);
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let mount = |options: &str| {
        let data = format!(
            "lowerdir=/proc/self/fd/{lower},upperdir=/proc/self/fd/{upper},workdir=/proc/self/fd/{work},{options}"
        );
        let data = CString::new(data).expect("there is no NUL in it");
        rustix::mount::mount(SOURCE, at, "overlay", flags, data.as_c_str())
    };
    let [best, least] = OPTIONS;
    mount(best)
        .or_else(|_| mount(least))
        .map_err(|errno| failed("mounting an overlay", errno))?;
    Ok(Mounted::at(at))
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map_err(|errno| failed(&format!("opening {}", path.display()), errno))
}
