//! Where a command can write and whom it can reach, once more: by Landlock, which needs neither namespaces nor rights.
//!
//! Inside the tree of `mounts.rs` it is a second lock. It is the first one where there is no mount namespace, and for
//! abstract Unix sockets of the host where a command has the host's network.

use std::os::fd::OwnedFd;
use std::path::Path;

use runner_api::Root;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::setup_error::{Result, Step};
use crate::sys::{RulesetAttributes, landlock_abi, landlock_allow, landlock_create, landlock_restrict};

/// Writing to a file that is there.
const WRITE_FILE: u64 = 1 << 1;
/// Everything that changes a directory: making and removing entries of each kind (bits 4 to 12).
const CHANGE_DIRECTORY: u64 = 0b1_1111_1111 << 4;
/// Renaming and linking from one directory to another; since ABI 2.
const REFER: u64 = 1 << 13;
/// Cutting a file; since ABI 3.
const TRUNCATE: u64 = 1 << 14;
/// Connecting to abstract Unix sockets, and sending signals, to processes that are not bound by the same rules; since
/// ABI 6.
const SCOPES: u64 = 0b11;

/// Where any command may write, beside its build directory, which is where it stands.
const SCRATCH: &[&str] = &["/tmp", "/dev/shm"];
/// Where there are files to write to, and nothing to make or to remove. `/proc` says itself who may.
const FILES: &[&str] = &["/dev", "/proc"];

/// Init, with the build directory as current directory: from here on neither this process nor anything it starts can
/// write elsewhere.
pub(crate) fn restrict(root: Root) -> Result<()> {
    let abi = landlock_abi().step("asking for Landlock")?;
    let since = |version: u32, bits: u64| if abi >= version { bits } else { 0 };
    let files = WRITE_FILE | since(3, TRUNCATE);
    let all = files | CHANGE_DIRECTORY | since(2, REFER);
    let ruleset = landlock_create(&RulesetAttributes {
        handled_access_fs: all,
        handled_access_net: 0,
        scoped: since(6, SCOPES),
    })
    .step("making Landlock rules")?;
    allow(&ruleset, Path::new("."), all)?;
    // All of an image is the command's own.
    if root == Root::Image {
        allow(&ruleset, Path::new("/"), all)?;
    }
    for path in SCRATCH {
        allow(&ruleset, Path::new(path), all)?;
    }
    for path in FILES {
        allow(&ruleset, Path::new(path), files)?;
    }
    landlock_restrict(&ruleset).step("applying Landlock rules")
}

fn allow(ruleset: &OwnedFd, path: &Path, access: u64) -> Result<()> {
    let there = match rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Ok(there) => there,
        // Nothing to write to.
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno).step_with(|| format!("opening {path:?}")),
    };
    landlock_allow(ruleset, &there, access).step_with(|| format!("allowing {path:?}"))
}
