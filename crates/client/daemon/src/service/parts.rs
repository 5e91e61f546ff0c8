//! What a server may not do though it is up. It may know results and execute nothing, or keep nothing because it is full or not
//! for this user: it is then asked for results as ever, and for the rest only now and then, by one who tries it for all.

use std::sync::Arc;

use tokio::time::Instant;

use super::Service;
use crate::breaker::{Breaker, Deed, Event};

/// A part of what a server does that nobody has to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// It has workers, for what can be done here as well.
    Workers,
    /// It keeps what is made here.
    Keeping,
}

/// What is known of the parts.
#[derive(Default)]
pub(super) struct Parts {
    workers: State,
    keeping: State,
}

#[derive(Default)]
struct State {
    breaker: Breaker,
    /// When it failed last, and how.
    failure: Option<(Instant, String)>,
}

/// Leave to ask for it. Whoever has it says what came of it; gone without a word, he has found out nothing.
pub(crate) struct Turn {
    service: Arc<Service>,
    part: Part,
    is_trial: bool,
}

impl Part {
    fn deed(self) -> Deed {
        match self {
            Part::Workers => Deed::Execute,
            Part::Keeping => Deed::Store,
        }
    }
}

impl Parts {
    fn of(&mut self, part: Part) -> &mut State {
        match part {
            Part::Workers => &mut self.workers,
            Part::Keeping => &mut self.keeping,
        }
    }
}

impl State {
    /// Whether somebody may ask for it now, and whether he finds out for all.
    fn may_ask(&mut self, is_needed: bool, now: Instant) -> Option<bool> {
        let is_waited_for = |failed: &(Instant, String)| {
            let wait = self.breaker.wait().unwrap_or_default();
            now.saturating_duration_since(failed.0) >= wait
        };
        match self.breaker {
            Breaker::Up(_) => Some(false),
            Breaker::Down(_) if is_needed || self.failure.as_ref().is_none_or(is_waited_for) => {
                self.change(Event::Waited);
                Some(true)
            }
            Breaker::Trial(_) if is_needed => Some(false),
            Breaker::Down(_) | Breaker::Trial(_) => None,
        }
    }

    fn change(&mut self, event: Event) {
        self.breaker = self.breaker.after(event);
    }
}

impl Service {
    /// Leave to ask for a part of what the server does, which whoever `needs` it always has; or why there is none.
    pub(crate) fn turn(self: &Arc<Self>, part: Part, needs: bool) -> Result<Turn, String> {
        let mut parts = self.parts.lock();
        let state = parts.of(part);
        match state.may_ask(needs, Instant::now()) {
            Some(is_trial) => Ok(Turn {
                service: self.clone(),
                part,
                is_trial,
            }),
            None => Err(state.failure.as_ref().map_or("", |(_, why)| why).to_owned()),
        }
    }

    /// Why it is not asked for a part, if it is not.
    pub(crate) fn failure_of(&self, part: Part) -> Option<String> {
        let mut parts = self.parts.lock();
        let state = parts.of(part);
        let failure = state.failure.as_ref().filter(|_| !state.breaker.is_up());
        failure.map(|(_, why)| why.clone())
    }
}

impl Turn {
    /// It is done, or under way.
    pub(crate) fn does(&mut self) {
        self.is_trial = false;
        let mut parts = self.service.parts.lock();
        parts.of(self.part).change(Event::Did(self.part.deed()));
    }

    /// It would not have been done for anybody. Whoever has set out before others found that out says nothing new.
    pub(crate) fn failed(mut self, why: String) {
        let is_trial = std::mem::take(&mut self.is_trial);
        let mut parts = self.service.parts.lock();
        let state = parts.of(self.part);
        if !is_trial && !state.breaker.is_up() {
            return;
        }
        if state.breaker.is_up() {
            tracing::warn!(part = ?self.part, why, "the server is not asked for this for a while");
        }
        state.change(Event::Failed(self.part.deed()));
        state.failure = Some((Instant::now(), why));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.is_trial {
            self.service.parts.lock().of(self.part).change(Event::GivenUp);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Part::{Keeping, Workers};
    use crate::service::tests::unreachable;

    #[tokio::test(start_paused = true)]
    async fn one_command_tries_for_all_whether_workers_are_back() {
        let service = unreachable();
        let may = |needs| service.turn(Workers, needs).is_ok();
        service.turn(Workers, false).unwrap().failed("none".to_owned());
        assert_eq!(service.failure_of(Workers).as_deref(), Some("none"));
        assert!(!may(false));
        tokio::time::advance(Duration::from_secs(5)).await;
        let trial = service.turn(Workers, false).unwrap();
        assert!(!may(false), "one is enough");
        // A wrapper that goes has found out nothing: the next one tries.
        drop(trial);
        let trial = service.turn(Workers, false).unwrap();
        trial.failed("still none".to_owned());
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(!may(false), "it waits for twice as long");
        tokio::time::advance(Duration::from_secs(5)).await;
        service.turn(Workers, false).unwrap().does();
        assert!(may(false) && service.failure_of(Workers).is_none());
        assert!(service.is_up(), "it was asked for results all the time");
    }

    #[tokio::test(start_paused = true)]
    async fn who_needs_a_worker_asks_for_one() {
        let service = unreachable();
        service.turn(Workers, true).unwrap().failed("none".to_owned());
        service.turn(Workers, true).unwrap().failed("none".to_owned());
        service.turn(Workers, true).unwrap().does();
        assert!(service.turn(Workers, false).is_ok());
    }

    #[tokio::test]
    async fn late_news_change_nothing_and_each_part_is_for_itself() {
        let service = unreachable();
        let turn = || service.turn(Workers, false).unwrap();
        let (early, late) = (turn(), turn());
        early.failed("none".to_owned());
        late.failed("none".to_owned());
        let wait = service.parts.lock().workers.breaker.wait();
        assert_eq!(wait, Some(Duration::from_secs(5)));
        assert!(service.turn(Keeping, false).is_ok() && service.failure_of(Keeping).is_none());
    }
}
