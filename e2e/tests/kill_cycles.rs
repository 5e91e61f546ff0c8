//! The server killed with SIGKILL again and again under mixed load: uploads of every kind, action results, executions.
//! What was acknowledged must be there afterwards, and nothing that is served may be wrong.
//!
//! `FARRIER_KILL_CYCLES=10000 cargo test -p e2e --test kill_cycles` is the long version.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use e2e::client::{Client, digest};
use e2e::farrier::Farrier;
use prost::Message;
use reapi::execution::{Action, ActionResult, Command, Directory, OutputFile, command};

/// Kills in one run, unless `FARRIER_KILL_CYCLES` says otherwise.
const CYCLES: u64 = 200;
/// The server lives this long under load before it is killed, in milliseconds.
const LIFE_MS: std::ops::Range<u64> = 20..450;
/// Every so many cycles everything ever acknowledged is read back, not only what is new.
const FULL_CHECK_EVERY: u64 = 50;
const DIGESTS_A_CALL: usize = 5_000;

/// What the server has promised. Contents follow from the number, so nothing needs to be kept here.
#[derive(Default)]
struct Acknowledged {
    blobs: Vec<u64>,
    /// Results that a client stored, by the number of the action and of its output blob.
    results: Vec<u64>,
    /// Actions that were executed.
    executed: Vec<u64>,
}

type Promises = Arc<Mutex<Acknowledged>>;

#[test]
fn nothing_acknowledged_is_lost_and_nothing_wrong_is_served() -> Result<()> {
    let cycles = match std::env::var("FARRIER_KILL_CYCLES") {
        Ok(text) => text.parse().context("FARRIER_KILL_CYCLES is not a number")?,
        Err(_) => CYCLES,
    };
    let seed = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)?
        .as_nanos() as u64;
    println!("{cycles} cycles, seed {seed}");
    let runtime = tokio::runtime::Runtime::new()?;
    let promises = Promises::default();
    let mut random = Random(seed | 1);
    let mut farrier = Farrier::start_with(&["--slots", "2"])?;
    let mut checked = Acknowledged::default();
    for cycle in 0..cycles {
        let life = Duration::from_millis(LIFE_MS.start + random.next() % (LIFE_MS.end - LIFE_MS.start));
        let load = Load {
            url: farrier.http_url(),
            promises: promises.clone(),
            first: cycle << 32,
        };
        runtime.block_on(async {
            let load = load.start();
            tokio::time::sleep(life).await;
            farrier.kill()?;
            load.until_broken().await
        })?;
        farrier
            .restart()
            .with_context(|| format!("restart after kill {cycle}"))?;
        let all = (cycle + 1) % FULL_CHECK_EVERY == 0 || cycle + 1 == cycles;
        let outcome = runtime.block_on(check(&farrier.http_url(), &promises, &mut checked, all));
        outcome.with_context(|| format!("after kill {cycle} of seed {seed}"))?;
    }
    let promises = promises.lock().map_err(|_| anyhow::anyhow!("a task panicked"))?;
    println!(
        "{cycles} kills: {} blobs, {} stored results and {} executed actions acknowledged, all there",
        promises.blobs.len(),
        promises.results.len(),
        promises.executed.len()
    );
    ensure!(
        promises.blobs.len() as u64 > cycles,
        "hardly anything was acknowledged: the load does not work"
    );
    ensure!(
        !promises.results.is_empty() && !promises.executed.is_empty(),
        "the load does not work"
    );
    Ok(())
}

struct Load {
    url: String,
    promises: Promises,
    /// Numbers from here on belong to this cycle.
    first: u64,
}

struct Running {
    tasks: Vec<tokio::task::JoinHandle<Result<()>>>,
}

impl Load {
    /// Starts clients that go on until the server is gone.
    fn start(self) -> Running {
        let Load { url, promises, first } = self;
        let part = move |index: u64| (url.clone(), promises.clone(), first + (index << 24));
        let (small, large, result, execute) = (part(0), part(1), part(2), part(3));
        #[allow(clippy::disallowed_methods, reason = "joined in `until_broken`")]
        let tasks = vec![
            tokio::spawn(async move { upload_small(small).await }),
            tokio::spawn(async move { upload_large(large).await }),
            tokio::spawn(async move { store_results(result).await }),
            tokio::spawn(async move { execute_actions(execute).await }),
        ];
        Running { tasks }
    }
}

impl Running {
    /// Every client ends with the error of a broken connection; only a wrong answer is a failure.
    async fn until_broken(self) -> Result<()> {
        for task in self.tasks {
            let ended = tokio::time::timeout(Duration::from_secs(20), task).await;
            let outcome = ended
                .context("a client hangs although its server is gone")?
                .context("a client panicked")?;
            if let Err(error) = outcome
                && error.is::<Wrong>()
            {
                return Err(error);
            }
        }
        Ok(())
    }
}

/// The server did what it must never do.
#[derive(Debug)]
struct Wrong(String);

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

async fn upload_small((url, promises, first): (String, Promises, u64)) -> Result<()> {
    let client = Client::connect(&url, "").await?;
    for number in (first..).step_by(8) {
        let numbers: Vec<u64> = (number..number + 8).collect();
        let contents: Vec<Vec<u8>> = numbers.iter().map(|number| content(*number, 4_000)).collect();
        let slices: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
        client.batch_upload(&slices).await?;
        record(&promises, |acknowledged| acknowledged.blobs.extend(&numbers));
        let bytes = client.read(&digest(&contents[0])).await?;
        if bytes != contents[0] {
            bail!(Wrong(format!("blob {number} came back changed")));
        }
    }
    Ok(())
}

