//! Whether an action can run in a persistent process, and in which: decided before anything is touched.

use std::collections::BTreeSet;
use std::sync::Arc;

use action::Platform;
use blob::Digest;
use merkle::{Entry, InputTree, NodeProperties};

use super::command_line::CommandLine;
use super::message::Input;
use super::wish::Wish;
use crate::assignment::Assignment;
use crate::build_directory::{Layout, LayoutError};
use crate::limits::{ASK_BYTES_MAX, TOOL_DEPTH_MAX, TOOLS_MAX};

/// Marks input files that belong to the tool.
const TOOL_INPUT: &str = "bazel_tool_input";
/// Where a multiplex process finds the files of its requests, below its working directory.
const SANDBOXES: &str = "__sandbox";

/// What two actions must have in common to be served by the same process. The client's own key is a part of it, but
/// nothing rests on that: a client may be wrong, or lie.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) wish: Wish,
    /// All of it: whatever else a property may mean for how a command runs.
    platform: Platform,
    instance: String,
    startup: Vec<String>,
    environment: Vec<(String, String)>,
    working_directory: String,
    tools: Vec<(String, Tool)>,
}

/// A file or a symlink that belongs to the tool.
#[derive(Debug, PartialEq, Eq)]
enum Tool {
    File { digest: Digest, is_executable: bool },
    Symlink { target: String },
}

/// How an action runs in a persistent process.
pub(crate) struct Plan {
    pub(crate) key: Arc<Key>,
    /// What the process starts with.
    pub(crate) tools: Arc<Layout>,
    /// What a request brings: all but the tools, or all for a multiplex process, whose requests have directories of
    /// their own.
    pub(crate) request: Arc<Layout>,
    /// The arguments that stand for the request, not yet expanded.
    pub(crate) arguments: Vec<String>,
    pub(crate) inputs: Vec<Input>,
}

impl Plan {
    /// `None`: nobody has wished for it. An error says why it cannot be, for whoever wonders.
    pub(crate) fn of(
        assignment: &Assignment,
        input: &InputTree,
        layout: impl FnOnce() -> Result<Arc<Layout>, LayoutError>,
    ) -> Option<Result<Plan, String>> {
        let platform = Platform::of(&assignment.action, &assignment.command);
        let wish = Wish::of(&platform)?;
        Some(wish.and_then(|wish| {
            let layout = layout().map_err(|error| error.to_string())?;
            Self::new(wish, platform, assignment, input, &layout)
        }))
    }

    fn new(
        wish: Wish,
        platform: Platform,
        assignment: &Assignment,
        input: &InputTree,
        layout: &Arc<Layout>,
    ) -> Result<Plan, String> {
        let command = &assignment.command;
        let CommandLine { startup, request } = CommandLine::of(command.arguments())
            .ok_or("the command line has no flag file, or nothing beside it")?;
        let working_directory = command.working_directory().as_str();
        let Files { tools, inputs } = Files::of(input, working_directory)?;
        let paths: BTreeSet<String> = tools.iter().map(|(path, _)| path.clone()).collect();
        let outputs = command.outputs();
        let mut written = outputs.iter().map(|output| output.path.as_str());
        if let Some(output) = written.find(|output| is_or_is_above(output, &paths)) {
            return Err(format!("the output `{output}` is or holds a tool"));
        }
        let parents = match wish.multiplex {
            true => vec![working_directory.to_owned(), sandboxes(working_directory)],
            false => vec![working_directory.to_owned()],
        };
        let request_layout = match wish.multiplex {
            true => layout.clone(),
            false => Arc::new(layout.without(&paths)),
        };
        Ok(Plan {
            tools: Arc::new(layout.only(&paths, parents)),
            request: request_layout,
            arguments: request,
            inputs,
            key: Arc::new(Key {
                wish,
                platform,
                instance: assignment.instance.as_str().to_owned(),
                startup,
                environment: command.environment().to_vec(),
                working_directory: working_directory.to_owned(),
                tools,
            }),
        })
    }
}

