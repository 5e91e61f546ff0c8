//! What a large input root costs of which hardly anything changes: 5 000 files in 300 directories, one file of them new
//! for each action; laid out link by link, and over a tree that is kept.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use blob::Digest;
use bytes::Bytes;
use prost::Message;
use reapi::execution as proto;

use crate::client::{Client, FUNCTION};
use crate::report::{head, median, row};
use crate::server::Server;
use crate::small_actions::{PHASES, phase_median};

const DIRECTORIES: usize = 300;
const FILES: usize = 5_000;
const ACTIONS: usize = 60;
/// The first few are seen, and become a tree.
const WARM_UP: usize = 4;
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn run() -> Result<()> {
    let links = measure(&["--tree-cache-size", "0"], "links").await?;
    let trees = measure(&[], "trees").await?;
    head(&["phase, median", "link by link", "over a tree"]);
    for (name, phase) in PHASES {
        row(&[
            name.into(),
            phase_median(&links.results, phase),
            phase_median(&trees.results, phase),
        ]);
    }
    let milliseconds = |value: f64| format!("{value:.2} ms");
    row(&[
        "set-up and tear-down: on the worker, without the command".into(),
        milliseconds(links.around()),
        milliseconds(trees.around()),
    ]);
    row(&[
        "each of the actions with its removal, one after the other".into(),
        milliseconds(links.each_ms),
        milliseconds(trees.each_ms),
    ]);
    row(&[
        "ratio of that".into(),
        "1".into(),
        format!("{:.3}", trees.each_ms / links.each_ms),
    ]);
    Ok(())
}

struct Measured {
    results: Vec<proto::ActionResult>,
    each_ms: f64,
}

impl Measured {
    /// Median of what the worker does beside running the command.
    fn around(&self) -> f64 {
        let of = |name: &str, result: &proto::ActionResult| {
            let (_, phase) = PHASES.into_iter().find(|(other, _)| *other == name)?;
            phase(result.execution_metadata.as_ref()?)
        };
        let around = self.results.iter().filter_map(|result| {
            let all = of("on the worker in all", result)?;
            Some(all.saturating_sub(of("command", result)?).as_secs_f64() * 1e3)
        });
        median(around.collect())
    }
}

async fn measure(flags: &[&str], kind: &str) -> Result<Measured> {
    let server = Server::start(flags)?;
    let client = Client::connect(&server.endpoint(), 1 << 20).await?;
    let actions = upload_actions(&client, kind, WARM_UP + ACTIONS).await?;
    for action in &actions[..WARM_UP] {
        client.execute(*action, false).await?;
    }
    wait_for_removals(&server).await?;
    let started = Instant::now();
    let mut results = Vec::new();
    for action in &actions[WARM_UP..] {
        results.push(client.execute(*action, false).await?);
    }
    wait_for_removals(&server).await?;
    let each_ms = started.elapsed().as_secs_f64() * 1e3 / ACTIONS as f64;
    Ok(Measured { results, each_ms })
}

async fn wait_for_removals(server: &Server) -> Result<()> {
    let builds = server.builds();
    let started = Instant::now();
    while std::fs::read_dir(&builds)
        .with_context(|| format!("cannot read {}", builds.display()))?
        .next()
        .is_some()
    {
        ensure!(
            started.elapsed() < PATIENCE,
            "build directories stay in {}",
            builds.display()
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// Actions that differ in one file of a large input root, with everything they refer to uploaded.
async fn upload_actions(client: &Client, kind: &str, count: usize) -> Result<Vec<Digest>> {
    let command = proto::Command {
        arguments: vec!["/bin/true".to_owned()],
        ..Default::default()
    };
    let command = Bytes::from(command.encode_to_vec());
    let mut blobs = vec![command.clone()];
    let mut actions = Vec::new();
    for number in 0..count {
        let mut directories = Vec::with_capacity(DIRECTORIES);
        for directory in 0..DIRECTORIES {
            let mut files = Vec::new();
            for file in (directory..FILES).step_by(DIRECTORIES) {
                let changes = file == 0;
                let content = match changes {
                    true => format!("{kind} {number} of process {}\n", std::process::id()),
                    false => format!("input {file}\n"),
                };
                let content = Bytes::from(content);
                files.push(proto::FileNode {
                    name: format!("file-{file:04}.h"),
                    digest: Some(Digest::of(FUNCTION, &content).to_proto()),
                    ..Default::default()
                });
                if changes || number == 0 {
                    blobs.push(content);
                }
            }
            let message = Bytes::from(
                proto::Directory {
                    files,
                    ..Default::default()
                }
                .encode_to_vec(),
            );
            directories.push(proto::DirectoryNode {
                name: format!("directory-{directory:03}"),
                digest: Some(Digest::of(FUNCTION, &message).to_proto()),
            });
            if directory == 0 || number == 0 {
                blobs.push(message);
            }
        }
        let root = proto::Directory {
            directories,
            ..Default::default()
        };
        let root = Bytes::from(root.encode_to_vec());
        let action = proto::Action {
            command_digest: Some(Digest::of(FUNCTION, &command).to_proto()),
            input_root_digest: Some(Digest::of(FUNCTION, &root).to_proto()),
            ..Default::default()
        };
        let action = Bytes::from(action.encode_to_vec());
        actions.push(Digest::of(FUNCTION, &action));
        blobs.extend([root, action]);
    }
    client.upload(&blobs).await?;
    Ok(actions)
}
