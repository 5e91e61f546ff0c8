//! Local files and directories on their way to the server.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use ::action::InputPath;
use anyhow::{Context, Result, anyhow, bail};
use blob::{Digest, DigestFunction, DigestHasher};
use futures::stream::{self, StreamExt, TryStreamExt};
use merkle::TreeBuilder;

use remote_action::Sources;

/// Bytes of a file that are read and hashed at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// A local path and where it goes in a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Input {
    source: PathBuf,
    /// Empty is the root.
    destination: InputPath,
}

impl Input {
    /// Reads `SOURCE` or `SOURCE=DESTINATION`. Text that names something that exists is taken as a whole, so a `=` in
    /// a file's name does no harm.
    ///
    /// Without a destination, a relative path goes where it is: `src` to `src`, `.` to the root. A path that is
    /// absolute or starts with `..` goes to its base name.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let whole = Path::new(text);
        match text.rsplit_once('=') {
            Some((source, destination)) if fs::symlink_metadata(whole).is_err() => Ok(Input {
                source: source.into(),
                destination: InputPath::new(destination)
                    .with_context(|| format!("--input {text}: the part after `=` says where in the tree"))?,
            }),
            _ => Ok(Input {
                source: whole.to_owned(),
                destination: natural_destination(whole)?,
            }),
        }
    }

    /// The contents of `source` at the root of a tree.
    pub(crate) fn at_root(source: PathBuf) -> Self {
        Input {
            source,
            destination: InputPath::root(),
        }
    }
}

fn natural_destination(source: &Path) -> Result<InputPath> {
    let stays_here = |component| matches!(component, Component::Normal(_) | Component::CurDir);
    let destination = if source.components().all(stays_here) {
        source
            .components()
            .filter(|component| *component != Component::CurDir)
            .collect()
    } else {
        let absolute =
            fs::canonicalize(source).with_context(|| format!("cannot find {}", source.display()))?;
        let name = source.file_name().or(absolute.file_name());
        PathBuf::from(name.ok_or_else(|| {
            anyhow!(
                "{} has no name; say where it goes: --input {0}=PATH",
                source.display()
            )
        })?)
    };
    let text = destination.to_str().ok_or_else(|| not_utf8(source))?;
    InputPath::new(text).with_context(|| format!("{} cannot be an input", source.display()))
}

/// Everything at or below the inputs, hashed and put into a tree; `sources` learns where each blob's bytes are.
///
/// A symlink that is named itself is followed; symlinks below are kept as they are.
pub(crate) async fn collect(
    inputs: Vec<Input>,
    function: DigestFunction,
    tree: &mut TreeBuilder,
    sources: &mut Sources,
) -> Result<()> {
    let found = tokio::task::spawn_blocking(move || find(&inputs))
        .await
        .context("looking for inputs")??;
    for path in &found.directories {
        tree.insert_directory(path)?;
    }
    for (path, target) in &found.symlinks {
        tree.insert_symlink(path, target)?;
    }
    let in_flight = std::thread::available_parallelism().map_or(1, usize::from);
    let mut hashing = stream::iter(found.files)
        .map(|(path, file)| async move {
            let source = file.source.clone();
            let hashed = tokio::task::spawn_blocking(move || digest_of_file(function, &source)).await;
            let digest = hashed
                .context("hashing an input")?
                .with_context(|| format!("cannot read {}", file.source.display()))?;
            Ok::<_, anyhow::Error>((path, file, digest))
        })
        .buffer_unordered(in_flight);
    while let Some((path, file, digest)) = hashing.try_next().await? {
        tree.insert_file(&path, digest, file.is_executable)?;
        sources.add_file(digest, file.source);
    }
    Ok(())
}

