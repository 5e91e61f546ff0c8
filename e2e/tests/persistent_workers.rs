//! Actions that Bazel would give to a persistent worker, as it sends them with `--experimental_remote_mark_tool_inputs`
//! (Bazel 5 and later; the one that is installed here is older, so we say its words ourselves).

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::client::{Client, digest};
use e2e::farrier::Farrier;
use e2e::tools;
use prost::Message;
use reapi::execution::platform::Property;
use reapi::execution::{
    Action, Command, Digest, Directory, DirectoryNode, ExecuteResponse, FileNode, NodeProperties,
    NodeProperty, Platform,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A client with the tool already uploaded.
struct Build {
    client: Client,
    tool: Digest,
}

/// What distinguishes one action from another.
#[derive(Clone, Copy)]
struct Words<'a> {
    key: &'a str,
    /// More platform properties.
    properties: &'a [(&'a str, &'a str)],
    /// More arguments that start the tool.
    startup: &'a [&'a str],
    /// The lines of the flag file.
    lines: &'a str,
    source: &'a str,
    /// Whether the tool's file is marked as one.
    is_marked: bool,
}

const PLAIN: Words<'_> = Words {
    key: "1f2e",
    properties: &[],
    startup: &[],
    lines: "in=src/input\nout=out/output",
    source: "",
    is_marked: true,
};

impl Build {
    async fn of(farrier: &Farrier) -> Result<Build> {
        let client = Client::connect(&farrier.http_url(), "").await?;
        let tool = client.write(std::fs::read(tools::persistent_tool()?)?).await?;
        Ok(Build { client, tool })
    }

    async fn run(&self, words: Words<'_>) -> Result<ExecuteResponse> {
        let file = |name: &str, digest: Digest| FileNode {
            name: name.to_owned(),
            digest: Some(digest),
            ..Default::default()
        };
        let (params, source) = (words.lines.as_bytes(), words.source.as_bytes());
        let tool = FileNode {
            is_executable: true,
            node_properties: words.is_marked.then(|| NodeProperties {
                properties: vec![NodeProperty {
                    name: "bazel_tool_input".to_owned(),
                    value: String::new(),
                }],
                ..Default::default()
            }),
            ..file("compiler", self.tool.clone())
        };
        let directory = |file: FileNode| {
            let directory = Directory {
                files: vec![file],
                ..Default::default()
            };
            directory.encode_to_vec()
        };
        let below = [
            ("params", directory(file("output-0.params", digest(params)))),
            ("src", directory(file("input", digest(source)))),
            ("tools", directory(tool)),
        ];
        let root = Directory {
            directories: below
                .iter()
                .map(|(name, bytes)| DirectoryNode {
                    name: (*name).to_owned(),
                    digest: Some(digest(bytes)),
                })
                .collect(),
            ..Default::default()
        };
        let mut properties = vec![("persistentWorkerKey", words.key)];
        properties.extend(words.properties);
        properties.sort_unstable();
        let platform = Platform {
            properties: properties
                .into_iter()
                .map(|(name, value)| Property {
                    name: name.to_owned(),
                    value: value.to_owned(),
                })
                .collect(),
        };
        let mut arguments = vec!["tools/compiler"];
        arguments.extend(words.startup);
        arguments.push("@params/output-0.params");
        #[allow(deprecated, reason = "Bazel says it in both places")]
        let command = Command {
            arguments: arguments.into_iter().map(str::to_owned).collect(),
            output_paths: vec!["out/output".to_owned()],
            platform: Some(platform.clone()),
            ..Default::default()
        };
        let (root, command) = (root.encode_to_vec(), command.encode_to_vec());
        let action = Action {
            command_digest: Some(digest(&command)),
            input_root_digest: Some(digest(&root)),
            platform: Some(platform),
            do_not_cache: true,
            ..Default::default()
        };
        let action = action.encode_to_vec();
        let mut blobs: Vec<&[u8]> = vec![params, source, &root, &command, &action];
        blobs.extend(below.iter().map(|(_, bytes)| bytes.as_slice()));
        self.client.batch_upload(&blobs).await?;
        self.client.execute(&digest(&action)).await
    }

