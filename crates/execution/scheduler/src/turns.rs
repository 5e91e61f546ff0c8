//! Whose turn it is: those whose actions wait together are served in turns, however many each of them has sent.
//!
//! There are two levels. *Tenants*, which are instance names, share a pool of workers alike: whoever has something
//! waiting and has been served least goes next. Within a tenant the *builds*, by `tool_invocation_id`, take turns, each
//! action the turn it was given when it came; builds that belong together, by `correlated_invocations_id`, have one
//! build's share among them, and so has whatever one user has sent, where users say who they are.
//!
//! An action's priority is a weight within its tenant: at -1 it weighs four times what it does at 0, and again four times
//! as much with every doubling, at 1 a fourth. So the urgent ones go first, and the others still go on.
//!
//! Both levels are fair queueing by a clock that shows the last place that was granted: of a pool, for its tenants; of a
//! tenant, for its builds. Who comes back after having had nothing waiting starts at the clock, so nobody saves up
//! claims. A build's first action gets the place one *step* after the clock, each further one a step after its build's
//! last. While an action waits, a build with the same claim gets at most one for each of those that the action's own
//! build has before it, and one more; and whoever has sent ten does not wait for ten thousand that came before.
//!
//! Among the actions of one build, those that are known to take long go ahead of others, by a bounded number of turns:
//! a build is over the sooner the earlier its longest actions begin.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::pool::PoolId;

/// A place in an order.
pub(crate) type Turn = u64;

/// Before all places that are given.
pub(crate) const FIRST: Turn = 0;

/// Priorities from 16 on, and from -16 down, are all the same: whatever is asked for, the most urgent get about a million
/// times what the least urgent do, and not all.
const WEIGHTS_MAX: u32 = 5;

/// How many turns of its build an action may go ahead because it takes long.
pub(crate) const TURNS_AHEAD_MAX: u64 = 64;

/// By how much a step grows at most because a build shares with others. Beyond that the sharing is less exact.
const SHARERS_MAX: u64 = 1 << 16;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asker<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) user: &'a str,
    pub(crate) together: &'a str,
    pub(crate) build: &'a str,
}

/// Names what a tenant has at one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClaimId(u64);

/// Names what a build has of a claim, at one priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FlowId(u64);

/// A task's place in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) claim: ClaimId,
    pub(crate) flow: FlowId,
    /// Among the tasks of the claim.
    pub(crate) turn: Turn,
}

/// A task that wants a place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) asker: Asker<'a>,
    pub(crate) priority: i32,
    /// How long it is expected to take.
    pub(crate) expected: Option<Duration>,
    /// Where it may go.
    pub(crate) home: Option<PoolId>,
}

/// All that some task has a place for: no more claims and flows than tasks.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    claims: BTreeMap<ClaimId, Claim>,
    by_tenant: BTreeMap<(Option<PoolId>, Arc<str>), ClaimId>,
    flows: BTreeMap<FlowId, Flow>,
    /// The tenants that may have nothing more for now.
    closed: BTreeSet<Arc<str>>,
    last: u64,
}

/// What a tenant has at one pool. Lives as long as one of its tasks there.
#[derive(Debug)]
struct Claim {
    home: Option<PoolId>,
    tenant: Arc<str>,
    /// Its place among the claims.
    next: Turn,
    /// Its tasks that wait for a worker.
    waiting: usize,
    /// They are passed over for now.
    is_closed: bool,
    /// The latest turn granted to one of its tasks.
    clock: Turn,
    users: BTreeMap<Arc<str>, Groups>,
}

type Groups = BTreeMap<Arc<str>, Builds>;
type Builds = BTreeMap<Arc<str>, BTreeMap<i32, FlowId>>;

/// What a build has of a claim, at one priority. Lives as long as one of its tasks there.
#[derive(Debug)]
struct Flow {
    user: Arc<str>,
    together: Arc<str>,
    build: Arc<str>,
    priority: i32,
    last: Turn,
    tasks: usize,
}

