//! How fast the scheduler decides, with an almost empty and with a very full queue: the two rates should be alike.
//!
//! `cargo run --release -p scheduler --example decisions_per_second`

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use action::{ActionDigest, Platform};
use blob::{Digest, DigestFunction, InstanceName};
use reapi::execution::{Action, ActionResult, Command, ExecuteResponse};
use scheduler::{
    Effect, Event, LeaseState, OperationName, Request, Scheduler, SchedulerOptions, Time, Work, WorkerId,
    WorkerReport,
};

const WORKERS: u32 = 100;
const SLOTS: u32 = 16;
const PLATFORMS: u32 = 4;
const ACTIONS_EXECUTED: u32 = 100_000;

fn main() {
    for queued in [1_000, 10_000, 100_000] {
        let (queueing, deciding) = measure(queued);
        println!(
            "{queued:>7} queued: {:>9.0} executes/s, {:>9.0} completions/s (each one lease out, one lease in)",
            f64::from(queued) / queueing.as_secs_f64(),
            f64::from(ACTIONS_EXECUTED) / deciding.as_secs_f64(),
        );
    }
}

/// Time to fill the queue, and to run `ACTIONS_EXECUTED` actions while it stays that full.
fn measure(queued: u32) -> (Duration, Duration) {
    let mut scheduler = Scheduler::new(SchedulerOptions::default());
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
    let started = Instant::now();
    for number in 0..queued {
        send(&mut scheduler, execute(number));
    }
    let queueing = started.elapsed();
    let started = Instant::now();
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
    (queueing, started.elapsed())
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
