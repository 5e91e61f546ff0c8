//! One process for each directory.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::OpenError;

const FILE_NAME: &str = "lock";
/// Longest process id that an error message repeats.
const HOLDER_CHARS_MAX: usize = 32;

/// Holds a directory until it is dropped or the process dies, however it dies. The file in it names the holder.
pub(crate) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes the directory, or says who has it.
    pub(crate) fn take(directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join(FILE_NAME);
        let locking = || OpenError::io(format!("lock {}", path.display()));
        // Not truncated on opening: until the lock is ours the process id in it is somebody else's.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(locking())?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                // Only the message is poorer if this fails.
                let named = file.read_to_string(&mut holder).is_ok_and(|length| length > 0);
                let holder = if named {
                    holder.trim().chars().take(HOLDER_CHARS_MAX).collect()
                } else {
                    "?".into()
                };
                return Err(OpenError::InUse {
                    directory: directory.to_owned(),
                    holder,
                });
            }
            Err(error) => return Err(locking()(error.into())),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(locking())?;
        Ok(DirectoryLock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_the_first_is() {
        let directory = tempfile::tempdir().unwrap();
        let first = DirectoryLock::take(directory.path()).unwrap();
        let Err(OpenError::InUse { holder, .. }) = DirectoryLock::take(directory.path()) else {
            panic!("two holders")
        };
        assert_eq!(holder, std::process::id().to_string());
        drop(first);
        DirectoryLock::take(directory.path()).unwrap();
    }
}
