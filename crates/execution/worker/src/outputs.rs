//! What an action has left behind: found, hashed, described, uploaded.
//!
//! Everything here runs after every process of the action is dead, so files hold still; or, after a request to a
//! persistent process, when they are out of its reach but for what it still holds open. They are a stranger's: no path is
//! ever resolved through a symlink, and nothing but regular files is opened.

mod directory;
mod file;
mod logs;
mod upload;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use blob::DigestFunction;
use merkle::{DirectoryError, NodeNameError, NodeProperties, TreeError};
use prost_types::Timestamp;
use reapi::execution as proto;
use rustix::fs::{self as sys, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use thiserror::Error;

pub(crate) use logs::{Log, read_log};
pub(crate) use upload::{Uploads, upload};

use crate::limits::{OPENS_MAX, OUTPUT_BYTES_MAX, OUTPUT_DEPTH_MAX, OUTPUT_ENTRIES_MAX, SKIPPED_NAMED_MAX};

/// What the client asked for, in the client's order.
#[derive(Clone, Debug)]
pub(crate) struct OutputsWanted {
    pub(crate) outputs: Vec<OutputWanted>,
    pub(crate) function: DigestFunction,
    /// A `Tree` for each output directory (E23).
    pub(crate) trees: bool,
    /// Each `Directory` of an output directory by itself, and the digest of the topmost (E23).
    pub(crate) directories: bool,
    pub(crate) properties: PropertiesWanted,
}

/// Which node properties to report (E25).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PropertiesWanted {
    pub(crate) mtime: bool,
    pub(crate) unix_mode: bool,
}

/// One output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutputWanted {
    /// As the client wrote it, relative to the working directory; it goes back like this.
    pub(crate) text: String,
    /// Relative to the input root, without `..`. Empty: the root itself.
    pub(crate) path: String,
    pub(crate) list: List,
}

/// Which list of the Command an output stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    /// `output_paths`: whatever is there (REAPI 2.1).
    Paths,
    /// `output_files`: a file or a symlink to one (REAPI 2.0).
    Files,
    /// `output_directories`: a directory or a symlink to one (REAPI 2.0).
    Directories,
}

/// What was there.
#[derive(Default)]
pub(crate) struct Outputs {
    pub(crate) files: Vec<proto::OutputFile>,
    pub(crate) directories: Vec<proto::OutputDirectory>,
    pub(crate) symlinks: Vec<proto::OutputSymlink>,
    pub(crate) file_symlinks: Vec<proto::OutputSymlink>,
    pub(crate) directory_symlinks: Vec<proto::OutputSymlink>,
    /// Sockets, pipes and devices inside output directories: REAPI cannot carry them, so they are left out. The first
    /// few paths, and how many there were.
    pub(crate) skipped: (Vec<String>, usize),
}

/// Why outputs cannot be returned. The variants from `WrongKind` to `Name` are the action's doing.
#[derive(Debug, Error)]
pub(crate) enum OutputError {
    /// A list of REAPI 2.0 promised something else (E22).
    #[error("`{path}` stands in {list}, but the action made it a {found}")]
    WrongKind {
        path: String,
        list: &'static str,
        found: &'static str,
    },
    /// Somebody put a symlink where a directory above the output was.
    #[error("output `{path}`: a directory above it is a symlink; outputs are not collected through symlinks")]
    ThroughSymlink { path: String },
    /// REAPI has files, directories and symlinks only.
    #[error("output `{path}` is a {found}, which cannot be an output")]
    Special { path: String, found: &'static str },
    /// Not expressible in REAPI.
    #[error("in output `{path}`: {source}")]
    Name { path: String, source: NodeNameError },
    /// Not expressible in REAPI.
    #[error("the target of symlink `{path}` is not UTF-8, and the protocol has no way to carry it")]
    TargetNotUtf8 { path: String },
    /// Not expressible in REAPI.
    #[error("in output `{path}`: {source}")]
    Directory { path: String, source: DirectoryError },
    /// Not expressible in REAPI.
    #[error("output directory `{path}`: {source}")]
    Tree { path: String, source: TreeError },
    #[error("the outputs hold more than {OUTPUT_ENTRIES_MAX} files, directories and symlinks")]
    TooMany,
    #[error(
        "the output files have more than {OUTPUT_BYTES_MAX} bytes together, counting the holes in sparse files"
    )]
    TooLarge,
    #[error("in output `{path}`: more than {OUTPUT_DEPTH_MAX} directories deep")]
    TooDeep { path: String },
    #[error("an output path is {path_bytes} bytes long; no system call takes it")]
    PathTooLong { path_bytes: usize },
    /// This machine's disk failed.
    #[error("reading output `{path}`: {source}")]
    Disk { path: String, source: io::Error },
}

