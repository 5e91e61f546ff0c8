//! Places on this machine for commands that were to be done elsewhere: when no worker does them, no more of them run at once
//! than this machine has processors for, however many the build has started.
//!
//! Nobody waits for ever: a command that another one with a place has started, and waits for, needs none of its own, and where
//! nothing has moved for long one more goes on without.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tasks::Group;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, sleep_until};

use crate::limits::{SLOT_ANCESTORS_MAX, SLOTS_STUCK_FOR};

/// How often it is looked whether a process that has a place is still there.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The places.
pub(crate) struct Slots {
    room: Arc<Semaphore>,
    state: Mutex<State>,
    tasks: Group,
}

struct State {
    /// Processes of wrappers whose commands have a place.
    holders: Vec<u32>,
    /// When one was given or came back.
    changed: Instant,
}

/// A place, until this is dropped.
pub(crate) struct Slot {
    slots: Arc<Slots>,
    permit: Option<OwnedSemaphorePermit>,
    holder: Option<u32>,
}

impl Slots {
    /// `count` at once, but for one at least.
    pub(crate) fn new(count: usize, tasks: Group) -> Arc<Self> {
        Arc::new(Slots {
            room: Arc::new(Semaphore::new(count.max(1))),
            state: Mutex::new(State {
                holders: Vec::new(),
                changed: Instant::now(),
            }),
            tasks,
        })
    }

    /// Waits for a place for what the wrapper with this process number starts, in the order of arrival.
    pub(crate) async fn slot(self: &Arc<Self>, process: Option<u32>) -> Slot {
        let own = std::process::id();
        // Many of those who come over gRPC have one process, which is this one.
        let holder = process.filter(|process| *process != own);
        let is_covered = process.is_some_and(|process| {
            let holders = self.state.lock().holders.clone();
            is_covered(&holders, own, process, parent_of)
        });
        if is_covered {
            return self.without();
        }
        let mut permit = std::pin::pin!(self.room.clone().acquire_owned());
        loop {
            let until = self.state.lock().changed + SLOTS_STUCK_FOR;
            tokio::select! {
                biased;
                permit = &mut permit => {
                    let mut state = self.state.lock();
                    state.changed = Instant::now();
                    state.holders.extend(holder);
                    return Slot {
                        slots: self.clone(),
                        permit: permit.ok(),
                        holder,
                    };
                }
                () = sleep_until(until) => {
                    let mut state = self.state.lock();
                    if state.changed + SLOTS_STUCK_FOR <= Instant::now() {
                        state.changed = Instant::now();
                        tracing::warn!("nothing moves on this machine; one command more runs than is to");
                        return self.without();
                    }
                }
            }
        }
    }

    /// A process asks anew: what it had a place for is over, though it lives on, as the shell of a recipe does. Whatever it
    /// waits for now, it holds up nobody.
    pub(crate) fn asks_anew(&self, process: Option<u32>) {
        let mut state = self.state.lock();
        state.holders.retain(|holder| Some(*holder) != process);
    }

    fn without(self: &Arc<Self>) -> Slot {
        Slot {
            slots: self.clone(),
            permit: None,
            holder: None,
        }
    }
}

impl Slot {
    fn is_held(&self) -> bool {
        let Some(holder) = self.holder else { return true };
        self.slots.state.lock().holders.contains(&holder)
    }

    /// Keeps it until the wrapper's process has gone, which is about to become the command, or asks for another one.
    pub(crate) fn until_gone(self, process: Option<u32>) {
        let Some(process) = process.and_then(handle) else {
            return;
        };
        let tasks = self.slots.tasks.clone();
        let stopping = tasks.stopping();
        tasks.spawn("a place on this machine", async move {
            let slot = self;
            while is_there(&process) && slot.is_held() && !stopping.is_cancelled() {
                sleep(LOOK_EVERY).await;
            }
        });
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.slots.state.lock();
        if let Some(at) = state
            .holders
            .iter()
            .position(|holder| Some(*holder) == self.holder)
        {
            state.holders.swap_remove(at);
        }
        if self.permit.take().is_some() {
            state.changed = Instant::now();
        }
    }
}

/// How many places a machine has; `fraction` is what of its processors may be taken.
pub(crate) fn count(processors: usize, fraction: f64) -> usize {
    let share = (processors as f64 * fraction).round();
    // No number at all is none of these.
    if share >= 1.0 { share as usize } else { 1 }
}

/// Whether somebody who has a place waits for this process: it, or one that has started it. All that this daemon has started
/// itself (`own`) has one.
fn is_covered(holders: &[u32], own: u32, process: u32, parent_of: impl Fn(u32) -> Option<u32>) -> bool {
    let mut at = Some(process);
    for _ in 0..SLOT_ANCESTORS_MAX {
        let Some(process_at) = at else { return false };
        if holders.contains(&process_at) || (process_at == own && process != own) {
            return true;
        }
        at = parent_of(process_at);
    }
    false
}

