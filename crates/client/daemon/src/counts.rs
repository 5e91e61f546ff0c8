//! What happened, by build and by step.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::course::{Phase, Span};
use crate::limits::{BUILDS_COUNTED_MAX, STEPS_REMEMBERED_MAX};

/// How a command was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// From the cache.
    Hit,
    /// By a worker.
    Remote,
    /// By a worker, and not kept under the name that it is looked for by, for this reason.
    RemoteOnly(String),
    /// By this machine, and kept.
    Local,
    /// By this machine, and not kept, for this reason.
    LocalOnly(String),
    /// By the real tool, as if nobody had asked, for this reason.
    Real(String),
}

/// One command.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) build: String,
    /// What it makes, or its first words.
    pub(crate) name: String,
    pub(crate) how: How,
    /// Why no worker did it, where one was to.
    pub(crate) fallback: Option<String>,
    /// Which outputs were not the same each time, where it was run to see that.
    pub(crate) different: Option<Vec<String>>,
    /// How long the command would have run.
    pub(crate) spared: Duration,
    /// Why the compiler was asked what the command reads, if it was.
    pub(crate) unsure: Option<String>,
    /// The variable for want of which it is never the same twice, if there is one.
    pub(crate) dated: Option<&'static str>,
    /// Whether it ended well.
    pub(crate) exit_code: Option<i32>,
    pub(crate) begun: SystemTime,
    pub(crate) took: Duration,
    /// Of `took`: finding out what the command is and reads.
    pub(crate) planning: Duration,
    /// What it waited for, one after the other.
    pub(crate) spans: Vec<Span>,
    pub(crate) action: Option<String>,
}

/// What happened so far.
#[derive(Default)]
pub(crate) struct Counts {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    builds: VecDeque<(String, Build)>,
    steps: VecDeque<Record>,
}

/// What happened in one build.
#[derive(Clone, Debug, Default)]
struct Build {
    begun: Option<SystemTime>,
    ended: Option<SystemTime>,
    hits: u64,
    remote: u64,
    local: u64,
    local_only: u64,
    real: u64,
    failed: u64,
    compared: u64,
    different: BTreeMap<String, u64>,
    planning: Duration,
    took: Duration,
    /// How long its commands waited for what, all together.
    phases: BTreeMap<Phase, Duration>,
    spared: Duration,
    reasons: BTreeMap<String, u64>,
    fallbacks: BTreeMap<String, u64>,
    unsure: BTreeMap<String, u64>,
    /// What is never the same twice, and the variable for want of which.
    dated: BTreeMap<String, &'static str>,
}

/// Different reasons that are counted for one build.
const REASONS_MAX: usize = 256;
/// Steps that are never the same twice, by name, for one build.
const DATED_MAX: usize = 16;

impl Counts {
    /// Takes note of a command that is over.
    pub(crate) fn add(&self, record: Record) {
        let mut state = self.state.lock();
        let build = state.build(&record.build);
        let slot = match &record.how {
            How::Hit => &mut build.hits,
            How::Remote | How::RemoteOnly(_) => &mut build.remote,
            How::Local => &mut build.local,
            How::LocalOnly(_) => &mut build.local_only,
            How::Real(_) => &mut build.real,
        };
        *slot += 1;
        build.failed += u64::from(record.exit_code.is_some_and(|code| code != 0));
        build.planning += record.planning;
        build.took += record.took;
        for span in &record.spans {
            *build.phases.entry(span.phase).or_default() += span.took;
        }
        build.spared += record.spared;
        build.begun.get_or_insert(record.begun);
        build.ended = Some(record.begun + record.took);
        if let How::RemoteOnly(why) | How::LocalOnly(why) | How::Real(why) = &record.how {
            count(&mut build.reasons, why);
        }
        if let Some(why) = &record.fallback {
            count(&mut build.fallbacks, why);
        }
        if let Some(outputs) = &record.different {
            build.compared += 1;
            outputs
                .iter()
                .for_each(|output| count(&mut build.different, output));
        }
        if let Some(why) = &record.unsure {
            count(&mut build.unsure, why);
        }
        if let Some(variable) = record.dated
            && build.dated.len() < DATED_MAX
        {
            build.dated.insert(record.name.clone(), variable);
        }
        if state.steps.len() >= STEPS_REMEMBERED_MAX {
            state.steps.pop_front();
        }
        state.steps.push_back(record);
    }

    /// The counts of one build, for programs and people.
    pub(crate) fn build(&self, build: &str) -> Value {
        let state = self.state.lock();
        let found = state.builds.iter().find(|(name, _)| name == build);
        found
            .map_or_else(Build::default, |(_, build)| build.clone())
            .to_json()
    }

    /// The counts of every build that is remembered, the latest last.
    pub(crate) fn builds(&self) -> Vec<Value> {
        let state = self.state.lock();
        state.builds.iter().map(|(_, build)| build.to_json()).collect()
    }

    /// The steps of one build, or of the latest, each as one object, in the order of their ends.
    pub(crate) fn steps(&self, build: Option<&str>) -> Vec<Value> {
        let state = self.state.lock();
        let latest = state.builds.back().map(|(name, _)| name.as_str());
        let build = build.or(latest);
        let of_build = state
            .steps
            .iter()
            .filter(|step| Some(step.build.as_str()) == build);
        of_build.map(Record::to_json).collect()
    }

