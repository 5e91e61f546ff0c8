//! Who starts the daemon, of many that want it.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The right to start the daemon of a socket; it ends when this is dropped.
#[derive(Debug)]
pub struct Claim {
    file: PathBuf,
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Whatever is in its place becomes stale by itself.
        let _ = fs::remove_file(&self.file);
    }
}

/// Claims the start of the daemon at `socket`, whose directory is made. `None` if somebody else has claimed it less than
/// `stale` ago. Two may have a claim at once where one was stale: the daemon itself takes care that it is alone.
pub fn claim(socket: &Path, stale: Duration) -> io::Result<Option<Claim>> {
    if let Some(directory) = socket.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut name = socket.as_os_str().to_owned();
    name.push(".starting");
    let file = PathBuf::from(name);
    let age = |file: &Path| {
        fs::metadata(file)
            .and_then(|found| found.modified())
            .ok()?
            .elapsed()
            .ok()
    };
    if age(&file).is_some_and(|age| age >= stale) {
        let _ = fs::remove_file(&file);
    }
    match OpenOptions::new().write(true).create_new(true).open(&file) {
        Ok(_) => Ok(Some(Claim { file })),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_many_has_it() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("made/socket");
        let long = Duration::from_secs(3600);
        let first = claim(&socket, long).unwrap();
        assert!(first.is_some());
        assert!(claim(&socket, long).unwrap().is_none());
        assert!(
            claim(&socket, Duration::ZERO).unwrap().is_some(),
            "a stale one is taken over"
        );
        drop(first);
        assert!(claim(&socket, long).unwrap().is_some());
        assert!(claim(Path::new("/proc/no/socket"), long).is_err());
    }
}
