//! Real buildbox-casd between a client and `farrier up`.
//!
//! Every test talks to both: what goes in at one end must come out at the other.

use anyhow::{Context, Result};
use e2e::casd::Casd;
use e2e::client::{Client, digest};
use e2e::farrier::Farrier;
use reapi::execution::{
    Action, ActionResult, Command, Digest, Directory, DirectoryNode, FileNode, OutputFile,
    command::EnvironmentVariable,
};
use tonic::Code;

/// More than one gRPC message, and no multiple of anybody's chunk.
const LARGE_BYTES: usize = 9_000_001;

/// A proxy in front of a server, and a client of each.
struct Both {
    through_casd: Client,
    direct: Client,
    // In this order: the proxy goes before the server that it would miss.
    _casd: Casd,
    farrier: Farrier,
}

impl Both {
    async fn start(instance: &str) -> Result<Self> {
        let farrier = match instance {
            "" => Farrier::start()?,
            name => Farrier::start_with(&["--instance", name])?,
        };
        let casd = Casd::start(&farrier.http_url(), instance)?;
        Ok(Self {
            through_casd: Client::connect(&casd.http_url(), instance).await?,
            direct: Client::connect(&farrier.http_url(), instance).await?,
            _casd: casd,
            farrier,
        })
    }
}

/// Bytes that differ from blob to blob and do not compress well.
fn large_blob(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let words = std::iter::repeat_with(move || {
        // The constants of a common linear congruential generator.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()
    });
    words.flatten().take(LARGE_BYTES).collect()
}

#[tokio::test]
async fn blobs_uploaded_through_casd_are_in_farrier() -> Result<()> {
    let both = Both::start("").await?;
    let large = large_blob(1);
    let (one, two) = (digest(b"small one"), digest(b"small two"));
    let all = [one.clone(), two.clone(), digest(&large)];
    assert_eq!(both.through_casd.find_missing(&all).await?.len(), 3);

    both.through_casd
        .batch_upload(&[b"small one", b"small two"])
        .await?;
    let large_digest = both.through_casd.write(large.clone()).await?;

    assert!(both.direct.find_missing(&all).await?.is_empty());
    assert!(both.through_casd.find_missing(&all).await?.is_empty());
    assert_eq!(
        both.direct.batch_read(&one).await?.as_deref(),
        Some(&b"small one"[..])
    );
    assert_eq!(both.direct.read(&two).await?, b"small two");
    assert!(
        both.direct.read(&large_digest).await? == large,
        "the large blob came back different"
    );
    Ok(())
}

#[tokio::test]
async fn blobs_in_farrier_are_fetched_through_casd() -> Result<()> {
    let both = Both::start("").await?;
    let large = large_blob(2);
    let small = both.direct.batch_upload(&[b"from the other side", b""]).await?;
    let large_digest = both.direct.write(large.clone()).await?;

    assert!(
        both.through_casd
            .find_missing(&[small[0].clone(), large_digest.clone()])
            .await?
            .is_empty()
    );
    assert_eq!(
        both.through_casd.batch_read(&small[0]).await?.as_deref(),
        Some(&b"from the other side"[..])
    );
    assert_eq!(
        both.through_casd.batch_read(&small[1]).await?.as_deref(),
        Some(&b""[..])
    );
    assert!(
        both.through_casd.read(&large_digest).await? == large,
        "the large blob came back different"
    );
    Ok(())
}

#[tokio::test]
async fn what_nobody_has_is_a_miss_through_casd() -> Result<()> {
    let both = Both::start("").await?;
    let nowhere = digest(b"never uploaded");
    let asked = std::slice::from_ref(&nowhere);
    assert_eq!(both.through_casd.find_missing(asked).await?, asked);
    assert_eq!(both.through_casd.batch_read(&nowhere).await?, None);
    let error = both
        .through_casd
        .read(&nowhere)
        .await
        .err()
        .context("a blob out of nothing")?;
    assert_eq!(error.code(), Code::NotFound, "{error:?}");
    assert_eq!(both.through_casd.action_result(&nowhere).await?, None);
    Ok(())
}

#[tokio::test]
async fn a_tree_is_read_through_casd() -> Result<()> {
    let both = Both::start("").await?;
    let (tree, directories) = nested_directories(40);
    let blobs: Vec<Vec<u8>> = directories.iter().map(encoded).collect();
    let blobs: Vec<&[u8]> = blobs.iter().map(Vec::as_slice).collect();
    both.direct.batch_upload(&blobs).await?;
    let found = both.through_casd.tree(&tree).await?;
    assert_eq!(found.len(), directories.len());
    assert!(directories.iter().all(|directory| found.contains(directory)));
    Ok(())
}

#[tokio::test]
async fn action_results_go_both_ways() -> Result<()> {
    let both = Both::start("").await?;
    let (action, output) = (&action_of(&["true"]), b"what the action made");
    for (writer, reader) in [
        (&both.through_casd, &both.direct),
        (&both.direct, &both.through_casd),
    ] {
        let salted = Action {
            salt: format!("{writer:p}").into_bytes(),
            ..action.action.clone()
        };
        let salted = upload_action(writer, &salted, &action.command).await?;
        assert_eq!(reader.action_result(&salted).await?, None);

        let file = writer.batch_upload(&[output]).await?.remove(0);
        let result = ActionResult {
            output_files: vec![OutputFile {
                path: "out".to_owned(),
                digest: Some(file),
                ..Default::default()
            }],
            stdout_raw: (&b"printed"[..]).into(),
            ..Default::default()
        };
        writer.update_action_result(&salted, result.clone()).await?;

        let found = reader
            .action_result(&salted)
            .await?
            .context("the result did not arrive")?;
        assert_eq!(found.output_files, result.output_files);
        let again = writer
            .action_result(&salted)
            .await?
            .context("the result did not stay")?;
        assert_eq!(again.output_files, result.output_files);
    }
    Ok(())
}