/// A collection in progress: limits are over all outputs of an action together.
struct Collection<'a> {
    wanted: &'a OutputsWanted,
    root: &'a Arc<OwnedFd>,
    found: Outputs,
    uploads: &'a mut Uploads,
    entries: usize,
    bytes: u64,
}

/// Finds and hashes all outputs below `root`; what has to be uploaded for them is added to `uploads`. Blocking.
pub(crate) fn collect(
    wanted: &OutputsWanted,
    root: &Arc<OwnedFd>,
    uploads: &mut Uploads,
) -> Result<Outputs, OutputError> {
    let mut collection = Collection {
        wanted,
        root,
        found: Outputs::default(),
        uploads,
        entries: 0,
        bytes: 0,
    };
    for output in &wanted.outputs {
        collection.collect(output)?;
    }
    Ok(collection.found)
}

impl Collection<'_> {
    fn collect(&mut self, output: &OutputWanted) -> Result<(), OutputError> {
        let Some(opened) = open_beneath(self.root, &output.path, OFlags::PATH | OFlags::NOFOLLOW)? else {
            return Ok(());
        };
        let stat = sys::fstat(&opened).map_err(|error| disk(&output.path, error))?;
        self.count_entry()?;
        match (FileType::from_raw_mode(stat.st_mode), output.list) {
            (FileType::RegularFile, List::Paths | List::Files) => self.file(output),
            (FileType::Directory, List::Paths | List::Directories) => self.directory(output),
            (FileType::Symlink, list) => self.symlink(output, list, &opened, &stat),
            (FileType::RegularFile | FileType::Directory, list) => {
                Err(wrong_kind(output, list, kind_of(&stat)))
            }
            _ => Err(OutputError::Special {
                path: output.text.clone(),
                found: kind_of(&stat),
            }),
        }
    }

    fn file(&mut self, output: &OutputWanted) -> Result<(), OutputError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let Some(opened) = open_beneath(self.root, &output.path, flags)? else {
            return Ok(());
        };
        let (digest, stat) = self.hash(opened, &output.path)?;
        self.found.files.push(proto::OutputFile {
            path: output.text.clone(),
            digest: Some(digest.to_proto()),
            is_executable: is_executable(&stat),
            node_properties: self
                .wanted
                .properties
                .of(&stat)
                .map(|properties| properties.to_proto()),
            ..Default::default()
        });
        Ok(())
    }

    fn symlink(
        &mut self,
        output: &OutputWanted,
        list: List,
        opened: &OwnedFd,
        stat: &sys::Stat,
    ) -> Result<(), OutputError> {
        let symlink = proto::OutputSymlink {
            path: output.text.clone(),
            target: read_target(opened, "", &output.path)?,
            node_properties: self
                .wanted
                .properties
                .of(stat)
                .map(|properties| properties.to_proto()),
        };
        // Only what can be found inside the input root counts; what dangles or leads out is kept as it is.
        let leads_to = match open_following(self.root, &output.path) {
            Some(target) => Some(sys::fstat(&target).map_err(|error| disk(&output.path, error))?),
            None => None,
        };
        let is_directory = leads_to
            .as_ref()
            .map(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
        match (list, is_directory) {
            (List::Files, Some(true)) => return Err(wrong_kind(output, list, "symlink to a directory")),
            (List::Directories, Some(false)) => return Err(wrong_kind(output, list, "symlink to a file")),
            (List::Files, _) => self.found.file_symlinks.push(symlink),
            (List::Directories, _) => self.found.directory_symlinks.push(symlink),
            (List::Paths, _) => {
                // Clients of REAPI 2.0 look for it in one of the old lists.
                match is_directory {
                    Some(true) => self.found.directory_symlinks.push(symlink.clone()),
                    _ => self.found.file_symlinks.push(symlink.clone()),
                }
                self.found.symlinks.push(symlink);
            }
        }
        Ok(())
    }

    fn count_entry(&mut self) -> Result<(), OutputError> {
        self.entries += 1;
        if self.entries > OUTPUT_ENTRIES_MAX {
            Err(OutputError::TooMany)
        } else {
            Ok(())
        }
    }

    fn count_bytes(&mut self, size_bytes: u64) -> Result<(), OutputError> {
        self.bytes = self.bytes.saturating_add(size_bytes);
        if self.bytes > OUTPUT_BYTES_MAX {
            Err(OutputError::TooLarge)
        } else {
            Ok(())
        }
    }

    fn skip(&mut self, path: String) {
        let (named, count) = &mut self.found.skipped;
        *count += 1;
        if named.len() < SKIPPED_NAMED_MAX {
            named.push(path);
        }
    }
}

