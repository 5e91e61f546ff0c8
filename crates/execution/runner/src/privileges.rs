//! Giving up every right, for good.

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::setup_error::{Result, Step};

/// Init: from here on neither this process nor anything it starts can get rights that it does not have.
pub(crate) fn renounce() -> Result<()> {
    no_new_privs()?;
    for capability in CapabilitySet::all().iter() {
        // One that this kernel does not know is not in the set either.
        if rustix::thread::capability_is_in_bounding_set(capability) != Ok(true) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // Without CAP_SETPCAP the set stays, which gives nothing: no_new_privs stops what could use it.
            Ok(()) | Err(Errno::PERM) => {}
            Err(errno) => return Err(errno).step("emptying the bounding set"),
        }
    }
    rustix::thread::clear_ambient_capability_set().step("emptying the ambient capabilities")
}

/// Init: gives up the rights it has. From here on it can do no more than its user id allows.
pub(crate) fn drop_capabilities() -> Result<()> {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets {
        effective: none,
        permitted: none,
        inheritable: none,
    };
    rustix::thread::set_capabilities(None, sets).step("dropping capabilities")
}

/// Init: set-user-id programs give no rights any more.
pub(crate) fn no_new_privs() -> Result<()> {
    rustix::thread::set_no_new_privs(true).step("setting no_new_privs")
}

/// Init: processes of the same user cannot trace this one or reach its memory and descriptors. Programs it starts
/// are ordinary again.
pub(crate) fn hide_from_trace() -> Result<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).step("becoming undumpable")
}

/// Init: the command has at most so many processes and threads at once, for want of a control group that says so. The
/// kernel counts what this user has in this user namespace (since Linux 5.14), thus nobody else's, and init as one.
pub(crate) fn bound_processes(processes_max: u32) -> Result<()> {
    let all = Some(u64::from(processes_max) + 1);
    rustix::process::setrlimit(
        Resource::Nproc,
        Rlimit {
            current: all,
            maximum: all,
        },
    )
    .step("bounding its processes")
}

/// Init: no core files; they would land among the outputs.
pub(crate) fn no_core_files() -> Result<()> {
    rustix::process::setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )
    .step("forbidding core files")
}
