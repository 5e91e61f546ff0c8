//! A recorded build on farms of any size: what the scheduler makes of it, and what would be the best possible.
//!
//! Nothing fails here. A worker has one slot, so workers are processors. An action is asked for when those it needs are
//! done, and takes what it took when it was recorded, and [`OVERHEAD`] for everything around it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use reapi::rpc::Code;
use scheduler::{
    Effect, Event, LeaseId, LeaseState, OperationName, Request, Scheduler, SchedulerOptions, Time, WorkerId,
    WorkerReport,
};

use crate::job::{response, work};

/// What an action takes beside its command: about the median of a trivial one from end to end.
pub const OVERHEAD: Duration = Duration::from_millis(4);

/// An action of a recorded build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Actions before it that it needs, by their place in the record.
    pub parents: Vec<usize>,
    /// How long it took.
    pub took: Duration,
}

/// What came of it on one farm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Replayed {
    /// From the first action asked for to the last one done.
    pub span: Duration,
    /// No farm of this size could do it in less: its work divided, or its longest chain.
    pub bound: Duration,
    /// The part of all workers' time in which they ran something.
    pub utilisation: f64,
    /// How long half of the actions waited at most, and 19 of 20.
    pub waited: [Duration; 2],
}

/// Reads a record: a line an action with a number of its own, its parents as numbers and ranges, milliseconds. An error
/// says which line is none.
pub fn read(csv: &str) -> Result<Vec<Recorded>, String> {
    let lines = csv.lines().skip(1).enumerate();
    lines
        .map(|(id, line)| recorded(id, line).ok_or_else(|| format!("action {id} is not understood: {line}")))
        .collect()
}

fn recorded(id: usize, line: &str) -> Option<Recorded> {
    let mut fields = line.split(',');
    (fields.next()?.parse::<usize>().ok()? == id).then_some(())?;
    let mut parents = Vec::new();
    for word in fields.next()?.split_whitespace() {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        parents.extend(first.parse::<usize>().ok()?..=last.parse().ok()?);
    }
    let took = Duration::from_millis(fields.next()?.parse().ok()?);
    parents
        .iter()
        .all(|parent| *parent < id)
        .then_some(Recorded { parents, took })
}

/// Plays the record on this many workers.
pub fn replay(record: &[Recorded], workers: usize) -> Replayed {
    let mut farm = Farm::new(record, workers);
    farm.ask_for_what_is_ready();
    while let Some(Reverse((at, worker, lease))) = farm.ends.pop() {
        farm.now = at;
        let done = vec![(lease, LeaseState::Completed(response(lease, Code::Ok)))];
        let action = farm.running[worker].take();
        farm.report(worker, done);
        if let Some(action) = action {
            farm.finish(action);
        }
        farm.ask_for_what_is_ready();
    }
    farm.replayed()
}

struct Farm<'a> {
    record: &'a [Recorded],
    children: Vec<Vec<usize>>,
    needs: Vec<usize>,
    ready: VecDeque<usize>,
    asked: Vec<Duration>,
    waited: Vec<Duration>,
    scheduler: Scheduler,
    names: Vec<WorkerId>,
    running: Vec<Option<usize>>,
    ends: BinaryHeap<Reverse<(Duration, usize, LeaseId)>>,
    now: Duration,
}

impl<'a> Farm<'a> {
    fn new(record: &'a [Recorded], workers: usize) -> Self {
        let mut children = vec![Vec::new(); record.len()];
        for (id, action) in record.iter().enumerate() {
            for parent in &action.parents {
                children[*parent].push(id);
            }
        }
        let needs: Vec<usize> = record.iter().map(|action| action.parents.len()).collect();
        let options = SchedulerOptions {
            // Workers speak when they have something to say.
            lease_duration: Duration::from_secs(1 << 30),
            unreported_max: Duration::from_secs(1 << 30),
            ..SchedulerOptions::default()
        };
        let mut farm = Farm {
            record,
            children,
            ready: (0..record.len()).filter(|id| needs[*id] == 0).collect(),
            needs,
            asked: vec![Duration::ZERO; record.len()],
            waited: Vec::new(),
            scheduler: Scheduler::new(options),
            names: (0..workers)
                .map(|worker| WorkerId::new(format!("worker-{worker}")))
                .collect(),
            running: vec![None; workers],
            ends: BinaryHeap::new(),
            now: Duration::ZERO,
        };
        for worker in 0..workers {
            farm.report(worker, Vec::new());
        }
        farm
    }

