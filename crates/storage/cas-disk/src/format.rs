//! The file that says what a directory holds.

use std::hash::{BuildHasher, RandomState};

use xxhash_rust::xxh3::xxh3_64;

use crate::OpenError;
use crate::key::Keys;
use crate::record::{u32_at, u64_at};
use crate::volume::Volume;

const FILE: &str = "format";
const FILE_NEXT: &str = "format.next";
const MAGIC: [u8; 8] = *b"farrier\n";
/// Goes up when an older version could no longer read what this one writes.
const FORMAT: u32 = 2;
const BYTES: usize = 8 + 4 + 8 + 8;

/// Reads the file, or writes one into a directory that has none. A damaged one is written anew: everything it says
/// is in the segments as well, which are then read through once.
pub(crate) fn read_or_write_format(volume: &dyn Volume) -> Result<Keys, OpenError> {
    let path = volume.path();
    let failed = OpenError::io(format!("read {}", path.join(FILE).display()));
    let names = volume.list().map_err(&failed)?;
    if names.iter().any(|name| name == FILE) {
        let bytes = volume
            .open(FILE)
            .and_then(|file| file.read_at(0, BYTES))
            .map_err(&failed)?;
        match parse(&bytes) {
            Some((FORMAT, keys)) => return Ok(keys),
            Some((format, _)) => {
                return Err(OpenError::OtherFormat {
                    directory: path.to_owned(),
                    what: format!("format {format}"),
                    format: FORMAT,
                });
            }
            None => {
                tracing::error!(path = %path.display(), "the file `{FILE}` is damaged; segments are read through")
            }
        }
    } else if names.iter().any(|name| name == "incoming") {
        return Err(OpenError::OtherFormat {
            directory: path.to_owned(),
            what: "a store of one file for each blob, as the first version wrote it".to_owned(),
            format: FORMAT,
        });
    }
    // Of the system's randomness: nobody needs to guess it, and a crate for eight bytes would be one too many.
    let keys = Keys::new(RandomState::new().hash_one(std::process::id()));
    let written = (|| {
        if names.iter().any(|name| name == FILE_NEXT) {
            volume.remove(FILE_NEXT)?;
        }
        let file = volume.create(FILE_NEXT)?;
        file.write_at(0, &encode(keys))?;
        file.sync()?;
        volume.rename(FILE_NEXT, FILE)?;
        volume.sync_names()
    })();
    written.map_err(OpenError::io(format!("write {}", path.join(FILE).display())))?;
    Ok(keys)
}

fn encode(keys: Keys) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&keys.seed().to_le_bytes());
    let sum = xxh3_64(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

fn parse(bytes: &[u8]) -> Option<(u32, Keys)> {
    let is_whole = bytes.len() == BYTES
        && bytes[..8] == MAGIC
        && u64_at(bytes, BYTES - 8) == xxh3_64(&bytes[..BYTES - 8]);
    is_whole.then(|| (u32_at(bytes, 8), Keys::new(u64_at(bytes, 12))))
}
