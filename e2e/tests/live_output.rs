//! What actions print, read while they run.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::client::{Client, digest};
use e2e::farrier::Farrier;
use e2e::{tools, waiting};
use reapi::longrunning::operation;

const PATIENCE: Duration = Duration::from_secs(30);
/// The actions print, are silent for this long, and print again.
const SILENCE: Duration = Duration::from_secs(3);

#[test]
fn output_is_read_before_the_action_ends() -> Result<()> {
    let farrier = Farrier::start()?;
    farrier.worker()?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let client = Client::connect(&farrier.http_url(), "").await?;
        let action = client.upload_shell_action("echo one; sleep 3; echo two").await?;
        let (name, mut states) = client.execute_until_live(&action).await?;
        let mut log = client.open(&name).await?;
        let first = log.message().await?.context("the log ended early")?;
        let first_at = Instant::now();
        ensure!(first.data == "one\n", "{first:?}");
        let mut rest = Vec::new();
        while let Some(piece) = log.message().await? {
            rest.extend_from_slice(&piece.data);
        }
        ensure!(rest == b"two\n", "{rest:?}");
        ensure!(
            first_at.elapsed() > SILENCE / 2,
            "the first line came with the last, {:?} before",
            first_at.elapsed()
        );
        let done = loop {
            let state = states.message().await?.context("no end")?;
            if state.done {
                break state;
            }
        };
        let Some(operation::Result::Response(response)) = done.result else {
            anyhow::bail!("{done:?}");
        };
        let response: reapi::execution::ExecuteResponse = response.to_msg()?;
        ensure!(
            response.result.context("no result")?.stdout_raw == "one\ntwo\n",
            "the result has all of it"
        );
        // As long as the operation is remembered.
        let again = client.open(&name).await?.message().await?.context("nothing")?;
        ensure!(again.data == "one\ntwo\n", "{again:?}");
        Ok(())
    })
}

#[test]
fn a_flood_arrives_whole_at_readers_of_every_speed() -> Result<()> {
    let farrier = Farrier::start()?;
    farrier.worker()?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let client = Client::connect(&farrier.http_url(), "").await?;
        // Many times what is kept on the way, and no pause in which a reader could catch up.
        let action = client
            .upload_shell_action("seq 1 2000000; sleep 1; echo end")
            .await?;
        let (name, mut states) = client.execute_until_live(&action).await?;
        let reading = async |pause: Duration| {
            let mut log = client.open(&name).await?;
            let mut bytes = Vec::new();
            while let Some(piece) = log.message().await? {
                bytes.extend_from_slice(&piece.data);
                tokio::time::sleep(pause).await;
            }
            anyhow::Ok(digest(&bytes))
        };
        let waiting = async {
            while let Some(state) = states.message().await? {
                if let Some(operation::Result::Response(response)) = state.result {
                    let response: reapi::execution::ExecuteResponse = response.to_msg()?;
                    let result = response.result.context("no result")?;
                    return result.stdout_digest.context("no digest");
                }
            }
            anyhow::bail!("no end")
        };
        let (expected, fast, slow) = tokio::try_join!(
            waiting,
            reading(Duration::ZERO),
            reading(Duration::from_millis(20))
        )?;
        ensure!(expected.size_bytes > 10 << 20, "{expected:?}");
        ensure!(
            fast == expected && slow == expected,
            "{fast:?} {slow:?} {expected:?}"
        );
        Ok(())
    })
}

#[test]
fn exec_shows_output_while_it_is_printed_and_each_byte_once() -> Result<()> {
    let farrier = Farrier::start()?;
    farrier.worker()?;
    let url = farrier.http_url();
    let script = "echo one; echo aside >&2; sleep 3; echo two; echo end >&2; exit 3";
    let mut child = Command::new(tools::farrier()?)
        .args([
            "exec",
            "--follow",
            "--quiet",
            "--endpoint",
            &url,
            "--",
            "sh",
            "-c",
            script,
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut output = BufReader::new(child.stdout.take().context("piped")?);
    let mut first = String::new();
    output.read_line(&mut first)?;
    let first_at = Instant::now();
    let mut rest = String::new();
    output.read_to_string(&mut rest)?;
    ensure!(
        first_at.elapsed() > SILENCE / 2,
        "the first line came with the last, {:?} before",
        first_at.elapsed()
    );
    let mut errors = String::new();
    child
        .stderr
        .take()
        .context("piped")?
        .read_to_string(&mut errors)?;
    let status = waiting::end_of(&mut child, PATIENCE)?.context("exec does not end")?;
    ensure!(
        (first.as_str(), rest.as_str()) == ("one\n", "two\n"),
        "{first:?} {rest:?}"
    );
    ensure!(errors == "aside\nend\n", "{errors:?}");
    ensure!(status.code() == Some(3), "{status}");
    Ok(())
}