    fn ask_for_what_is_ready(&mut self) {
        while let Some(action) = self.ready.pop_front() {
            self.asked[action] = self.now;
            self.send(Event::Execute(Request {
                operation: OperationName::new(action.to_string()),
                work: work(action as u64, 0),
                priority: 0,
                skip_cache_lookup: false,
            }));
        }
    }

    fn report(&mut self, worker: usize, leases: Vec<(LeaseId, LeaseState)>) {
        let report = WorkerReport {
            name: format!("worker-{worker}"),
            slots: 1,
            leases,
            ..WorkerReport::default()
        };
        self.send(Event::WorkerSynced(self.names[worker].clone(), report));
    }

    /// With all that follows from it at once.
    fn send(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let mut effects = Vec::new();
            let now = Time(u64::try_from(self.now.as_micros()).unwrap_or(u64::MAX));
            self.scheduler.handle(now, event, &mut effects);
            for effect in effects {
                match effect {
                    Effect::Sync(worker) => self.obey(&worker),
                    Effect::Publish(task, _, response) => events.push_back(Event::Published(task, response)),
                    Effect::Update(_) | Effect::Record(_) => {}
                }
            }
        }
    }

    fn obey(&mut self, id: &WorkerId) {
        let Some(worker) = self.names.iter().position(|name| name == id) else {
            return;
        };
        let desired = self.scheduler.desired(id).unwrap_or_default();
        if let (Some((lease, operation, _)), None) = (desired.first(), self.running[worker])
            && let Ok(action) = operation.as_str().parse::<usize>()
        {
            self.running[worker] = Some(action);
            self.waited.push(self.now - self.asked[action]);
            let ends = self.now + OVERHEAD + self.record[action].took;
            self.ends.push(Reverse((ends, worker, *lease)));
        }
    }

    fn finish(&mut self, action: usize) {
        for child in std::mem::take(&mut self.children[action]) {
            self.needs[child] -= 1;
            if self.needs[child] == 0 {
                self.ready.push_back(child);
            }
        }
    }

    fn replayed(mut self) -> Replayed {
        let workers = self.running.len().max(1) as f64;
        let work: Duration = self.record.iter().map(|action| action.took + OVERHEAD).sum();
        let mut chains: Vec<Duration> = Vec::with_capacity(self.record.len());
        for action in self.record {
            let before = action.parents.iter().map(|parent| chains[*parent]).max();
            chains.push(before.unwrap_or_default() + action.took + OVERHEAD);
        }
        self.waited.sort_unstable();
        let waited = |part: f64| {
            let at = (self.waited.len() as f64 * part) as usize;
            self.waited.get(at).copied().unwrap_or_default()
        };
        Replayed {
            span: self.now,
            bound: work
                .div_f64(workers)
                .max(chains.into_iter().max().unwrap_or_default()),
            utilisation: work.as_secs_f64() / (self.now.as_secs_f64() * workers).max(f64::MIN_POSITIVE),
            waited: [waited(0.5), waited(0.95)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str =
        "id,parents,cpu_ms,memory_mib,kind\n0,,96,1,c\n1,,96,1,c\n2,0-1,46,1,l\n3,1,196,1,c\n";

    #[test]
    fn a_record_is_read_and_a_bad_line_named() {
        let record = read(RECORD).unwrap();
        assert_eq!(
            (record[2].parents.clone(), record[3].parents.clone()),
            (vec![0, 1], vec![1])
        );
        assert_eq!(record[3].took, Duration::from_millis(196));
        for bad in ["h\n1,,5,1,c\n", "h\n0,0,5,1,c\n", "h\n0,,x,1,c\n", "h\n0\n"] {
            assert!(read(bad).unwrap_err().contains("action 0"), "{bad}");
        }
    }

    #[test]
    fn one_worker_does_all_and_many_do_the_longest_chain() {
        let record = read(RECORD).unwrap();
        let [one, two, many] = [1, 2, 100].map(|workers| replay(&record, workers));
        let ms = Duration::from_millis;
        assert_eq!((one.span, one.bound), (ms(450), ms(450)));
        assert!((one.utilisation - 1.0).abs() < 1e-9);
        assert_eq!((two.span, many.span, many.bound), (ms(300), ms(300), ms(300)));
        assert_eq!(many.waited, [Duration::ZERO; 2]);
    }
}
