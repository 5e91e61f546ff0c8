//! The memory of digests.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use blob::{Digest, DigestFunction, DigestHasher};
use parking_lot::Mutex;

use crate::limits::{FILES_MAX, PIECE_BYTES, READS_MAX};
use crate::stamp::Stamp;

/// What a file holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileDigest {
    /// Of its bytes.
    pub digest: Digest,
    /// Whether it may be executed.
    pub is_executable: bool,
    /// The state of the file with these bytes.
    pub stamp: Stamp,
}

/// Why there is no digest.
#[derive(Debug)]
pub enum ReadError {
    /// There is a directory, a device, a pipe.
    NotAFile,
    /// It changes faster than it is read.
    Changing,
    /// The system says no.
    Io(io::Error),
}

/// Remembers digests. Any number of threads may ask at once; what two ask for at the same time may be read twice.
pub struct FileDigests {
    function: DigestFunction,
    known: Mutex<Known>,
}

/// Two generations: what was asked for since the last turn, and what was before. When the young one is full the old one
/// goes, in constant time and without a clock for each entry.
#[derive(Default)]
struct Known {
    young: HashMap<PathBuf, (Stamp, Digest)>,
    old: HashMap<PathBuf, (Stamp, Digest)>,
}

impl FileDigests {
    /// Nothing is known yet.
    pub fn new(function: DigestFunction) -> Self {
        FileDigests {
            function,
            known: Mutex::default(),
        }
    }

    /// The digest of the file that `path` leads to now, symlinks followed. Reads it if it is not known in this state.
    pub fn get(&self, path: &Path) -> Result<FileDigest, ReadError> {
        let metadata = fs::metadata(path).map_err(ReadError::Io)?;
        if !metadata.is_file() {
            return Err(ReadError::NotAFile);
        }
        let stamp = Stamp::of(&metadata);
        if let Some(digest) = self.known.lock().get(path, &stamp) {
            return Ok(FileDigest {
                digest,
                is_executable: stamp.is_executable(),
                stamp,
            });
        }
        self.read(path)
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        let known = self.known.lock();
        known.young.len() + known.old.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn read(&self, path: &Path) -> Result<FileDigest, ReadError> {
        for _ in 0..READS_MAX {
            let mut file = File::open(path).map_err(ReadError::Io)?;
            // Before the file is read: a change that comes later has a later time.
            let now = SystemTime::now();
            let before = Stamp::of(&file.metadata().map_err(ReadError::Io)?);
            let mut hasher = DigestHasher::new(self.function, before.size_bytes());
            let mut piece = vec![0; PIECE_BYTES.min(before.size_bytes() as usize + 1)];
            loop {
                match file.read(&mut piece) {
                    Ok(0) => break,
                    Ok(read) => hasher.update(&piece[..read]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(ReadError::Io(error)),
                }
            }
            let after = Stamp::of(&file.metadata().map_err(ReadError::Io)?);
            if before != after || hasher.size_bytes() != after.size_bytes() {
                continue;
            }
            let digest = hasher.finish();
            if after.is_settled(now) {
                self.known.lock().insert(path, after, digest);
            }
            return Ok(FileDigest {
                digest,
                is_executable: after.is_executable(),
                stamp: after,
            });
        }
        Err(ReadError::Changing)
    }
}

impl Known {
    fn get(&mut self, path: &Path, stamp: &Stamp) -> Option<Digest> {
        let found = self.young.get(path).or_else(|| self.old.get(path))?;
        let digest = (found.0 == *stamp).then_some(found.1)?;
        if let Some((path, entry)) = self.old.remove_entry(path) {
            self.make_room();
            self.young.insert(path, entry);
        }
        Some(digest)
    }

    fn insert(&mut self, path: &Path, stamp: Stamp, digest: Digest) {
        self.old.remove(path);
        self.make_room();
        self.young.insert(path.to_owned(), (stamp, digest));
    }

    fn make_room(&mut self) {
        if self.young.len() >= FILES_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
    }
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ReadError::NotAFile => f.write_str("it is no regular file"),
            ReadError::Changing => f.write_str("it changes while it is read"),
            ReadError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;

    const F: DigestFunction = DigestFunction::Sha256;
    const LONG_AGO: Duration = Duration::from_secs(1000);

    #[test]
    fn what_has_just_been_written_is_read_each_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let digests = FileDigests::new(F);
        // Of one length, within one tick of the clock.
        for content in ["one", "two", "six"] {
            fs::write(&path, content).unwrap();
            assert_eq!(
                digests.get(&path).unwrap().digest,
                Digest::of(F, content.as_bytes())
            );
        }
        assert!(digests.is_empty(), "it is too new to be known");
    }

    #[test]
    fn a_change_time_cannot_be_hidden() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "one").unwrap();
        let old = SystemTime::now() - LONG_AGO;
        let set_old = || {
            File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_modified(old)
                .unwrap()
        };
        set_old();
        let stamp = Stamp::of(&fs::metadata(&path).unwrap());
        assert!(
            !stamp.is_settled(SystemTime::now()),
            "it was changed now, whatever it says of its modification"
        );
        std::thread::sleep(Duration::from_millis(20));
        fs::write(&path, "two").unwrap();
        set_old();
        assert_ne!(stamp, Stamp::of(&fs::metadata(&path).unwrap()));
    }

    #[test]
    fn what_is_settled_is_known_until_it_changes() {
        let digests = FileDigests::new(F);
        // As old as the system that runs this test.
        let path = Path::new("/proc/self/exe").canonicalize().unwrap();
        let now = SystemTime::now();
        let stamp = Stamp::of(&fs::metadata(&path).unwrap());
        assert!(stamp.is_settled(now + LONG_AGO));
        let first = digests.get(&path).unwrap();
        assert!(first.is_executable);
        assert_eq!(digests.get(&path).unwrap(), first);
        let mut known = digests.known.lock();
        if let Some(digest) = known.get(&path, &stamp) {
            assert_eq!(digest, first.digest);
            let other = Stamp::of(&fs::metadata("/proc/self").unwrap());
            assert_eq!(known.get(&path, &other), None, "another state of the file");
        }
    }

    #[test]
    fn what_was_not_asked_for_goes_first() {
        let stamp = Stamp::of(&fs::metadata("/").unwrap());
        let digest = Digest::of(F, b"");
        let mut known = Known::default();
        for number in 0..FILES_MAX {
            known.insert(Path::new(&number.to_string()), stamp, digest);
            assert!(known.young.len() + known.old.len() <= FILES_MAX);
            known
                .get(Path::new("0"), &stamp)
                .expect("it is asked for all the time");
        }
    }

    #[test]
    fn what_is_no_file_says_so() {
        let digests = FileDigests::new(F);
        assert!(matches!(digests.get(Path::new("/")), Err(ReadError::NotAFile)));
        assert!(matches!(
            digests.get(Path::new("/dev/null")),
            Err(ReadError::NotAFile)
        ));
        assert!(matches!(
            digests.get(Path::new("/no/such/file")),
            Err(ReadError::Io(_))
        ));
    }

    #[test]
    fn whether_it_can_be_executed_is_part_of_its_state() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "one").unwrap();
        let digests = FileDigests::new(F);
        assert!(!digests.get(&path).unwrap().is_executable);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(digests.get(&path).unwrap().is_executable);
    }
}