impl PropertiesWanted {
    fn of(&self, stat: &sys::Stat) -> Option<NodeProperties> {
        let mtime = Timestamp {
            seconds: stat.st_mtime,
            nanos: stat.st_mtime_nsec as i32,
        };
        let mode = stat.st_mode & 0o7777;
        (self.mtime || self.unix_mode)
            .then(|| NodeProperties::new(self.mtime.then_some(mtime), self.unix_mode.then_some(mode)))
    }
}

/// Opens a path that may name a symlink at its end but must not lead through one. `None`: it is not there.
fn open_beneath(root: &OwnedFd, path: &str, flags: OFlags) -> Result<Option<OwnedFd>, OutputError> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = flags | OFlags::CLOEXEC;
    let name = if path.is_empty() { "." } else { path };
    match sys::openat2(root, name, flags, Mode::empty(), resolve) {
        Ok(opened) => Ok(Some(opened)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(Errno::LOOP | Errno::XDEV) => Err(OutputError::ThroughSymlink {
            path: path.to_owned(),
        }),
        Err(Errno::NAMETOOLONG) => Err(OutputError::PathTooLong {
            path_bytes: path.len(),
        }),
        // Our own file, closed to ourselves.
        Err(Errno::ACCESS) if !flags.contains(OFlags::PATH) => {
            let Some(closed) = open_beneath(root, path, OFlags::PATH | OFlags::NOFOLLOW)? else {
                return Ok(None);
            };
            make_readable(&closed).map_err(|error| disk(path, error))?;
            match sys::openat2(root, name, flags, Mode::empty(), resolve) {
                Ok(opened) => Ok(Some(opened)),
                Err(error) => Err(disk(path, error)),
            }
        }
        Err(error) => Err(disk(path, error)),
    }
}

/// What a symlink leads to, if that is inside the root.
fn open_following(root: &OwnedFd, path: &str) -> Option<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let open = || sys::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve);
    // The kernel cannot tell where `..` leads while something is renamed or mounted anywhere, and says to try again.
    let mut opened = std::iter::repeat_with(open).take(OPENS_MAX);
    opened.find(|opened| !matches!(opened, Err(Errno::AGAIN)))?.ok()
}

/// Lets the worker, who owns what its actions made, read a file or directory of mode 000.
fn make_readable(closed: &OwnedFd) -> rustix::io::Result<()> {
    // An O_PATH descriptor takes no fchmod; its entry in /proc leads to the very same file.
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(closed));
    let mode = Mode::from_raw_mode(sys::fstat(closed)?.st_mode);
    sys::chmod(path, mode | Mode::RUSR | Mode::XUSR)
}

/// The target of the symlink `name` in `at`, or of `at` itself if `name` is empty; `path` is for messages.
fn read_target(at: &OwnedFd, name: &str, path: &str) -> Result<String, OutputError> {
    let target = sys::readlinkat(at, name, Vec::new()).map_err(|error| disk(path, error))?;
    target.into_string().map_err(|_| OutputError::TargetNotUtf8 {
        path: path.to_owned(),
    })
}

/// Whoever may execute it, it is executable.
fn is_executable(stat: &sys::Stat) -> bool {
    stat.st_mode & 0o111 != 0
}

fn kind_of(stat: &sys::Stat) -> &'static str {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "symlink",
        FileType::Fifo => "named pipe",
        FileType::Socket => "socket",
        FileType::CharacterDevice | FileType::BlockDevice => "device",
        _ => "special file",
    }
}

fn wrong_kind(output: &OutputWanted, list: List, found: &'static str) -> OutputError {
    let list = match list {
        List::Paths => "output_paths",
        List::Files => "output_files",
        List::Directories => "output_directories",
    };
    OutputError::WrongKind {
        path: output.text.clone(),
        list,
        found,
    }
}

fn disk(path: &str, error: Errno) -> OutputError {
    OutputError::Disk {
        path: path.to_owned(),
        source: error.into(),
    }
}

#[cfg(test)]
mod tests;
