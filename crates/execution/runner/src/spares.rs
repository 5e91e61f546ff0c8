//! Supervisors forked before they are needed, each with a world that is ready: what is done in advance is not waited
//! for.
//!
//! Between runs they only wait. One is used once; another takes its place a moment later, so as not to compete with
//! what was just started.
//! They are as many as there were commands at the same time of late, at least one and at most [`SPARES_MAX`]. A spare
//! that has got too old is not used but replaced, and all are dismissed when the host's mounts change: their worlds
//! would show, and keep busy, what is no longer there.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::descriptors;
use crate::limits::{REFILL_PAUSE, SPARE_AGE_MAX, SPARES_MAX};
use crate::sys;

/// The runner's spares, oldest first.
pub(crate) struct Spares {
    spares: VecDeque<Spare>,
    /// From when on to fork more. Never when one could not be forked, or none is wanted until something runs again.
    refill_from: Option<Instant>,
    concurrency: RecentPeak,
}

struct Spare {
    pid: libc::pid_t,
    /// Where it waits for a connection. Gone when it was killed; it keeps its place until it is dead, so that there are
    /// never more.
    socket: Option<OwnedFd>,
    since: Instant,
}

impl Spares {
    pub(crate) fn new(now: Instant) -> Spares {
        Spares {
            spares: VecDeque::new(),
            refill_from: Some(now),
            concurrency: RecentPeak::new(now),
        }
    }

    /// Gives the connection to a spare and returns its pid; it is a supervisor like any other from here on. `None` when
    /// there is none.
    pub(crate) fn hand_over(&mut self, connection: &UnixStream, now: Instant) -> Option<libc::pid_t> {
        for index in 0..self.spares.len() {
            let spare = &mut self.spares[index];
            let Some(socket) = &spare.socket else { continue };
            let too_old = now.saturating_duration_since(spare.since) > SPARE_AGE_MAX;
            if too_old || descriptors::send(socket, &[0], &[connection.as_fd()]).is_err() {
                spare.dismiss();
                continue;
            }
            return self.spares.remove(index).map(|spare| spare.pid);
        }
        None
    }

    /// To be told of every run that starts, and how many there are with it.
    pub(crate) fn note_runs(&mut self, runs: usize, now: Instant) {
        self.concurrency.note(runs, now);
        self.refill_from = Some(now + REFILL_PAUSE);
    }

    /// How long to wait before another one should be forked. `None` when there are enough.
    pub(crate) fn refill_after(&self, now: Instant) -> Option<Duration> {
        let wanted = self.concurrency.peak().clamp(1, SPARES_MAX);
        let from = self.refill_from.filter(|_| self.spares.len() < wanted)?;
        Some(from.saturating_duration_since(now))
    }

    pub(crate) fn add(&mut self, pid: libc::pid_t, socket: OwnedFd, now: Instant) {
        self.spares.push_back(Spare {
            pid,
            socket: Some(socket),
            since: now,
        });
    }

    /// No more until something runs again.
    pub(crate) fn stop_refilling(&mut self) {
        self.refill_from = None;
    }

    /// Kills all of them. Those to come after the next run know better.
    pub(crate) fn dismiss_all(&mut self) {
        self.spares.iter_mut().for_each(Spare::dismiss);
        self.stop_refilling();
    }

    /// A child of the runner is dead: says whether it was one of these.
    pub(crate) fn forget(&mut self, pid: libc::pid_t) -> bool {
        let before = self.spares.len();
        self.spares.retain(|spare| spare.pid != pid);
        self.spares.len() < before
    }

    pub(crate) fn pids(&self) -> impl Iterator<Item = libc::pid_t> {
        self.spares.iter().map(|spare| spare.pid)
    }
}

impl Spare {
    fn dismiss(&mut self) {
        if self.socket.take().is_some() {
            // Ours and not reaped, so it is there to be killed, and its init follows.
            let _ = sys::kill(self.pid, libc::SIGKILL);
        }
    }
}

/// A runner's and a spare's end of where connections are handed over.
pub(crate) fn hand_over_pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
}

/// Spare: waits for its connection. An error when the runner is gone.
pub(crate) fn wait_for_connection(socket: &OwnedFd) -> Result<UnixStream, Errno> {
    let (_, descriptors) = descriptors::receive(socket, &mut [0; 1])?;
    descriptors
        .into_iter()
        .next()
        .map(UnixStream::from)
        .ok_or(Errno::BADMSG)
}

/// The most of something in the present period and the one before it.
struct RecentPeak {
    period_start: Instant,
    present: usize,
    previous: usize,
}