fn parent_of(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat")).ok()?;
    // The fourth field; the second is in parentheses and may contain anything.
    let (_, after_name) = stat.rsplit_once(')')?;
    let parent = after_name.split_ascii_whitespace().nth(1)?.parse().ok()?;
    (parent != 0).then_some(parent)
}

fn handle(process: u32) -> Option<OwnedFd> {
    let process = Pid::from_raw(i32::try_from(process).ok()?)?;
    pidfd_open(process, PidfdFlags::empty()).ok()
}

/// Readable is what the handle of a process becomes when it ends. (To be told of that by the runtime would take `unsafe`.)
fn is_there(process: &OwnedFd) -> bool {
    let mut handles = [PollFd::new(process, PollFlags::IN)];
    matches!(poll(&mut handles, Some(&Timespec::default())), Ok(0))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use futures::FutureExt;

    use super::*;

    fn slots(count: usize) -> Arc<Slots> {
        Slots::new(count, Group::new("test"))
    }

    #[test]
    fn places_are_a_part_of_the_processors_and_one_at_least() {
        for (processors, fraction, expected) in [
            (8, 1.0, 8),
            (8, 0.5, 4),
            (8, 0.3, 2),
            (2, 0.1, 1),
            (2, 0.0, 1),
            (2, 1.5, 3),
            (2, f64::NAN, 1),
            (2, -1.0, 1),
        ] {
            assert_eq!(count(processors, fraction), expected, "{processors} {fraction}");
        }
    }

    #[test]
    fn who_is_waited_for_by_somebody_with_a_place_needs_none() {
        // 9 is this daemon; 1 has started 2 and 9, 2 has started 3 and 4, 9 has started 10, which has started 11.
        let parent_of = |process| match process {
            2 | 9 => Some(1),
            3 | 4 => Some(2),
            10 => Some(9),
            11 => Some(10),
            _ => None,
        };
        for (holders, process, expected) in [
            (&[][..], 3, false),
            (&[2], 3, true),
            // It is the very one.
            (&[3], 3, true),
            (&[3], 4, false),
            (&[4, 1], 3, true),
            // What comes over gRPC comes from this process and has no place yet; what that has started has.
            (&[], 9, false),
            (&[], 11, true),
            (&[], 77, false),
        ] {
            assert_eq!(
                is_covered(holders, 9, process, parent_of),
                expected,
                "{holders:?} {process}"
            );
        }
        let (own, parent) = (std::process::id(), std::os::unix::process::parent_id());
        assert_eq!(super::parent_of(own), Some(parent));
        // In a circle that is none, but for a moment, nobody is looked for for ever.
        assert!(!is_covered(&[], 9, 5, |_| Some(5)));
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_there_are_places_run_at_once_and_each_gets_its_turn() {
        let slots = slots(2);
        let (first, _second) = (slots.slot(Some(4_000_001)).await, slots.slot(None).await);
        assert!(slots.slot(None).now_or_never().is_none());
        // Of the first one's own children nobody waits.
        assert!(slots.slot(Some(4_000_001)).now_or_never().is_some());
        let mut third = std::pin::pin!(slots.slot(None));
        assert!((&mut third).now_or_never().is_none());
        drop(first);
        assert!(third.now_or_never().is_some());
        assert!(slots.state.lock().holders.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn where_nothing_moves_one_at_a_time_goes_on_without_a_place() {
        let slots = slots(1);
        let held = slots.slot(None).await;
        let begun = Instant::now();
        let waiting = || async {
            let _slot = slots.slot(None).await;
            let waited = begun.elapsed();
            // Whoever holds the place waits for this one, say.
            sleep(Duration::from_secs(3600)).await;
            waited
        };
        let (one, other) = tokio::join!(waiting(), waiting());
        let (sooner, later) = (one.min(other), one.max(other));
        assert_eq!([sooner, later], [SLOTS_STUCK_FOR, 2 * SLOTS_STUCK_FOR]);
        drop(held);
    }

    #[tokio::test]
    async fn a_process_keeps_its_place_as_long_as_it_lives() {
        let slots = slots(1);
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        slots.slot(None).await.until_gone(Some(child.id()));
        assert!(slots.slot(None).now_or_never().is_none());
        drop(child.stdin.take());
        drop(slots.slot(None).await);
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn a_process_that_asks_anew_has_given_its_place_back() {
        let slots = slots(1);
        let mut shell = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let process = Some(shell.id());
        // As if this process had not started it: then it would need none.
        let mut slot = slots.slot(None).await;
        slot.holder = process;
        slots.state.lock().holders.extend(process);
        slot.until_gone(process);
        assert!(slots.slot(None).now_or_never().is_none());
        slots.asks_anew(Some(1));
        assert!(slots.slot(None).now_or_never().is_none(), "somebody else");
        slots.asks_anew(process);
        drop(slots.slot(None).await);
        drop(shell.stdin.take());
        shell.wait().unwrap();
    }

    #[tokio::test]
    async fn of_a_process_that_has_gone_nobody_can_say_when_it_goes() {
        let slots = slots(1);
        let mut child = Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        slots.slot(None).await.until_gone(Some(child.id()));
        assert!(slots.slot(None).now_or_never().is_some(), "it is free at once");
    }
}