impl Turns {
    /// The place of a task. It has to [leave](Self::leave) one day.
    pub(crate) fn line_up(&mut self, arrival: &Arrival<'_>) -> Place {
        let Arrival {
            asker,
            priority,
            expected,
            home,
        } = *arrival;
        let claim_id = self.claim_of(asker.tenant, home);
        let (flow_id, sharers) = self.flow_of(claim_id, asker, priority);
        let clock = self.claims.get(&claim_id).map_or(FIRST, |claim| claim.clock);
        let step = weighted(priority).saturating_mul(sharers);
        let mut turn = clock.saturating_add(step);
        if let Some(flow) = self.flows.get_mut(&flow_id) {
            flow.tasks += 1;
            flow.last = flow.last.max(clock).saturating_add(step);
            let earlier = step.saturating_mul(turns_ahead(expected));
            turn = turn.max(flow.last.saturating_sub(earlier));
        }
        Place {
            claim: claim_id,
            flow: flow_id,
            turn,
        }
    }

    /// A task waits for workers whose clock shows `clock`.
    pub(crate) fn waits(&mut self, claim: ClaimId, clock: Turn) {
        if let Some(claim) = self.claims.get_mut(&claim) {
            if claim.waiting == 0 {
                claim.next = claim.next.max(clock.saturating_add(1));
            }
            claim.waiting += 1;
        }
    }

    /// It does not any more.
    pub(crate) fn waits_no_more(&mut self, claim: ClaimId) {
        if let Some(claim) = self.claims.get_mut(&claim) {
            claim.waiting -= 1;
        }
    }

    /// A claim's place among all.
    pub(crate) fn next_of(&self, claim: ClaimId) -> Turn {
        self.claims.get(&claim).map_or(FIRST, |claim| claim.next)
    }

    /// A tenant has as much as it may have: its tasks are passed over.
    pub(crate) fn close(&mut self, tenant: &str) {
        self.closed.insert(tenant.into());
        self.set_closed(tenant, true);
    }

    /// Not any more. Answers its claims.
    pub(crate) fn open(&mut self, tenant: &str) -> BTreeSet<ClaimId> {
        self.closed.remove(tenant);
        self.set_closed(tenant, false)
    }

    /// Whether tasks of a claim are passed over for now.
    pub(crate) fn is_closed(&self, claim: ClaimId) -> bool {
        self.claims.get(&claim).is_some_and(|claim| claim.is_closed)
    }

    fn set_closed(&mut self, tenant: &str, is_closed: bool) -> BTreeSet<ClaimId> {
        let its = self
            .claims
            .iter_mut()
            .filter(|(_, claim)| *claim.tenant == *tenant);
        its.map(|(id, claim)| {
            claim.is_closed = is_closed;
            *id
        })
        .collect()
    }

    /// A task gets a worker. Answers what the clock there shows from now on, unless it shows more.
    pub(crate) fn granted(&mut self, claim: ClaimId, turn: Turn) -> Turn {
        let Some(claim) = self.claims.get_mut(&claim) else {
            return FIRST;
        };
        claim.clock = claim.clock.max(turn);
        let at = claim.next;
        claim.next = at.saturating_add(1);
        at
    }

    /// A task is over, or gets another place.
    pub(crate) fn leave(&mut self, place: Place) {
        let Some(flow) = self.flows.get_mut(&place.flow) else {
            return;
        };
        flow.tasks -= 1;
        if flow.tasks == 0
            && let Some(flow) = self.flows.remove(&place.flow)
        {
            self.prune(place.claim, &flow);
        }
    }

    /// The priority that a flow's turns are given for.
    pub(crate) fn priority(&self, flow: FlowId) -> Option<i32> {
        self.flows.get(&flow).map(|flow| flow.priority)
    }

    /// Tasks that have a place and have not left, and those that wait, for leak tests.
    #[cfg(test)]
    pub(crate) fn tasks(&self) -> (usize, usize) {
        let claims = || self.claims.values();
        let groups = claims().flat_map(|claim| claim.users.values().flat_map(BTreeMap::values));
        let builds = groups.flat_map(BTreeMap::values);
        let listed: usize = builds.map(BTreeMap::len).sum();
        assert_eq!(
            (listed, self.by_tenant.len()),
            (self.flows.len(), self.claims.len())
        );
        let tasks = self.flows.values().map(|flow| flow.tasks).sum();
        (tasks, claims().map(|claim| claim.waiting).sum())
    }