impl RecentPeak {
    fn new(now: Instant) -> RecentPeak {
        RecentPeak {
            period_start: now,
            present: 0,
            previous: 0,
        }
    }

    fn note(&mut self, value: usize, now: Instant) {
        let age = now.saturating_duration_since(self.period_start);
        if age > SPARE_AGE_MAX {
            self.previous = if age > SPARE_AGE_MAX * 2 { 0 } else { self.present };
            self.present = 0;
            self.period_start = now;
        }
        self.present = self.present.max(value);
    }

    fn peak(&self) -> usize {
        self.present.max(self.previous)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pids that no process has, so that killing one does nothing.
    const NOBODY: libc::pid_t = libc::pid_t::MAX;

    fn connection() -> UnixStream {
        UnixStream::pair().unwrap().0
    }

    fn add(spares: &mut Spares, number: i32, now: Instant) -> OwnedFd {
        let (ours, theirs) = hand_over_pair().unwrap();
        spares.add(NOBODY - number, ours, now);
        theirs
    }

    #[test]
    fn the_oldest_that_is_not_too_old_gets_the_connection() {
        let start = Instant::now();
        let mut spares = Spares::new(start);
        let _first = add(&mut spares, 1, start);
        let second = add(&mut spares, 2, start + Duration::from_secs(1));
        let _third = add(&mut spares, 3, start + Duration::from_secs(2));
        let now = start + SPARE_AGE_MAX + Duration::from_millis(1);
        assert_eq!(spares.hand_over(&connection(), now), Some(NOBODY - 2));
        assert!(wait_for_connection(&second).is_ok());
        // The first was dismissed and has its place until it is dead.
        assert_eq!(spares.pids().collect::<Vec<_>>(), [NOBODY - 1, NOBODY - 3]);
        assert!(spares.forget(NOBODY - 1));
        assert!(!spares.forget(NOBODY - 2));
    }

    #[test]
    fn one_that_is_dead_gets_nothing() {
        let now = Instant::now();
        let mut spares = Spares::new(now);
        drop(add(&mut spares, 1, now));
        assert_eq!(spares.hand_over(&connection(), now), None);
        let _second = add(&mut spares, 2, now);
        assert_eq!(spares.hand_over(&connection(), now), Some(NOBODY - 2));
    }

    #[test]
    fn a_spare_notices_that_the_runner_is_gone() {
        let mut spares = Spares::new(Instant::now());
        let theirs = add(&mut spares, 1, Instant::now());
        drop(spares);
        assert_eq!(wait_for_connection(&theirs).unwrap_err(), Errno::PIPE);
    }

    #[test]
    fn as_many_as_ran_at_the_same_time_of_late() {
        let start = Instant::now();
        let mut spares = Spares::new(start);
        let wanted = |spares: &mut Spares, now| {
            let mut ends = Vec::new();
            while spares.refill_after(now).is_some() {
                ends.push(add(spares, 1, now));
            }
            let count = spares.spares.len();
            spares.spares.clear();
            count
        };
        assert_eq!(wanted(&mut spares, start), 1);
        spares.note_runs(3, start);
        spares.note_runs(2, start);
        assert_eq!(wanted(&mut spares, start), 3);
        spares.note_runs(1000, start);
        assert_eq!(wanted(&mut spares, start), SPARES_MAX);
        let later = start + SPARE_AGE_MAX + Duration::from_secs(1);
        spares.note_runs(2, later);
        assert_eq!(wanted(&mut spares, later), SPARES_MAX);
        let later = later + SPARE_AGE_MAX + Duration::from_secs(1);
        spares.note_runs(1, later);
        assert_eq!(wanted(&mut spares, later), 2);
        let later = later + 3 * SPARE_AGE_MAX;
        spares.note_runs(1, later);
        assert_eq!(wanted(&mut spares, later), 1);
    }

    #[test]
    fn dismissed_ones_are_replaced_when_something_runs_again() {
        let now = Instant::now();
        let mut spares = Spares::new(now);
        let _end = add(&mut spares, 1, now);
        spares.dismiss_all();
        assert_eq!(spares.hand_over(&connection(), now), None);
        assert!(spares.forget(NOBODY - 1));
        assert_eq!(spares.refill_after(now), None);
        spares.note_runs(1, now);
        assert_eq!(spares.refill_after(now), Some(REFILL_PAUSE));
        assert_eq!(spares.refill_after(now + REFILL_PAUSE * 2), Some(Duration::ZERO));
    }
}
