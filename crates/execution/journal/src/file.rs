//! Records in a file: each whole and as it was written, or not there.
//!
//! A header of eight bytes, then one record after the other: length (4 bytes, little endian), XXH3 of the content
//! (8 bytes), content. A file is never changed but at its end, and is replaced as a whole by renaming.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

/// The first bytes of a journal of this format.
const HEADER: [u8; 8] = *b"FARRJNL1";
/// Length and checksum before each record.
const PREFIX_BYTES: usize = 12;
/// Longest record: a result inlines what its client asked for, and a message from a worker is bounded by this.
pub(crate) const RECORD_BYTES_MAX: usize = 80 << 20;
/// How much is gathered before it is written.
const GATHERED_BYTES: usize = 1 << 20;

/// How a file ended when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// There was none.
    Absent,
    /// After a whole record.
    Whole,
    /// In the middle of a record at this place: its writer died.
    Torn(u64),
    /// At this place is something that nobody has written like this; nothing after it can be trusted.
    Damaged(u64),
}

/// Reads a file from its beginning, record by record, as far as it can be trusted.
pub(crate) fn read(path: &Path, mut take: impl FnMut(&[u8])) -> io::Result<End> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(End::Absent),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    let mut file = BufReader::with_capacity(GATHERED_BYTES, file);
    let mut header = [0; HEADER.len()];
    if length < HEADER.len() as u64 {
        return Ok(End::Torn(0));
    }
    file.read_exact(&mut header)?;
    if header != HEADER {
        return Ok(End::Damaged(0));
    }
    let mut at = HEADER.len() as u64;
    let mut record = Vec::new();
    loop {
        let left = length - at;
        if left == 0 {
            return Ok(End::Whole);
        }
        if left < PREFIX_BYTES as u64 {
            return Ok(End::Torn(at));
        }
        let mut prefix = [0; PREFIX_BYTES];
        file.read_exact(&mut prefix)?;
        let (size, checksum) = prefix.split_at(4);
        let size = u32::from_le_bytes(size.try_into().expect("four bytes"));
        let checksum = u64::from_le_bytes(checksum.try_into().expect("eight bytes"));
        let after = at + PREFIX_BYTES as u64 + u64::from(size);
        if after > length {
            return Ok(End::Torn(at));
        }
        if size as usize > RECORD_BYTES_MAX {
            return Ok(End::Damaged(at));
        }
        record.resize(size as usize, 0);
        file.read_exact(&mut record)?;
        if xxh3_64(&record) != checksum {
            // The last one may have reached the disk in parts when the power went.
            return Ok(if after == length {
                End::Torn(at)
            } else {
                End::Damaged(at)
            });
        }
        take(&record);
        at = after;
    }
}

/// A file that records are appended to.
#[derive(Debug)]
pub(crate) struct Appended {
    file: Arc<File>,
    length: u64,
    is_synced: bool,
    gathered: Vec<u8>,
}

/// What has been written to it and is not on the disk yet.
#[derive(Debug)]
pub struct Unsynced(Arc<File>);

impl Unsynced {
    /// Waits until it is. Blocks.
    ///
    /// # Errors
    ///
    /// Whatever the disk says.
    pub fn sync(self) -> io::Result<()> {
        self.0.sync_data()
    }
}

impl Appended {
    /// A file with these records takes the place of the one at `path`, when it is whole and on the disk.
    pub(crate) fn replace(path: &Path, records: impl Iterator<Item = Encoded>) -> io::Result<Self> {
        let new = with_suffix(path, ".new");
        let made = Self::make(&new, records).and_then(|made| {
            std::fs::rename(&new, path)?;
            if let Some(directory) = path.parent() {
                File::open(directory)?.sync_data()?;
            }
            Ok(made)
        });
        if made.is_err() {
            // What is left of it would only take room; the next try makes it anew.
            let _ = std::fs::remove_file(&new);
        }
        made
    }

    fn make(path: &Path, records: impl Iterator<Item = Encoded>) -> io::Result<Self> {
        let mut file = File::options();
        file.write(true).create(true).truncate(true);
        // Commands and their environments are nobody else's business.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
        let mut file = file.open(path)?;
        file.write_all(&HEADER)?;
        let mut made = Appended {
            file: Arc::new(file),
            length: HEADER.len() as u64,
            is_synced: true,
            gathered: Vec::new(),
        };
        for record in records {
            made.gather(record);
            if made.gathered.len() >= GATHERED_BYTES {
                made.write_gathered()?;
            }
        }
        made.write_gathered()?;
        made.file.sync_data()?;
        made.is_synced = true;
        Ok(made)
    }

