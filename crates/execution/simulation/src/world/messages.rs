//! What workers and the server say to each other, over a network that loses and repeats it.

use scheduler::{LeaseId, WorkerId};

use super::{BEAT, Happening, LEASE, RUN_MAX, SLOTS, World};
use crate::agenda::{MILLISECOND, Moment};

impl World {
    /// When a message of this worker arrives, if it does; perhaps twice.
    pub(super) fn deliveries(&mut self, host: usize, direction: usize) -> Vec<Moment> {
        let now = self.now();
        let copies = match self.is_faulty() {
            true if now < self.workers[host].cut_until || self.random.in_1000(20) => 0,
            true if self.random.in_1000(20) => 2,
            _ => 1,
        };
        let arrival = |_| {
            let at = now + self.random.within(MILLISECOND..100 * MILLISECOND);
            let earliest = &mut self.arrivals[host][direction];
            *earliest = at.max(*earliest);
            *earliest
        };
        (0..copies).map(arrival).collect()
    }

    pub(super) fn tell(&mut self, id: &WorkerId, renewed: Moment) {
        let Some(scheduler) = &self.server.scheduler else {
            return;
        };
        let Some(&(host, connection)) = self.server.newest.get(id) else {
            return;
        };
        let desired = scheduler.desired(id).unwrap_or_default();
        let desired: Vec<LeaseId> = desired.into_iter().map(|(lease, ..)| lease).collect();
        for at in self.deliveries(host, 1) {
            let told = Happening::ToWorker(host, connection, desired.clone(), renewed);
            self.agenda.plan(at, told);
        }
    }

    pub(super) fn say(&mut self, host: usize, is_first: bool) {
        let worker = &self.workers[host];
        let (now, report) = (self.now(), worker.report(SLOTS, self.now()));
        let (id, connection) = (worker.id.clone(), worker.connection);
        if now < worker.paused_until {
            return;
        }
        for at in self.deliveries(host, 0) {
            let report = Box::new(report.clone());
            let said = Happening::ToServer(host, connection, id.clone(), report, is_first, now);
            self.agenda.plan(at, said);
        }
    }

    pub(super) fn hear(&mut self, host: usize, connection: u64, desired: Vec<LeaseId>, renewed: Moment) {
        let now = self.now();
        let worker = &mut self.workers[host];
        if !worker.is_alive || worker.connection != connection {
            return;
        }
        if now < worker.paused_until {
            let at = worker.paused_until;
            let later = Happening::ToWorker(host, connection, desired, renewed);
            return self.agenda.plan(at, later);
        }
        worker.abandon_if_unheard(now, LEASE);
        worker.heard = now;
        worker.renewed = worker.renewed.max(renewed);
        let incarnation = worker.incarnation;
        for lease in worker.obey(&desired) {
            self.check_alone(host, lease);
            let at = now + self.random.within(MILLISECOND..RUN_MAX);
            self.agenda.plan(at, Happening::RunEnds(host, incarnation, lease));
        }
    }

    /// Nobody else runs the same, unless the server has given that one up, or wants both.
    pub(super) fn check_alone(&mut self, host: usize, lease: LeaseId) {
        let observer = &self.server.observer;
        let task = observer.granted.get(&lease);
        for (other, worker) in self.workers.iter().enumerate() {
            let running = worker.held.iter().filter(|(_, done)| done.is_none());
            let same = running.filter(|(held, _)| observer.granted.get(held) == task);
            if other == host || !worker.is_alive {
                continue;
            }
            for (held, _) in same {
                let is_lost = observer.lost.contains(held) || observer.lost.contains(&lease);
                let is_hedged = task
                    .and_then(|task| observer.tasks.get(task))
                    .is_some_and(|(_, live)| live.contains_key(held) && live.contains_key(&lease));
                let is_over = task.is_none_or(|task| !observer.tasks.contains_key(task));
                assert!(
                    is_lost || is_over || is_hedged,
                    "leases {held} and {lease} run the same"
                );
                self.overlaps += 1;
            }
        }
    }

    pub(super) fn beat(&mut self, host: usize, incarnation: u64) {
        let now = self.now();
        let worker = &mut self.workers[host];
        if !worker.is_alive || worker.incarnation != incarnation {
            return;
        }
        let next = (now + BEAT).max(worker.paused_until);
        self.agenda.plan(next, Happening::Beat(host, incarnation));
        if now < worker.paused_until {
            return;
        }
        worker.abandon_if_unheard(now, LEASE);
        let is_silent = worker.connection == 0 || now - worker.heard >= 2 * BEAT;
        if is_silent {
            let (id, before) = (worker.id.clone(), worker.connection);
            self.connections += 1;
            worker.connection = self.connections;
            worker.heard = now;
            let broken = Happening::Broken(self.server.life, host, id, before);
            self.agenda.plan(now + 20 * MILLISECOND, broken);
        }
        self.say(host, is_silent);
    }
}