    /// Runs it and expects this on stderr, and the source in the output.
    async fn expect(&self, words: Words<'_>, said: &str) -> Result<()> {
        let response = self.run(words).await?;
        let result = response
            .result
            .as_ref()
            .with_context(|| format!("{response:?}"))?;
        let stderr = String::from_utf8_lossy(&result.stderr_raw);
        ensure!(stderr == said && result.exit_code == 0, "{said:?}: {response:?}");
        let output = result
            .output_files
            .first()
            .and_then(|file| file.digest.clone())
            .with_context(|| format!("no output: {response:?}"))?;
        let bytes = self.client.read(&output).await?;
        ensure!(
            bytes == words.source.as_bytes(),
            "{words:?}",
            words = words.source
        );
        Ok(())
    }
}

#[test]
fn a_process_serves_actions_of_one_key_and_ends_with_farrier() -> Result<()> {
    let mut farrier = Farrier::start_with(&["--persistent-workers", "4", "--slots", "2"])?;
    farrier.worker()?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let build = Build::of(&farrier).await?;
        let json = [("persistentWorkerProtocol", "json")];
        let multiplex = [("persistentWorkerMultiplex", "true")];
        for (words, said) in [
            (PLAIN, "request 1\n"),
            (PLAIN, "request 2\n"),
            (
                Words {
                    key: "another",
                    ..PLAIN
                },
                "request 1\n",
            ),
            (
                Words {
                    startup: &["--option"],
                    ..PLAIN
                },
                "request 1\n",
            ),
            (
                Words {
                    startup: &["--json"],
                    properties: &json,
                    ..PLAIN
                },
                "request 1\n",
            ),
            (
                Words {
                    startup: &["--json"],
                    properties: &json,
                    ..PLAIN
                },
                "request 2\n",
            ),
            (
                Words {
                    startup: &["--multiplex"],
                    properties: &multiplex,
                    ..PLAIN
                },
                "request 1\n",
            ),
            (
                Words {
                    startup: &["--multiplex"],
                    properties: &multiplex,
                    ..PLAIN
                },
                "request 2\n",
            ),
        ] {
            build
                .expect(
                    Words {
                        source: said,
                        ..words
                    },
                    said,
                )
                .await?;
        }
        // Two at once, of which the first waits for the answer to the second.
        let words = Words {
            startup: &["--multiplex"],
            properties: &multiplex,
            ..PLAIN
        };
        let first = Words {
            lines: "until-ended=3\nin=src/input\nout=out/output",
            source: "a",
            ..words
        };
        let second = Words { source: "b", ..words };
        let (first, second) = tokio::try_join!(build.run(first), build.run(second))?;
        for response in [first, second] {
            let result = response.result.context("no result")?;
            ensure!(
                result.exit_code == 0 && result.output_files.len() == 1,
                "{result:?}"
            );
        }
        anyhow::Ok(())
    })?;
    let below = farrier.descendants();
    ensure!(
        below
            .iter()
            .any(|process| process.arguments.iter().any(|word| word == "--persistent_worker")),
        "{below:?}"
    );
    farrier.interrupt()?;
    farrier.ends_without(&below, PATIENCE)
}

#[test]
fn nothing_outlives_its_action_unless_somebody_has_said_so() -> Result<()> {
    let farrier = Farrier::start_with(&["--slots", "1"])?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let build = Build::of(&farrier).await?;
        for source in ["a", "b"] {
            let words = Words { source, ..PLAIN };
            build.expect(words, "ordinary request 1\n").await?;
        }
        Ok(())
    })
}

/// As root: without, no machine of ours lets anybody bound what others use.
#[test]
fn an_idle_process_takes_no_memory_from_those_that_need_it() -> Result<()> {
    let options = ["--persistent-workers", "1", "--slots", "1", "--memory", "400MiB"];
    let farrier = Farrier::start_with(&options)?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let build = Build::of(&farrier).await?;
        let waiting = Words {
            lines: "grow=180\nin=src/input\nout=out/output",
            ..PLAIN
        };
        build.expect(waiting, "request 1\n").await?;
        // An ordinary action that has no room beside the process, and is the larger one: the kernel ends it.
        let other = Words {
            lines: "grow=300\nin=src/input\nout=out/output",
            is_marked: false,
            ..PLAIN
        };
        build.expect(other, "ordinary request 1\n").await?;
        build.expect(PLAIN, "request 1\n").await
    })
}
