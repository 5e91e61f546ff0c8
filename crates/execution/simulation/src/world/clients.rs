//! What clients do: ask, watch, leave, come back, cancel.

use scheduler::{Event, OperationName, Request, Stage};

use super::{ACTIONS_MAX, Happening, World};
use crate::agenda::{MILLISECOND, SECOND};
use crate::job::work;

impl World {
    pub(super) fn client(&mut self, number: usize) {
        let again = self.now() + self.random.within(100 * MILLISECOND..6 * SECOND);
        let Some(scheduler) = &self.server.scheduler else {
            return self.agenda.plan(again, Happening::Client(number));
        };
        let life = self.server.life;
        let Some(name) = self.clients[number].operation.clone() else {
            return self.ask(number);
        };
        let Some(view) = scheduler.operation(&name) else {
            // The clock may have been set forward by more than what is over is kept.
            let is_over = self.server.observer.finals.contains_key(&name);
            assert!(is_over, "{name} is lost, and a client was told of it");
            self.clients[number].operation = None;
            return self.agenda.plan(again, Happening::Client(number));
        };
        if view.stage == Stage::Completed {
            let told = view.response.expect("what is over has a response");
            assert_eq!(self.server.observer.finals.get(&name), Some(&told), "{name}");
            self.clients[number].operation = None;
            self.dispatch(Event::WatcherLeft(name));
            return self.agenda.plan(again, Happening::Client(number));
        }
        let watches = self.clients[number].watches_in_life == life;
        let event = match (watches, self.is_faulty()) {
            (true, true) if self.random.in_1000(100) => Event::Cancel(name),
            (true, true) if self.random.in_1000(200) => {
                self.clients[number].watches_in_life = 0;
                Event::WatcherLeft(name)
            }
            (true, _) => return self.agenda.plan(again, Happening::Client(number)),
            (false, _) => {
                self.clients[number].watches_in_life = life;
                Event::WatcherCame(name)
            }
        };
        self.dispatch(event);
        self.agenda.plan(again, Happening::Client(number));
    }

    pub(super) fn ask(&mut self, number: usize) {
        let life = self.server.life;
        let client = &mut self.clients[number];
        if client.asked >= ACTIONS_MAX {
            return;
        }
        client.asked += 1;
        self.names += 1;
        let operation = OperationName::new(format!("operation-{}", self.names));
        let request = Request {
            operation: operation.clone(),
            work: work(self.random.within(0..12), number as u64),
            priority: self.random.within(0..3) as i32 - 1,
            skip_cache_lookup: false,
        };
        if self.dispatch(Event::Execute(request)) {
            self.clients[number].operation = Some(operation);
            self.clients[number].watches_in_life = life;
        }
        let again = self.now() + self.random.within(MILLISECOND..6 * SECOND);
        self.agenda.plan(again, Happening::Client(number));
    }
}
