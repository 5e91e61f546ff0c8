//! Killing every process below this one, for want of a pid namespace, and when the runner ends.
//!
//! The caller is a *subreaper*: whoever loses its parent becomes the caller's child, so nobody escapes by detaching.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::sys;

/// Between two looks at who is left.
const PAUSE: Duration = Duration::from_millis(1);

/// Makes orphans below this process its children.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    let own = rustix::process::getpid();
    Ok(rustix::process::set_child_subreaper(Some(own))?)
}

/// Kills and reaps everything below this process. An error if some of it would not die in `patience`.
pub(crate) fn kill_all(patience: Duration) -> io::Result<()> {
    let start = Instant::now();
    loop {
        loop {
            match sys::wait4(-1, libc::WNOHANG) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(Errno::CHILD) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
        if start.elapsed() > patience {
            return Err(io::Error::other(format!(
                "processes do not die although they were killed {patience:?} ago"
            )));
        }
        // A process forking while we look is found in the next round, then as a child of ours.
        kill_below(&BTreeSet::new())?;
        std::thread::sleep(PAUSE);
    }
}

/// Kills everything below this process but `spared` children and what is below them.
pub(crate) fn kill_below(spared: &BTreeSet<libc::pid_t>) -> io::Result<()> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    for pid in below(own, spared, &children()?) {
        // It may have died meanwhile; its number cannot mean another process before we reap it or its parent does,
        // and then that process is a descendant too or the kill fails.
        let _ = sys::kill(pid, libc::SIGKILL);
    }
    Ok(())
}

fn below(
    root: libc::pid_t,
    spared: &BTreeSet<libc::pid_t>,
    children: &BTreeMap<libc::pid_t, Vec<libc::pid_t>>,
) -> Vec<libc::pid_t> {
    let mut found: Vec<libc::pid_t> = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        let next = children
            .get(&parent)
            .into_iter()
            .flatten()
            .copied()
            .filter(|pid| !spared.contains(pid));
        let from = found.len();
        found.extend(next);
        parents.extend_from_slice(&found[from..]);
    }
    found
}

/// Who is whose child, on the whole host.
fn children() -> io::Result<BTreeMap<libc::pid_t, Vec<libc::pid_t>>> {
    let mut children: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // Unreadable means it is gone.
        let Ok(stat) = fs::read(format!("/proc/{pid}/stat")) else {
            continue;
        };
        if let Some(parent) = parent_of(&stat) {
            children.entry(parent).or_default().push(pid);
        }
    }
    Ok(children)
}

/// The fourth field of `/proc/PID/stat`. The second is the program's name in parentheses, and may hold anything.
fn parent_of(stat: &[u8]) -> Option<libc::pid_t> {
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    std::str::from_utf8(&stat[name_end + 1..])
        .ok()?
        .split_ascii_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strange_program_name_hides_nobody() {
        assert_eq!(parent_of(b"7 (sh) S 3 7 7 0"), Some(3));
        assert_eq!(parent_of(b"7 (a) S 9 (\xff) R 3 7"), Some(3));
        assert_eq!(parent_of(b"7 (sh"), None);
        assert_eq!(parent_of(b"7 (sh) S x"), None);
    }

    #[test]
    fn the_spared_are_spared_with_all_that_is_theirs() {
        let children = BTreeMap::from([(1, vec![2, 3]), (2, vec![4]), (3, vec![5, 6]), (6, vec![7])]);
        let mut found = below(1, &BTreeSet::from([2]), &children);
        found.sort_unstable();
        assert_eq!(found, [3, 5, 6, 7]);
    }

    #[test]
    fn this_process_is_its_parents_child() {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let parent = rustix::process::getppid().unwrap().as_raw_nonzero().get();
        assert!(children().unwrap()[&parent].contains(&own));
    }
}
