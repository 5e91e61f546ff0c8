//! What files and directories of a tree look like: the same as where they are laid out on a disk.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use fuser::{FileAttr, FileType, INodeNo};

use crate::nodes::Kind;

/// A user and a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// Whose everything is.
#[derive(Clone, Debug)]
pub struct Owners {
    /// Directories, and files that the action may overwrite: its own user.
    pub action: Id,
    /// All else: out of its reach.
    pub files: Id,
    /// Paths of outputs: what is there, or below, the action may overwrite. The empty one is the root.
    pub outputs: BTreeSet<String>,
    /// When all of it was modified, since 1970.
    pub modified: Duration,
}

impl Owners {
    /// Whether `path` is an output's or below one.
    fn is_private(&self, path: &str) -> bool {
        let is_output = |path: &str| self.outputs.contains(path);
        let above = path.match_indices('/').map(|(end, _)| &path[..end]);
        is_output("") || is_output(path) || above.into_iter().any(is_output)
    }
}

/// The attributes of a node.
pub(crate) fn attributes(owners: &Owners, ino: u64, path: &str, kind: &Kind) -> FileAttr {
    let (file_type, size, perm, owner) = match kind {
        Kind::Directory(_) => (FileType::Directory, 0, 0o755, owners.action),
        Kind::Symlink(target) => (FileType::Symlink, target.len() as u64, 0o777, owners.files),
        Kind::File(file) => {
            let execute = if file.is_executable { 0o111 } else { 0 };
            let (write, owner) = match owners.is_private(path) {
                true => (0o200, owners.action),
                false => (0, owners.files),
            };
            let perm = 0o444 | execute | write;
            (FileType::RegularFile, file.digest.size_bytes(), perm, owner)
        }
    };
    let time = SystemTime::UNIX_EPOCH + owners.modified;
    FileAttr {
        ino: INodeNo(ino),
        size,
        blocks: size.div_ceil(512),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: file_type,
        perm,
        nlink: 1,
        uid: owner.uid,
        gid: owner.gid,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

#[cfg(test)]
mod tests {
    use blob::{Digest, DigestFunction};

    use super::*;
    use crate::InputFile;

    fn check(outputs: &[&str], path: &str, is_executable: bool, expected: (u16, u32)) {
        let owners = Owners {
            action: Id { uid: 7, gid: 7 },
            files: Id { uid: 0, gid: 0 },
            outputs: outputs.iter().map(|path| (*path).to_owned()).collect(),
            modified: Duration::from_secs(5),
        };
        let digest = Digest::of(DigestFunction::Sha256, b"four");
        let file = Kind::File(InputFile {
            digest,
            is_executable,
        });
        let attributes = attributes(&owners, 3, path, &file);
        assert_eq!((attributes.perm, attributes.uid), expected, "{path} {outputs:?}");
        assert_eq!((attributes.size, attributes.ino), (4, INodeNo(3)));
    }

    #[test]
    fn inputs_are_out_of_reach_but_where_an_output_is() {
        check(&[], "a/b", false, (0o444, 0));
        check(&[], "a/b", true, (0o555, 0));
        check(&["a/b"], "a/b", false, (0o644, 7));
        check(&["a"], "a/b/c", true, (0o755, 7));
        check(&["a/b"], "a/bc", false, (0o444, 0));
        check(&[""], "anything", false, (0o644, 7));
    }
}