#[tokio::test]
async fn an_action_is_executed_through_casd() -> Result<()> {
    let both = Both::start("").await?;
    let script = "echo forged; echo sparks >&2; printf shoe > out/shoe.txt";
    let parts = action_of(&["/bin/sh", "-c", script]);
    let command = Command {
        output_paths: vec!["out/shoe.txt".to_owned()],
        ..parts.command
    };
    let action = Action {
        command_digest: Some(digest(&encoded(&command))),
        ..parts.action
    };
    let action = upload_action(&both.through_casd, &action, &command).await?;

    let response = both.through_casd.execute(&action).await?;
    let result = response.result.context("no result")?;
    assert_eq!(result.exit_code, 0, "{:?}", response.status);
    assert!(!response.cached_result);
    let shoe = result.output_files[0]
        .digest
        .clone()
        .context("an output without digest")?;
    assert_eq!(both.through_casd.read(&shoe).await?, b"shoe");

    let again = both.direct.execute(&action).await?;
    assert!(again.cached_result, "what ran once was not found in the cache");
    Ok(())
}

#[tokio::test]
async fn an_instance_with_slashes_in_its_name() -> Result<()> {
    let both = Both::start("team/smithy").await?;
    let large = large_blob(3);
    both.through_casd.batch_upload(&[b"in an instance"]).await?;
    both.through_casd.write(large.clone()).await?;
    assert_eq!(
        both.direct.read(&digest(b"in an instance")).await?,
        b"in an instance"
    );
    assert!(
        both.direct.read(&digest(&large)).await? == large,
        "the large blob came back different"
    );
    Ok(())
}

#[tokio::test]
async fn casd_outlives_kill_9_of_farrier() -> Result<()> {
    let mut both = Both::start("").await?;
    let large = large_blob(4);
    both.through_casd.batch_upload(&[b"before the fall"]).await?;
    both.through_casd.write(large.clone()).await?;
    both.farrier.kill()?;
    both.farrier.restart()?;

    let direct = Client::connect(&both.farrier.http_url(), "").await?;
    assert_eq!(
        direct.read(&digest(b"before the fall")).await?,
        b"before the fall"
    );
    assert!(
        direct.read(&digest(&large)).await? == large,
        "the large blob came back different"
    );
    both.through_casd.batch_upload(&[b"after the fall"]).await?;
    assert!(
        direct
            .find_missing(&[digest(b"after the fall")])
            .await?
            .is_empty()
    );
    Ok(())
}

#[tokio::test]
async fn casd_sees_what_it_needs_in_the_capabilities() -> Result<()> {
    let both = Both::start("").await?;
    let direct = both
        .direct
        .capabilities()
        .await?
        .cache_capabilities
        .context("no cache capabilities")?;
    let through = both
        .through_casd
        .capabilities()
        .await?
        .cache_capabilities
        .context("no cache capabilities")?;
    let may_update = |update: Option<reapi::execution::ActionCacheUpdateCapabilities>| {
        update.is_some_and(|it| it.update_enabled)
    };
    assert!(
        may_update(direct.action_cache_update_capabilities),
        "clients on loopback may write results"
    );
    assert!(
        may_update(through.action_cache_update_capabilities),
        "casd forbids what farrier allows"
    );
    Ok(())
}

/// An action and the command that it names.
struct Parts {
    action: Action,
    command: Command,
}

/// An action that runs these words in an empty directory.
fn action_of(arguments: &[&str]) -> Parts {
    let command = Command {
        arguments: arguments.iter().map(ToString::to_string).collect(),
        environment_variables: vec![EnvironmentVariable {
            name: "PATH".to_owned(),
            value: "/usr/bin:/bin".to_owned(),
        }],
        ..Default::default()
    };
    let action = Action {
        command_digest: Some(digest(&encoded(&command))),
        input_root_digest: Some(digest(&encoded(&Directory::default()))),
        ..Default::default()
    };
    Parts { action, command }
}

async fn upload_action(client: &Client, action: &Action, command: &Command) -> Result<Digest> {
    let (action, command, root) = (encoded(action), encoded(command), encoded(&Directory::default()));
    client.batch_upload(&[&command, &root, &action]).await?;
    Ok(digest(&action))
}

/// The root of directories that lie in each other, each with a file, and all of them.
fn nested_directories(depth: usize) -> (Digest, Vec<Directory>) {
    let mut directories: Vec<Directory> = Vec::new();
    for level in 0..depth {
        let inner = directories.last().map(|inner| DirectoryNode {
            name: "inner".to_owned(),
            digest: Some(digest(&encoded(inner))),
        });
        let file = FileNode {
            name: format!("file-{level}"),
            digest: Some(digest(format!("content {level}").as_bytes())),
            ..Default::default()
        };
        directories.push(Directory {
            files: vec![file],
            directories: inner.into_iter().collect(),
            ..Default::default()
        });
    }
    let root = digest(&directories.last().map(encoded).unwrap_or_default());
    (root, directories)
}

fn encoded(message: &impl prost::Message) -> Vec<u8> {
    message.encode_to_vec()
}
