//! What goes wrong, and the end of it.

use super::{Happening, WORKERS, World};
use crate::agenda::{MILLISECOND, SECOND};

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
        match self.random.within(0..7) {
            0 => self.workers[host].cut_until = now + long,
            1 => self.workers[host].paused_until = now + long,
            2 => {
                let worker = &mut self.workers[host];
                worker.is_alive = false;
                let broken = Happening::Broken(self.server.life, host, worker.id.clone(), worker.connection);
                self.agenda.plan(now + 20 * MILLISECOND, broken);
                self.agenda.plan(now + long, Happening::WorkerStarts(host));
            }
            3 if self.server.scheduler.is_some() => self.crash_server(),
            4 => self.dies_at_next = true,
            5 => self.server.clock_error += self.random.within(0..3600 * SECOND) as i64,
            // Only while it is down: a scheduler that lives lets its time stand still until the clock has caught up.
            6 if self.server.scheduler.is_none() => {
                self.server.clock_error -= self.random.within(0..3600 * SECOND) as i64;
            }
            _ => {}
        }
        let next = now + self.random.within(200 * MILLISECOND..4 * SECOND);
        self.agenda.plan(next, Happening::Fault);
    }

    pub(super) fn heal(&mut self) {
        let now = self.now();
        self.dies_at_next = false;
        for host in 0..WORKERS {
            self.workers[host].cut_until = now;
            self.agenda.plan(now, Happening::WorkerStarts(host));
        }
    }
}
