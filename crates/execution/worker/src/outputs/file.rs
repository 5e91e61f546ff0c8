//! Hashing one output file.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use blob::{Blob, Digest, DigestFunction, DigestHasher};
use rustix::fs::{self as sys, FileType};

use super::upload::{Source, Uploads};
use super::{Collection, OutputError, disk, kind_of};
use crate::limits::{FILE_PIECE_BYTES, INPUT_PATH_BYTES_MAX, SMALL_BLOB_BYTES_MAX};

impl Collection<'_> {
    /// Hashes an opened file and notes its upload. `path` is its place below the root.
    pub(super) fn hash(&mut self, opened: OwnedFd, path: &str) -> Result<(Digest, sys::Stat), OutputError> {
        let stat = sys::fstat(&opened).map_err(|error| disk(path, error))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(OutputError::Special {
                path: path.to_owned(),
                found: kind_of(&stat),
            });
        }
        // By its apparent size, before anything is read: a sparse file can claim any.
        self.count_bytes(stat.st_size as u64)?;
        if path.len() > INPUT_PATH_BYTES_MAX {
            return Err(OutputError::PathTooLong {
                path_bytes: path.len(),
            });
        }
        let source = || Source::Beneath {
            root: self.root.clone(),
            path: path.to_owned(),
        };
        let digest = note(
            self.uploads,
            self.wanted.function,
            File::from(opened),
            stat.st_size as u64,
            source,
        )
        .map_err(|source| OutputError::Disk {
            path: path.to_owned(),
            source,
        })?;
        Ok((digest, stat))
    }
}

/// Hashes a file, small ones while keeping them, and notes the upload.
pub(super) fn note(
    uploads: &mut Uploads,
    function: DigestFunction,
    mut file: File,
    size_bytes: u64,
    source: impl FnOnce() -> Source,
) -> io::Result<Digest> {
    if size_bytes <= SMALL_BLOB_BYTES_MAX && uploads.has_memory_for(size_bytes) {
        let mut bytes = Vec::with_capacity(size_bytes as usize + 1);
        // Nobody can be writing any more; the bound is for a file system that lies about sizes.
        file.by_ref()
            .take(SMALL_BLOB_BYTES_MAX + 1)
            .read_to_end(&mut bytes)?;
        let blob = Blob::from_bytes(function, bytes);
        let digest = blob.digest();
        uploads.add_blob(blob);
        return Ok(digest);
    }
    let mut hasher = DigestHasher::new(function, size_bytes);
    let mut piece = vec![0; FILE_PIECE_BYTES.min(size_bytes as usize + 1)];
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => hasher.update(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if hasher.size_bytes() != size_bytes {
        let read = hasher.size_bytes();
        return Err(io::Error::other(format!(
            "it had {size_bytes} bytes and then {read}"
        )));
    }
    let digest = hasher.finish();
    uploads.add_file(digest, source());
    Ok(digest)
}
