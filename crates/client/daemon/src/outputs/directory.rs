//! Directories that a command makes, with all that is in them.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use blob::Blob;
use bytes::Bytes;
use merkle::{Entry, Tree, TreeBuilder};

use super::TEMPORARY;
use crate::earlier::Earlier;
use crate::limits::{DECLARED_DEPTH_MAX, DECLARED_FILES_MAX, OUTPUT_BYTES_MAX};
use crate::plan::PlannedOutput;
use crate::service::FUNCTION;

/// One directory that a command has made.
pub(crate) struct MadeDirectory {
    /// In the result.
    pub(crate) name: String,
    pub(crate) tree: Tree,
    /// Its files.
    pub(crate) blobs: Vec<Blob>,
}

/// Reads the directories that the command has made, in the order of names; or says why the result is not kept. One in which
/// something was before is not all the command's work, and who else runs the command will not have it.
pub(crate) fn read(outputs: &[PlannedOutput], earlier: &Earlier) -> Result<Vec<MadeDirectory>, &'static str> {
    let mut made = Vec::new();
    let (mut entries, mut bytes) = (0, 0);
    for output in outputs.iter().filter(|output| output.is_directory) {
        if earlier.was_occupied(&output.path) {
            return Err("something was in an output directory before");
        }
        if fs::symlink_metadata(&output.path).is_err() {
            continue;
        }
        let mut reading = Reading {
            builder: TreeBuilder::new(),
            blobs: Vec::new(),
            entries,
            bytes,
        };
        reading.directory(&output.path, "", 0)?;
        (entries, bytes) = (reading.entries, reading.bytes);
        let tree = reading.builder.build(FUNCTION).map_err(|_| UNREADABLE)?;
        made.push(MadeDirectory {
            name: output.name.clone(),
            tree: tree.into_tree(),
            blobs: reading.blobs,
        });
    }
    made.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(made)
}

const UNREADABLE: &str = "an output directory cannot be read";

struct Reading {
    builder: TreeBuilder,
    blobs: Vec<Blob>,
    /// So far, of all directories together.
    entries: usize,
    bytes: u64,
}

impl Reading {
    fn directory(&mut self, directory: &Path, below: &str, depth: usize) -> Result<(), &'static str> {
        if depth > DECLARED_DEPTH_MAX {
            return Err("an output directory is too deep");
        }
        for entry in fs::read_dir(directory).map_err(|_| UNREADABLE)? {
            let entry = entry.map_err(|_| UNREADABLE)?;
            self.entries += 1;
            if self.entries > DECLARED_FILES_MAX {
                return Err("an output directory has too much in it");
            }
            let name = entry.file_name();
            let name = name.to_str().ok_or("an output has a name that is no UTF-8")?;
            if name.starts_with(TEMPORARY) {
                return Err("an output directory is still written to");
            }
            let below = match below {
                "" => name.to_owned(),
                below => format!("{below}/{name}"),
            };
            self.entry(&entry.path(), &below, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, below: &str, depth: usize) -> Result<(), &'static str> {
        let metadata = fs::symlink_metadata(path).map_err(|_| UNREADABLE)?;
        let inserted = if metadata.is_dir() {
            self.builder.insert_directory(below).map_err(|_| UNREADABLE)?;
            return self.directory(path, below, depth + 1);
        } else if metadata.is_symlink() {
            let target = fs::read_link(path).map_err(|_| UNREADABLE)?;
            let target = target
                .to_str()
                .ok_or("an output leads to a name that is no UTF-8")?;
            self.builder.insert_symlink(below, target)
        } else if metadata.is_file() {
            self.bytes += metadata.len();
            if self.bytes > OUTPUT_BYTES_MAX {
                return Err("an output directory is too large");
            }
            let mut bytes = Vec::with_capacity(metadata.len() as usize + 1);
            let file = File::open(path).map_err(|_| UNREADABLE)?;
            let read = file.take(metadata.len() + 1).read_to_end(&mut bytes);
            if read.map_err(|_| UNREADABLE)? as u64 != metadata.len() {
                return Err("an output is still written to");
            }
            let blob = Blob::from_bytes(FUNCTION, bytes);
            let digest = blob.digest();
            self.blobs.push(blob);
            let is_executable = metadata.permissions().mode() & 0o100 != 0;
            self.builder.insert_file(below, digest, is_executable)
        } else {
            return Err("an output is neither a file nor a directory nor a link");
        };
        inserted.map_err(|_| UNREADABLE)
    }
}

/// A directory to be made as a result says, except for its files.
#[derive(Debug)]
pub(crate) struct ToMake {
    path: PathBuf,
    /// Below it, parents first.
    directories: Vec<PathBuf>,
    links: Vec<(PathBuf, String)>,
    files: HashSet<PathBuf>,
}

/// A file in a directory of a result.
pub(crate) struct Within {
    pub(crate) path: PathBuf,
    pub(crate) digest: blob::Digest,
    pub(crate) is_executable: bool,
}

impl ToMake {
    /// As the tree says, to be made at `path`; and the files that are to be written then.
    pub(crate) fn of(path: &Path, tree: &Tree) -> Result<(Self, Vec<Within>)> {
        let mut made = ToMake {
            path: path.to_owned(),
            directories: Vec::new(),
            links: Vec::new(),
            files: HashSet::new(),
        };
        let mut files = Vec::new();
        for (below, entry) in tree.as_input_tree().entries().context("an output directory")? {
            let path = path.join(below);
            match entry {
                Entry::Directory(_) => made.directories.push(path),
                Entry::Symlink(link) => made.links.push((path, link.target.as_str().to_owned())),
                Entry::File(file) => {
                    made.files.insert(path.clone());
                    files.push(Within {
                        path,
                        digest: file.digest,
                        is_executable: file.is_executable,
                    });
                }
            }
        }
        Ok((made, files))
    }

