//! Where segments lie: the few things the engine asks of a file system, so that tests can give it one that fails,
//! tears and forgets.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::ReadWriteFlags;

/// A directory of files.
pub(crate) trait Volume: Send + Sync + 'static {
    /// Makes an empty file; fails if there is one of this name.
    fn create(&self, name: &str) -> io::Result<Arc<dyn VolumeFile>>;
    /// Opens a file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn VolumeFile>>;
    /// Takes a file's name away. Whoever has it open reads on.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Gives a file another name, taking it from whatever had it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes names given and taken durable.
    fn sync_names(&self) -> io::Result<()>;
    /// What errors and logs call it.
    fn path(&self) -> &Path;
}

/// An open file.
pub(crate) trait VolumeFile: Send + Sync + 'static {
    /// Writes all of `bytes`.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Reads `length` bytes, or fewer where the file ends.
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>>;
    /// As `read_at`, but only what is in memory already; `None` if that is not all of it.
    fn read_at_once(&self, offset: u64, length: usize) -> io::Result<Option<Vec<u8>>>;
    /// Makes what was written durable.
    fn sync(&self) -> io::Result<()>;
    /// Bytes in the file.
    fn length(&self) -> io::Result<u64>;
    /// Cuts the file off.
    fn truncate(&self, length: u64) -> io::Result<()>;
}

/// A directory of a real file system.
pub(crate) struct DirectoryVolume {
    path: PathBuf,
}

impl DirectoryVolume {
    /// The directory is there already.
    pub(crate) fn new(path: PathBuf) -> Self {
        DirectoryVolume { path }
    }
}

impl Volume for DirectoryVolume {
    fn create(&self, name: &str) -> io::Result<Arc<dyn VolumeFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(self.path.join(name))?;
        Ok(Arc::new(DirectoryFile { file }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn VolumeFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path.join(name))?;
        Ok(Arc::new(DirectoryFile { file }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // A name that is not UTF-8 is none of ours.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

struct DirectoryFile {
    file: File,
}

impl VolumeFile for DirectoryFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let at = offset + bytes.len() as u64;
            match rustix::io::pread(&self.file, rustix::buffer::spare_capacity(&mut bytes), at) {
                Ok(0) => break,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        bytes.truncate(length);
        Ok(bytes)
    }

    fn read_at_once(&self, offset: u64, length: usize) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; length];
        let into = &mut [io::IoSliceMut::new(&mut bytes)];
        match rustix::io::preadv2(&self.file, into, offset, ReadWriteFlags::NOWAIT) {
            Ok(read) if read == length => Ok(Some(bytes)),
            // Part of it is on the disk, or the file ends: the patient call will tell.
            Ok(_) => Ok(None),
            Err(
                rustix::io::Errno::AGAIN
                | rustix::io::Errno::INTR
                | rustix::io::Errno::OPNOTSUPP
                | rustix::io::Errno::NOSYS,
            ) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }
}
