//! Real Bazel, with a server and workers that are killed, frozen and started again under it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use e2e::bazel::Bazel;
use e2e::contents::contents;
use e2e::farrier::Farrier;
use e2e::joined::Joined;
use e2e::process_tree::{self, Process};
use e2e::waiting;

/// Builds one after the other: a few for each change, `FARRIER_ROUNDS` times as many when that is set (25: the fifty of
/// the promise).
const BUILDS: u64 = 2;
/// By default Bazel 4 gives up after about three seconds without a server.
const PATIENT: &str = "--remote_retries=20";
/// What is built: everything that is meant to succeed, and quickly.
const EVERYTHING: [&str; 3] = [
    "--build_tag_filters=-fails,-slow",
    "--test_tag_filters=-fails,-slow",
    "//...",
];
/// Processes of a build whose environment has changed, at least.
const NEW_SPAWNS: usize = 60;
/// What is compared with a local build.
const PACKAGES: [&str; 4] = ["data", "rules", "tools", "numbers"];

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn builds() -> u64 {
    let times = std::env::var("FARRIER_ROUNDS")
        .ok()
        .and_then(|times| times.parse::<u64>().ok());
    BUILDS * times.unwrap_or(1)
}

fn sleeping(worker: &Joined) -> Vec<Process> {
    let is_sleep = |process: &Process| process.arguments.first().is_some_and(|word| word == "sleep");
    worker.descendants().into_iter().filter(is_sleep).collect()
}

#[test]
fn a_restart_of_the_server_runs_nothing_twice() -> Result<()> {
    let _alone = ONE_AT_A_TIME.lock();
    let mut farrier = Farrier::start_with(&["--slots", "0"])?;
    let worker = Joined::start(&farrier, "w", 2)?;
    let bazel = Bazel::remote(&farrier.grpc_url())?;
    let build = bazel.start("build", &[PATIENT, "//slow:slow"])?;
    for _ in 0..2 {
        let before = waiting::until("two actions sleep", Duration::from_secs(60), || {
            let sleeping = sleeping(&worker);
            Ok((sleeping.len() == 2).then_some(sleeping))
        })?;
        farrier.kill()?;
        assert!(
            before.iter().all(process_tree::still_runs),
            "the worker goes on without the server"
        );
        farrier.restart()?;
        waiting::until("they are done", Duration::from_secs(20), || {
            Ok((!before.iter().any(process_tree::still_runs)).then_some(()))
        })?;
    }
    build.finish()?.assert_success().assert_all_spawns("remote", 7);
    assert_eq!(worker.actions_begun(), 7, "each action ran once");
    Ok(())
}

#[test]
fn builds_go_on_whatever_is_killed_or_frozen() -> Result<()> {
    let _alone = ONE_AT_A_TIME.lock();
    let words = |round: u64| -> Vec<String> {
        // Most of each round's actions are new ones.
        let words = [
            PATIENT,
            &format!("--action_env=ROUND={round}"),
            &format!("--test_env=ROUND={round}"),
        ];
        words
            .into_iter()
            .chain(EVERYTHING)
            .map(ToString::to_string)
            .collect()
    };
    let local = Bazel::local()?;
    local.run("test", &refs(&words(0)))?.assert_success();
    let mut wanted = Vec::new();
    for package in PACKAGES {
        wanted.push(contents(&local.built(package)?)?);
    }

    let mut farm = Farm::start()?;
    let bazel = Bazel::remote(&farm.farrier.grpc_url())?;
    for round in 1..=builds() {
        let built = AtomicBool::new(false);
        let (build, mishaps) = std::thread::scope(|scope| {
            let chaos = scope.spawn(|| farm.suffer(round, &built));
            let build = bazel.run("test", &refs(&words(round)));
            built.store(true, Ordering::SeqCst);
            (build, chaos.join().expect("the chaos does not panic"))
        });
        let mishaps = mishaps.with_context(|| format!("round {round}"))?;
        println!("round {round}: {}", mishaps.join(", "));
        assert!(!mishaps.is_empty(), "nothing happened to the build");
        build?
            .assert_success()
            .assert_said("10 tests pass")
            // What was done just before the server was killed is asked for again, and there.
            .assert_spawns_by(&["remote", "remote cache hit"], NEW_SPAWNS);
        for (package, wanted) in PACKAGES.iter().zip(&wanted) {
            let found = contents(&bazel.built(package)?)?;
            assert!(
                found == *wanted,
                "round {round}: package {package} is not as built locally"
            );
        }
    }
    Ok(())
}

fn refs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// A server and two workers, to which things happen.
struct Farm {
    farrier: Farrier,
    workers: [Joined; 2],
}

impl Farm {
    fn start() -> Result<Self> {
        let farrier = Farrier::start_with(&["--slots", "0"])?;
        let workers = [
            Joined::start(&farrier, "one", 2)?,
            Joined::start(&farrier, "two", 2)?,
        ];
        Ok(Farm { farrier, workers })
    }

    /// One mishap after the other until the build is over; what they were. The same seed brings the same order.
    fn suffer(&mut self, seed: u64, built: &AtomicBool) -> Result<Vec<String>> {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut mishaps = Vec::new();
        pause(Duration::from_millis(500 + dice.below(1_000)), built);
        while !built.load(Ordering::SeqCst) {
            let worker = dice.below(2) as usize;
            let name = ["one", "two"][worker];
            mishaps.push(match dice.below(4) {
                0 => {
                    self.farrier.kill()?;
                    self.farrier.restart()?;
                    "server killed".to_owned()
                }
                1 => {
                    self.workers[worker].kill()?;
                    self.workers[worker].restart()?;
                    format!("worker {name} killed")
                }
                2 => {
                    let length = Duration::from_millis(200 + dice.below(3_000));
                    self.workers[worker].freeze();
                    pause(length, built);
                    self.workers[worker].thaw();
                    format!("worker {name} frozen for {length:?}")
                }
                _ => {
                    let length = Duration::from_millis(200 + dice.below(3_000));
                    self.farrier.freeze();
                    pause(length, built);
                    self.farrier.thaw();
                    format!("server frozen for {length:?}")
                }
            });
            pause(Duration::from_millis(200 + dice.below(2_000)), built);
        }
        Ok(mishaps)
    }
}

/// Waits so long, or until the build is over.
fn pause(length: Duration, built: &AtomicBool) {
    let end = Instant::now() + length;
    while Instant::now() < end && !built.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Numbers by xorshift: the same seed, the same numbers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
