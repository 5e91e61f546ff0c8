//! Writing what comes from a server to the local disk.
//!
//! Every file appears under its name complete or not at all. Nothing is written outside the destination: paths are
//! checked word by word, and a directory that turns out to be a symlink leading out is refused. Nothing is deleted:
//! what else stands in a directory stays.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ::action::InputPath;
use ::cas::BlobStore;
use ::cas::tree::read_all;
use anyhow::{Context, Result, anyhow, bail};
use blob::{Blob, ByteRange, Digest};
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use merkle::{Entry, InputTree};
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use uuid::Uuid;

/// A directory to write into.
pub(crate) struct Destination {
    /// Canonical.
    root: PathBuf,
    /// Small files written at a time: more threads than cores only wait for each other on their directory's lock.
    writers: Semaphore,
}

/// A file to be written.
#[derive(Clone, Debug)]
pub(crate) struct FileToWrite {
    pub(crate) path: InputPath,
    pub(crate) digest: Digest,
    pub(crate) is_executable: bool,
    /// Where the content came along.
    pub(crate) contents: Option<Bytes>,
}

/// Everything to be written.
#[derive(Debug, Default)]
pub(crate) struct Writing {
    pub(crate) directories: Vec<InputPath>,
    pub(crate) files: Vec<FileToWrite>,
    pub(crate) symlinks: Vec<(InputPath, String)>,
}

/// Files that are downloaded at the same time.
const DOWNLOADS_IN_FLIGHT: usize = 32;
/// A file up to this size is taken into memory and written in one go.
const WHOLE_FILE_BYTES_MAX: u64 = 1024 * 1024;

impl Writing {
    /// Adds everything in `tree`, at or below `path`.
    pub(crate) fn add_tree(&mut self, path: &InputPath, tree: &InputTree) -> Result<()> {
        self.directories.push(path.clone());
        for (below, entry) in tree.entries()? {
            let at = InputPath::resolve(path, &below)?;
            match entry {
                Entry::Directory(_) => self.directories.push(at),
                Entry::File(file) => self.files.push(FileToWrite {
                    path: at,
                    digest: file.digest,
                    is_executable: file.is_executable,
                    contents: None,
                }),
                Entry::Symlink(symlink) => self.symlinks.push((at, symlink.target.as_str().to_owned())),
            }
        }
        Ok(())
    }
}

impl Destination {
    /// Opens `path`, making it if it is not there.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("cannot make directory {}", path.display()))?;
        let root = fs::canonicalize(path).with_context(|| format!("cannot find {}", path.display()))?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Destination {
            root,
            writers: Semaphore::new(cores),
        })
    }

    /// Writes all of it: directories, then files, then symlinks, so that no symlink that comes along is ever
    /// written through.
    pub(crate) async fn write(&self, store: &dyn BlobStore, writing: Writing) -> Result<()> {
        let Writing {
            directories,
            files,
            symlinks,
        } = writing;
        let mut made = HashSet::new();
        for path in &directories {
            self.make_directory(path, &mut made)?;
        }
        let parents = files
            .iter()
            .map(|file| &file.path)
            .chain(symlinks.iter().map(|(path, _)| path));
        for path in parents {
            let parent = path.parent().ok_or_else(|| anyhow!("an output has no name"))?;
            self.make_directory(&parent, &mut made)?;
        }
        stream::iter(files.into_iter().map(|file| self.write_file(store, file)))
            .buffer_unordered(DOWNLOADS_IN_FLIGHT)
            .try_collect::<()>()
            .await?;
        for (path, target) in &symlinks {
            let path = self.root.join(path);
            write_symlink(&path, target)
                .with_context(|| format!("cannot make symlink {}", path.display()))?;
        }
        Ok(())
    }

    /// Makes a directory and those above it.
    fn make_directory(&self, path: &InputPath, made: &mut HashSet<InputPath>) -> Result<()> {
        if !made.insert(path.clone()) {
            return Ok(());
        }
        let mut at = self.root.clone();
        for component in path.components() {
            at.push(component);
            match fs::create_dir(&at) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                made => made.with_context(|| format!("cannot make directory {}", at.display()))?,
            }
            // Through a symlink of the user's own that stays inside, yes; out of the destination, no.
            let really = fs::canonicalize(&at).with_context(|| format!("cannot find {}", at.display()))?;
            if !really.starts_with(&self.root) {
                bail!(
                    "{} leads to {}, outside of {}; nothing is written there",
                    at.display(),
                    really.display(),
                    self.root.display()
                );
            }
            if !really.is_dir() {
                bail!("{} is needed as a directory, but it is a file", at.display());
            }
        }
        Ok(())
    }

    async fn write_file(&self, store: &dyn BlobStore, file: FileToWrite) -> Result<()> {
        let path = self.root.join(&file.path);
        let mode = if file.is_executable { 0o777 } else { 0o666 };
        let blob = match file.contents {
            Some(contents) => Blob::verified(file.digest, contents)?,
            None => fetch(store, file.digest)
                .await
                .with_context(|| format!("downloading {}", file.path))?,
        };
        if blob.digest().size_bytes() > WHOLE_FILE_BYTES_MAX {
            // It comes slowly; it must not hold up the small ones.
            return write_blob(blob, &path, mode).await;
        }
        let _turn = self.writers.acquire().await.expect("nobody closes the semaphore");
        write_blob(blob, &path, mode).await
    }
}