    fn claim_of(&mut self, tenant: &str, home: Option<PoolId>) -> ClaimId {
        let tenant: Arc<str> = tenant.into();
        let last = &mut self.last;
        let id = *self.by_tenant.entry((home, tenant.clone())).or_insert_with(|| {
            *last += 1;
            ClaimId(*last)
        });
        let is_closed = self.closed.contains(&tenant);
        self.claims.entry(id).or_insert_with(|| Claim {
            home,
            tenant,
            next: FIRST,
            waiting: 0,
            is_closed,
            clock: FIRST,
            users: BTreeMap::new(),
        });
        id
    }

    /// The flow, and among how many its build's share is divided.
    fn flow_of(&mut self, claim: ClaimId, asker: Asker<'_>, priority: i32) -> (FlowId, u64) {
        let Some(claim) = self.claims.get_mut(&claim) else {
            return (FlowId(0), 1);
        };
        let [user, together, build] = [asker.user, asker.together, asker.build].map(Arc::<str>::from);
        let groups = claim.users.entry(user.clone()).or_default();
        groups.entry(together.clone()).or_default();
        let groups_count = groups.len() as u64;
        let builds = groups.entry(together.clone()).or_default();
        let priorities = builds.entry(build.clone()).or_default();
        let last = &mut self.last;
        let id = *priorities.entry(priority).or_insert_with(|| {
            *last += 1;
            FlowId(*last)
        });
        let sharers = groups_count.saturating_mul(builds.len() as u64);
        self.flows.entry(id).or_insert_with(|| Flow {
            user,
            together,
            build,
            priority,
            last: FIRST,
            tasks: 0,
        });
        (id, sharers.clamp(1, SHARERS_MAX))
    }

    fn prune(&mut self, id: ClaimId, flow: &Flow) {
        let Some(claim) = self.claims.get_mut(&id) else {
            return;
        };
        within(&mut claim.users, &flow.user, |groups| {
            within(groups, &flow.together, |builds| {
                within(builds, &flow.build, |priorities| {
                    priorities.remove(&flow.priority);
                });
            });
        });
        if claim.users.is_empty()
            && let Some(claim) = self.claims.remove(&id)
        {
            self.by_tenant.remove(&(claim.home, claim.tenant));
        }
    }
}

/// Changes what is there for `key`, and forgets it when it has become empty.
fn within<K: Ord, V>(
    map: &mut BTreeMap<Arc<str>, BTreeMap<K, V>>,
    key: &str,
    change: impl FnOnce(&mut BTreeMap<K, V>),
) {
    if let Some(inner) = map.get_mut(key) {
        change(inner);
        if inner.is_empty() {
            map.remove(key);
        }
    }
}

/// The step of a build that does not share with others.
pub(crate) fn weighted(priority: i32) -> u64 {
    let doublings = (i32::BITS - priority.unsigned_abs().leading_zeros()).min(WEIGHTS_MAX);
    let times = match priority < 0 {
        true => WEIGHTS_MAX - doublings,
        false => WEIGHTS_MAX + doublings,
    };
    1 << (2 * times)
}

