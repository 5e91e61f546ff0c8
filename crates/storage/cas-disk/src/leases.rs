//! Who was promised what, at the price of 32 bits an entry.
//!
//! A lease is a build's claim on everything it was promised. Every promise stamps the entry with the lease's current
//! number; an entry may be dropped when the lease behind its stamp has ended. There is one stamp an entry, so when a
//! second build is promised what the first one still holds, the second one's number takes the first one's life upon
//! itself: what bears it stays until both have ended. That keeps a little too much and never too little.
//!
//! Numbers change with time and with bytes, so that a lease that lasts for ever or takes more than its share lets go of
//! its oldest promises first, and so that a number also tells roughly when an entry was last used.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use cas::Invocation;
use parking_lot::Mutex;

use crate::options::LeaseOptions;

/// Builds told apart at a time; further ones share the lease of those that name none.
const LEASES_MAX: usize = 4096;
/// A number serves for a part of the quiet time, and for a part of the share.
const WINDOWS_IN_QUIET: u32 = 4;
const WINDOWS_IN_SHARE: u64 = 16;
/// The number of no lease: what was there before this start and is promised to nobody.
pub(crate) const NOBODY: u32 = 0;
/// The number of what was promised before this start.
pub(crate) const BEFORE: u32 = 1;

/// All leases of a store.
pub(crate) struct Leases {
    options: LeaseOptions,
    /// Most bytes of a build, and of all that name none.
    shares: (u64, u64),
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last_number: u32,
    last_id: u64,
    leases: HashMap<u64, Lease>,
    by_holder: HashMap<Option<Invocation>, u64>,
    lease_of: HashMap<u32, u64>,
    lapsed_bytes: u64,
}

struct Lease {
    holder: Option<Invocation>,
    last_used: Duration,
    /// Actions that wait or run.
    holds: u32,
    windows: VecDeque<Window>,
    /// What this lease gave up and is kept for others.
    kept_for_others: Vec<Window>,
}

struct Window {
    number: u32,
    opened: Duration,
    last_used: Duration,
    bytes: u64,
    /// Where entries were that got its number.
    segments: HashSet<u64>,
    /// Numbers that entries bore before they got this one, and that hold in their own right.
    also: HashSet<u32>,
}

/// What a promise is made under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    lease: u64,
    pub(crate) number: u32,
}

/// Which numbers still hold, as of one moment.
pub(crate) struct Alive {
    numbers: HashSet<u32>,
    above: u32,
}

impl Alive {
    /// Numbers given out after the moment hold.
    pub(crate) fn holds(&self, number: u32) -> bool {
        number > self.above || self.numbers.contains(&number)
    }
}

/// What the leases amount to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaseUsage {
    /// Builds that were active within the quiet time, those that name none counted as one.
    pub builds: u64,
    /// Bytes promised to them, each build counted for itself.
    pub promised_bytes: u64,
    /// Bytes whose promises lapsed because a build took more than its share.
    pub lapsed_bytes: u64,
}

impl Leases {
    /// `before` are the segments whose entries bear the number [`BEFORE`], which holds for the quiet time.
    pub(crate) fn new(options: LeaseOptions, capacity_bytes: u64, now: Duration, before: &[u64]) -> Self {
        let share = |percent: u32| capacity_bytes / 100 * u64::from(percent.min(100));
        let shares = (share(options.share_percent), share(options.unnamed_share_percent));
        let mut state = State {
            last_number: BEFORE,
            ..State::default()
        };
        if !before.is_empty() {
            let id = state.open(None, now);
            // Nobody finds it, so nobody adds to it.
            state.by_holder.clear();
            state.add_window(id, BEFORE, now);
            if let Some(window) = state
                .leases
                .get_mut(&id)
                .and_then(|lease| lease.window_mut(BEFORE))
            {
                window.segments.extend(before);
            }
        }
        Leases {
            options,
            shares,
            state: Mutex::new(state),
        }
    }

    /// Begins a promise to a build; it is active now.
    pub(crate) fn begin(&self, invocation: Option<&Invocation>, now: Duration) -> Ticket {
        let mut state = self.state.lock();
        let id = state.lease(invocation, now);
        let share = self.share(state.leases[&id].holder.is_some());
        let lease = state.leases.get_mut(&id).expect("found or opened above");
        lease.last_used = now;
        let fresh = lease.windows.back_mut().and_then(|window| {
            let serves = now.saturating_sub(window.opened) < self.options.quiet / WINDOWS_IN_QUIET
                && window.bytes < share / WINDOWS_IN_SHARE;
            serves.then(|| {
                window.last_used = now;
                window.number
            })
        });
        let number = fresh.unwrap_or_else(|| {
            let number = state.next_window(id, now);
            // Rare enough to tidy up on the way.
            state.end_quiet(&self.options, now);
            number
        });
        Ticket { lease: id, number }
    }

