//! Noticing that the host's mounts have changed: a world that was built before does not show it.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec};

/// The mounts of this process's namespace, as they were when this was opened or last found changed.
pub(crate) struct MountTable {
    file: File,
}

impl MountTable {
    pub(crate) fn open() -> io::Result<MountTable> {
        let file = File::open("/proc/self/mounts")?;
        Ok(MountTable { file })
    }

    /// For `poll(2)`: wakes when the mounts have changed, once for all changes so far.
    pub(crate) fn change(&self) -> PollFd<'_> {
        PollFd::from_borrowed_fd(self.file.as_fd(), PollFlags::PRI)
    }

    /// Whether they have changed. When in doubt, they have.
    pub(crate) fn has_changed(&self) -> bool {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        rustix::event::poll(&mut [self.change()], Some(&now)) != Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_changed_yet() {
        // Other tests' worlds are in namespaces of their own.
        assert!(!MountTable::open().unwrap().has_changed());
    }
}
