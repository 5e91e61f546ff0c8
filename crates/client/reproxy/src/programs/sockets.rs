//! Which reproxies there are on this machine, by the sockets that listen.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The flag of a socket that listens, in `/proc/net/unix`.
const LISTENS: u32 = 1 << 16;
/// Processes that are looked at.
const PROCESSES_MAX: usize = 1 << 20;
/// Descriptors of one process that are looked at.
const DESCRIPTORS_MAX: usize = 1 << 16;

/// A Unix socket that listens under a name.
#[derive(Debug, PartialEq, Eq)]
struct Socket {
    inode: u64,
    path: PathBuf,
}

/// Sockets of processes called `reproxy`, and those beside which our daemon listens for frames.
pub(crate) fn find() -> Vec<PathBuf> {
    let sockets = listening(&fs::read_to_string("/proc/net/unix").unwrap_or_default());
    let theirs = inodes_of("reproxy");
    reproxies(&sockets, &theirs)
}

fn reproxies(sockets: &[Socket], theirs: &BTreeSet<u64>) -> Vec<PathBuf> {
    let is_ours = |path: &Path| {
        let frames = reclient::address::Address::Unix(path.to_owned()).frames_socket(&|_| None);
        sockets.iter().any(|other| Some(&other.path) == frames.as_ref())
    };
    let found = sockets
        .iter()
        .filter(|socket| theirs.contains(&socket.inode) || is_ours(&socket.path));
    let paths: BTreeSet<_> = found.map(|socket| socket.path.clone()).collect();
    paths.into_iter().collect()
}

/// Lines of `Num: RefCount Protocol Flags Type St Inode Path`.
fn listening(text: &str) -> Vec<Socket> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.splitn(8, ' ').filter(|word| !word.is_empty());
            let flags = u32::from_str_radix(words.nth(3)?, 16).ok()?;
            let rest = line.split_whitespace().collect::<Vec<_>>();
            let inode = rest.get(6)?.parse().ok()?;
            let path = PathBuf::from(rest.get(7)?);
            (flags & LISTENS != 0 && path.is_absolute()).then_some(Socket { inode, path })
        })
        .collect()
}

/// The sockets that processes of this name have open. Those that we may not look at have none.
fn inodes_of(name: &str) -> BTreeSet<u64> {
    let mut inodes = BTreeSet::new();
    let Ok(processes) = fs::read_dir("/proc") else {
        return inodes;
    };
    for process in processes.flatten().take(PROCESSES_MAX) {
        let is_it = fs::read_to_string(process.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name);
        let Some(Ok(descriptors)) = is_it.then(|| fs::read_dir(process.path().join("fd"))) else {
            continue;
        };
        let targets = descriptors
            .flatten()
            .take(DESCRIPTORS_MAX)
            .filter_map(|entry| fs::read_link(entry.path()).ok());
        inodes.extend(targets.filter_map(|target| {
            let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            inode.parse::<u64>().ok()
        }));
    }
    inodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_listen_are_read() {
        let text = "\
Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01   101 /run/r.sock
0000000000000000: 00000002 00000000 00010000 0001 01 102 /run/r.sock.farrier
0000000000000000: 00000003 00000000 00000000 0001 03 103 /run/r.sock
0000000000000000: 00000002 00000000 00010000 0001 01 104 @abstract
0000000000000000: 00000003 00000000 00000000 0001 03 105
0000000000000000: 00000002 00000000 00010000 0001 01 106 /run/other
0000000000000000: 00000002 00000000 00010000 0001 01 107 /run/theirs
";
        let sockets = listening(text);
        let inodes: Vec<_> = sockets.iter().map(|socket| socket.inode).collect();
        assert_eq!(inodes, [101, 102, 106, 107]);
        let found = reproxies(&sockets, &BTreeSet::from([107, 9]));
        assert_eq!(
            found,
            [PathBuf::from("/run/r.sock"), PathBuf::from("/run/theirs")]
        );
    }

    #[test]
    fn a_socket_of_this_machine_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("r.sock");
        let _one = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let _two = std::os::unix::net::UnixListener::bind(directory.path().join("r.sock.farrier")).unwrap();
        assert!(find().contains(&path));
    }
}