    /// Books what a promise came to: bytes that now bear its number, and the numbers they bore before with the bytes
    /// of each. Returns those of `segments` that are new to this number.
    pub(crate) fn book(
        &self,
        ticket: Ticket,
        bytes: u64,
        moved: &[(u32, u64)],
        segments: &[u64],
    ) -> Vec<u64> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let mut also = HashSet::new();
        for (number, bytes) in moved {
            let Some(id) = state.lease_of.get(number) else {
                continue;
            };
            let lease = state.leases.get_mut(id).expect("numbers go before their lease");
            let Some(window) = lease.window_mut(*number) else {
                continue;
            };
            also.extend(&window.also);
            if *id == ticket.lease {
                window.bytes = window.bytes.saturating_sub(*bytes);
            } else {
                also.insert(*number);
            }
        }
        // The lease may have been closed between the two calls; its promises have then had their time.
        let Some(lease) = state.leases.get_mut(&ticket.lease) else {
            return Vec::new();
        };
        let mut fresh = Vec::new();
        if let Some(window) = lease.window_mut(ticket.number) {
            window.bytes += bytes;
            window.also.extend(also);
            fresh.extend(
                segments
                    .iter()
                    .filter(|segment| window.segments.insert(**segment)),
            );
        }
        let share = if lease.holder.is_some() {
            self.shares.0
        } else {
            self.shares.1
        };
        state.lapsed_bytes += lease.let_go(share, &mut state.lease_of);
        fresh
    }

    /// Entries that bear these numbers are in another segment now. Returns it if that is new to one of them.
    pub(crate) fn carried(&self, mut numbers: Vec<u32>, segment: u64) -> Vec<u64> {
        numbers.sort_unstable();
        numbers.dedup();
        let mut state = self.state.lock();
        let state = &mut *state;
        let mut fresh = Vec::new();
        for number in numbers {
            let lease = state
                .lease_of
                .get(&number)
                .and_then(|id| state.leases.get_mut(id));
            let window = lease.and_then(|lease| lease.window_mut(number));
            if window.is_some_and(|window| window.segments.insert(segment)) {
                fresh = vec![segment];
            }
        }
        fresh
    }

    /// Counts something that keeps a build from being quiet.
    pub(crate) fn hold(&self, invocation: &Invocation, now: Duration) -> u64 {
        let mut state = self.state.lock();
        let id = state.lease(Some(invocation), now);
        if let Some(lease) = state.leases.get_mut(&id) {
            lease.holds += 1;
        }
        id
    }

    /// Undoes [`hold`](Self::hold).
    pub(crate) fn release(&self, id: u64, now: Duration) {
        if let Some(lease) = self.state.lock().leases.get_mut(&id) {
            lease.holds = lease.holds.saturating_sub(1);
            lease.last_used = now;
        }
    }

    /// Ends what has been quiet for long enough, and says what still holds.
    pub(crate) fn alive(&self, now: Duration) -> Alive {
        let mut state = self.state.lock();
        state.end_quiet(&self.options, now);
        Alive {
            numbers: state.lease_of.keys().copied().collect(),
            above: state.last_number,
        }
    }

    /// Whether a number may still hold. One that has ended lately may be taken for one that does.
    pub(crate) fn may_hold(&self, number: u32) -> bool {
        self.state.lock().lease_of.contains_key(&number)
    }

    /// Segments that hold something promised, each once, those promised last at the end.
    pub(crate) fn segments(&self) -> Vec<u64> {
        let state = self.state.lock();
        let mut last_number: HashMap<u64, u32> = HashMap::new();
        let windows = state
            .leases
            .values()
            .flat_map(|lease| lease.windows.iter().chain(&lease.kept_for_others));
        for window in windows {
            for segment in &window.segments {
                let last = last_number.entry(*segment).or_default();
                *last = (*last).max(window.number);
            }
        }
        let mut segments: Vec<(u32, u64)> = last_number
            .into_iter()
            .map(|(segment, last)| (last, segment))
            .collect();
        segments.sort_unstable();
        segments.into_iter().map(|(_, segment)| segment).collect()
    }

    /// The number given out last: what was stamped before this moment has it or a lower one.
    pub(crate) fn last_number(&self) -> u32 {
        self.state.lock().last_number
    }

    pub(crate) fn usage(&self, now: Duration) -> LeaseUsage {
        let mut state = self.state.lock();
        state.end_quiet(&self.options, now);
        LeaseUsage {
            builds: state.by_holder.len() as u64,
            promised_bytes: state.leases.values().map(Lease::bytes).sum(),
            lapsed_bytes: state.lapsed_bytes,
        }
    }

    fn share(&self, is_named: bool) -> u64 {
        if is_named { self.shares.0 } else { self.shares.1 }
    }
}

