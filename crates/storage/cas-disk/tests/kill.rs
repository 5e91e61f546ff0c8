//! Kill -9 at any moment: whatever was acknowledged is there afterwards, and nothing that is there is wrong.
//!
//! The writer is this test binary started once more. It says on its standard output what has been acknowledged;
//! what it had said when it died is the oracle.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use action::ActionDigest;
use action_cache::ActionCache;
use blob::{Blob, Digest, InstanceName};
use cas::BlobStore;
use cas_disk::{DiskActionCache, DiskBlobStore, DiskOptions, DiskResults};
use futures::{future, stream};
use reapi::execution::ActionResult;
use support::{F, Read, blob_of, bytes_of, read};

mod support;

const CYCLES: u64 = 50;
/// Writers of blobs in the child, all at once.
const WRITERS: u64 = 6;
/// Actions whose results are replaced again and again.
const ACTIONS: u64 = 8;
const CAPACITY_BYTES: u64 = 8 << 30;
const DIRECTORY: &str = "FARRIER_KILL_TEST_DIRECTORY";
const CYCLE: &str = "FARRIER_KILL_TEST_CYCLE";

fn open(directory: &Path) -> (Arc<DiskBlobStore>, Arc<DiskActionCache>, Arc<DiskResults>) {
    let options = DiskOptions::new(directory, CAPACITY_BYTES);
    let blobs = DiskBlobStore::open(options.clone()).unwrap();
    let results = DiskResults::open(options).unwrap();
    (blobs, results.of(&InstanceName::default()), results)
}

/// Small ones mostly, sometimes several pieces.
fn size_of(seed: u64) -> usize {
    match seed % 10 {
        0 => 1_500_000 + (seed % 1_000_003) as usize,
        1..3 => 60_000 + (seed % 10_007) as usize,
        _ => 1 + (seed % 4_999) as usize,
    }
}

fn action_of(number: u64) -> ActionDigest {
    ActionDigest::new(Digest::of(F, &number.to_le_bytes()))
}

fn result_of(value: u64) -> ActionResult {
    let stdout_raw = bytes_of(value, (value % 20_000) as usize);
    ActionResult {
        exit_code: value as i32,
        stdout_raw,
        ..ActionResult::default()
    }
}

/// Not a test: the writer that is going to be killed. Does nothing unless it is told where to write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it is started by the test below"]
async fn writes_until_it_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let cycle: u64 = std::env::var(CYCLE).unwrap().parse().unwrap();
    let (blobs, results, _log) = open(Path::new(&directory));
    let say = |line: String| std::io::stdout().write_all(line.as_bytes()).unwrap();
    let write_blobs = (0..WRITERS).map(async |writer| {
        for number in 0.. {
            let seed = cycle << 40 | writer << 32 | number;
            let bytes = bytes_of(seed, size_of(seed));
            let digest = Digest::of(F, &bytes);
            let chunks = (0..bytes.len())
                .step_by(300_000)
                .map(|at| bytes.slice(at..bytes.len().min(at + 300_000)));
            let chunks: Vec<_> = chunks.map(Ok::<_, std::io::Error>).collect();
            blobs
                .put(Blob::checked(digest, stream::iter(chunks)))
                .await
                .unwrap();
            say(format!("blob {seed}\n"));
        }
    });
    let write_results = async {
        for value in (cycle << 24).. {
            results
                .put(&action_of(value % ACTIONS), result_of(value))
                .await
                .unwrap();
            say(format!("result {value}\n"));
        }
    };
    future::join(future::join_all(write_blobs), write_results).await;
}

/// What a killed writer had said.
#[derive(Default)]
struct Acknowledged {
    blobs: Vec<u64>,
    /// The last value of each action.
    results: HashMap<u64, u64>,
}

impl Acknowledged {
    fn note(&mut self, line: &str) {
        // A line that was cut off by the kill was not said.
        let Some(line) = line.strip_suffix('\n') else {
            return;
        };
        if let Some(seed) = line.strip_prefix("blob ") {
            self.blobs.push(seed.parse().unwrap());
        } else if let Some(value) = line.strip_prefix("result ") {
            let value: u64 = value.parse().unwrap();
            self.results.insert(value % ACTIONS, value);
        }
    }
}

/// Starts a writer, kills it after it has acknowledged `patience` things and a little more, and returns all it said.
fn write_and_kill(directory: &Path, cycle: u64, patience: usize, more: Duration) -> Acknowledged {
    let mut writer = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "writes_until_it_is_killed", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(CYCLE, cycle.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(writer.stdout.take().unwrap());
    let mut acknowledged = Acknowledged::default();
    let mut line = String::new();
    let mut next = |acknowledged: &mut Acknowledged| {
        line.clear();
        let length = said.read_line(&mut line).unwrap();
        acknowledged.note(&line);
        length > 0
    };
    while acknowledged.blobs.len() + acknowledged.results.len() < patience {
        assert!(next(&mut acknowledged), "the writer ended by itself");
    }
    // No matter how long this takes: it only moves the kill to another moment.
    std::thread::sleep(more);
    writer.kill().unwrap();
    while next(&mut acknowledged) {}
    assert!(!writer.wait().unwrap().success());
    acknowledged
}

async fn check_blob(blobs: &DiskBlobStore, seed: u64) {
    let bytes = bytes_of(seed, size_of(seed));
    let digest = blob_of(seed, size_of(seed)).digest();
    assert!(
        read(blobs, &digest).await == Read::Bytes(bytes.to_vec()),
        "acknowledged blob {seed} ({digest})"
    );
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    let mut last_results = HashMap::new();
    let mut left_incoming = 0;
    for cycle in 1..=CYCLES {
        let random = u64::from_le_bytes(
            Digest::of(F, &cycle.to_le_bytes()).hash_bytes()[..8]
                .try_into()
                .unwrap(),
        );
        let more = Duration::from_micros(random % 30_000);
        let acknowledged = write_and_kill(directory.path(), cycle, 1 + (random % 60) as usize, more);
        let before = support::segments(&directory.path().join("blobs"));
        let (blobs, results, log) = open(directory.path());
        // A segment that a start takes away held an upload that had not been finished.
        left_incoming += before.iter().filter(|path| !path.exists()).count();
        // A process that dies tears nothing: only complete records are read.
        assert_eq!(
            (blobs.usage().corrupt, log.usage().corrupt),
            (0, 0),
            "cycle {cycle}"
        );
        for seed in &acknowledged.blobs {
            check_blob(&blobs, *seed).await;
        }
        all.extend(acknowledged.blobs);
        last_results.extend(acknowledged.results);
        for (action, acknowledged) in &last_results {
            let result = results
                .get(&action_of(*action))
                .await
                .unwrap()
                .expect("an acknowledged result");
            // What was written after the last one that was acknowledged may be there too.
            let value = u64::try_from(result.exit_code).unwrap();
            assert!(
                value >= *acknowledged && value % ACTIONS == *action && result == result_of(value),
                "action {action} has value {value} after {acknowledged} was acknowledged"
            );
        }
    }
    let (blobs, _, log) = open(directory.path());
    for seed in &all {
        check_blob(&blobs, *seed).await;
    }
    assert_eq!(
        (blobs.usage().corrupt, log.usage().corrupt, blobs.usage().evicted),
        (0, 0, 0)
    );
    assert!(
        left_incoming > 0,
        "no kill ever hit an upload: the test proves nothing"
    );
    println!(
        "{CYCLES} kills, {} acknowledged blobs, {left_incoming} uploads cut off",
        all.len()
    );
}
