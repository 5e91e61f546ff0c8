//! Whose id a command has: inside 1000 unless it asks for another, on the host whatever the runner may give.

use std::fs;

use runner_api::UidMode;
use rustix::io::Errno;
use rustix::thread::{Gid, Uid};

use crate::confinement::Ids;
use crate::setup_error::{Result, SetupError, Step};

/// Supervisor: maps the inner ids of the new user namespace of `pid` to those of the host. Nothing else is mapped, so all
/// other files belong to nobody in there.
pub(crate) fn write(pid: libc::pid_t, ids: &Ids) -> Result<()> {
    let Ids {
        mode,
        uid,
        gid,
        inner,
    } = ids;
    if *mode == UidMode::Rootless {
        // Without privileges the kernel maps a group only after this: otherwise a process could drop a group that
        // is there to deny it something.
        put(pid, "setgroups", "deny")?;
    }
    put(pid, "uid_map", &format!("{} {uid} 1", inner.uid))?;
    put(pid, "gid_map", &format!("{} {gid} 1", inner.gid))
}

fn put(pid: libc::pid_t, file: &str, content: &str) -> Result<()> {
    let path = format!("/proc/{pid}/{file}");
    fs::write(&path, content).map_err(|error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        SetupError::new(
            format!("writing {content:?} to {file} of the user namespace"),
            errno,
        )
    })
}

/// Init: takes its inner ids. Rights in the namespace are kept; they are dropped when no longer needed.
pub(crate) fn become_inner(ids: &Ids) -> Result<()> {
    match ids.mode {
        UidMode::Privileged => become_id(ids.inner.uid, ids.inner.gid),
        // The runner's own id is the inner one; groups cannot be dropped (see above).
        UidMode::Rootless => Ok(()),
    }
}

/// Init: becomes an id of the host, for want of a user namespace.
pub(crate) fn become_host(ids: &Ids) -> Result<()> {
    match ids.mode {
        UidMode::Privileged => become_id(ids.uid, ids.gid),
        UidMode::Rootless => Ok(()),
    }
}

fn become_id(uid: u32, gid: u32) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    // The calls are per thread, and there is one.
    rustix::thread::set_thread_groups(&[]).step("dropping supplementary groups")?;
    rustix::thread::set_thread_res_gid(gid, gid, gid).step_with(|| format!("becoming group {gid:?}"))?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).step_with(|| format!("becoming user {uid:?}"))
}