impl Key {
    /// The command line that starts a process.
    pub(crate) fn startup(&self) -> &[String] {
        &self.startup
    }

    /// Where a multiplex process finds the files of its requests, relative to its build directory.
    pub(crate) fn sandboxes(&self) -> String {
        sandboxes(&self.working_directory)
    }

    /// What a multiplex process is told of the request whose files are in the sandbox `name`: where its working directory
    /// is, seen from the process's own.
    pub(crate) fn sandbox_dir(&self, name: &str) -> String {
        match self.working_directory.as_str() {
            "" => format!("{SANDBOXES}/{name}"),
            below => format!("{SANDBOXES}/{name}/{below}"),
        }
    }
}

fn sandboxes(working_directory: &str) -> String {
    match working_directory {
        "" => SANDBOXES.to_owned(),
        below => format!("{below}/{SANDBOXES}"),
    }
}

/// The files of an input root.
struct Files {
    tools: Vec<(String, Tool)>,
    inputs: Vec<Input>,
}

impl Files {
    fn of(tree: &InputTree, working_directory: &str) -> Result<Files, String> {
        let (mut tools, mut inputs) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        for (path, entry) in tree.entries().map_err(|error| error.to_string())? {
            let (tool, properties) = match entry {
                Entry::Directory(_) => continue,
                Entry::File(node) => {
                    let input = Input {
                        path: relative(&path, working_directory),
                        digest: node.digest.hash_hex().into_bytes(),
                    };
                    bytes += input.path.len() + input.digest.len();
                    inputs.push(input);
                    let (digest, is_executable) = (node.digest, node.is_executable);
                    (
                        Tool::File {
                            digest,
                            is_executable,
                        },
                        &node.node_properties,
                    )
                }
                Entry::Symlink(node) => {
                    let target = node.target.as_str().to_owned();
                    (Tool::Symlink { target }, &node.node_properties)
                }
            };
            if bytes > ASK_BYTES_MAX {
                return Err(format!(
                    "the names of its inputs have more than {ASK_BYTES_MAX} bytes"
                ));
            }
            if properties.as_deref().is_some_and(is_tool) {
                if path.split('/').count() > TOOL_DEPTH_MAX {
                    return Err(format!("a tool lies more than {TOOL_DEPTH_MAX} directories deep"));
                }
                tools.push((path, tool));
            }
        }
        match tools.len() {
            0 => Err("no input is marked as a tool's".to_owned()),
            1..=TOOLS_MAX => Ok(Files { tools, inputs }),
            more => Err(format!(
                "{more} inputs are marked as the tool's; at most {TOOLS_MAX} are kept"
            )),
        }
    }
}

fn is_tool(properties: &NodeProperties) -> bool {
    properties.properties().any(|(name, _)| name == TOOL_INPUT)
}

/// A path below the input root, as seen from a directory there.
fn relative(path: &str, working_directory: &str) -> String {
    let (mut path, mut from) = (path, working_directory);
    while !from.is_empty() {
        let (first, rest) = from.split_once('/').unwrap_or((from, ""));
        match path.split_once('/') {
            Some((same, below)) if same == first => (path, from) = (below, rest),
            _ => break,
        }
    }
    let up = from.split('/').filter(|component| !component.is_empty()).count();
    "../".repeat(up) + path
}

/// Whether one of `paths` is `path` or below it. Everything is below the empty path.
fn is_or_is_above(path: &str, paths: &BTreeSet<String>) -> bool {
    let prefix = match path {
        "" => String::new(),
        path => format!("{path}/"),
    };
    let mut below = paths.range(prefix.clone()..);
    paths.contains(path) || below.next().is_some_and(|found| found.starts_with(&prefix))
}

#[cfg(test)]
mod tests;
