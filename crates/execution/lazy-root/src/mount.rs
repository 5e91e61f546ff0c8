//! A tree, mounted.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blob::Digest;
use fuser::{Config, Session, SessionACL};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use tasks::{CancellationToken, Group};
use tokio::sync::watch;

use crate::file_system::FileSystem;
use crate::limits::SERVING_THREADS;
use crate::requests::Requests;
use crate::{Contents, Observed, Owners};

/// What the table of mounts says of ours in the place of a device.
pub(crate) const SOURCE: &str = "farrier";

/// What is shown, and to whom it belongs.
#[derive(Clone, Debug)]
pub struct RootOptions {
    /// The topmost directory.
    pub root: Digest,
    /// Whose everything is.
    pub owners: Owners,
}

/// A handle on what happens in a mount. It outlives the mount harmlessly.
pub struct LazyRoot<C: Contents> {
    requests: Arc<Requests<C>>,
}

/// Something is mounted at a path until this is dropped. That always ends it: whoever still uses it then keeps what he
/// has, but nobody finds it any more.
#[derive(Debug)]
pub struct Mounted {
    at: PathBuf,
}

/// Mounts a tree at the empty directory `at`. Fetches run in `group`, on the runtime that this is called on; blocking, but
/// for a moment only. Needs the right to mount, and `/dev/fuse`; the error says which is missing.
///
/// Nothing runs when the mount is gone: the threads that serve it end with it.
pub fn mount<C: Contents>(
    at: &Path,
    contents: C,
    options: RootOptions,
    group: &Group,
) -> io::Result<(LazyRoot<C>, Mounted)> {
    let device = open_device()?;
    let requests = Requests::new(contents, options, group);
    // Read-only, and checked by the kernel for everybody alike: the action's user is another than ours.
    let data = format!(
        "fd={},rootmode=40000,user_id={},group_id={},allow_other,default_permissions",
        device.as_raw_fd(),
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    let data = CString::new(data).expect("there is no NUL in it");
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOATIME;
    rustix::mount::mount(SOURCE, at, "fuse.farrier", flags, data.as_c_str())
        .map_err(|errno| failed("mounting a FUSE file system", errno))?;
    let mounted = Mounted { at: at.to_owned() };
    let mut config = Config::default();
    config.acl = SessionACL::All;
    config.n_threads = Some(SERVING_THREADS);
    let session = Session::from_fd(FileSystem(requests.clone()), device, SessionACL::All, config)?;
    // Its threads end when the kernel has let go of the mount; nobody waits for that, as another process may be in the
    // middle of leaving a copy of it.
    let _ends_by_itself = session.spawn()?;
    Ok((LazyRoot { requests }, mounted))
}

fn open_device() -> io::Result<OwnedFd> {
    rustix::fs::open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| failed("opening /dev/fuse", errno))
}

pub(crate) fn failed(what: &str, errno: Errno) -> io::Error {
    let error = io::Error::from(errno);
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

impl<C: Contents> Clone for LazyRoot<C> {
    fn clone(&self) -> Self {
        LazyRoot {
            requests: self.requests.clone(),
        }
    }
}

impl<C: Contents> LazyRoot<C> {
    /// Whether somebody waits for a fetch just now.
    pub fn waiting(&self) -> watch::Receiver<bool> {
        self.requests.waits.watch()
    }

    /// Fires when something could not be had. Whoever runs the command ends it then.
    pub fn failed(&self) -> CancellationToken {
        self.requests.failed()
    }

    /// The first thing that could not be had; once.
    pub fn failure(&self) -> Option<C::Error> {
        self.requests.take_failure()
    }

    /// Answers everybody who waits with an error, now and from now on. A command that is killed while it waits dies only
    /// then.
    pub fn give_up(&self) {
        self.requests.give_up();
    }

    /// From now on it is noted what happens, or no more.
    pub fn observe(&self, is_on: bool) {
        self.requests.recorder.switch(is_on);
    }

    /// What was noted.
    pub fn observed(&self) -> Observed {
        self.requests.recorder.observed()
    }
}

impl Mounted {
    pub(crate) fn at(at: &Path) -> Self {
        Mounted { at: at.to_owned() }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = match rustix::mount::unmount(&self.at, UnmountFlags::NOFOLLOW) {
            // Somebody has a file open there, or stands in it.
            Err(Errno::BUSY) => {
                rustix::mount::unmount(&self.at, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH)
            }
            unmounted => unmounted,
        };
        match unmounted {
            // Not mounted any more, or not there.
            Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
            Err(error) => {
                tracing::warn!(at = %self.at.display(), %error, "a mount stays until the next start of the worker");
            }
        }
    }
}
