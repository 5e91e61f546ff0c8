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
        // One byte more than was said is enough to notice that it is another length.
        file.by_ref().take(size_bytes + 1).read_to_end(&mut bytes)?;
        check_length(size_bytes, bytes.len() as u64)?;
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
    check_length(size_bytes, hasher.size_bytes())?;
    let digest = hasher.finish();
    uploads.add_file(digest, source());
    Ok(digest)
}

/// What grew or shrank while it was read has no digest: a part of it would pass for the whole.
fn check_length(size_bytes: u64, read_bytes: u64) -> io::Result<()> {
    if read_bytes == size_bytes {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "it changed while it was read: it had {size_bytes} bytes and then {read_bytes} or more"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_length_than_was_said_has_no_digest() {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let large = SMALL_BLOB_BYTES_MAX + 10;
        for (actual, said) in [(3, 2), (3, 4), (large, 2), (large + 1, large), (large - 1, large)] {
            std::fs::write(&path, vec![7; actual as usize]).unwrap();
            let hash = |said| {
                let (mut uploads, file) = (Uploads::default(), File::open(&path).unwrap());
                note(&mut uploads, DigestFunction::GitSha1, file, said, || {
                    Source::Path(path.to_path_buf())
                })
            };
            let error = hash(said).expect_err("it has another length");
            assert!(error.to_string().contains(&format!("{said} bytes")), "{error}");
            let expected = Digest::of(DigestFunction::GitSha1, &vec![7; actual as usize]);
            assert_eq!(hash(actual).unwrap(), expected);
        }
    }
}