    /// Appends these records, all of them or none.
    pub(crate) fn append(&mut self, records: impl Iterator<Item = Encoded>) -> io::Result<()> {
        records.for_each(|record| self.gather(record));
        self.write_gathered()
    }

    /// Bytes of the file.
    pub(crate) fn len(&self) -> u64 {
        self.length
    }

    /// What is not on the disk yet; counts as synced from here on.
    pub(crate) fn take_unsynced(&mut self) -> Option<Unsynced> {
        let was_synced = std::mem::replace(&mut self.is_synced, true);
        (!was_synced).then(|| Unsynced(self.file.clone()))
    }

    fn gather(&mut self, Encoded(record): Encoded) {
        let size = u32::try_from(record.len()).expect("a record is bounded");
        self.gathered.extend(size.to_le_bytes());
        self.gathered.extend(xxh3_64(&record).to_le_bytes());
        self.gathered.extend(record);
    }

    fn write_gathered(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let written = (&*self.file).write_all(&self.gathered);
        let bytes = self.gathered.len() as u64;
        self.gathered.clear();
        if self.gathered.capacity() > 2 * GATHERED_BYTES {
            self.gathered.shrink_to(GATHERED_BYTES);
        }
        if let Err(error) = written {
            // A part of it may be there. Nothing is appended to such a file any more, so this is only for a reader.
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += bytes;
        self.is_synced = false;
        Ok(())
    }
}

/// A record that is not longer than [`RECORD_BYTES_MAX`].
pub(crate) struct Encoded(Vec<u8>);

impl Encoded {
    /// `None`: too long.
    pub(crate) fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() <= RECORD_BYTES_MAX).then_some(Encoded(bytes))
    }
}

/// `path` with something added to its name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(text: &str) -> Encoded {
        Encoded::new(text.into()).unwrap()
    }

    fn read_all(path: &Path) -> (End, Vec<String>) {
        let mut records = Vec::new();
        let end = read(path, |record| {
            records.push(String::from_utf8(record.to_vec()).unwrap())
        })
        .unwrap();
        (end, records)
    }

    #[test]
    fn what_was_written_is_read_and_a_replacement_takes_its_place() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("journal");
        assert_eq!(read_all(&path), (End::Absent, vec![]));
        let mut file = Appended::replace(&path, ["a", "bb"].map(encoded).into_iter()).unwrap();
        assert!(file.take_unsynced().is_none());
        file.append(["", "c"].map(encoded).into_iter()).unwrap();
        file.take_unsynced().unwrap().sync().unwrap();
        assert!(file.take_unsynced().is_none());
        assert_eq!(file.len(), std::fs::metadata(&path).unwrap().len());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(read_all(&path).1, ["a", "bb", "", "c"]);
        assert_eq!(read_all(&path).0, End::Whole);
        Appended::replace(&path, [encoded("d")].into_iter()).unwrap();
        assert_eq!(read_all(&path), (End::Whole, vec!["d".to_owned()]));
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_cut_anywhere_gives_the_records_before_and_one_spoilt_anywhere_nothing_wrong() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("journal");
        let records = ["first", "second", "third"];
        Appended::replace(&path, records.map(encoded).into_iter()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let mut seen = 0;
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let (end, read) = read_all(&path);
            assert!(
                read.len() >= seen
                    && records.starts_with(&read.iter().map(String::as_str).collect::<Vec<_>>())
            );
            seen = read.len();
            assert!(matches!(end, End::Torn(_) | End::Whole), "{length}: {end:?}");
        }
        assert_eq!(seen, 2);
        for at in 0..whole.len() {
            let mut spoilt = whole.clone();
            spoilt[at] ^= 0x40;
            std::fs::write(&path, &spoilt).unwrap();
            let (end, read) = read_all(&path);
            assert!(records.starts_with(&read.iter().map(String::as_str).collect::<Vec<_>>()));
            assert!(
                read.len() < 3 && matches!(end, End::Torn(_) | End::Damaged(_)),
                "{at}: {end:?}"
            );
        }
    }

    #[test]
    fn a_full_disk_leaves_what_was_there() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("missing").join("journal");
        assert!(Appended::replace(&path, [encoded("a")].into_iter()).is_err());
        // The device that is always full.
        let mut file = Appended {
            file: Arc::new(File::options().write(true).open("/dev/full").unwrap()),
            length: 0,
            is_synced: true,
            gathered: Vec::new(),
        };
        assert!(file.append([encoded("a")].into_iter()).is_err());
        assert_eq!(file.len(), 0);
    }
}
