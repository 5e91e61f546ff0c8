//! Every request of the kernel.
//!
//! Nothing here ever changes, so the kernel may keep what it was told for as long as it likes, including what is not
//! there. A new mount starts with nothing kept, thus every name, file and directory is asked for at least once, and that
//! once is noted. Entries with their attributes all at once (READDIRPLUS) would hide lookups, and are not offered.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use blob::Digest;
use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    IoctlFlags, KernelConfig, LockOwner, OpenFlags, PollEvents, PollFlags, PollNotifier, ReplyAttr,
    ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen, ReplyPoll,
    ReplyXattr, Request,
};
use merkle::Directory;

use crate::Contents;
use crate::attributes::attributes;
use crate::limits::{READ_BYTES_MAX, TIME_TO_LIVE};
use crate::nodes::{Kind, Node, child, join};
use crate::observed::Deed;
use crate::requests::Requests;

/// The number of an entry that has not been looked up, by the convention of libfuse.
const UNKNOWN_INO: u64 = 0xffff_ffff;
/// Nothing is ever made anew under a number.
const GENERATION: Generation = Generation(0);

/// One mount, as the kernel sees it.
pub(crate) struct FileSystem<C: Contents>(pub(crate) Arc<Requests<C>>);

impl<C: Contents> FileSystem<C> {
    fn node(&self, ino: INodeNo) -> Result<Node, Errno> {
        self.0.nodes.lock().get(ino.0).cloned().ok_or(Errno::ENOENT)
    }

    fn directory(&self, ino: INodeNo) -> Result<(Arc<str>, Digest), Errno> {
        match self.node(ino)? {
            Node {
                path,
                kind: Kind::Directory(digest),
            } => Ok((path, digest)),
            _ => Err(Errno::ENOTDIR),
        }
    }
}

impl<C: Contents> Filesystem for FileSystem<C> {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // The nearest that the kernel takes is good enough.
        if let Err(nearest) = config.set_max_readahead(READ_BYTES_MAX) {
            let _taken = config.set_max_readahead(nearest);
        }
        // Several threads may look up names in one directory at a time. Without it they wait for each other.
        let _old_kernel = config.add_capabilities(InitFlags::FUSE_PARALLEL_DIROPS);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let (path, digest) = match self.directory(parent) {
            Ok(found) => found,
            Err(errno) => return reply.error(errno),
        };
        // No name in REAPI is anything but UTF-8.
        let Some(name) = name.to_str().map(str::to_owned) else {
            return reply.error(Errno::ENOENT);
        };
        let requests = self.0.clone();
        let wanted = requests.contents.directory(digest);
        self.0
            .settle(path.clone(), wanted, move |directory| match directory {
                Err(errno) => reply.error(errno),
                Ok(directory) => {
                    let attributes = match child(&path, &directory, &name) {
                        Some(node) => known(&requests, &node),
                        None => {
                            requests.recorder.note(Deed::LookInVain, &join(&path, &name));
                            absent(&requests)
                        }
                    };
                    reply.entry(&TIME_TO_LIVE, &attributes, GENERATION);
                }
            });
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.node(ino) {
            Ok(node) => {
                let attributes = attributes(&self.0.owners, ino.0, &node.path, &node.kind);
                reply.attr(&TIME_TO_LIVE, &attributes);
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        match self.node(ino) {
            Ok(Node {
                path,
                kind: Kind::Symlink(target),
            }) => {
                self.0.recorder.note(Deed::ReadSymlink, &path);
                reply.data(target.as_bytes());
            }
            Ok(_) => reply.error(Errno::EINVAL),
            Err(errno) => reply.error(errno),
        }
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let (path, file) = match self.node(ino) {
            Ok(Node {
                path,
                kind: Kind::File(file),
            }) => (path, file),
            Ok(_) => return reply.error(Errno::EISDIR),
            Err(errno) => return reply.error(errno),
        };
        self.0.recorder.note(Deed::ReadFile, &path);
        let requests = self.0.clone();
        let wanted = requests.contents.file(file);
        self.0.settle(path.clone(), wanted, move |opened| {
            // What was read before is still so; there is nothing to flush when it is closed.
            let flags = FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH;
            match opened.and_then(|opened| requests.opened(&path, opened)) {
                Ok(number) => reply.opened(FileHandle(number), flags),
                Err(errno) => reply.error(errno),
            }
        });
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        number: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let Some(file) = self.0.file(number.0) else {
            return reply.error(Errno::EBADF);
        };
        match read(&file, offset, size.min(READ_BYTES_MAX)) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => {
                let path = self.node(ino).map_or_else(|_| "".into(), |node| node.path);
                let broken = self.0.contents.broken(&path, error);
                match self.0.noting::<()>(Err(broken)) {
                    Ok(()) => {}
                    Err(errno) => reply.error(errno),
                }
            }
        }
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        number: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.0.closed(number.0);
        reply.ok();
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let (path, digest) = match self.directory(ino) {
            Ok(found) => found,
            Err(errno) => return reply.error(errno),
        };
        self.0.recorder.note(Deed::ListDirectory, &path);
        let wanted = self.0.contents.directory(digest);
        self.0.settle(path, wanted, move |directory| match directory {
            Err(errno) => reply.error(errno),
            Ok(directory) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX);
                for (index, (name, kind)) in entries(&directory).enumerate().skip(from) {
                    // The offset says where to go on after this entry.
                    if reply.add(INodeNo(UNKNOWN_INO), index as u64 + 1, kind, name) {
                        break;
                    }
                }
                reply.ok();
            }
        });
    }

    // The rest is asked for in ordinary use and is not here. The kernel is told so once and does by itself what there is to
    // do. What is not even named here it never asks of a file system that is mounted read-only.

    fn getxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }

    fn listxattr(&self, _: &Request, _: INodeNo, _: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }

    fn lseek(&self, _: &Request, _: INodeNo, _: FileHandle, _: i64, _: i32, reply: ReplyLseek) {
        reply.error(Errno::ENOSYS);
    }

    fn ioctl(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        _: u32,
        _: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn poll(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: PollNotifier,
        _: PollEvents,
        _: PollFlags,
        reply: ReplyPoll,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }
}

/// The attributes of a node that is there.
fn known<C: Contents>(requests: &Requests<C>, node: &Node) -> FileAttr {
    let ino = requests.nodes.lock().number(node);
    attributes(&requests.owners, ino, &node.path, &node.kind)
}

/// The number 0 says that there is nothing, and the kernel may keep that too; nobody sees the rest.
fn absent<C: Contents>(requests: &Requests<C>) -> FileAttr {
    attributes(&requests.owners, 0, "", &Kind::Symlink("".into()))
}

/// Always in the same order.
fn entries(directory: &Directory) -> impl Iterator<Item = (&str, FileType)> {
    let files = directory.files().iter();
    let symlinks = directory.symlinks().iter();
    let directories = directory.directories().iter();
    [(".", FileType::Directory), ("..", FileType::Directory)]
        .into_iter()
        .chain(files.map(|node| (node.name.as_str(), FileType::RegularFile)))
        .chain(symlinks.map(|node| (node.name.as_str(), FileType::Symlink)))
        .chain(directories.map(|node| (node.name.as_str(), FileType::Directory)))
}

/// As much as there is of what was asked for: the kernel takes less for the end of the file.
fn read(file: &OwnedFd, offset: u64, size: u32) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; size as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::io::pread(file, &mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
