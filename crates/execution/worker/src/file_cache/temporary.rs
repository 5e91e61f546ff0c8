//! A file on its way into the cache.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{self as sys, AtFlags, Mode, OFlags};

use super::file_id::{FileId, input_times, name_of};
use super::{FileCacheError, TEMPORARY};

/// A file that does not have its name yet; removed unless it is published.
pub(super) struct Temporary {
    cache: Arc<OwnedFd>,
    file: FileId,
    name: String,
    opened: File,
    published: bool,
}

impl Temporary {
    /// An empty one; `number` is given once only.
    pub(super) fn create(cache: &Arc<OwnedFd>, number: u64, file: &FileId) -> Result<Self, FileCacheError> {
        let name = format!("{TEMPORARY}/{number}");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let opened = sys::openat(cache, &*name, flags, Mode::RUSR | Mode::WUSR);
        let opened = opened.map_err(|error| failed(file, error.into()))?.into();
        Ok(Temporary {
            cache: cache.clone(),
            file: *file,
            name,
            opened,
            published: false,
        })
    }

    /// Adds bytes.
    pub(super) fn append(mut self, bytes: &[u8]) -> Result<Self, FileCacheError> {
        match self.opened.write_all(bytes) {
            Ok(()) => Ok(self),
            Err(source) => Err(failed(&self.file, source)),
        }
    }

    /// The last step: right mode, right time, right name.
    pub(super) fn publish(mut self) -> Result<(), FileCacheError> {
        let publish = || -> rustix::io::Result<()> {
            sys::fchmod(&self.opened, self.file.mode())?;
            sys::futimens(&self.opened, &input_times())?;
            sys::renameat(&self.cache, &*self.name, &self.cache, name_of(&self.file))
        };
        publish().map_err(|error| failed(&self.file, error.into()))?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.published
            && let Err(error) = sys::unlinkat(&self.cache, &*self.name, AtFlags::empty())
        {
            tracing::warn!(name = self.name, %error, "an unfinished file could not be removed from the cache");
        }
    }
}

fn failed(file: &FileId, source: io::Error) -> FileCacheError {
    FileCacheError::Disk {
        digest: file.digest,
        source,
    }
}
