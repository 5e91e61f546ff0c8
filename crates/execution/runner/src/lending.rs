//! A build directory of one user for the commands of another, and back.
//!
//! A worker that is not root cannot give its files to anybody, nor remove what others have made in them. A runner that is
//! root does it for such a client: before a command it gives away what the command may write, and when all of it is dead
//! it gives everything back. Only what belongs to one of the two ever changes hands, and only through descriptors that
//! are known to be it, so that nobody can have something of a third one given to him.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use runner_api::UidMode;
use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

use crate::confinement::{Confinement, Ids};
use crate::limits::LENT_DIRECTORIES_MAX;

/// A client whose files are its own, and not the commands'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lender {
    uid: u32,
    gid: u32,
}

impl Lender {
    /// Who has made this connection, where that matters: not with root, who gives files away himself, nor where commands
    /// are the runner's own user.
    pub(crate) fn of(connection: &UnixStream, confinement: &Confinement) -> io::Result<Option<Lender>> {
        if confinement.ids.mode == UidMode::Rootless {
            return Ok(None);
        }
        let peer = rustix::net::sockopt::socket_peercred(connection)?;
        let lender = Lender {
            uid: peer.uid.as_raw(),
            gid: peer.gid.as_raw(),
        };
        Ok((lender.uid != 0 && lender.uid != confinement.ids.uid).then_some(lender))
    }

    /// Whom files are made for.
    pub(crate) fn owner(self) -> (Uid, Gid) {
        (Uid::from_raw(self.uid), Gid::from_raw(self.gid))
    }

    /// Gives the command every directory, and every file that its owner may write: inputs that others share stay what
    /// they are.
    pub(crate) fn lend(self, root: &Path, ids: &Ids) -> io::Result<()> {
        let to = (Uid::from_raw(ids.uid), Gid::from_raw(ids.gid));
        give(root, to, &|stat| {
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            let is_writable = Mode::from_raw_mode(stat.st_mode).contains(Mode::WUSR);
            stat.st_uid == self.uid && (is_directory || is_writable)
        })
    }

    /// Gives the client all that is the command's. No process of it may be alive.
    pub(crate) fn take_back(self, root: &Path, ids: &Ids) -> io::Result<()> {
        give(root, self.owner(), &|stat| stat.st_uid == ids.uid)
    }
}

const WALK: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A directory on the way down: where it hangs, and what is still to be entered.
struct Level {
    above: (u64, u64),
    below: Vec<CString>,
}

/// Walks the tree with one descriptor at a time, however deep it is.
fn give(root: &Path, to: (Uid, Gid), is_meant: &dyn Fn(&Stat) -> bool) -> io::Result<()> {
    let mut current = rustix::fs::open(root, WALK, Mode::empty())?;
    hand(
        &rustix::fs::openat(&current, ".", LOOK, Mode::empty())?,
        to,
        is_meant,
    )?;
    let mut levels = vec![Level {
        above: (0, 0),
        below: hand_entries(&current, to, is_meant)?,
    }];
    // Ends: every round enters a directory that is remembered once, or goes up.
    while let Some(level) = levels.last_mut() {
        match level.below.pop() {
            Some(name) => {
                let above = identity(&current)?;
                current = match rustix::fs::openat(&current, &*name, WALK, Mode::empty()) {
                    Ok(directory) => directory,
                    Err(Errno::NOENT) => continue,
                    Err(errno) => return Err(errno.into()),
                };
                let below = hand_entries(&current, to, is_meant)?;
                levels.push(Level { above, below });
            }
            None => {
                let above = level.above;
                levels.pop();
                if levels.is_empty() {
                    return Ok(());
                }
                current = rustix::fs::openat(&current, "..", WALK, Mode::empty())?;
                if identity(&current)? != above {
                    return Err(io::Error::other("a directory was moved meanwhile"));
                }
            }
        }
    }
    Ok(())
}