    /// Where.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it, with nothing in it that does not belong there but files that are to be written anew. `is_wanted` says
    /// which files will be. The modes are the usual ones, less `mask`.
    pub(crate) fn make(&self, is_wanted: impl Fn(&Path) -> bool, mask: u32) -> io::Result<()> {
        // What a link leads to is somebody else's.
        let parent = self.path.parent().unwrap_or(Path::new("/"));
        let is_moved = fs::canonicalize(parent).is_ok_and(|real| real != parent);
        if is_moved || fs::symlink_metadata(&self.path).is_ok_and(|found| !found.is_dir()) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        // Before anything goes.
        may_be_changed(&self.path, 0)?;
        let directories: HashSet<&Path> = self.directories.iter().map(PathBuf::as_path).collect();
        self.clear(&self.path, &directories, &is_wanted)?;
        let all = std::iter::once(&self.path).chain(&self.directories);
        for directory in all.filter(|directory| !directory.is_dir()) {
            fs::create_dir_all(directory)?;
            fs::set_permissions(directory, fs::Permissions::from_mode(0o777 & !mask))?;
        }
        self.links
            .iter()
            .try_for_each(|(path, target)| symlink(target, path))
    }

    fn clear(
        &self,
        directory: &Path,
        directories: &HashSet<&Path>,
        is_wanted: &impl Fn(&Path) -> bool,
    ) -> io::Result<()> {
        let entries = match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            // Somebody else is writing it.
            if entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(TEMPORARY.as_bytes())
            {
                continue;
            }
            if kind.is_dir() && directories.contains(&*path) {
                self.clear(&path, directories, is_wanted)?;
            } else if kind.is_dir() {
                fs::remove_dir_all(path)?;
            } else if !(kind.is_file() && self.files.contains(&path) && is_wanted(&path)) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

/// Whether the real tool could write all of this: it would have failed otherwise, though we could.
fn may_be_changed(directory: &Path, depth: usize) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    if metadata.permissions().mode() & 0o200 == 0 || depth > DECLARED_DEPTH_MAX {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            may_be_changed(&entry.path(), depth + 1)?;
        } else if kind.is_file() && entry.metadata()?.permissions().readonly() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
    }
    Ok(())
}

/// The message that holds a whole directory, as results refer to it.
pub(crate) fn decoded(tree: Bytes) -> Result<Tree> {
    Tree::decode(FUNCTION, tree).context("an output directory")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn planned(path: &Path) -> PlannedOutput {
        PlannedOutput {
            name: "out".into(),
            path: path.into(),
            is_required: false,
            is_rule: false,
            is_directory: true,
        }
    }

    #[test]
    fn a_directory_is_read_and_made_again() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().canonicalize().unwrap();
        let (from, to) = (root.join("from"), root.join("to"));
        fs::create_dir_all(from.join("sub/empty")).unwrap();
        fs::write(from.join("sub/program"), "program").unwrap();
        fs::set_permissions(from.join("sub/program"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("sub/program", from.join("link")).unwrap();
        let mut made = read(&[planned(&from)], &Earlier::default()).unwrap();
        let made = made.remove(0);
        assert_eq!(made.blobs.len(), 1);

        // What a build before has left: a file of the same name, and what does not belong there.
        fs::create_dir_all(to.join("sub/old/deep")).unwrap();
        fs::create_dir_all(to.join("link")).unwrap();
        for old in ["sub/program", "sub/old/deep/file", "sub/empty", "old"] {
            fs::write(to.join(old), "old").unwrap();
        }
        let (to_make, files) = ToMake::of(&to, &decoded(made.tree.encode()).unwrap()).unwrap();
        to_make.make(|_| true, 0o027).unwrap();
        assert_eq!(
            fs::read(to.join("sub/program")).unwrap(),
            b"old",
            "it is replaced as a whole, later"
        );
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("sub/program"));
        let mut there: Vec<_> = fs::read_dir(to.join("sub"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        there.sort();
        assert_eq!(there, ["empty", "program"]);
        let mode = fs::metadata(to.join("sub/empty")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o750);
        let files: Vec<_> = files
            .iter()
            .map(|file| (&*file.path, file.is_executable))
            .collect();
        assert_eq!(files, [(&*to.join("sub/program"), true)]);

        // What nobody may write stays, and everything with it.
        fs::set_permissions(to.join("sub/program"), fs::Permissions::from_mode(0o444)).unwrap();
        let error = to_make.make(|_| true, 0o022).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(to.join("link").is_symlink());
        fs::set_permissions(to.join("sub/program"), fs::Permissions::from_mode(0o644)).unwrap();

        // Made once more, and of what is not wanted nothing old stays.
        to_make.make(|_| false, 0o022).unwrap();
        assert!(!to.join("sub/program").exists());
    }

    #[test]
    fn what_was_there_before_is_not_kept() {
        let scratch = tempfile::tempdir().unwrap();
        let check = |outputs: &[PlannedOutput], expected: Result<usize, &str>| {
            let earlier = Earlier::than_now(outputs, &Arc::default());
            fs::create_dir_all(scratch.path().join("a")).unwrap();
            fs::write(scratch.path().join("a/new"), "new").unwrap();
            assert_eq!(read(outputs, &earlier).map(|made| made.len()), expected);
        };
        check(&[planned(&scratch.path().join("b"))], Ok(0));
        fs::remove_dir_all(scratch.path().join("a")).unwrap();
        check(&[planned(&scratch.path().join("a"))], Ok(1));
        check(
            &[planned(&scratch.path().join("a"))],
            Err("something was in an output directory before"),
        );
    }
}
