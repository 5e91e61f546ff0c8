//! SIGKILL at the system calls that change the disk: for every name and number the process dies just before the thread
//! that first comes to its n-th call of that name makes it.
//!
//! `strace` does the killing. Between two of these calls nothing on the disk changes, so hardly a state that the death
//! of the process can leave of this life is missed: a store that is filled until it evicts, with small blobs, blobs in
//! segments of their own, and results that replace each other.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use action::ActionDigest;
use action_cache::ActionCache;
use blob::{Digest, InstanceName};
use cas::BlobStore;
use cas_disk::{DiskActionCache, DiskBlobStore, DiskOptions, DiskResults};
use reapi::execution::ActionResult;
use support::{F, Read, blob_of, read};

mod support;

const DIRECTORY: &str = "FARRIER_CALL_TEST_DIRECTORY";
/// What the store makes and changes files with.
const CALLS: [&str; 8] = [
    "pwrite64",
    "write",
    "fdatasync",
    "fsync",
    "rename",
    "unlink",
    "ftruncate",
    "flock",
];
/// The smallest store there is, so that a short life fills it.
const CAPACITY_BYTES: u64 = 1 << 20;
const BLOBS: u64 = 24;
const SIZES: [usize; 4] = [500, 3_000, 60_000, 120_000];
/// So many of the newest are in the store whatever had to go.
const NEWEST: usize = 6;
const ACTIONS: u64 = 3;
/// No life makes so many calls of one kind.
const CALLS_MAX: u32 = 1_000;

fn open(directory: &Path) -> (Arc<DiskBlobStore>, Arc<DiskActionCache>, Arc<DiskResults>) {
    let options = DiskOptions::new(directory, CAPACITY_BYTES);
    let blobs = DiskBlobStore::open(options.clone()).unwrap();
    let results = DiskResults::open(options).unwrap();
    (blobs, results.of(&InstanceName::default()), results)
}

fn size_of(number: u64) -> usize {
    SIZES[number as usize % SIZES.len()] + number as usize
}

fn action_of(number: u64) -> ActionDigest {
    ActionDigest::new(Digest::of(F, &number.to_le_bytes()))
}

fn result_of(value: u64) -> ActionResult {
    ActionResult {
        exit_code: value as i32,
        stdout_raw: support::text_of(value, 700),
        ..ActionResult::default()
    }
}

/// Not a test: the life that is going to be cut short. Does nothing unless it is told where to write.
#[tokio::test]
#[ignore = "it is started by the test below"]
async fn lives_until_it_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let (blobs, results, log) = open(Path::new(&directory));
    let say = |line: String| std::io::stdout().write_all(line.as_bytes()).unwrap();
    for number in 0..BLOBS {
        blobs.put(blob_of(number, size_of(number))).await.unwrap();
        say(format!("blob {number}\n"));
        results
            .put(&action_of(number % ACTIONS), result_of(number))
            .await
            .unwrap();
        say(format!("result {number}\n"));
    }
    assert!(
        blobs.usage().evicted > 0,
        "the life is too short to fill the store"
    );
    blobs.close();
    log.close();
    say("done\n".to_owned());
}

/// What one life said before it died.
struct Life {
    blobs: Vec<u64>,
    results: HashMap<u64, u64>,
    done: bool,
}

/// One life that dies before the `nth` call of this name.
fn live(directory: &Path, call: &str, nth: u32) -> Life {
    let output = Command::new("strace")
        .args(["--follow-forks", "--quiet=all", "--output=/dev/null"])
        .arg(format!("--trace={call}"))
        .arg(format!("--inject={call}:signal=KILL:when={nth}"))
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "lives_until_it_is_killed", "--nocapture"])
        .env(DIRECTORY, directory)
        .stderr(Stdio::inherit())
        .output()
        .expect("strace can be started; `e2e/install` installs it");
    let mut life = Life {
        blobs: Vec::new(),
        results: HashMap::new(),
        done: false,
    };
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        match line.split_once(' ') {
            Some(("blob", number)) => life.blobs.push(number.parse().unwrap()),
            Some(("result", value)) => {
                let value: u64 = value.parse().unwrap();
                life.results.insert(value % ACTIONS, value);
            }
            _ => life.done |= line == "done",
        }
    }
    assert!(
        life.done == output.status.success(),
        "{call} {nth}: {:?}, and it said all: {}",
        output.status,
        life.done
    );
    life
}

/// What `life` was told is kept is there, what is there is right, and the store goes on.
async fn check(directory: &Path, life: &Life, killed: &str) {
    let (blobs, results, log) = open(directory);
    for number in 0..BLOBS {
        let digest = blob_of(number, size_of(number)).digest();
        let must = life
            .blobs
            .iter()
            .rev()
            .take(NEWEST)
            .any(|newest| *newest == number);
        match read(&*blobs, &digest).await {
            Read::Bytes(bytes) => assert!(
                bytes == support::bytes_of(number, size_of(number)),
                "{killed}: blob {number} is wrong"
            ),
            Read::Miss => assert!(!must, "{killed}: blob {number} was acknowledged"),
            Read::Error(at, error) => panic!("{killed}: blob {number} fails at {at}: {error}"),
        }
    }
    for (action, acknowledged) in &life.results {
        let result = results.get(&action_of(*action)).await.unwrap();
        let result =
            result.unwrap_or_else(|| panic!("{killed}: the result of action {action} was acknowledged"));
        let value = u64::try_from(result.exit_code).unwrap();
        assert!(
            value >= *acknowledged && result == result_of(value),
            "{killed}: action {action} has value {value} after {acknowledged} was acknowledged"
        );
    }
    // A process that dies tears nothing.
    assert_eq!((blobs.usage().corrupt, log.usage().corrupt), (0, 0), "{killed}");
    let more = blob_of(1_000, 5_000);
    let digest = more.digest();
    blobs.put(more).await.unwrap();
    assert!(matches!(read(&*blobs, &digest).await, Read::Bytes(_)), "{killed}");
}

#[tokio::test]
async fn a_life_may_end_before_any_call() {
    let mut deaths = HashMap::new();
    for call in CALLS {
        for nth in 1..=CALLS_MAX {
            let directory = tempfile::tempdir().unwrap();
            let life = live(directory.path(), call, nth);
            check(directory.path(), &life, &format!("killed before {call} {nth}")).await;
            if life.done {
                break;
            }
            *deaths.entry(call).or_insert(0) += 1;
        }
    }
    println!("{deaths:?}");
    for (call, least) in [
        ("pwrite64", 20),
        ("fdatasync", 20),
        ("fsync", 3),
        ("unlink", 1),
        ("rename", 1),
    ] {
        assert!(
            deaths.get(call).is_some_and(|deaths| *deaths >= least),
            "{call}: {deaths:?}"
        );
    }
}