/// A blob that is on its way.
pub(crate) async fn fetch(store: &dyn BlobStore, digest: Digest) -> Result<Blob> {
    let absent = || anyhow!("the server does not have blob {digest}");
    if digest.size_bytes() <= WHOLE_FILE_BYTES_MAX {
        let bytes = read_all(store, &digest, WHOLE_FILE_BYTES_MAX)
            .await?
            .ok_or_else(absent)?;
        return Ok(Blob::verified(digest, bytes)?);
    }
    let stream = store.get(&digest, ByteRange::FULL).await?.ok_or_else(absent)?;
    Ok(Blob::checked(digest, stream))
}

/// Writes a blob under a temporary name beside `path`, then renames it. `mode` is cut by the umask, as for any
/// program.
pub(crate) async fn write_blob(blob: Blob, path: &Path, mode: u32) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let temporary = Temporary::beside(path)?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    match blob.into_body() {
        blob::Body::Bytes(bytes) => {
            let (at, target) = (temporary.path.clone(), path.to_owned());
            let writing = tokio::task::spawn_blocking(move || {
                options.open(&at)?.write_all(&bytes)?;
                fs::rename(&at, target)
            });
            writing.await.context("writing a file")?.with_context(cannot)?;
        }
        blob::Body::Stream(mut stream) => {
            let file = options.open(&temporary.path).with_context(cannot)?;
            let mut file = tokio::fs::File::from_std(file);
            while let Some(piece) = stream.try_next().await? {
                file.write_all(&piece).await.with_context(cannot)?;
            }
            file.flush().await.with_context(cannot)?;
            fs::rename(&temporary.path, path).with_context(cannot)?;
        }
    }
    temporary.done();
    Ok(())
}

fn write_symlink(path: &Path, target: &str) -> Result<()> {
    let temporary = Temporary::beside(path)?;
    std::os::unix::fs::symlink(target, &temporary.path)?;
    fs::rename(&temporary.path, path)?;
    temporary.done();
    Ok(())
}

/// A name that is removed again unless it was renamed.
struct Temporary {
    path: PathBuf,
    done: bool,
}

impl Temporary {
    fn beside(path: &Path) -> Result<Self> {
        let parent = path
            .parent()
            .ok_or_else(|| anyhow!("{} is not a file's name", path.display()))?;
        let name = format!(".farrier-{}.part", Uuid::new_v4().simple());
        Ok(Temporary {
            path: parent.join(name),
            done: false,
        })
    }

