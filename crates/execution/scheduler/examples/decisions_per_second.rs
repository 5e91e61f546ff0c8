//! How fast the scheduler decides, with an almost empty and with a very full queue: the two rates should be alike; and how
//! much memory an action takes that waits.
//!
//! `cargo run --release -p scheduler --example decisions_per_second [QUEUED]`

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use action::{ActionDigest, Platform};
use blob::{Digest, DigestFunction, InstanceName};
use reapi::execution::{Action, ActionResult, Command, ExecuteResponse};
use scheduler::{
    Effect, Event, LeaseState, OperationName, Request, Scheduler, SchedulerOptions, Time, Work, WorkerId,
    WorkerReport,
};

const WORKERS: u32 = 10_000;
const SLOTS: u32 = 4;
const PLATFORMS: u32 = 4;
const ACTIONS_EXECUTED: u32 = 200_000;

fn main() {
    let named = std::env::args().nth(1).and_then(|queued| queued.parse().ok());
    let sizes = named.map_or(vec![10_000, 100_000, 1_000_000], |queued| vec![queued]);
    for queued in sizes {
        let Measured {
            queueing,
            bytes,
            deciding,
        } = measure(queued);
        println!(
            "{queued:>7} queued: {:>9.0} accepted/s, {bytes:>5} bytes each; {:>9.0} actions/s from accepted to over, \
             {:>9.0} events/s",
            f64::from(queued) / queueing.as_secs_f64(),
            f64::from(ACTIONS_EXECUTED) / deciding.as_secs_f64(),
            3.0 * f64::from(ACTIONS_EXECUTED) / deciding.as_secs_f64(),
        );
    }
}

struct Measured {
    /// Time to fill the queue.
    queueing: Duration,
    /// Memory that each action takes while it waits, beside what its client sent and its name.
    bytes: u64,
    /// Time to run `ACTIONS_EXECUTED` actions while the queue stays that full: each is accepted, given to a worker,
    /// completed and published, and another worker gets the next one.
    deciding: Duration,
}

fn measure(queued: u32) -> Measured {
    let mut scheduler = Scheduler::new(SchedulerOptions {
        operations_max: 2_000_000,
        operations_bytes_max: 8 << 30,
        ..SchedulerOptions::default()
    });
    let mut effects = Vec::new();
    let mut now = 0;
    let mut send = |scheduler: &mut Scheduler, event| {
        now += 1;
        effects.clear();
        scheduler.handle(Time(now), event, &mut effects);
        // What a shell does with each effect.
        for effect in &effects {
            match effect {
                Effect::Sync(worker) => drop(black_box(scheduler.desired(worker))),
                Effect::Update(operation) => drop(black_box(scheduler.operation(operation))),
                Effect::Record(_) => {}
                Effect::Publish(..) => {}
            }
        }
        effects.iter().find_map(|effect| match effect {
            Effect::Publish(task, _, response) => Some((*task, response.clone())),
            _ => None,
        })
    };
    let workers: Vec<WorkerId> = (0..WORKERS)
        .map(|number| WorkerId::new(format!("worker-{number}")))
        .collect();
    for worker in &workers {
        send(
            &mut scheduler,
            Event::WorkerSynced(worker.clone(), report(Vec::new())),
        );
    }
    for number in 0..WORKERS * SLOTS {
        send(&mut scheduler, execute(u32::MAX - number));
    }
    // What clients send is theirs, and counted by its own bound.
    let events: Vec<Event> = (0..queued).map(execute).collect();
    let (before, started) = (resident_bytes(), on_processor());
    for event in events {
        send(&mut scheduler, event);
    }
    let (after, queueing) = (resident_bytes(), on_processor() - started);
    let started = on_processor();
    for number in 0..ACTIONS_EXECUTED {
        let worker = &workers[(number % WORKERS) as usize];
        let leases = scheduler.desired(worker).unwrap_or_default();
        let done = leases
            .first()
            .map(|(lease, ..)| (*lease, LeaseState::Completed(response())));
        let event = Event::WorkerSynced(worker.clone(), report(done.into_iter().collect()));
        let (task, response) = send(&mut scheduler, event).expect("every worker always has a lease here");
        send(&mut scheduler, Event::Published(task, response));
        send(&mut scheduler, execute(queued + number));
    }
    Measured {
        queueing,
        bytes: after.saturating_sub(before) / u64::from(queued),
        deciding: on_processor() - started,
    }
}

/// Time that this process, which has one thread, was on a processor: whatever else the machine does.
fn on_processor() -> Duration {
    let times = std::fs::read_to_string("/proc/self/schedstat").expect("Linux tells");
    let running = times
        .split(' ')
        .next()
        .and_then(|nanoseconds| nanoseconds.parse().ok());
    Duration::from_nanos(running.expect("nanoseconds on a processor"))
}

/// What the kernel says of this process; zero where it does not.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    resident.unwrap_or(0_u64) * 4096
}

fn execute(number: u32) -> Event {
    let digest = Digest::of(DigestFunction::Sha256, &number.to_le_bytes());
    let pool = ("pool".to_owned(), (number % PLATFORMS).to_string());
    let work = Work {
        instance: InstanceName::default(),
        action_digest: ActionDigest::new(digest),
        action: Action::default(),
        command: Command::default(),
        platform: Platform::new([pool]).expect("a good property"),
        timeout: Duration::from_secs(60),
        do_not_cache: false,
        request_metadata: None,
        user: String::new(),
        queued_at: Default::default(),
    };
    Event::Execute(Request {
        operation: OperationName::new(format!(
            "operations/{number:08x}-{:08x}",
            number.wrapping_mul(2_654_435_761)
        )),
        work: Arc::new(work),
        priority: (number % 7) as i32 - 3,
        skip_cache_lookup: false,
    })
}

fn report(leases: Vec<(scheduler::LeaseId, LeaseState)>) -> WorkerReport {
    let properties = (0..PLATFORMS)
        .map(|pool| ("pool".to_owned(), pool.to_string()))
        .collect();
    WorkerReport {
        name: "worker".to_owned(),
        properties,
        slots: SLOTS,
        draining: false,
        leases,
        ..WorkerReport::default()
    }
}

fn response() -> Box<ExecuteResponse> {
    Box::new(ExecuteResponse {
        result: Some(ActionResult::default()),
        ..ExecuteResponse::default()
    })
}
