//! What becomes of a command from its beginning to its end: what it waits for now, and what it has waited for.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::counts::microseconds;

/// What a command waits for. One at a time: where a worker and this machine race, what began last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Finding out what it is and reads.
    Planning,
    /// Looking for its result.
    LookUp,
    /// What a worker needs is uploaded.
    Upload,
    /// The server has it, and no worker yet.
    Queue,
    /// A worker has it.
    Worker,
    /// What its result refers to is fetched.
    Download,
    /// Its outputs are written.
    Writing,
    /// A place on this machine, where it was to be done elsewhere.
    Slot,
    /// It runs on this machine.
    Here,
    /// What it has made here is looked at, to be kept.
    Keeping,
}

impl Phase {
    /// Its name, in what programs read.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::Planning => "planning",
            Phase::LookUp => "look-up",
            Phase::Upload => "upload",
            Phase::Queue => "queue",
            Phase::Worker => "worker",
            Phase::Download => "download",
            Phase::Writing => "writing",
            Phase::Slot => "slot",
            Phase::Here => "here",
            Phase::Keeping => "keeping",
        }
    }

    /// Where somebody has to look who wants to know why it takes so long.
    fn place(self) -> &'static str {
        match self {
            Phase::Planning | Phase::Writing | Phase::Slot | Phase::Here | Phase::Keeping => "local",
            Phase::LookUp | Phase::Download => "cache",
            Phase::Upload | Phase::Queue | Phase::Worker => "remote",
        }
    }
}

/// One phase of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Which.
    pub phase: Phase,
    /// Since the beginning of the command.
    pub begun: Duration,
    /// How long it took.
    pub took: Duration,
}

/// The way of one command.
#[derive(Debug)]
pub(crate) struct Course {
    begun: (SystemTime, Instant),
    way: Mutex<Way>,
}

#[derive(Debug)]
struct Way {
    name: String,
    /// Those that are over, as far as they are kept.
    spans: Vec<Span>,
    now: (Phase, Instant),
}

/// Phases of one command that are kept: one that is corrected or compared goes through them again and again.
const SPANS_MAX: usize = 64;

impl Course {
    /// It begins, with finding out what it is. `name` is what it is called as long as nobody knows what it makes.
    pub(crate) fn begin(name: String) -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Course {
            begun: (SystemTime::now(), now),
            way: Mutex::new(Way {
                name,
                spans: Vec::new(),
                now: (Phase::Planning, now),
            }),
        })
    }

    /// It waits for this from now on.
    pub(crate) fn enter(&self, phase: Phase) {
        let mut way = self.way.lock();
        if way.now.0 != phase {
            self.over(&mut way);
            way.now = (phase, Instant::now());
        }
    }

    /// It makes this.
    pub(crate) fn makes(&self, name: &str) {
        name.clone_into(&mut self.way.lock().name);
    }

    /// Everything that it has waited for. It is over.
    pub(crate) fn end(&self) -> Vec<Span> {
        let mut way = self.way.lock();
        self.over(&mut way);
        std::mem::take(&mut way.spans)
    }

    /// How it is going, for people and programs.
    pub(crate) fn to_json(&self) -> Value {
        let way = self.way.lock();
        json!({
            "name": way.name,
            "where": way.now.0.place(),
            "phase": way.now.0.name(),
            "phase_ms": way.now.1.elapsed().as_millis() as u64,
            "begun_us": microseconds(self.begun.0),
            "took_ms": self.begun.1.elapsed().as_millis() as u64,
        })
    }

    fn over(&self, way: &mut Way) {
        let (phase, begun) = way.now;
        let span = Span {
            phase,
            begun: begun - self.begun.1,
            took: begun.elapsed(),
        };
        if !span.took.is_zero() && way.spans.len() < SPANS_MAX {
            way.spans.push(span);
        }
    }
}

/// Commands that are under way, in the order of their beginnings.
#[derive(Debug, Default)]
pub(crate) struct Running {
    courses: Mutex<Vec<Arc<Course>>>,
}

/// A command that is under way until this is dropped.
pub(crate) struct UnderWay<'a> {
    running: &'a Running,
    course: Arc<Course>,
}

impl Running {
    /// A command begins.
    pub(crate) fn begin(&self, course: &Arc<Course>) -> UnderWay<'_> {
        self.courses.lock().push(course.clone());
        UnderWay {
            running: self,
            course: course.clone(),
        }
    }

    /// Those that have been under way for longest, no more than `most`.
    pub(crate) fn to_json(&self, most: usize) -> Vec<Value> {
        let courses: Vec<_> = self.courses.lock().iter().take(most).cloned().collect();
        courses.iter().map(|course| course.to_json()).collect()
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut courses = self.running.courses.lock();
        courses.retain(|course| !Arc::ptr_eq(course, &self.course));
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn phases_follow_each_other_without_gaps() {
        let course = Course::begin("gcc -c".to_owned());
        advance(MILLI).await;
        course.enter(Phase::LookUp);
        advance(2 * MILLI).await;
        // Of those that take no time nothing is told, and the same again is the same.
        course.enter(Phase::Download);
        course.enter(Phase::Here);
        course.enter(Phase::Here);
        advance(3 * MILLI).await;
        course.makes("a.o");
        let now = course.to_json();
        assert_eq!(
            (&now["name"], &now["where"], &now["phase_ms"], &now["took_ms"]),
            (&json!("a.o"), &json!("local"), &json!(3), &json!(6))
        );
        let span = |phase, begun: u32, took: u32| Span {
            phase,
            begun: begun * MILLI,
            took: took * MILLI,
        };
        let expected = [
            span(Phase::Planning, 0, 1),
            span(Phase::LookUp, 1, 2),
            span(Phase::Here, 3, 3),
        ];
        assert_eq!(course.end(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_never_ends_is_told_in_few_spans() {
        let course = Course::begin(String::new());
        for _ in 0..SPANS_MAX {
            for phase in [Phase::Worker, Phase::Here] {
                course.enter(phase);
                advance(MILLI).await;
            }
        }
        assert_eq!(course.end().len(), SPANS_MAX);
    }

    #[test]
    fn what_is_under_way_is_told_the_oldest_first() {
        let running = Running::default();
        let begin = |name: &str| running.begin(&Course::begin(name.to_owned()));
        let (a, b, _c) = (begin("a"), begin("b"), begin("c"));
        drop(b);
        let names = |most| {
            let told = running.to_json(most);
            told.iter()
                .map(|course| course["name"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(10), ["a", "c"]);
        assert_eq!(names(1), ["a"]);
        drop(a);
        assert_eq!(names(10), ["c"]);
    }
}