    fn done(mut self) {
        self.done = true;
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.done {
            // It may never have been made.
            let _absent = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use blob::DigestFunction;
    use merkle::TreeBuilder;

    use super::*;

    const F: DigestFunction = DigestFunction::Sha256;

    fn file(path: &str, contents: &'static str) -> FileToWrite {
        FileToWrite {
            path: InputPath::new(path).unwrap(),
            digest: Digest::of(F, contents.as_bytes()),
            is_executable: false,
            contents: Some(Bytes::from_static(contents.as_bytes())),
        }
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_tree_comes_back_as_it_was() {
        let store = ::cas::memory(64 << 20);
        let large = Blob::from_bytes(F, vec![7; 3_000_000]);
        let tool = Blob::from_bytes(F, "#!/bin/sh");
        let mut tree = TreeBuilder::new();
        tree.insert_file("sub/large", large.digest(), false).unwrap();
        tree.insert_file("tool", tool.digest(), true).unwrap();
        tree.insert_symlink("link", "sub/large").unwrap();
        tree.insert_symlink("dangling", "/nowhere").unwrap();
        tree.insert_directory("empty/deep").unwrap();
        let tree = tree.build(F).unwrap().into_tree();
        for blob in [large, tool] {
            store.put(blob).await.unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &str| directory.path().join("out/tree").join(path);
        let destination = Destination::open(&directory.path().join("out")).unwrap();
        // Twice: what is there is replaced, what else is there stays.
        for _ in 0..2 {
            let mut writing = Writing::default();
            writing
                .add_tree(&InputPath::new("tree").unwrap(), tree.as_input_tree())
                .unwrap();
            destination.write(&*store, writing).await.unwrap();
            fs::write(at("kept"), "mine").unwrap();
        }
        assert_eq!(
            names(&at("")),
            ["dangling", "empty", "kept", "link", "sub", "tool"]
        );
        assert_eq!(fs::read(at("link")).unwrap(), vec![7; 3_000_000]);
        assert_eq!(fs::read_link(at("dangling")).unwrap(), Path::new("/nowhere"));
        assert!(at("empty/deep").is_dir());
        assert_ne!(fs::metadata(at("tool")).unwrap().permissions().mode() & 0o100, 0);
        assert_eq!(
            fs::metadata(at("sub/large")).unwrap().permissions().mode() & 0o111,
            0
        );
        assert_eq!(names(&at("sub")), ["large"], "no temporary file is left");
    }

    #[tokio::test]
    async fn nothing_is_written_through_a_symlink_that_leads_out() {
        let store = ::cas::memory(1 << 20);
        let directory = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let destination = Destination::open(directory.path()).unwrap();
        symlink(outside.path(), directory.path().join("out")).unwrap();
        fs::create_dir(directory.path().join("real")).unwrap();
        symlink("real", directory.path().join("inside")).unwrap();
        let writing = |path| Writing {
            files: vec![file(path, "x")],
            ..Writing::default()
        };
        let error = destination.write(&*store, writing("out/x")).await.unwrap_err();
        assert!(error.to_string().contains("outside of"), "{error}");
        assert!(destination.write(&*store, writing("out/new/x")).await.is_err());
        assert_eq!(names(outside.path()), [""; 0]);
        destination.write(&*store, writing("inside/x")).await.unwrap();
        assert_eq!(names(&directory.path().join("real")), ["x"]);
        // A symlink at the place itself is replaced, not followed.
        symlink(outside.path().join("y"), directory.path().join("y")).unwrap();
        destination.write(&*store, writing("y")).await.unwrap();
        assert_eq!(names(outside.path()), [""; 0]);
        // One that comes along is made last, so nothing goes through it.
        let both = Writing {
            files: vec![file("evil/x", "x")],
            symlinks: vec![(
                InputPath::new("evil").unwrap(),
                outside.path().to_str().unwrap().to_owned(),
            )],
            ..Writing::default()
        };
        assert!(destination.write(&*store, both).await.is_err());
        assert_eq!(names(outside.path()), [""; 0]);
    }

    #[tokio::test]
    async fn a_failure_leaves_the_old_file_and_no_other() {
        let store = ::cas::memory(1 << 20);
        let directory = tempfile::tempdir().unwrap();
        let destination = Destination::open(directory.path()).unwrap();
        fs::write(directory.path().join("x"), "old").unwrap();
        let absent = FileToWrite {
            contents: None,
            ..file("x", "absent")
        };
        let wrong = FileToWrite {
            contents: Some("wrong".into()),
            ..file("x", "right")
        };
        for (bad, why) in [(absent, "does not have"), (wrong, "hash")] {
            let writing = Writing {
                files: vec![bad],
                ..Writing::default()
            };
            let error = format!("{:#}", destination.write(&*store, writing).await.unwrap_err());
            assert!(error.contains(why), "{error}");
        }
        let broken = stream::iter([Ok("half".into()), Err(std::io::Error::other("broken"))]);
        let blob = Blob::checked(Digest::of(F, b"half and half"), broken);
        assert!(
            write_blob(blob, &directory.path().join("x"), 0o666)
                .await
                .is_err()
        );
        fs::create_dir(directory.path().join("directory")).unwrap();
        let writing = Writing {
            files: vec![file("directory", "x")],
            ..Writing::default()
        };
        assert!(destination.write(&*store, writing).await.is_err());
        assert_eq!(names(directory.path()), ["directory", "x"]);
        assert_eq!(fs::read(directory.path().join("x")).unwrap(), b"old");
    }
}
