//! What a command is known by, and the memory of it: a command that was looked at once need not be looked at again while
//! nothing has changed that this rests on.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use action::ActionDigest;
use blob::Digest;
use compiler::environment_names;
use daemon_api::Request;
use prost::Message;
use sha2::{Digest as _, Sha256};
use step_memory::Key;
use toolchain::ENVIRONMENT;

use super::build::SALT_VERSION;
use super::environment::{ONLY_ON_TERMINALS, is_other_name};
use super::moved::MARK;
use super::toolchains::{LIBRARIES, Toolchain};
use super::{Knowledge, Moved, PlannedOutput};
use crate::service::FUNCTION;
use crate::tool::{find_named, path_of, variable};
use crate::wanted::Wanted;

/// What a command is known by: enough to look its result up, and to put it where it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    /// What it makes, for people.
    pub(crate) name: String,
    /// The real tool.
    pub(crate) program: PathBuf,
    /// Under which its result is known.
    pub(crate) action_digest: ActionDigest,
    pub(crate) outputs: Vec<PlannedOutput>,
    /// Where its tree is, if its result is the same wherever that is.
    pub(crate) moved: Option<Moved>,
    /// Why the compiler was asked what it reads, if it was.
    pub(crate) unsure: Option<String>,
    /// The variable that is not set, so that the build has the time in what this step reads.
    pub(crate) dated: Option<&'static str>,
}

/// Settings that name a command and its build, and say nothing about what it is.
const NAMES_ONLY: [&str; 4] = [
    "command_id",
    "invocation_id",
    "correlated_invocations_id",
    "labels",
];

/// The subject of a command as it was found out before, if all that it rests on is as it was.
pub(crate) fn recall(
    knowledge: &Knowledge,
    request: &Request,
    program: &Path,
    wanted: &Wanted,
) -> Option<Subject> {
    let toolchain = knowledge.toolchains.of(request, program).ok()?;
    let key = question(knowledge, request, program, wanted, &toolchain);
    let value = knowledge.memory.recall(&key)?;
    Subject::decode(&value, program)
}

/// Everything but files that decides what a command is as an action.
pub(super) fn question(
    knowledge: &Knowledge,
    request: &Request,
    program: &Path,
    wanted: &Wanted,
    toolchain: &Toolchain,
) -> Key {
    let mut hasher = Sha256::new();
    let mut field = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    field(SALT_VERSION.as_bytes());
    field(&toolchain.fingerprint);
    field(program.as_os_str().as_bytes());
    field(request.directory.as_os_str().as_bytes());
    request.arguments.iter().for_each(|word| field(word.as_bytes()));
    field(b"environment");
    field(path_of(request).as_bytes());
    let mut optional = |name: &str, value: Option<&OsStr>| {
        if let Some(value) = value {
            field(name.as_bytes());
            field(value.as_bytes());
        }
    };
    let names = environment_names()
        .chain(ENVIRONMENT)
        .chain([LIBRARIES, TEMPORARY]);
    let names = names.filter(|name| *name != "PATH" && !ONLY_ON_TERMINALS.contains(name));
    for name in names {
        let value = variable(request, name);
        let value = match name {
            "PWD" => value.filter(|value| is_other_name(Path::new(value), &request.directory)),
            _ => value,
        };
        optional(name, value);
    }
    if let Some(input) = &wanted.input {
        optional("input", Some(OsStr::from_bytes(input)));
    }
    let wrapper = wanted.wrapper_elsewhere().first();
    let found = wrapper.and_then(|wrapper| find_named(request, wrapper));
    optional("wrapper", found.as_deref().map(Path::as_os_str));
    optional("strategy", wrapper.map(|_| OsStr::new("elsewhere")));
    optional("declared", wanted.declares_all().then_some(OsStr::new("all")));
    optional("root", wanted.root.as_deref().map(Path::as_os_str));
    optional(
        "path independent",
        wanted.is_path_independent.then_some(OsStr::from_bytes(MARK)),
    );
    for (name, value) in wanted.variables(request) {
        field(name.as_bytes());
        field(value.as_bytes());
    }
    for (name, value) in wanted.settings.to_pairs() {
        if !NAMES_ONLY.iter().any(|only| *only == name) {
            field(name.as_bytes());
            field(value.as_bytes());
        }
    }
    for (name, value) in &knowledge.platform {
        field(name.as_bytes());
        field(value.as_bytes());
    }
    hasher.finalize().into()
}

/// Where a driver puts what it makes on the way.
const TEMPORARY: &str = "TMPDIR";

#[derive(Clone, PartialEq, Message)]
struct SubjectRecord {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "2")]
    action_hash: Vec<u8>,
    #[prost(uint64, tag = "3")]
    action_bytes: u64,
    #[prost(message, repeated, tag = "4")]
    outputs: Vec<OutputRecord>,
    /// Of a step whose result is the same wherever its tree is.
    #[prost(string, optional, tag = "5")]
    moved_root: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct OutputRecord {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "2")]
    path: Vec<u8>,
    #[prost(bool, tag = "3")]
    is_required: bool,
    #[prost(bool, tag = "4")]
    is_rule: bool,
    #[prost(bool, tag = "5")]
    is_directory: bool,
}

impl Subject {
    pub(super) fn encode(&self) -> Vec<u8> {
        let digest = self.action_digest.digest();
        let outputs = self.outputs.iter().map(|output| OutputRecord {
            name: output.name.clone(),
            path: output.path.as_os_str().as_bytes().to_vec(),
            is_required: output.is_required,
            is_rule: output.is_rule,
            is_directory: output.is_directory,
        });
        let record = SubjectRecord {
            name: self.name.clone(),
            action_hash: digest.hash_bytes().to_vec(),
            action_bytes: digest.size_bytes(),
            outputs: outputs.collect(),
            moved_root: self.moved.as_ref().map(|moved| moved.root().to_owned()),
        };
        record.encode_to_vec()
    }

    fn decode(value: &[u8], program: &Path) -> Option<Self> {
        let record = SubjectRecord::decode(value).ok()?;
        let digest = Digest::from_hash(FUNCTION, &record.action_hash, record.action_bytes).ok()?;
        let outputs = record.outputs.into_iter().map(|output| PlannedOutput {
            name: output.name,
            path: std::ffi::OsString::from_vec(output.path).into(),
            is_required: output.is_required,
            is_rule: output.is_rule,
            is_directory: output.is_directory,
        });
        Some(Subject {
            name: record.name,
            program: program.to_owned(),
            action_digest: ActionDigest::new(digest),
            outputs: outputs.collect(),
            moved: record.moved_root.map(Moved::at),
            // Neither what a compiler was asked nor what has the time in it is remembered.
            unsure: None,
            dated: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_outlives_its_encoding() {
        let subject = |moved: Option<Moved>| Subject {
            name: "a.o".into(),
            program: "/usr/bin/gcc".into(),
            action_digest: ActionDigest::new(Digest::of(FUNCTION, b"action")),
            outputs: [false, true]
                .map(|is_rule| PlannedOutput {
                    name: "a.o".into(),
                    path: "/p/a.o".into(),
                    is_required: !is_rule,
                    is_rule,
                    is_directory: !is_rule,
                })
                .to_vec(),
            moved,
            unsure: None,
            dated: None,
        };
        for moved in [None, Some(Moved::at("/p".to_owned()))] {
            let subject = subject(moved);
            let decoded = Subject::decode(&subject.encode(), Path::new("/usr/bin/gcc"));
            assert_eq!(decoded, Some(subject));
        }
        assert_eq!(Subject::decode(b"\xff", Path::new("/")), None);
    }
}
