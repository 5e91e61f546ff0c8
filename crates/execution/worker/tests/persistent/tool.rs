//! Actions of a tool that is a persistent process, or could be one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use blob::Digest;
use prost::Message;
use reapi::execution as proto;
use reapi::execution::ExecuteResponse;
use reapi::rpc::Code;

use crate::support::{Farm, Job};

/// How a tool is asked, and by how it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manner {
    pub(crate) is_json: bool,
    pub(crate) is_multiplex: bool,
}

pub(crate) const PROTO: Manner = Manner {
    is_json: false,
    is_multiplex: false,
};
pub(crate) const MULTIPLEX: Manner = Manner {
    is_json: false,
    is_multiplex: true,
};
pub(crate) const MANNERS: [Manner; 4] = [
    PROTO,
    MULTIPLEX,
    Manner {
        is_json: true,
        is_multiplex: false,
    },
    Manner {
        is_json: true,
        is_multiplex: true,
    },
];

pub(crate) const MODES: [&str; 2] = ["best-effort", "off"];

/// Actions of one tool.
pub(crate) struct Tool {
    pub(crate) manner: Manner,
    pub(crate) program: Digest,
    /// A second file of the tool: what makes it another one.
    pub(crate) data: Digest,
}

/// One request: the lines of its flag file, its input files below `src`, and its outputs.
#[derive(Clone, Default)]
pub(crate) struct Work<'a> {
    pub(crate) lines: &'a str,
    pub(crate) sources: &'a [(&'a str, &'a str)],
    pub(crate) outputs: &'a [&'a str],
    pub(crate) timeout: Option<Duration>,
    pub(crate) working_directory: &'a str,
    /// Without any marks the tool is just a program.
    pub(crate) is_unmarked: bool,
}

pub(crate) fn program() -> PathBuf {
    // Tests run in target/<profile>/deps.
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let program = profile.join("examples/persistent_tool");
    assert!(
        program.exists(),
        "{} is not there; run `cargo build -p worker --examples` first",
        program.display()
    );
    program
}

impl Tool {
    pub(crate) async fn new(farm: &Farm, manner: Manner, data: &str) -> Tool {
        Tool {
            manner,
            program: farm.put(std::fs::read(program()).unwrap()).await,
            data: farm.put(data).await,
        }
    }

    pub(crate) async fn job(&self, farm: &Farm, work: &Work<'_>) -> Job {
        let file = |name: &str, digest: Digest, is_tool: bool| proto::FileNode {
            name: name.to_owned(),
            digest: Some(digest.to_proto()),
            is_executable: name == "compiler",
            node_properties: (is_tool && !work.is_unmarked).then(|| proto::NodeProperties {
                properties: vec![proto::NodeProperty {
                    name: "bazel_tool_input".to_owned(),
                    value: String::new(),
                }],
                ..Default::default()
            }),
        };
        let mut sources = Vec::new();
        for (name, text) in work.sources {
            sources.push(file(name, farm.put(*text).await, false));
        }
        sources.sort_by(|one, other| one.name.cmp(&other.name));
        let tools = vec![
            file("compiler", self.program, true),
            file("data", self.data, true),
            // Lies among the tools, and comes and goes.
            file("flags", farm.put(work.lines).await, false),
        ];
        let mut directories = Vec::new();
        for (name, files) in [("src", sources), ("tools", tools)] {
            let directory = proto::Directory {
                files,
                ..Default::default()
            };
            directories.push(proto::DirectoryNode {
                name: name.to_owned(),
                digest: Some(farm.put(directory.encode_to_vec()).await.to_proto()),
            });
        }
        let root = proto::Directory {
            directories,
            ..Default::default()
        };
        let up = if work.working_directory.is_empty() {
            ""
        } else {
            "../"
        };
        let mut arguments = vec![format!("{up}tools/compiler")];
        arguments.extend(self.manner.is_json.then(|| "--json".to_owned()));
        arguments.extend(self.manner.is_multiplex.then(|| "--multiplex".to_owned()));
        arguments.push(format!("@{up}tools/flags"));
        let protocol = if self.manner.is_json { "json" } else { "proto" };
        let multiplex = self.manner.is_multiplex.to_string();
        let properties = [
            ("persistentWorkerKey", "a key"),
            ("persistentWorkerMultiplex", &multiplex),
            ("persistentWorkerProtocol", protocol),
        ];
        let properties = properties.map(|(name, value)| proto::platform::Property {
            name: name.to_owned(),
            value: value.to_owned(),
        });
        #[allow(deprecated, reason = "clients still say it there too")]
        let command = proto::Command {
            arguments,
            output_paths: work.outputs.iter().map(|path| (*path).to_owned()).collect(),
            working_directory: work.working_directory.to_owned(),
            platform: Some(proto::Platform {
                properties: properties.to_vec(),
            }),
            ..Default::default()
        };
        Job {
            command,
            input_root: farm.put(root.encode_to_vec()).await,
            timeout: work.timeout.unwrap_or(Duration::from_secs(30)),
        }
    }

    pub(crate) async fn run(&self, farm: &mut Farm, work: &Work<'_>) -> ExecuteResponse {
        let job = self.job(farm, work).await;
        farm.execute(job).await
    }
}

/// The exit code and what was said on stderr, of an action that ran.
pub(crate) fn said(response: &ExecuteResponse) -> (i32, String) {
    let status = response.status.clone().unwrap_or_default();
    assert_eq!(status.code, Code::Ok as i32, "{status:?}");
    let result = response.result.as_ref().unwrap();
    let text = String::from_utf8(result.stderr_raw.to_vec()).unwrap();
    (result.exit_code, text)
}

pub(crate) async fn output(farm: &Farm, response: &ExecuteResponse, path: &str) -> String {
    let files = &response.result.as_ref().unwrap().output_files;
    let file = files
        .iter()
        .find(|file| file.path == path)
        .unwrap_or_else(|| panic!("no output {path}: {response:?}"));
    String::from_utf8(farm.read(&file.digest).await).unwrap()
}
