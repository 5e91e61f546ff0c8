//! Two farriers on one bucket: what one has built, the other has, whatever becomes of the first.

use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::command::{farrier_in, run, said};
use e2e::farrier::Farrier;
use e2e::moto::Moto;

const SEEN_AFTER: Duration = Duration::from_millis(1500);
/// moto takes anybody.
const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "any"), ("AWS_SECRET_ACCESS_KEY", "any")];

fn farrier(words: &[&str]) -> Result<Output> {
    farrier_in(&KEYS, words)
}

#[test]
fn what_one_has_built_the_other_has() -> Result<()> {
    let moto = Moto::start()?;
    moto.make_bucket("bucket")?;
    let endpoint = moto.http_url();
    let options = [
        "--object-store",
        "s3://bucket/team",
        "--object-store-endpoint",
        &endpoint,
    ];
    let mut one = Farrier::start_in(&KEYS, &options)?;
    let other = Farrier::start_in(&KEYS, &options)?;

    // More than is inlined, so that the output is a blob of its own: a large one and a small one.
    for bytes in ["3000000", "20000"] {
        let text = format!("head -c {bytes} /dev/zero | tr '\\0' x");
        let first = run(&one, &text)?;
        ensure!(first.contains("farrier: remote, "), "a first run is no hit");
        // Small blobs travel together; those of others are seen within a second.
        std::thread::sleep(SEEN_AFTER);
        let second = run(&other, &text)?;
        ensure!(
            second.contains("farrier: cache hit, "),
            "the other has run {text} again"
        );
        let printed = second.bytes().filter(|byte| *byte == b'x').count();
        ensure!(printed >= bytes.parse()?, "{printed} of {bytes} bytes came");
    }

    // An object of its own, and one that travels together with others.
    let mut kept = Vec::new();
    for bytes in [100_000, 1_000] {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), vec![7; bytes])?;
        let path = file.path().to_string_lossy().into_owned();
        let put = farrier(&["cas", "put", "--endpoint", &one.grpc_url(), &path])?;
        ensure!(put.status.success(), "{}", said(&put));
        kept.push((bytes, String::from_utf8(put.stdout)?));
    }
    one.kill()?;
    std::thread::sleep(SEEN_AFTER);
    for (bytes, digest) in kept {
        let digest = digest.split_whitespace().next().context("no digest")?;
        let got = farrier(&["cas", "get", "--endpoint", &other.grpc_url(), digest])?;
        ensure!(got.stdout == vec![7; bytes], "{}", said(&got));
    }
    Ok(())
}

#[test]
fn a_bucket_that_stops_answering_is_an_error_and_not_a_hang() -> Result<()> {
    let moto = Moto::start()?;
    moto.make_bucket("bucket")?;
    let endpoint = moto.http_url();
    let options = ["--object-store=s3://bucket", "--object-store-endpoint", &endpoint];
    let farrier_up = Farrier::start_in(&KEYS, &options)?;
    let scratch = tempfile::tempdir()?;
    let put = |content: &[u8]| {
        let path = scratch.path().join("file");
        std::fs::write(&path, content)?;
        let path = path.to_string_lossy().into_owned();
        farrier(&["cas", "put", "--endpoint", &farrier_up.grpc_url(), &path])
    };
    let before = put(&[1; 50_000])?;
    ensure!(before.status.success(), "{}", said(&before));

    moto.pause();
    let meanwhile = put(&[2; 50_000])?;
    let text = said(&meanwhile);
    ensure!(
        !meanwhile.status.success(),
        "acknowledged without a bucket: {text}"
    );
    ensure!(text.contains("object store"), "whose fault it is: {text}");
    // What the disk has is read all the same.
    let digest = String::from_utf8(before.stdout)?;
    let digest = digest.split_whitespace().next().context("no digest")?;
    let read = farrier(&["cas", "get", "--endpoint", &farrier_up.grpc_url(), digest])?;
    ensure!(read.stdout == vec![1; 50_000], "{}", said(&read));

    moto.go_on();
    let after = put(&[2; 50_000])?;
    ensure!(after.status.success(), "{}", said(&after));
    Ok(())
}

#[test]
fn a_bucket_that_cannot_be_used_is_refused_at_the_start() -> Result<()> {
    let moto = Moto::start()?;
    let scratch = tempfile::tempdir()?;
    let data = scratch.path().join("data").to_string_lossy().into_owned();
    let endpoint = moto.http_url();
    let up = |options: &[&str]| {
        let words = ["up", "--listen=127.0.0.1:0", "--slots=0", "--data-dir", &data];
        let output = farrier(&[&words, options].concat())?;
        ensure!(!output.status.success(), "it starts with {options:?}");
        Ok(said(&output))
    };
    let missing = up(&[
        "--object-store=s3://nothing",
        "--object-store-endpoint",
        &endpoint,
    ])?;
    ensure!(missing.contains("the bucket has to exist"), "{missing}");
    let wrong = up(&["--object-store=http://bucket"])?;
    ensure!(wrong.contains("none of s3"), "{wrong}");
    let short = up(&["--object-store=s3://bucket", "--object-store-keep=1h"])?;
    ensure!(short.contains("12 h"), "{short}");
    let both = up(&["--object-store=s3://bucket", "--upstream=grpc://127.0.0.1:1"])?;
    ensure!(both.contains("cannot be used with"), "{both}");
    Ok(())
}