/// Hands over what is in a directory; answers which directories are.
fn hand_entries(
    directory: &OwnedFd,
    to: (Uid, Gid),
    is_meant: &dyn Fn(&Stat) -> bool,
) -> io::Result<Vec<CString>> {
    let mut below = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if [&b"."[..], b".."].contains(&name.to_bytes()) {
            continue;
        }
        let opened = match rustix::fs::openat(directory, name, LOOK, Mode::empty()) {
            Ok(opened) => opened,
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(errno.into()),
        };
        if hand(&opened, to, is_meant)? == FileType::Directory {
            if below.len() >= LENT_DIRECTORIES_MAX {
                let what = format!("a directory holds more than {LENT_DIRECTORIES_MAX} others");
                return Err(io::Error::other(what));
            }
            below.push(name.to_owned());
        }
    }
    Ok(below)
}

/// Hands over exactly what was opened, whatever has taken its name since.
fn hand(opened: &OwnedFd, to: (Uid, Gid), is_meant: &dyn Fn(&Stat) -> bool) -> io::Result<FileType> {
    let stat = rustix::fs::fstat(opened)?;
    if is_meant(&stat) {
        rustix::fs::chownat(opened.as_fd(), "", Some(to.0), Some(to.1), AtFlags::EMPTY_PATH)?;
        // A new owner costs a program the bits that make others its user; nobody else's mode is touched.
    }
    Ok(FileType::from_raw_mode(stat.st_mode))
}

fn identity(directory: &OwnedFd) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstat(directory)?;
    Ok((stat.st_dev, stat.st_ino))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

    use runner_api::DEFAULT_USER;

    use super::*;

    #[test]
    fn a_directory_is_lent_without_shared_inputs_and_comes_back_with_all_that_was_made() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root gives files away");
            return;
        }
        let ids = Ids {
            mode: UidMode::Privileged,
            uid: 62_000,
            gid: 62_000,
            inner: DEFAULT_USER,
        };
        let lender = Lender {
            uid: 61_000,
            gid: 61_000,
        };
        let scratch = tempfile::tempdir().unwrap();
        let at = |path: &str| scratch.path().join("root").join(path);
        let owner = |path: &str| fs::symlink_metadata(at(path)).unwrap().uid();
        fs::create_dir_all(at("a/b")).unwrap();
        for (name, mode, uid) in [
            ("shared", 0o444, 61_000),
            ("a/private", 0o644, 61_000),
            ("a/strange", 0o644, 0),
        ] {
            fs::write(at(name), "").unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
            chown(at(name), Some(uid), Some(uid)).unwrap();
        }
        for directory in ["", "a", "a/b"] {
            chown(at(directory), Some(61_000), Some(61_000)).unwrap();
        }
        fs::write(scratch.path().join("outside"), "").unwrap();
        lender.lend(&at(""), &ids).unwrap();
        let owners = ["", "a", "a/b", "a/private", "shared", "a/strange"].map(owner);
        assert_eq!(owners, [62_000, 62_000, 62_000, 62_000, 61_000, 0]);

        // What a command makes: closed to all others, deep, and with ways out.
        let mut deep = at("a/b");
        for _ in 0..300 {
            deep.push("d");
            fs::create_dir(&deep).unwrap();
            chown(&deep, Some(62_000), Some(62_000)).unwrap();
        }
        fs::set_permissions(at("a/b/d"), fs::Permissions::from_mode(0o000)).unwrap();
        symlink(scratch.path(), at("way out")).unwrap();
        std::os::unix::fs::lchown(at("way out"), Some(62_000), Some(62_000)).unwrap();
        lender.take_back(&at(""), &ids).unwrap();
        let owners = ["", "a", "a/b/d", "a/private", "way out", "a/strange"].map(owner);
        assert_eq!(owners, [61_000, 61_000, 61_000, 61_000, 61_000, 0]);
        assert_eq!(fs::metadata(&deep).unwrap().uid(), 61_000);
        assert_eq!(fs::metadata(scratch.path().join("outside")).unwrap().uid(), 0);
    }
}
