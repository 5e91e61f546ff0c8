//! The kernel's namespaces, but for what they show of files (`mounts.rs`) and ids (`id_map.rs`).

use std::ffi::c_int;

use runner_api::Mechanism;
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::confinement::Confinement;
use crate::setup_error::{Result, Step};
use crate::sys;

/// The name every command finds itself on, so that no output depends on which worker made it.
const HOST_NAME: &[u8] = b"farrier";

/// The `CLONE_NEW*` of a confinement.
pub(crate) fn flags(confinement: &Confinement) -> c_int {
    [
        (Mechanism::UserNamespace, libc::CLONE_NEWUSER),
        (Mechanism::MountNamespace, libc::CLONE_NEWNS),
        (Mechanism::PidNamespace, libc::CLONE_NEWPID),
        (Mechanism::NetworkNamespace, libc::CLONE_NEWNET),
        (Mechanism::IpcNamespace, libc::CLONE_NEWIPC),
        (Mechanism::UtsNamespace, libc::CLONE_NEWUTS),
    ]
    .into_iter()
    .filter(|(mechanism, _)| confinement.has(*mechanism))
    .fold(0, |flags, (_, flag)| flags | flag)
}

/// Init: a neutral host name, control groups that begin with its own and a loopback that is up, where they are our own.
pub(crate) fn furnish(confinement: &Confinement) -> Result<()> {
    if confinement.has(Mechanism::UtsNamespace) {
        rustix::system::sethostname(HOST_NAME).step("setting the host name")?;
        rustix::system::setdomainname(b"(none)").step("setting the domain name")?;
    }
    if confinement.has(Mechanism::CgroupNamespace) {
        // Not with the others: its top is the group that whoever makes it is in, which init is only since it was let go.
        sys::unshare_cgroups().step("making a cgroup namespace")?;
    }
    if confinement.has(Mechanism::NetworkNamespace) {
        let socket =
            rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
                .step("opening a socket to bring loopback up")?;
        sys::interface_up(&socket, c"lo").step("bringing loopback up")?;
    }
    Ok(())
}

/// Init: forbids the command to make user namespaces, and so any other. Only ever called inside a user namespace of
/// our own: the limit belongs to whichever the caller is in.
pub(crate) fn forbid_nesting() -> Result<()> {
    let limit = "/proc/sys/user/max_user_namespaces";
    let file = rustix::fs::open(limit, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        .step_with(|| format!("opening {limit}"))?;
    rustix::io::write(&file, b"0")
        .step_with(|| format!("writing 0 to {limit}"))
        .map(|_| ())
}
