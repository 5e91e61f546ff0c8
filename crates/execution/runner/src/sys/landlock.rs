//! The three system calls of Landlock, which has no wrapper in the C library.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

use super::last_errno;

/// `struct landlock_ruleset_attr` of ABI 6. Older kernels take it when what they do not know is zero.
#[repr(C)]
pub(crate) struct RulesetAttributes {
    pub(crate) handled_access_fs: u64,
    pub(crate) handled_access_net: u64,
    pub(crate) scoped: u64,
}

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct PathBeneath {
    allowed_access: u64,
    parent_fd: RawFd,
}

const CREATE_RULESET_VERSION: u32 = 1;
const RULE_PATH_BENEATH: i32 = 1;

/// The version of Landlock that the kernel speaks, from 1.
pub(crate) fn landlock_abi() -> Result<u32, Errno> {
    // SAFETY: with this flag the call reads nothing from the null pointer.
    let abi = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<RulesetAttributes>(),
            0usize,
            CREATE_RULESET_VERSION,
        )
    };
    u32::try_from(abi).map_err(|_| last_errno())
}

/// A set of rules that forbids what it handles, but for what is allowed in it.
pub(crate) fn landlock_create(attributes: &RulesetAttributes) -> Result<OwnedFd, Errno> {
    // SAFETY: the pointer and the size are those of one live struct, which the kernel only reads.
    let made = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::from_ref(attributes),
            size_of::<RulesetAttributes>(),
            0u32,
        )
    };
    match RawFd::try_from(made) {
        // SAFETY: a successful call returns a fresh descriptor that nobody else owns.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(last_errno()),
    }
}

/// Allows this at a file, or at and below a directory.
pub(crate) fn landlock_allow(
    ruleset: &OwnedFd,
    beneath: impl AsFd,
    allowed_access: u64,
) -> Result<(), Errno> {
    let rule = PathBeneath {
        allowed_access,
        parent_fd: beneath.as_fd().as_raw_fd(),
    };
    // SAFETY: both descriptors are open for the length of the call, and the kernel only reads the struct.
    let added = unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            RULE_PATH_BENEATH,
            &raw const rule,
            0u32,
        )
    };
    match added {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

/// From here on the rules hold for this thread and all it starts. `no_new_privs` must be set.
pub(crate) fn landlock_restrict(ruleset: &OwnedFd) -> Result<(), Errno> {
    // SAFETY: no memory is passed.
    let restricted = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0u32) };
    match restricted {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}
