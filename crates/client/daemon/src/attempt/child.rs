//! A command that a wrapper runs here, and how it is ended.

use std::fs;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal, test_kill_process_group,
};
use tokio::time::sleep;

use crate::limits::LOSER_GONE_WITHIN;

/// How often it is looked whether a command has gone.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How long a command that is ended may take to remove its temporary files.
const TIDIES_UP_WITHIN: Duration = Duration::from_millis(100);

/// A child of the wrapper, which is still there: it is told of before it is waited for.
pub(crate) struct Child {
    handle: OwnedFd,
    begun: Instant,
    /// It and all that it has started, where it leads a process group of its own.
    group: Option<Pid>,
    /// It was ended because it took too long.
    is_late: AtomicBool,
}

impl Child {
    /// `leads_group`: the wrapper has given it a process group of its own.
    pub(super) fn of(process: u32, leads_group: bool) -> Option<Self> {
        let process = Pid::from_raw(i32::try_from(process).ok()?)?;
        Some(Child {
            handle: pidfd_open(process, PidfdFlags::empty()).ok()?,
            begun: Instant::now(),
            group: leads_group.then_some(process),
            is_late: AtomicBool::new(false),
        })
    }

    /// Ends it, with all that it has started. It may remove its temporary files, unless it takes long for that.
    pub(crate) fn end(&self, since: Duration) {
        self.signal(match since < TIDIES_UP_WITHIN {
            true => Signal::TERM,
            false => Signal::KILL,
        });
    }

    /// Asks it to end.
    pub(super) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends it when it has been there for so long, with all that it has started.
    pub(super) async fn end_after(&self, limit: Duration) {
        sleep(limit.saturating_sub(self.since())).await;
        self.is_late.store(true, Ordering::Relaxed);
        self.gone().await;
    }

    /// Whether it was ended because it took too long.
    pub(super) fn is_late(&self) -> bool {
        self.is_late.load(Ordering::Relaxed)
    }

    /// How long it has been there.
    pub(crate) fn since(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Ends it, and waits until nothing is left of it that does something. What cannot be ended within the bound hangs in the
    /// system, where it does not write either.
    pub(crate) async fn gone(&self) {
        let since = Instant::now();
        while self.is_there() {
            if since.elapsed() > LOSER_GONE_WITHIN {
                tracing::warn!("a command that is to end does not");
                return;
            }
            self.end(since.elapsed());
            sleep(LOOK_EVERY).await;
        }
    }

    /// Whether something of it is left that does something. What nobody waits for stays in the list of processes.
    fn is_there(&self) -> bool {
        self.group
            .is_some_and(|group| test_kill_process_group(group).is_ok() && has_living(group))
    }

    fn signal(&self, signal: Signal) {
        // It may have ended at this moment.
        let _ = match self.group {
            Some(group) => kill_process_group(group, signal),
            None => pidfd_send_signal(&self.handle, signal),
        };
    }
}

/// Whether a process of this group is more than a trace.
fn has_living(group: Pid) -> bool {
    let Ok(processes) = fs::read_dir("/proc") else {
        return true;
    };
    let group = group.as_raw_nonzero().to_string();
    processes.flatten().any(|process| {
        let stat = fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        is_living(&stat, &group)
    })
}

/// What `stat` says: after the name in parentheses, which may be anything, the state, the parent and the group.
fn is_living(stat: &str, group: &str) -> bool {
    let mut words = stat
        .rsplit_once(") ")
        .map_or("", |(_, rest)| rest)
        .split_whitespace();
    let state = words.next();
    words.nth(1) == Some(group) && !matches!(state, Some("Z" | "X"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_waits_for_does_nothing_any_more() {
        for (stat, expected) in [
            ("12 (cc1) R 1 77 5 0 -1", true),
            ("12 (a) b) (c) D 1 77 5", true),
            ("12 (cc1) Z 1 77 5", false),
            ("12 (cc1) X 1 77 5", false),
            ("12 (cc1) R 77 78 77", false),
            ("", false),
        ] {
            assert_eq!(is_living(stat, "77"), expected, "{stat}");
        }
    }
}
