//! A command that was killed and does not die.
//!
//! `SIGKILL` reaches a process when it leaves the kernel; one that waits there for a file system or a device that does not
//! answer may never. It does no harm to others but that it holds memory and a place, so the client is told, and the
//! supervisor, which is such a place, stays until it is over.

use std::thread;

use runner_api::Reply;

use crate::descendants;
use crate::limits::UNDEAD_PAUSE;
use crate::spawn::Init;

/// An answer, and what is to be waited for after it.
pub(crate) struct Ended {
    pub(crate) reply: Reply,
    pub(crate) undead: Option<Undead>,
}

impl From<Reply> for Ended {
    fn from(reply: Reply) -> Self {
        Ended { reply, undead: None }
    }
}

/// An init that was killed and is, or has below it, what does not die.
pub(crate) struct Undead {
    init: Init,
    init_owns_pids: bool,
}

impl Undead {
    pub(crate) fn new(init: Init, init_owns_pids: bool) -> Self {
        Undead { init, init_owns_pids }
    }

    /// To be said of it.
    pub(crate) fn ended(self, message: String) -> Ended {
        Ended {
            reply: Reply::Undead { message },
            undead: Some(self),
        }
    }

    /// Waits until all of it is dead. Without a bound: nothing else is left to do, and whoever ends the runner ends this.
    pub(crate) fn wait(self) {
        // An error says that there is nothing to reap any more.
        let _reaped = self.init.reap();
        while !self.init_owns_pids && descendants::kill_all(UNDEAD_PAUSE).is_err() {
            thread::sleep(UNDEAD_PAUSE);
        }
    }
}
