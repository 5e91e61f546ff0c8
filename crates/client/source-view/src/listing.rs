//! The names in a directory: one listing answers what would else be one `stat` per header and directory.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::SystemTime;

use hashbrown::HashTable;
use include_scanner::hash_bytes;

use crate::limits::LISTED_NAMES_MAX;
use crate::read::is_absent;
use crate::stamp::Stamp;

/// What a directory has.
#[derive(Debug)]
pub(crate) enum Listing {
    /// There is no such directory.
    Absent,
    /// These names.
    Names(HashTable<(u64, Box<[u8]>)>),
    /// Too many names to keep, or a directory that may be searched but not read: each name is asked for.
    Unknown,
}

impl Listing {
    /// Whether the directory may have `name`, whose hash is given.
    pub(crate) fn may_have(&self, hash: u64, name: &[u8]) -> bool {
        match self {
            Listing::Absent => false,
            Listing::Unknown => true,
            // `.` and `..` are in every directory and in no listing.
            Listing::Names(names) => {
                matches!(name, b"." | b".." | b"")
                    || names
                        .find(hash, |(other, listed)| *other == hash && **listed == *name)
                        .is_some()
            }
        }
    }
}

/// A listing with the state of the directory that it is of.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) listing: Listing,
    pub(crate) stamp: Option<Stamp>,
    pub(crate) is_trusted: bool,
}

/// The state of the directory at `path`; None if there is none.
pub(crate) fn directory_stamp(path: &Path) -> io::Result<Option<Stamp>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(Some(Stamp::of(&metadata))),
        Ok(_) => Ok(None),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lists a directory whose state was `stamp` just now.
pub(crate) fn list(path: &Path, stamp: Stamp) -> io::Result<Listed> {
    let listing = match names(path) {
        Ok(listing) => listing,
        Err(error) if is_absent(&error) || error.kind() == io::ErrorKind::PermissionDenied => {
            Listing::Unknown
        }
        Err(error) => return Err(error),
    };
    let now = SystemTime::now();
    let is_unchanged = directory_stamp(path)? == Some(stamp);
    // A listing that changed while it was made is of no moment: this tick asks name by name.
    let listing = if is_unchanged { listing } else { Listing::Unknown };
    Ok(Listed {
        listing,
        stamp: Some(stamp),
        is_trusted: is_unchanged && !stamp.is_too_new(now),
    })
}

fn names(path: &Path) -> io::Result<Listing> {
    let mut names = HashTable::new();
    for entry in fs::read_dir(path)? {
        if names.len() >= LISTED_NAMES_MAX {
            return Ok(Listing::Unknown);
        }
        let name = entry?.file_name();
        let name = name.as_bytes();
        let hash = hash_bytes(name);
        names.insert_unique(hash, (hash, name.into()), |(hash, _)| *hash);
    }
    Ok(Listing::Names(names))
}