impl State {
    fn lease(&mut self, invocation: Option<&Invocation>, now: Duration) -> u64 {
        let holder = invocation.cloned();
        if let Some(id) = self.by_holder.get(&holder) {
            return *id;
        }
        if holder.is_some() && self.leases.len() >= LEASES_MAX {
            return self.lease(None, now);
        }
        self.open(holder, now)
    }

    fn open(&mut self, holder: Option<Invocation>, now: Duration) -> u64 {
        self.last_id += 1;
        self.by_holder.insert(holder.clone(), self.last_id);
        let lease = Lease {
            holder,
            last_used: now,
            holds: 0,
            windows: VecDeque::new(),
            kept_for_others: Vec::new(),
        };
        self.leases.insert(self.last_id, lease);
        self.last_id
    }

    fn next_window(&mut self, id: u64, now: Duration) -> u32 {
        // The top bit of a stamp is not the number's. Two billion windows are centuries.
        self.last_number = (self.last_number + 1) & (u32::MAX >> 1);
        let number = self.last_number;
        self.add_window(id, number, now);
        number
    }

    fn add_window(&mut self, id: u64, number: u32, now: Duration) {
        self.lease_of.insert(number, id);
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.windows.push_back(Window {
                number,
                opened: now,
                last_used: now,
                bytes: 0,
                segments: HashSet::new(),
                also: HashSet::new(),
            });
        }
    }

    fn end_quiet(&mut self, options: &LeaseOptions, now: Duration) {
        let is_quiet = |at: Duration| now.saturating_sub(at) >= options.quiet;
        for (id, lease) in &mut self.leases {
            let ended = match lease.holder {
                Some(_) => lease.holds == 0 && is_quiet(lease.last_used),
                None => false,
            };
            // Those that name no build never go quiet together: each promise has its own time.
            let age_max = if lease.holder.is_some() {
                options.longest
            } else {
                options.quiet
            };
            let is_over = |window: &Window| ended || now.saturating_sub(window.last_used) >= age_max;
            while lease.windows.front().is_some_and(is_over) {
                lease.kept_for_others.extend(lease.windows.pop_front());
            }
            // Its build may have come back meanwhile, under another lease.
            if ended && self.by_holder.get(&lease.holder) == Some(id) {
                self.by_holder.remove(&lease.holder);
            }
        }
        // What holds in its own right; whatever took over from it holds as long.
        let windows = self.leases.values().flat_map(|lease| &lease.windows);
        let own: HashSet<u32> = windows.map(|window| window.number).collect();
        let lease_of = &mut self.lease_of;
        let by_holder = &mut self.by_holder;
        self.leases.retain(|id, lease| {
            for window in lease.windows.iter_mut().chain(&mut lease.kept_for_others) {
                window.also.retain(|number| own.contains(number));
            }
            lease.kept_for_others.retain(|window| {
                let stays = !window.also.is_empty();
                if !stays {
                    lease_of.remove(&window.number);
                }
                stays
            });
            let is_active = lease.holds > 0 || !lease.windows.is_empty();
            if !is_active && by_holder.get(&lease.holder) == Some(id) {
                by_holder.remove(&lease.holder);
            }
            is_active || !lease.kept_for_others.is_empty()
        });
    }
}

impl Lease {
    fn bytes(&self) -> u64 {
        self.windows.iter().map(|window| window.bytes).sum()
    }

    fn window_mut(&mut self, number: u32) -> Option<&mut Window> {
        let windows = self.windows.iter_mut().rev().chain(&mut self.kept_for_others);
        windows.into_iter().find(|window| window.number == number)
    }

    /// Gives up the oldest windows beyond `share`; the one in use stays. Returns the bytes given up.
    fn let_go(&mut self, share: u64, lease_of: &mut HashMap<u32, u64>) -> u64 {
        let mut bytes = self.bytes();
        let mut lapsed = 0;
        while bytes > share && self.windows.len() > 1 {
            let Some(window) = self.windows.pop_front() else {
                break;
            };
            bytes -= window.bytes;
            lapsed += window.bytes;
            if window.also.is_empty() {
                lease_of.remove(&window.number);
            } else {
                self.kept_for_others.push(window);
            }
        }
        // At most a line for each window, and a window is a part of the share: however busy they are, few.
        match &self.holder {
            _ if lapsed == 0 => {}
            Some(holder) => {
                tracing::warn!(invocation = %holder, lapsed, share, "a build was promised more than its share; its oldest promises lapse");
            }
            None => {
                tracing::warn!(
                    lapsed,
                    share,
                    "clients that name no build were promised more than their share together; the oldest promises lapse"
                );
            }
        }
        lapsed
    }
}

#[cfg(test)]
mod tests;
