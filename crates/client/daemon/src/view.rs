//! Which files a process sees. A wrapper in a container or a chroot may reach the daemon's socket, but its paths lead
//! elsewhere: what the daemon would read and write for it are other files.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The mounts and the root directory of a process. Two processes with the same see the same file at every path.
#[derive(Debug, PartialEq, Eq)]
struct View {
    mounts: PathBuf,
    root: (u64, u64),
}

/// Whether a process sees the files that this one sees. One that cannot be looked at does not: it belongs to somebody else, or
/// has no number here.
pub(crate) fn is_shared_with(process: u32) -> bool {
    let of = |process: &str| View::of(&Path::new("/proc").join(process));
    matches!((of("self"), of(&process.to_string())), (Ok(ours), Ok(theirs)) if ours == theirs)
}

impl View {
    /// By its directory in `/proc`.
    fn of(process: &Path) -> io::Result<Self> {
        let root = fs::metadata(process.join("root/."))?;
        Ok(View {
            mounts: fs::read_link(process.join("ns/mnt"))?,
            root: (root.dev(), root.ino()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_process_like_this_one_sees_the_same() {
        assert!(is_shared_with(std::process::id()));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(is_shared_with(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!is_shared_with(child.id()), "it has gone");
    }

    #[test]
    fn other_mounts_or_another_root_are_another_view() {
        let directory = tempfile::tempdir().unwrap();
        let process = |name: &str, mounts: &str, root: &str| {
            let path = directory.path().join(name);
            fs::create_dir_all(path.join("ns")).unwrap();
            symlink(mounts, path.join("ns/mnt")).unwrap();
            symlink(root, path.join("root")).unwrap();
            View::of(&path).unwrap()
        };
        let ours = process("a", "mnt:[1]", "/");
        assert_eq!(process("b", "mnt:[1]", "/"), ours);
        assert_ne!(process("c", "mnt:[2]", "/"), ours);
        assert_ne!(process("d", "mnt:[1]", "/usr"), ours);
    }
}