/// The digest of a file's content.
pub(crate) fn digest_of_file(function: DigestFunction, path: &Path) -> io::Result<Digest> {
    let mut file = fs::File::open(path)?;
    let size_bytes = file.metadata()?.len();
    let mut hasher = DigestHasher::new(function, size_bytes);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece) {
            Ok(0) if hasher.size_bytes() != size_bytes => {
                return Err(io::Error::other(
                    "it changed while it was read; try again when it is at rest",
                ));
            }
            Ok(0) => return Ok(hasher.finish()),
            Ok(read) => hasher.update(&piece[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What stands where, by path in the tree.
#[derive(Debug, Default)]
struct Found {
    files: BTreeMap<String, LocalFile>,
    symlinks: BTreeMap<String, String>,
    directories: Vec<String>,
}

#[derive(Debug)]
struct LocalFile {
    source: PathBuf,
    is_executable: bool,
}

fn find(inputs: &[Input]) -> Result<Found> {
    let mut found = Found::default();
    for Input { source, destination } in inputs {
        let metadata =
            fs::metadata(source).with_context(|| format!("cannot find input {}", source.display()))?;
        if metadata.is_dir() {
            find_below(source, destination.as_str(), &mut found)?;
        } else if destination.is_root() {
            bail!(
                "{} is a file; only a directory can be the root of the tree",
                source.display()
            );
        } else {
            found.add(source.clone(), destination.as_str().to_owned(), &metadata)?;
        }
    }
    Ok(found)
}

/// Everything below a directory, without recursion.
fn find_below(source: &Path, destination: &str, found: &mut Found) -> Result<()> {
    let mut open = vec![(source.to_owned(), destination.to_owned())];
    while let Some((directory, at)) = open.pop() {
        found.directories.push(at.clone());
        let entries =
            fs::read_dir(&directory).with_context(|| format!("cannot list {}", directory.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot list {}", directory.display()))?;
            let path = entry.path();
            let name = entry.file_name();
            let name = name.to_str().ok_or_else(|| not_utf8(&path))?;
            let at = if at.is_empty() {
                name.to_owned()
            } else {
                format!("{at}/{name}")
            };
            let metadata =
                fs::symlink_metadata(&path).with_context(|| format!("cannot look at {}", path.display()))?;
            if metadata.is_dir() {
                open.push((path, at));
            } else {
                found.add(path, at, &metadata)?;
            }
        }
    }
    Ok(())
}

impl Found {
    fn add(&mut self, source: PathBuf, at: String, metadata: &fs::Metadata) -> Result<()> {
        if metadata.is_symlink() {
            let target = fs::read_link(&source)
                .with_context(|| format!("cannot read symlink {}", source.display()))?;
            let target = target.to_str().ok_or_else(|| not_utf8(&source))?.to_owned();
            self.symlinks.insert(at, target);
        } else if metadata.is_file() {
            let is_executable = metadata.permissions().mode() & 0o100 != 0;
            if let Some(other) = self.files.insert(
                at.clone(),
                LocalFile {
                    source: source.clone(),
                    is_executable,
                },
            ) && other.source != source
            {
                bail!(
                    "{} and {} both go to `{at}`",
                    other.source.display(),
                    source.display()
                );
            }
        } else {
            bail!(
                "{} is neither a file nor a directory nor a symlink; it cannot be an input",
                source.display()
            );
        }
        Ok(())
    }
}

fn not_utf8(path: &Path) -> anyhow::Error {
    anyhow!(
        "{} or its target is not UTF-8; the protocol has no way to name it",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn destination(text: &str) -> String {
        Input::parse(text).unwrap().destination.to_string()
    }

    #[test]
    fn inputs_go_where_people_expect() {
        assert_eq!(destination("src"), "src");
        assert_eq!(destination("./src/lib/"), "src/lib");
        assert_eq!(destination("."), "");
        assert_eq!(destination("/usr/bin"), "bin");
        assert_eq!(destination("src=lib/src"), "lib/src");
        assert_eq!(destination("a=b=c"), "c");
        assert_eq!(destination("/etc="), "");
        assert_eq!(destination("/etc=."), "");
        // The directory that tests run in has a name.
        assert_eq!(destination("../farrier"), "farrier");
        assert!(Input::parse("/").unwrap_err().to_string().contains("say where"));
        assert!(Input::parse("x=/etc").is_err());
        assert!(Input::parse("x=../y").is_err());
        assert!(Input::parse("../nothing-of-that-name").is_err());
    }

    #[tokio::test]
    async fn a_directory_becomes_a_tree() {
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &str| directory.path().join(path);
        fs::create_dir_all(at("empty")).unwrap();
        fs::create_dir_all(at("sub/deep")).unwrap();
        fs::write(at("a=b"), "hello").unwrap();
        fs::write(at("sub/deep/tool"), "#!/bin/sh").unwrap();
        fs::set_permissions(at("sub/deep/tool"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("sub/deep", at("link")).unwrap();
        symlink("nowhere", at("dangling")).unwrap();

        let function = DigestFunction::Sha256;
        let (mut tree, mut sources) = (TreeBuilder::new(), Sources::default());
        let inputs = vec![
            Input {
                source: directory.path().to_owned(),
                destination: InputPath::root(),
            },
            Input::parse(at("a=b").to_str().unwrap()).unwrap(),
            Input {
                source: at("link"),
                destination: InputPath::new("followed").unwrap(),
            },
        ];
        collect(inputs, function, &mut tree, &mut sources).await.unwrap();

        let tool = Digest::of(function, b"#!/bin/sh");
        let hello = Digest::of(function, b"hello");
        let mut expected = TreeBuilder::new();
        expected.insert_file("a=b", hello, false).unwrap();
        expected.insert_directory("empty").unwrap();
        expected.insert_file("sub/deep/tool", tool, true).unwrap();
        expected.insert_file("followed/tool", tool, true).unwrap();
        expected.insert_symlink("link", "sub/deep").unwrap();
        expected.insert_symlink("dangling", "nowhere").unwrap();
        assert_eq!(
            tree.build(function).unwrap().root,
            expected.build(function).unwrap().root
        );
        assert!(sources.has(&tool) && sources.has(&hello));
    }

    #[tokio::test]
    async fn what_cannot_be_an_input_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "x").unwrap();
        let other = directory.path().join("other");
        fs::write(&other, "y").unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(directory.path().join("socket")).unwrap();
        for (inputs, why) in [
            (vec![Input::at_root(file.clone())], "only a directory"),
            (
                vec![Input::at_root(directory.path().join("missing"))],
                "cannot find",
            ),
            (
                vec![Input::at_root(directory.path().to_owned())],
                "neither a file",
            ),
            (
                vec![
                    Input {
                        source: file.clone(),
                        destination: InputPath::new("x").unwrap(),
                    },
                    Input {
                        source: other,
                        destination: InputPath::new("x").unwrap(),
                    },
                ],
                "both go to",
            ),
        ] {
            let (mut tree, mut sources) = (TreeBuilder::new(), Sources::default());
            let error = collect(inputs, DigestFunction::Sha256, &mut tree, &mut sources)
                .await
                .unwrap_err();
            assert!(format!("{error:#}").contains(why), "{error:#}");
        }
    }
}
