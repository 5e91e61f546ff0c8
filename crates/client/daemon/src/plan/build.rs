//! From files and arguments to an Action.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use action::ActionDigest;
use blob::{Blob, Digest};
use file_digests::{FileDigest, FileDigests, ReadError};
use merkle::{NodeProperties, TreeBuilder};
use prost::Message;
use prost_types::Timestamp;
use reapi::execution as proto;
use remote_action::Sources;
use sha2::{Digest as _, Sha256};

use super::layout::{Layout, Place};
use super::links;
use super::seat::Seat;
use super::why::Why;
use crate::service::FUNCTION;
use crate::volume::{Inputs, Volume};

/// Changes whenever the same command must not find results of an older daemon any more.
pub(super) const SALT_VERSION: &str = "farrier client 1";

/// Standard input, among what an action depends on.
const INPUT: &str = "/dev/stdin";

/// An action in the making.
pub(crate) struct ActionBuilder<'a> {
    layout: &'a Layout,
    digests: &'a FileDigests,
    /// Where a part of the tree is in the action, if that is somewhere else.
    seat: Option<Seat>,
    /// Links are links; otherwise they are what they lead to.
    keeps_links: bool,
    tree: TreeBuilder,
    sources: Sources,
    /// What is not in the tree, but on every machine with the same tools: its paths and digests.
    beside: Vec<(PathBuf, Digest)>,
    /// The first input that is only here.
    elsewhere: Option<PathBuf>,
}

/// What an action is made of.
pub(crate) struct Built {
    /// Under which the result is known: whoever has the same tools and inputs has the same one.
    pub(crate) action_digest: ActionDigest,
    /// What a worker executes: the same with the platform that says which machines have these tools.
    pub(crate) executed_digest: ActionDigest,
    pub(crate) sources: Sources,
    pub(crate) elsewhere: Option<PathBuf>,
    /// How much it reads.
    pub(crate) volume: Volume,
}

/// What the command is, beside its inputs.
pub(crate) struct Words {
    pub(crate) arguments: Vec<String>,
    /// The same as the result is known by, where that is something else.
    pub(crate) known_arguments: Option<Vec<String>>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) outputs: Vec<String>,
    pub(crate) platform: Vec<(String, String)>,
    /// What a worker must have besides.
    pub(crate) worker: Vec<(String, String)>,
    /// Whatever else the result depends on.
    pub(crate) salt: Vec<u8>,
    /// Nobody is to keep the result.
    pub(crate) is_uncacheable: bool,
    /// How long a worker may take.
    pub(crate) timeout: Option<Duration>,
}

impl<'a> ActionBuilder<'a> {
    pub(crate) fn new(layout: &'a Layout, digests: &'a FileDigests) -> Self {
        ActionBuilder {
            layout,
            digests,
            seat: None,
            keeps_links: false,
            tree: TreeBuilder::new(),
            sources: Sources::default(),
            beside: Vec::new(),
            elsewhere: None,
        }
    }

    /// The same where a part of the tree is somewhere else in the action.
    pub(super) fn seated(mut self, seat: Option<Seat>) -> Self {
        self.seat = seat;
        self
    }

    /// The same where links are links.
    pub(crate) fn keeping_links(mut self, keeps_links: bool) -> Self {
        self.keeps_links = keeps_links;
        self
    }

    /// Whether links are links.
    pub(crate) fn keeps_links(&self) -> bool {
        self.keeps_links
    }

    /// Adds a file that the command reads, as it is now. What that is.
    pub(crate) fn file(&mut self, path: &Path) -> Result<FileDigest, Why> {
        let absolute = self.layout.absolute(path);
        // `..` after a symlink to a directory leads elsewhere than the text says.
        let opened = self
            .layout
            .root()
            .join(self.layout.working_directory())
            .join(path);
        let file = self
            .digests
            .get(&opened)
            .map_err(|error| unreadable(path, &error))?;
        match self.layout.place(path) {
            Place::Tree(below) => {
                let below = self.way(path, below)?;
                let name = in_action(self.seat.as_ref(), &below)?;
                let inserted = self.tree.insert_file(&name, file.digest, file.is_executable);
                inserted.map_err(|error| Why::Action(error.to_string()))?;
                self.sources.add_file(file.digest, opened.clone());
            }
            Place::Host => self.beside.push((absolute, file.digest)),
            Place::Elsewhere => {
                self.elsewhere.get_or_insert_with(|| absolute.clone());
                self.beside.push((absolute, file.digest));
            }
        }
        Ok(file)
    }

    /// Adds a file that is not in the tree and that every machine has one of.
    pub(crate) fn host_file(&mut self, path: &Path) -> Result<FileDigest, Why> {
        let file = self.digests.get(path).map_err(|error| unreadable(path, &error))?;
        self.beside.push((path.to_owned(), file.digest));
        Ok(file)
    }

