//! Farriers that keep the blobs and results of others between them: shares, mirrors, and what becomes of a build when
//! some of them die.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::command::{farrier, get, put, run, said};
use e2e::farrier::Farrier;
use e2e::waiting;

/// How long a side that came back may take to get what it missed: it is left alone for up to 30 s, and a shard that did
/// not answer for 15.
const REPAIRED_AFTER: Duration = Duration::from_secs(90);

fn shard() -> Result<Farrier> {
    Farrier::start_with(&["--as-shard"])
}

fn front(shards: &[String]) -> Result<Farrier> {
    let options: Vec<String> = shards.iter().map(|shard| format!("--shard={shard}")).collect();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    Farrier::start_with(&options)
}

fn pair(one: &Farrier, other: &Farrier) -> String {
    format!("{},{}", one.grpc_url(), other.grpc_url())
}

/// Different for each number, and too much to be kept in a result itself.
fn text(number: usize) -> String {
    format!("head -c 20000 /dev/zero | tr '\\0' {number}")
}

fn is_hit(said: &str) -> bool {
    said.contains("farrier: cache hit, ")
}

fn has(server: &Farrier, digest: &str, bytes: &[u8]) -> Result<bool> {
    Ok(get(server, digest)?.stdout == bytes)
}

#[test]
fn pairs_of_farriers_keep_everything_with_one_side_of_each_dead() -> Result<()> {
    let (mut a, b, c, mut d) = (shard()?, shard()?, shard()?, shard()?);
    let shards = [pair(&a, &b), pair(&c, &d)];
    let mut one = front(&shards)?;
    for number in 0..6 {
        ensure!(!is_hit(&run(&one, &text(number))?), "a first run is no hit");
        ensure!(is_hit(&run(&one, &text(number))?), "a second run is one");
    }
    let bytes = |number: u8| vec![number; 50_000];
    let stored: Vec<String> = (0..8)
        .map(|number| put(&one, &bytes(number)))
        .collect::<Result<_>>()?;
    // Each is with both of one pair, and each pair has some.
    let mut shares = [0; 2];
    for (digest, number) in stored.iter().zip(0..) {
        let there = [&a, &b, &c, &d].map(|server| has(server, digest, &bytes(number)).unwrap_or(false));
        match there {
            [true, true, false, false] => shares[0] += 1,
            [false, false, true, true] => shares[1] += 1,
            _ => anyhow::bail!("blob {number} is with {there:?}"),
        }
    }
    ensure!(shares.iter().all(|share| *share > 0), "{shares:?}");

    a.kill()?;
    d.kill()?;
    ensure!(is_hit(&run(&one, &text(0))?), "what is with the others is a hit");
    ensure!(!is_hit(&run(&one, &text(6))?), "what is new is run");
    ensure!(is_hit(&run(&one, &text(6))?), "and kept");
    let late: Vec<String> = (20..28)
        .map(|number| put(&one, &bytes(number)))
        .collect::<Result<_>>()?;

    // Another one, which has no copy of anything, has it all from the sides that live.
    one.kill()?;
    drop(one);
    let other = front(&shards)?;
    for number in 0..7 {
        ensure!(
            is_hit(&run(&other, &text(number))?),
            "{number}: all is with the shards"
        );
    }
    for (digest, number) in stored.iter().zip(0..).chain(late.iter().zip(20..)) {
        ensure!(has(&other, digest, &bytes(number))?, "blob {number}");
    }

    // What they missed was remembered by the one that died; the other one learns it from what is asked.
    a.restart()?;
    d.restart()?;
    waiting::until("both sides have what came meanwhile", REPAIRED_AFTER, || {
        for (digest, number) in late.iter().zip(20..) {
            let copies = [&a, &b, &c, &d]
                .into_iter()
                .filter(|server| has(server, digest, &bytes(number)).unwrap_or(false));
            if copies.count() < 2 {
                // Asks both sides of its pair.
                put(&other, &bytes(number))?;
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
}

#[test]
fn a_share_whose_farriers_are_all_dead_is_an_error_that_says_so() -> Result<()> {
    let (mut a, b) = (shard()?, shard()?);
    let one = front(&[a.grpc_url(), b.grpc_url()])?;
    a.kill()?;
    let mut refused = 0;
    for number in 0..8 {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), vec![number; 3000])?;
        let path = file.path().to_string_lossy().into_owned();
        let output = farrier(&["cas", "put", "--endpoint", &one.grpc_url(), &path])?;
        if !output.status.success() {
            refused += 1;
            let said = said(&output);
            ensure!(
                said.contains("Unavailable") || said.contains("unavailable") || said.contains("cannot"),
                "{said}"
            );
        }
    }
    ensure!((1..8).contains(&refused), "{refused} of 8 were refused");
    a.restart()
}

#[test]
fn a_shard_that_is_added_gets_its_share() -> Result<()> {
    let (a, b, c) = (shard()?, shard()?, shard()?);
    let mut two = front(&[a.grpc_url(), b.grpc_url()])?;
    for number in 0..6 {
        run(&two, &text(number))?;
    }
    let bytes = |number: u8| vec![number; 50_000];
    let stored: Vec<String> = (0..12)
        .map(|number| put(&two, &bytes(number)))
        .collect::<Result<_>>()?;
    two.kill()?;
    drop(two);
    let three = front(&[a.grpc_url(), b.grpc_url(), c.grpc_url()])?;
    for number in 0..6 {
        ensure!(
            is_hit(&run(&three, &text(number))?),
            "{number} is found where it was"
        );
    }
    for (digest, number) in stored.iter().zip(0..) {
        ensure!(has(&three, digest, &bytes(number))?, "blob {number}");
    }
    waiting::until("the new one has some", REPAIRED_AFTER, || {
        let mut moved = 0;
        for (digest, number) in stored.iter().zip(0..) {
            moved += usize::from(has(&c, digest, &bytes(number))?);
        }
        Ok((moved > 0 && moved < 12).then_some(()))
    })
}

#[test]
fn a_shard_runs_nothing_and_large_blobs_go_through_in_chunks() -> Result<()> {
    let (a, b) = (shard()?, shard()?);
    let exec = farrier(&["exec", "--endpoint", &a.grpc_url(), "--", "true"])?;
    ensure!(!exec.status.success(), "a shard runs actions: {}", said(&exec));
    let one = front(&[a.grpc_url(), b.grpc_url()])?;
    let mut state = 1u64;
    let large: Vec<u8> = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(9 << 20)
    .collect();
    let digest = put(&one, &large).context("a large blob")?;
    ensure!(has(&one, &digest, &large)?, "it comes back");
    let there = [has(&a, &digest, &large)?, has(&b, &digest, &large)?];
    ensure!(there.iter().filter(|there| **there).count() == 1, "{there:?}");
    Ok(())
}