    /// Every remembered step that makes `name`, or something whose path ends with it, the oldest first.
    pub(crate) fn history(&self, name: &str) -> Vec<Value> {
        let state = self.state.lock();
        let is_it = |step: &&Record| Path::new(&step.name).ends_with(name);
        state.steps.iter().filter(is_it).map(Record::to_json).collect()
    }
}

impl State {
    fn build(&mut self, name: &str) -> &mut Build {
        let at = match self.builds.iter().position(|(known, _)| known == name) {
            Some(at) => at,
            None => {
                if self.builds.len() >= BUILDS_COUNTED_MAX {
                    self.builds.pop_front();
                }
                self.builds.push_back((name.to_owned(), Build::default()));
                self.builds.len() - 1
            }
        };
        &mut self.builds[at].1
    }
}

fn count(counts: &mut BTreeMap<String, u64>, why: &str) {
    if counts.len() < REASONS_MAX || counts.contains_key(why) {
        *counts.entry(why.to_owned()).or_default() += 1;
    }
}

impl Build {
    fn to_json(&self) -> Value {
        let phases = self.phases.iter();
        let phases: BTreeMap<_, _> = phases
            .map(|(phase, took)| (phase.name(), took.as_secs_f64() * 1e3))
            .collect();
        json!({
            "hits": self.hits,
            "remote": self.remote,
            "local": self.local,
            "local_only": self.local_only,
            "real": self.real,
            "failed": self.failed,
            "compared": self.compared,
            "different": self.different,
            "planning_ms": self.planning.as_secs_f64() * 1e3,
            "took_ms": self.took.as_secs_f64() * 1e3,
            "phases_ms": phases,
            "spared_ms": self.spared.as_secs_f64() * 1e3,
            "begun_us": self.begun.map(microseconds),
            "ended_us": self.ended.map(microseconds),
            "reasons": self.reasons,
            "fallbacks": self.fallbacks,
            "unsure": self.unsure,
            "dated": self.dated,
        })
    }
}

impl Record {
    fn to_json(&self) -> Value {
        let (how, why) = match &self.how {
            How::Hit => ("hit", None),
            How::Remote => ("remote", None),
            How::RemoteOnly(why) => ("remote, not kept", Some(why)),
            How::Local => ("local", None),
            How::LocalOnly(why) => ("local, not kept", Some(why)),
            How::Real(why) => ("real tool", Some(why)),
        };
        json!({
            "name": self.name,
            "how": how,
            "why": why,
            "fallback": self.fallback,
            "different": self.different,
            "unsure": self.unsure,
            "dated": self.dated,
            "exit_code": self.exit_code,
            "begun_us": microseconds(self.begun),
            "took_us": self.took.as_micros() as u64,
            "planning_us": self.planning.as_micros() as u64,
            "phases": self.spans.iter().map(|span| json!({
                "name": span.phase.name(),
                "begun_us": span.begun.as_micros() as u64,
                "took_us": span.took.as_micros() as u64,
            })).collect::<Vec<_>>(),
            "action": self.action,
        })
    }
}

/// Since the beginning of time.
pub(crate) fn microseconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(build: &str, how: How) -> Record {
        Record {
            build: build.into(),
            name: "a.o".into(),
            how,
            fallback: None,
            different: None,
            spared: Duration::ZERO,
            unsure: None,
            dated: None,
            exit_code: Some(0),
            begun: UNIX_EPOCH,
            took: Duration::from_millis(3),
            planning: Duration::from_millis(1),
            spans: vec![Span {
                phase: Phase::LookUp,
                begun: Duration::from_millis(1),
                took: Duration::from_millis(2),
            }],
            action: None,
        }
    }

    #[test]
    fn builds_are_counted_apart_and_the_oldest_is_forgotten() {
        let counts = Counts::default();
        counts.add(record("one", How::Hit));
        counts.add(record("one", How::Hit));
        counts.add(record("two", How::Real("why".into())));
        assert_eq!(counts.build("one")["hits"], 2);
        assert_eq!(counts.build("two")["reasons"]["why"], 1);
        assert_eq!(counts.build("three")["hits"], 0);
        counts.add(Record {
            dated: Some("WHEN"),
            ..record("two", How::Local)
        });
        assert_eq!(counts.build("two")["dated"]["a.o"], "WHEN");
        assert_eq!(counts.build("one")["phases_ms"], json!({ "look-up": 4.0 }));
        let phases = &counts.steps(Some("one"))[0]["phases"];
        assert_eq!(
            *phases,
            json!([{ "name": "look-up", "begun_us": 1000, "took_us": 2000 }])
        );
        assert_eq!(counts.steps(Some("one")).len(), 2);
        assert_eq!(counts.steps(None).len(), 2);
        let hits: Vec<_> = counts
            .builds()
            .iter()
            .map(|build| build["hits"].clone())
            .collect();
        assert_eq!(hits, [2, 0]);
        for number in 0..BUILDS_COUNTED_MAX {
            counts.add(record(&number.to_string(), How::Local));
        }
        assert_eq!(counts.build("one")["hits"], 0);
        assert_eq!(counts.state.lock().builds.len(), BUILDS_COUNTED_MAX);
    }
}