    /// Adds what the command reads on standard input. An action has no place for it, so only this machine can run it.
    pub(crate) fn input(&mut self, bytes: &[u8]) {
        let digest = self.sources.add(Blob::from_bytes(FUNCTION, bytes.to_vec()));
        self.beside.push((INPUT.into(), digest));
        self.elsewhere.get_or_insert_with(|| INPUT.into());
    }

    /// Adds a directory that must exist, with nothing in it but what else is added, if it exists here.
    pub(crate) fn directory(&mut self, path: &Path) -> Result<(), Why> {
        let opened = self
            .layout
            .root()
            .join(self.layout.working_directory())
            .join(path);
        if let Place::Tree(below) = self.layout.place(path)
            && opened.is_dir()
        {
            let below = self.way(path, below)?;
            self.insert_directory(&below)?;
        }
        Ok(())
    }

    /// Adds a link as a link.
    pub(crate) fn link(&mut self, below: &Path, target: &str) -> Result<(), Why> {
        let name = in_action(self.seat.as_ref(), below)?;
        let inserted = self.tree.insert_symlink(&name, target);
        inserted.map_err(|error| Why::Action(error.to_string()))
    }

    /// Adds a file that is not here: the server has it.
    pub(crate) fn virtual_file(
        &mut self,
        below: &Path,
        digest: Digest,
        is_executable: bool,
        mtime: Option<Timestamp>,
    ) -> Result<(), Why> {
        let name = in_action(self.seat.as_ref(), below)?;
        let mut inserted = self.tree.insert_file(&name, digest, is_executable);
        if mtime.is_some() {
            let properties = NodeProperties::new(mtime, None);
            inserted = inserted.and_then(|()| self.tree.set_node_properties(&name, properties));
        }
        inserted.map_err(|error| Why::Action(error.to_string()))
    }

    /// Where a path of the tree, whose text leads to `below`, leads in the action's tree; what is on the way there is added.
    pub(crate) fn way(&mut self, path: &Path, below: PathBuf) -> Result<PathBuf, Why> {
        if self.keeps_links {
            return links::way(self, self.layout, path);
        }
        for through in self.layout.turned_back_from(path) {
            self.insert_directory(&through)?;
        }
        Ok(below)
    }

    /// Adds a directory of the tree, whatever is here.
    pub(super) fn insert_directory(&mut self, below: &Path) -> Result<(), Why> {
        let name = in_action(self.seat.as_ref(), below)?;
        let inserted = self.tree.insert_directory(&name);
        inserted.map_err(|error| Why::Action(error.to_string()))
    }

    /// The action.
    pub(crate) fn build(mut self, words: Words) -> Result<Built, Why> {
        self.insert_directory(self.layout.working_directory())?;
        let working_directory = in_action(self.seat.as_ref(), self.layout.working_directory())?.into_owned();
        let tree = self
            .tree
            .build(FUNCTION)
            .map_err(|error| Why::Action(error.to_string()))?;
        let mut directories = 0;
        for directory in tree.blobs() {
            self.sources.add(directory);
            directories += 1;
        }
        let files = tree.file_digests();
        let inputs = Inputs {
            files: files.len() as u64,
            directories,
            bytes: files.iter().map(Digest::size_bytes).sum(),
        };
        let salt = salt(&words.salt, &mut self.beside);
        let command = proto::Command {
            arguments: words.arguments,
            environment_variables: words
                .environment
                .into_iter()
                .map(|(name, value)| proto::command::EnvironmentVariable { name, value })
                .collect(),
            output_paths: words.outputs,
            working_directory,
            ..proto::Command::default()
        };
        let mut add = |command: &proto::Command| {
            self.sources
                .add(Blob::from_bytes(FUNCTION, command.encode_to_vec()))
        };
        let executed = add(&command);
        let known = match words.known_arguments {
            Some(arguments) => add(&proto::Command { arguments, ..command }),
            None => executed,
        };
        let mut action = |command: Digest,
                          properties: Vec<(String, String)>,
                          do_not_cache: bool,
                          timeout: Option<Duration>| {
            let action = proto::Action {
                command_digest: Some(command.to_proto()),
                input_root_digest: Some(tree.root.to_proto()),
                platform: platform(properties),
                salt: salt.clone(),
                do_not_cache,
                timeout: timeout.and_then(|timeout| timeout.try_into().ok()),
            };
            ActionDigest::new(
                self.sources
                    .add(Blob::from_bytes(FUNCTION, action.encode_to_vec())),
            )
        };
        let action_digest = action(known, words.platform.clone(), words.is_uncacheable, None);
        let executed_digest = action(
            executed,
            [words.platform, words.worker].concat(),
            words.is_uncacheable,
            words.timeout,
        );
        Ok(Built {
            action_digest,
            executed_digest,
            sources: self.sources,
            elsewhere: self.elsewhere,
            volume: Volume {
                inputs,
                command: Some(known.to_string()),
                ..Volume::default()
            },
        })
    }
}

