//! Describing one output directory.

use std::os::fd::OwnedFd;

use merkle::{Directory, DirectoryNode, FileNode, NodeName, SymlinkNode, SymlinkTarget, Tree};
use reapi::execution as proto;
use rustix::fs::{self as sys, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{
    Collection, OutputError, OutputWanted, disk, is_executable, make_readable, open_beneath, read_target,
};
use crate::limits::OUTPUT_DEPTH_MAX;

/// A directory that is being read, on the stack of those above it.
struct Open {
    directory: OwnedFd,
    entries: sys::Dir,
    name: Option<NodeName>,
    /// Length of the path without this directory.
    outer_bytes: usize,
    files: Vec<FileNode>,
    directories: Vec<DirectoryNode>,
    symlinks: Vec<SymlinkNode>,
}

impl Collection<'_> {
    pub(super) fn directory(&mut self, output: &OutputWanted) -> Result<(), OutputError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::DIRECTORY;
        let Some(opened) = open_beneath(self.root, &output.path, flags)? else {
            return Ok(());
        };
        let tree = self.tree(opened, &output.path)?;
        let mut directory = proto::OutputDirectory {
            path: output.text.clone(),
            ..Default::default()
        };
        if self.wanted.trees {
            let blob = tree.blob();
            directory.tree_digest = Some(blob.digest().to_proto());
            directory.is_topologically_sorted = true;
            self.uploads.add_blob(blob);
        }
        if self.wanted.directories {
            directory.root_directory_digest = Some(tree.root_digest().to_proto());
            for blob in tree.directory_blobs() {
                self.uploads.add_blob(blob);
            }
        }
        self.found.directories.push(directory);
        Ok(())
    }

    /// Reads a whole tree depth first, with the open directories on a stack of its own.
    pub(super) fn tree(&mut self, top: OwnedFd, at: &str) -> Result<Tree, OutputError> {
        let mut path = at.to_owned();
        let mut stack = vec![Open::new(top, None, path.len(), &path)?];
        let mut children = Vec::new();
        loop {
            let open = stack.last_mut().expect("the topmost directory ends the loop");
            if let Some(entry) = open.entries.next() {
                let entry = entry.map_err(|error| disk(&path, error))?;
                if let Some(inner) = self.entry(open, &entry, &mut path)? {
                    if stack.len() >= OUTPUT_DEPTH_MAX {
                        return Err(OutputError::TooDeep { path: at.to_owned() });
                    }
                    stack.push(inner);
                }
                continue;
            }
            let done = stack.pop().expect("there is one: it was just read to its end");
            let (name, outer_bytes) = (done.name.clone(), done.outer_bytes);
            let directory = self.finish(done, &path)?;
            match (name, stack.last_mut()) {
                (Some(name), Some(above)) => {
                    let digest = directory.digest(self.wanted.function);
                    above.directories.push(DirectoryNode { name, digest });
                    children.push(directory);
                    path.truncate(outer_bytes);
                }
                _ => {
                    let tree = Tree::from_directories(self.wanted.function, directory, children);
                    return tree.map_err(|source| OutputError::Tree {
                        path: at.to_owned(),
                        source,
                    });
                }
            }
        }
    }

    /// Takes one entry; a directory is returned opened, with `path` at it.
    fn entry(
        &mut self,
        open: &mut Open,
        entry: &sys::DirEntry,
        path: &mut String,
    ) -> Result<Option<Open>, OutputError> {
        let name = entry.file_name();
        if name == c"." || name == c".." {
            return Ok(None);
        }
        self.count_entry()?;
        let name = NodeName::from_bytes(name.to_bytes()).map_err(|source| OutputError::Name {
            path: path.clone(),
            source,
        })?;
        let outer_bytes = path.len();
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(name.as_str());
        let kind = match entry.file_type() {
            FileType::Unknown => open.stat(&name).map(|stat| FileType::from_raw_mode(stat.st_mode)),
            kind => Ok(kind),
        };
        match kind.map_err(|error| disk(path, error))? {
            FileType::Directory => {
                let directory = open
                    .open(&name, OFlags::DIRECTORY)
                    .map_err(|error| disk(path, error))?;
                return Open::new(directory, Some(name), outer_bytes, path).map(Some);
            }
            FileType::RegularFile => {
                let file = open
                    .open(&name, OFlags::NONBLOCK)
                    .map_err(|error| disk(path, error))?;
                let (digest, stat) = self.hash(file, path)?;
                let node_properties = self.wanted.properties.of(&stat).map(Box::new);
                open.files.push(FileNode {
                    name,
                    digest,
                    is_executable: is_executable(&stat),
                    node_properties,
                });
            }
            FileType::Symlink => {
                let target = read_target(&open.directory, name.as_str(), path)?;
                let target =
                    SymlinkTarget::new(name.as_str(), &target).map_err(|source| OutputError::Directory {
                        path: path.clone(),
                        source,
                    })?;
                let stat = open.stat(&name).map_err(|error| disk(path, error))?;
                let node_properties = self.wanted.properties.of(&stat).map(Box::new);
                open.symlinks.push(SymlinkNode {
                    name,
                    target,
                    node_properties,
                });
            }
            _ => self.skip(path.clone()),
        }
        path.truncate(outer_bytes);
        Ok(None)
    }

    fn finish(&self, done: Open, path: &str) -> Result<Directory, OutputError> {
        let stat = sys::fstat(&done.directory).map_err(|error| disk(path, error))?;
        let properties = self.wanted.properties.of(&stat);
        Directory::new(done.files, done.directories, done.symlinks, properties).map_err(|source| {
            OutputError::Directory {
                path: path.to_owned(),
                source,
            }
        })
    }
}

impl Open {
    fn new(
        directory: OwnedFd,
        name: Option<NodeName>,
        outer_bytes: usize,
        path: &str,
    ) -> Result<Self, OutputError> {
        let entries = sys::Dir::read_from(&directory).map_err(|error| disk(path, error))?;
        let (files, directories, symlinks) = Default::default();
        Ok(Open {
            directory,
            entries,
            name,
            outer_bytes,
            files,
            directories,
            symlinks,
        })
    }

    fn stat(&self, name: &NodeName) -> rustix::io::Result<sys::Stat> {
        sys::statat(&self.directory, name.as_str(), AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Opens a file or directory for reading, also one that is closed to its owner.
    fn open(&self, name: &NodeName, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match sys::openat(&self.directory, name.as_str(), flags, Mode::empty()) {
            Err(Errno::ACCESS) => {
                let path = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                make_readable(&sys::openat(&self.directory, name.as_str(), path, Mode::empty())?)?;
                sys::openat(&self.directory, name.as_str(), flags, Mode::empty())
            }
            opened => opened,
        }
    }
}
