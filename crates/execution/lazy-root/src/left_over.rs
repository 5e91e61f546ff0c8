//! Mounts that a worker has left behind which was killed.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::mount::UnmountFlags;

use crate::limits::DETACH_ROUNDS_MAX;
use crate::mount::SOURCE;

/// Takes away everything of ours that is mounted below `directory`, an absolute path without symlinks. Nothing of it works
/// any more: whoever served it is dead. What others have mounted there stays. How many there were.
pub fn detach_below(directory: &Path) -> io::Result<usize> {
    let mut detached = 0;
    // A mount may hide others of the same path.
    for _ in 0..DETACH_ROUNDS_MAX {
        let table = std::fs::read("/proc/self/mountinfo")?;
        let found = mount_points(&table, directory);
        if found.is_empty() {
            return Ok(detached);
        }
        for at in found {
            match rustix::mount::unmount(&at, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
                Ok(()) => detached += 1,
                // It went with the one above it.
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
                Err(errno) => {
                    let error = io::Error::from(errno);
                    let message = format!(
                        "something is mounted at {}, left behind by an earlier worker, and cannot be taken away: {error}; \
                         unmount it",
                        at.display()
                    );
                    return Err(io::Error::new(error.kind(), message));
                }
            }
        }
    }
    Err(io::Error::other(format!(
        "mounts below {} do not end; unmount them",
        directory.display()
    )))
}

/// Those of ours strictly below `directory`, the innermost first.
fn mount_points(table: &[u8], directory: &Path) -> Vec<PathBuf> {
    let lines = table.split(|byte| *byte == b'\n');
    let mut found: Vec<PathBuf> = lines
        .filter(|line| is_ours(line))
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(4))
        .map(unescaped)
        .filter(|at| at.starts_with(directory) && at != directory)
        .collect();
    found.sort_by_key(|at| std::cmp::Reverse(at.as_os_str().as_bytes().len()));
    found
}

/// By the source, the second field after a lone dash.
fn is_ours(line: &[u8]) -> bool {
    let mut fields = line
        .split(|byte| *byte == b' ')
        .skip_while(|field| *field != b"-");
    fields.nth(2) == Some(SOURCE.as_bytes())
}

/// The table writes blanks and the like as three octal digits.
fn unescaped(text: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let octal = |digits: &[u8]| {
            let text = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(text, 8).ok()
        };
        let escaped = (*first == b'\\')
            .then(|| after.get(..3).and_then(octal))
            .flatten();
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_is_found_the_innermost_first() {
        let table = b"22 1 0:20 / / rw - ext4 /dev/x rw\n\
            30 22 0:30 / /w/builds rw shared:1 - tmpfs t rw\n\
            31 22 0:31 / /w/builds/a/root rw - overlay farrier rw\n\
            32 22 0:32 / /w/builds/a/inputs/deeper rw - fuse.farrier farrier ro\n\
            33 22 0:33 / /w/builds/with\\040blank\\134 rw - overlay farrier rw\n\
            34 22 0:34 / /w/buildsx/root rw - overlay farrier rw\n\
            35 22 0:35 / /w/builds/disk rw - ext4 /dev/sdb rw\n\
            broken\n";
        let found = mount_points(table, Path::new("/w/builds"));
        let expected = [
            "/w/builds/a/inputs/deeper",
            "/w/builds/with blank\\",
            "/w/builds/a/root",
        ];
        assert_eq!(found, expected.map(PathBuf::from));
        assert_eq!(mount_points(table, Path::new("/nowhere")), Vec::<PathBuf>::new());
    }
}