/// What the action calls a place in the tree.
fn in_action<'a>(seat: Option<&Seat>, below: &'a Path) -> Result<Cow<'a, str>, Why> {
    Ok(match seat {
        None => text(below)?.into(),
        Some(seat) => text(&seat.of(below))?.to_owned().into(),
    })
}

/// Sorted, as the protocol wants it; none where nothing is asked for.
fn platform(mut properties: Vec<(String, String)>) -> Option<proto::Platform> {
    properties.sort();
    properties.dedup();
    let properties: Vec<_> = properties
        .into_iter()
        .map(|(name, value)| proto::platform::Property { name, value })
        .collect();
    (!properties.is_empty()).then_some(proto::Platform { properties })
}

/// Of everything that the result depends on and that is neither in the tree nor in the command.
fn salt(words: &[u8], beside: &mut Vec<(PathBuf, Digest)>) -> Vec<u8> {
    beside.sort();
    beside.dedup();
    let mut hasher = Sha256::new();
    let mut field = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    field(SALT_VERSION.as_bytes());
    field(words);
    for (path, digest) in beside {
        field(path.as_os_str().as_encoded_bytes());
        field(digest.hash_bytes());
    }
    hasher.finalize().to_vec()
}

/// A path as an action may hold it.
pub(crate) fn text(path: &Path) -> Result<&str, Why> {
    path.to_str()
        .ok_or_else(|| Why::NotText(path.display().to_string()))
}

fn unreadable(path: &Path, error: &ReadError) -> Why {
    Why::Unreadable {
        path: path.to_owned(),
        why: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn words() -> Words {
        Words {
            arguments: vec!["/usr/bin/gcc".into(), "-c".into(), "a.c".into()],
            known_arguments: None,
            environment: Vec::new(),
            outputs: vec!["a.o".into()],
            platform: Vec::new(),
            worker: Vec::new(),
            salt: b"a toolchain".to_vec(),
            is_uncacheable: false,
            timeout: None,
        }
    }

    fn built(directory: &Path, files: &[&str], words: Words) -> Built {
        let layout = Layout::new(Some(directory), directory);
        let digests = FileDigests::new(FUNCTION);
        let mut builder = ActionBuilder::new(&layout, &digests);
        for file in files {
            builder.file(Path::new(file)).unwrap();
        }
        builder.build(words).unwrap()
    }

    #[test]
    fn the_same_files_elsewhere_make_the_same_action_and_others_do_not() {
        let directories = [(), ()].map(|()| tempfile::tempdir().unwrap());
        for directory in &directories {
            fs::write(directory.path().join("a.c"), "int a;").unwrap();
        }
        let digest = |directory: usize, files: &[&str], words| {
            built(directories[directory].path(), files, words).action_digest
        };
        let first = digest(0, &["a.c", "/bin/sh"], words());
        assert_eq!(digest(1, &["/bin/sh", "a.c"], words()), first);
        assert_ne!(digest(1, &["a.c"], words()), first, "a file of the host fewer");
        let other = Words {
            salt: b"another toolchain".to_vec(),
            ..words()
        };
        assert_ne!(digest(1, &["a.c", "/bin/sh"], other), first);
        fs::write(directories[1].path().join("a.c"), "int b;").unwrap();
        assert_ne!(digest(1, &["a.c", "/bin/sh"], words()), first);
    }

    #[test]
    fn a_result_may_be_known_by_other_words_than_those_that_are_executed() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a.c"), "int a;").unwrap();
        let of = |last: &str, known: Option<&str>| {
            let with = |last: &str| vec!["/usr/bin/gcc".to_owned(), "-c".to_owned(), last.to_owned()];
            let words = Words {
                arguments: with(last),
                known_arguments: known.map(with),
                ..words()
            };
            built(directory.path(), &["a.c"], words)
        };
        let (plain, one, other) = (of("x", None), of("x", Some("z")), of("y", Some("z")));
        assert_eq!(
            plain.action_digest, plain.executed_digest,
            "nothing is asked of a worker"
        );
        assert_eq!(one.action_digest, other.action_digest);
        assert_eq!(one.executed_digest, plain.executed_digest);
        assert_ne!(one.executed_digest, other.executed_digest);
        assert_ne!(one.action_digest, plain.action_digest);
    }

    #[test]
    fn what_is_only_here_is_named() {
        let directories = [(), ()].map(|()| tempfile::tempdir().unwrap());
        let elsewhere = directories[1].path().join("b.h");
        fs::write(&elsewhere, "").unwrap();
        let built = built(directories[0].path(), &[elsewhere.to_str().unwrap()], words());
        assert_eq!(built.elsewhere, Some(elsewhere));
    }

    #[test]
    fn what_cannot_be_read_is_no_action() {
        let layout = Layout::new(None, Path::new("/tmp"));
        let digests = FileDigests::new(FUNCTION);
        let mut builder = ActionBuilder::new(&layout, &digests);
        let why = builder.file(Path::new("no-such-file")).unwrap_err();
        assert!(matches!(why, Why::Unreadable { .. }), "{why}");
    }
}