async fn upload_large((url, promises, first): (String, Promises, u64)) -> Result<()> {
    let client = Client::connect(&url, "").await?;
    for number in first.. {
        client.write(large(number)).await?;
        record(&promises, |acknowledged| acknowledged.blobs.push(number));
    }
    Ok(())
}

async fn store_results((url, promises, first): (String, Promises, u64)) -> Result<()> {
    let client = Client::connect(&url, "").await?;
    for number in first.. {
        let (command, root, action) = action_of(number);
        let output = content(number, 4_000);
        client.batch_upload(&[&command, &root, &action, &output]).await?;
        let file = OutputFile {
            path: "out".into(),
            digest: Some(digest(&output)),
            ..Default::default()
        };
        let result = ActionResult {
            output_files: vec![file],
            ..Default::default()
        };
        client.update_action_result(&digest(&action), result).await?;
        record(&promises, |acknowledged| acknowledged.results.push(number));
    }
    Ok(())
}

async fn execute_actions((url, promises, first): (String, Promises, u64)) -> Result<()> {
    let client = Client::connect(&url, "").await?;
    for number in first.. {
        let (command, root, action) = action_of(number);
        client.batch_upload(&[&command, &root, &action]).await?;
        let response = client.execute(&digest(&action)).await?;
        if let Some(status) = response.status.filter(|status| status.code != 0) {
            // Stopped half way; not a promise.
            bail!("execution ended with {}: {}", status.code, status.message);
        }
        record(&promises, |acknowledged| acknowledged.executed.push(number));
    }
    Ok(())
}

fn record(promises: &Promises, promise: impl FnOnce(&mut Acknowledged)) {
    promise(&mut promises.lock().expect("no task panics while it holds this"));
}

/// Reads back what is new since the last check, or everything.
async fn check(url: &str, promises: &Promises, checked: &mut Acknowledged, all: bool) -> Result<()> {
    let client = Client::connect(url, "").await?;
    let (blobs, results, executed) = {
        let promises = promises.lock().map_err(|_| anyhow::anyhow!("a task panicked"))?;
        let from = |done: &Vec<u64>| if all { 0 } else { done.len() };
        let new = (
            promises.blobs[from(&checked.blobs)..].to_vec(),
            promises.results[from(&checked.results)..].to_vec(),
            promises.executed[from(&checked.executed)..].to_vec(),
        );
        checked.blobs.clone_from(&promises.blobs);
        checked.results.clone_from(&promises.results);
        checked.executed.clone_from(&promises.executed);
        new
    };
    let contents = |number: &u64| {
        if is_large(*number) {
            large(*number)
        } else {
            content(*number, 4_000)
        }
    };
    for numbers in blobs.chunks(DIGESTS_A_CALL) {
        let digests: Vec<_> = numbers.iter().map(|number| digest(&contents(number))).collect();
        let missing = client.find_missing(&digests).await?;
        ensure!(
            missing.is_empty(),
            "{} acknowledged blobs are gone, first {:?}",
            missing.len(),
            missing[0]
        );
    }
    for number in &blobs {
        let expected = contents(number);
        let bytes = client
            .read(&digest(&expected))
            .await
            .with_context(|| format!("reading blob {number}"))?;
        ensure!(bytes == expected, "blob {number} came back changed");
    }
    for number in &results {
        let (_, _, action) = action_of(*number);
        let result = client.action_result(&digest(&action)).await?;
        let result = result.with_context(|| format!("the stored result of action {number} is gone"))?;
        ensure!(
            result.output_files[0].digest == Some(digest(&content(*number, 4_000))),
            "result {number} changed"
        );
    }
    for number in &executed {
        let (_, _, action) = action_of(*number);
        let result = client.action_result(&digest(&action)).await?;
        let result = result.with_context(|| format!("the result of executed action {number} is gone"))?;
        let output = result
            .output_files
            .first()
            .and_then(|file| file.digest.clone())
            .context("no output")?;
        let bytes = client.read(&output).await?;
        ensure!(
            bytes == format!("{number}\n").into_bytes(),
            "the output of action {number} is wrong"
        );
    }
    Ok(())
}

/// Command, input root and action number so-and-so, encoded.
fn action_of(number: u64) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let variable = command::EnvironmentVariable {
        name: "NUMBER".into(),
        value: number.to_string(),
    };
    let command = Command {
        arguments: ["/bin/sh", "-c", "echo $NUMBER > out"]
            .map(str::to_owned)
            .to_vec(),
        environment_variables: vec![variable],
        output_paths: vec!["out".into()],
        ..Default::default()
    };
    let command = command.encode_to_vec();
    let root = Directory::default().encode_to_vec();
    let action = Action {
        command_digest: Some(digest(&command)),
        input_root_digest: Some(digest(&root)),
        ..Default::default()
    };
    (command, root, action.encode_to_vec())
}

fn is_large(number: u64) -> bool {
    (number >> 24) & 0xff == 1
}

/// Larger than any batch takes, so that it travels by ByteStream in several messages.
fn large(number: u64) -> Vec<u8> {
    let mut bytes = content(number, 1_000);
    bytes.resize(900_000, number as u8);
    bytes
}

/// Bytes that follow from a number, at least 8 and at most `size_max`.
fn content(number: u64, size_max: u64) -> Vec<u8> {
    let mut random = Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let size = 8 + random.next() % (size_max - 8);
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.extend((8..size).map(|_| random.next() as u8));
    bytes
}

/// xorshift64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
