//! What goes wrong, and the end of it.

use scheduler::Event;

use super::{Happening, WORKERS, World};
use crate::agenda::{MILLISECOND, Moment, SECOND};

impl World {
    pub(super) fn crash_server(&mut self) {
        self.server.crash();
        let at = self.now() + self.random.within(MILLISECOND..10 * SECOND);
        self.agenda.plan(at, Happening::ServerStarts);
    }

    pub(super) fn fault(&mut self) {
        if !self.is_faulty() {
            return;
        }
        let now = self.now();
        let host = self.random.within(0..WORKERS as u64) as usize;
        let long = self.random.within(100 * MILLISECOND..15 * SECOND);
        match self.random.within(0..9) {
            0 => self.workers[host].cut_until = now + long,
            1 => self.workers[host].paused_until = now + long,
            2 => self.worker_dies(host, long),
            3 if self.server.scheduler.is_some() => self.crash_server(),
            4 => self.dies_at_next = true,
            5 => self.server.clock_error += self.random.within(0..3600 * SECOND) as i64,
            // Only while it is down: a scheduler that lives lets its time stand still until the clock has caught up.
            6 if self.server.scheduler.is_none() => {
                self.server.clock_error -= self.random.within(0..3600 * SECOND) as i64;
            }
            7 if self.workers[host].is_alive => {
                // About as long as most runs take.
                let leaves_at = now + self.random.within(0..2 * SECOND);
                let worker = &mut self.workers[host];
                worker.leaves_at = Some(leaves_at);
                let incarnation = worker.incarnation;
                self.agenda
                    .plan(leaves_at, Happening::WorkerLeaves(host, incarnation));
                self.say(host, false);
            }
            8 => {
                let on = self.random.in_1000(500);
                self.drain(host, on);
            }
            _ => {}
        }
        let next = now + self.random.within(200 * MILLISECOND..4 * SECOND);
        self.agenda.plan(next, Happening::Fault);
    }

    /// Its process is gone, and another one starts after a while.
    pub(super) fn worker_dies(&mut self, host: usize, until_another: Moment) {
        let now = self.now();
        let worker = &mut self.workers[host];
        worker.is_alive = false;
        let broken = Happening::Broken(self.server.life, host, worker.id.clone(), worker.connection);
        self.agenda.plan(now + 20 * MILLISECOND, broken);
        self.agenda
            .plan(now + until_another, Happening::WorkerStarts(host));
    }

    /// People take whatever runs on a host out of service, or put it back.
    fn drain(&mut self, host: usize, on: bool) {
        let pattern = format!("host-{host}-*");
        if self.server.scheduler.is_some() {
            self.dispatch(Event::Drain { pattern, on });
        }
    }

    /// In the end everybody is in service.
    pub(super) fn put_back(&mut self, host: usize) {
        match self.server.scheduler.is_some() {
            true => self.drain(host, false),
            false => self.agenda.plan(self.now() + SECOND, Happening::PutBack(host)),
        }
    }

    pub(super) fn heal(&mut self) {
        let now = self.now();
        self.dies_at_next = false;
        for host in 0..WORKERS {
            self.workers[host].cut_until = now;
            self.agenda.plan(now + 30 * SECOND, Happening::PutBack(host));
            self.agenda.plan(now, Happening::WorkerStarts(host));
        }
    }
}