/// One for each second that it is expected to take.
fn turns_ahead(expected: Option<Duration>) -> u64 {
    expected
        .map_or(0, |expected| expected.as_secs())
        .min(TURNS_AHEAD_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival<'a>(together: &'a str, build: &'a str, priority: i32) -> Arrival<'a> {
        let asker = Asker {
            tenant: "t",
            user: together,
            together,
            build,
        };
        Arrival {
            asker,
            priority,
            expected: None,
            home: None,
        }
    }

    #[test]
    fn a_priority_weighs_more_with_every_doubling_and_no_more_than_so_much() {
        let steps = [i32::MIN, -16, -8, -2, -1, 0, 1, 2, 3, 4, 16, i32::MAX].map(weighted);
        let times = |power: u32| 4_u64.pow(power);
        let expected = [0, 0, 1, 3, 4, 5, 6, 7, 7, 8, 10, 10].map(times);
        assert_eq!(steps, expected);
    }

    #[test]
    fn builds_that_belong_together_share_one_build_s_part() {
        let mut turns = Turns::default();
        let mut step = |together, build, priority| turns.line_up(&arrival(together, build, priority)).turn;
        assert_eq!(step("g", "one", 0), 1024);
        assert_eq!(step("h", "two", 0), 1024, "builds do not take from each other");
        assert_eq!(step("g", "three", 0), 2048, "two builds that belong together");
        assert_eq!(step("g", "three", 1), 8192, "at a fourth of the weight");
    }

    #[test]
    fn all_that_one_user_has_sent_shares_one_build_s_part() {
        let mut turns = Turns::default();
        let mut step = |user, together, build| {
            let asker = Asker {
                tenant: "t",
                user,
                together,
                build,
            };
            turns
                .line_up(&Arrival {
                    asker,
                    ..arrival("", "", 0)
                })
                .turn
        };
        assert_eq!(step("ann", "one", "one"), 1024);
        assert_eq!(step("ann", "two", "two"), 2048, "her second");
        assert_eq!(step("ann", "two", "three"), 4096, "which is two builds");
        assert_eq!(step("bob", "four", "four"), 1024, "somebody else's");
    }

    #[test]
    fn a_build_goes_on_from_its_last_turn_or_from_now() {
        let mut turns = Turns::default();
        let places: Vec<Place> = (0..3).map(|_| turns.line_up(&arrival("g", "b", 0))).collect();
        assert_eq!(
            [places[0].turn, places[1].turn, places[2].turn],
            [1024, 2048, 3072]
        );
        turns.granted(places[0].claim, 10_000);
        assert_eq!(turns.line_up(&arrival("g", "b", 0)).turn, 11_024);
    }

    #[test]
    fn who_takes_long_goes_ahead_but_not_of_newcomers() {
        let mut turns = Turns::default();
        let mut at = |seconds| {
            let expected = Some(Duration::from_secs(seconds));
            turns
                .line_up(&Arrival {
                    expected,
                    ..arrival("g", "b", 0)
                })
                .turn
                / 1024
        };
        assert_eq!(at(u64::MAX), 1);
        let short: Vec<u64> = (0..100).map(|_| at(0)).collect();
        assert_eq!(short, (2..=101).collect::<Vec<u64>>());
        assert_eq!([at(3), at(1_000), at(0)], [99, 39, 104]);
    }

    #[test]
    fn who_has_nothing_waiting_saves_nothing_up() {
        let mut turns = Turns::default();
        let claim = turns.line_up(&arrival("g", "b", 0)).claim;
        turns.waits(claim, 70);
        assert_eq!(turns.next_of(claim), 71);
        turns.waits(claim, 90);
        assert_eq!(turns.next_of(claim), 71, "has waited since");
        assert_eq!((turns.granted(claim, 32), turns.next_of(claim)), (71, 72));
        turns.waits_no_more(claim);
        turns.waits_no_more(claim);
        turns.waits(claim, 80);
        assert_eq!(turns.next_of(claim), 81);
    }

    #[test]
    fn pools_have_lines_of_their_own_and_nothing_is_left_of_who_left() {
        let mut turns = Turns::default();
        let here = turns.line_up(&arrival("g", "b", 0));
        let also = turns.line_up(&arrival("g", "b", 0));
        let elsewhere = Arrival {
            home: Some(PoolId::FIRST),
            ..arrival("g", "b", 0)
        };
        let there = turns.line_up(&elsewhere);
        assert_eq!((here.flow == also.flow, here.claim == there.claim), (true, false));
        assert_eq!(
            (there.turn, turns.priority(there.flow), turns.tasks()),
            (1024, Some(0), (3, 0))
        );
        for place in [here, also, there] {
            turns.leave(place);
        }
        assert_eq!((turns.tasks(), turns.claims.len()), ((0, 0), 0));
    }
}
