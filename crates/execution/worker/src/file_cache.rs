//! Input files that are on this machine already.

mod file_id;
mod state;
mod temporary;

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use blob::{Blob, Digest, DigestSet};
use cas::{BlobStore, StoreError};
use futures::stream::{self, StreamExt};
use parking_lot::Mutex;
use rustix::fs::{self as sys, AtFlags, Mode, OFlags};
use thiserror::Error;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) use file_id::{FileId, INPUT_MTIME_S, input_times};

use crate::blocking::blocking;
use crate::fetch::{Fetched, Fetcher, is_a_miss, open};
use crate::limits::{FILES_PER_HOP_MAX, LARGE_FETCHES_IN_FLIGHT_MAX, SMALL_BLOB_BYTES_MAX};
use file_id::{is_intact, name_of, parse_name};
use state::State;
use temporary::Temporary;

/// Files by content, below one directory, at most `bytes_max` of them plus what running placements hold.
///
/// A file is written under a temporary name, verified as it arrives, and renamed; it is never written again. The
/// least recently used make room. The index is rebuilt from names when the worker starts. Nothing is synced to disk:
/// after a reboot of the machine the cache starts empty.
pub(crate) struct FileCache {
    directory: Arc<OwnedFd>,
    bytes_max: u64,
    fetcher: Fetcher,
    state: Mutex<State>,
    next_temporary: AtomicU64,
}

/// Files that stay in the cache until this is dropped.
pub(crate) struct HeldFiles {
    cache: Arc<FileCache>,
    files: Vec<FileId>,
}

/// Why files could not be had.
#[derive(Debug, Error)]
pub(crate) enum FileCacheError {
    /// The store does not have these.
    #[error("{} input files are missing", .0.len())]
    Missing(DigestSet),
    /// More than the whole cache.
    #[error(
        "the input files have {size_bytes} bytes together; this worker's file cache takes {bytes_max}; give the worker a larger one"
    )]
    TooLarge { size_bytes: u64, bytes_max: u64 },
    /// The store failed.
    #[error("fetching input files: {0}")]
    Store(#[from] StoreError),
    /// This machine's disk failed.
    #[error("writing fetched input file {digest}: {source}")]
    Disk { digest: Digest, source: io::Error },
}

/// Where files wait for their name.
const TEMPORARY: &str = "incoming";
/// Names the boot of the machine that the files were written under.
const BOOT: &str = "boot_id";

impl FileCache {
    /// Opens or creates the cache at `directory`, which no other process may use. Reads names only, no contents.
    pub(crate) fn open(directory: &Path, bytes_max: u64, fetcher: Fetcher) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        empty_after_reboot(directory)?;
        let temporary = directory.join(TEMPORARY);
        if temporary.exists() {
            std::fs::remove_dir_all(&temporary)?;
        }
        std::fs::create_dir(&temporary)?;
        let mut state = State::default();
        for shelf in 0..=u8::MAX {
            let path = directory.join(format!("{shelf:02x}"));
            match std::fs::create_dir(&path) {
                Ok(()) => continue,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            for entry in std::fs::read_dir(&path)? {
                let entry = entry?;
                match entry.file_name().to_str().and_then(parse_name) {
                    Some(file) => {
                        state.idle.insert(file, (), file.digest.size_bytes());
                    }
                    None => std::fs::remove_file(entry.path())?,
                }
            }
        }
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let directory = Arc::new(sys::open(directory, flags, Mode::empty())?);
        let state = Mutex::new(state);
        let cache = FileCache {
            directory,
            bytes_max,
            fetcher,
            state,
            next_temporary: AtomicU64::new(0),
        };
        cache.evict();
        Ok(cache)
    }

    /// Makes all of `wanted` (each once) present and keeps them so. What is not here is fetched; what another action
    /// is fetching just now is waited for. Either everything, or all that is missing at once (E3).
    pub(crate) async fn hold(
        self: &Arc<Self>,
        store: &dyn BlobStore,
        wanted: &[FileId],
    ) -> Result<HeldFiles, FileCacheError> {
        let size_bytes = wanted
            .iter()
            .fold(0u64, |sum, file| sum.saturating_add(file.digest.size_bytes()));
        if size_bytes > self.bytes_max {
            return Err(FileCacheError::TooLarge {
                size_bytes,
                bytes_max: self.bytes_max,
            });
        }
        let mut held = HeldFiles {
            cache: self.clone(),
            files: Vec::with_capacity(wanted.len()),
        };
        let mut missing = Vec::new();
        let mut wanted = wanted.to_vec();
        // Ends: each round either holds a file, finds it missing, or waits for the end of somebody else's fetch.
        while !wanted.is_empty() {
            let Claims { mine, theirs } = self.claim(&wanted, &mut held);
            wanted = theirs.iter().map(|(file, _)| *file).collect();
            missing.extend(self.fetch(store, mine, &mut held).await?);
            for (_, ended) in theirs {
                ended.cancelled().await;
            }
        }
        if missing.is_empty() {
            Ok(held)
        } else {
            Err(FileCacheError::Missing(missing.into_iter().collect()))
        }
    }

    /// Which of `files` are not here, without fetching or holding any.
    pub(crate) fn absent(&self, files: &[FileId]) -> DigestSet {
        let state = self.state.lock();
        let absent = files
            .iter()
            .filter(|file| state.idle.peek(file).is_none() && !state.held.contains_key(file));
        absent.map(|file| file.digest).collect()
    }

    /// Gives a held file another name. `Ok(false)`: it is damaged or gone and has been forgotten; hold it again.
    pub(crate) fn link(&self, file: &FileId, to: &OwnedFd, path: &[u8]) -> io::Result<bool> {
        match sys::linkat(&self.directory, name_of(file), to, path, AtFlags::empty()) {
            Ok(()) => {}
            Err(rustix::io::Errno::NOENT) => return Ok(self.forget(file)),
            Err(error) => return Err(error.into()),
        }
        let stat = sys::statat(to, path, AtFlags::SYMLINK_NOFOLLOW)?;
        if is_intact(file, &stat) {
            return Ok(true);
        }
        sys::unlinkat(to, path, AtFlags::empty())?;
        Ok(self.forget(file))
    }

    /// Opens a held file for reading. `Ok(None)`: it is damaged or gone and has been forgotten; hold it again.
    pub(crate) fn read(&self, file: &FileId) -> io::Result<Option<OwnedFd>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = match sys::openat(&self.directory, name_of(file), flags, Mode::empty()) {
            Ok(opened) => opened,
            Err(rustix::io::Errno::NOENT) => {
                self.forget(file);
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        if is_intact(file, &sys::fstat(&opened)?) {
            return Ok(Some(opened));
        }
        self.forget(file);
        Ok(None)
    }

    /// Takes a damaged file out. Always `false`.
    fn forget(&self, file: &FileId) -> bool {
        tracing::warn!(digest = %file.digest, "a file in the worker's cache was changed or removed; it is fetched again");
        let mut state = self.state.lock();
        state.idle.remove(file);
        if state.held.remove(file).is_some() {
            state.held_bytes -= file.digest.size_bytes();
        }
        // Under the lock nobody can have fetched it again, so the name is still the damaged file's.
        self.unlink(file);
        false
    }

    /// Holds what is here and claims the fetch of what nobody fetches yet.
    fn claim(self: &Arc<Self>, wanted: &[FileId], held: &mut HeldFiles) -> Claims {
        let mut claims = Claims::default();
        let mut state = self.state.lock();
        for file in wanted {
            if state.hold(file) {
                held.files.push(*file);
            } else if let Some(ended) = state.in_flight.get(file) {
                claims.theirs.push((*file, ended.clone()));
            } else {
                let ended = CancellationToken::new();
                state.in_flight.insert(*file, ended.clone());
                claims.mine.push(Claim {
                    cache: self.clone(),
                    file: *file,
                    _ended: ended.drop_guard(),
                });
            }
        }
        claims
    }

    /// Fetches and holds; returns what the store does not have. Whatever ends this early ends its claims too.
    async fn fetch(
        self: &Arc<Self>,
        store: &dyn BlobStore,
        claims: Vec<Claim>,
        held: &mut HeldFiles,
    ) -> Result<Vec<Digest>, FileCacheError> {
        let mut missing = Vec::new();
        let mut claims: HashMap<FileId, Claim> =
            claims.into_iter().map(|claim| (claim.file, claim)).collect();
        let files = claims.keys().copied();
        let (small, large): (Vec<FileId>, Vec<FileId>) =
            files.partition(|file| file.digest.size_bytes() <= SMALL_BLOB_BYTES_MAX);

        let arriving = self.fetcher.fetch_many(store, small, |file| file.digest);
        let mut arriving = std::pin::pin!(arriving.ready_chunks(FILES_PER_HOP_MAX));
        while let Some(arrived) = arriving.next().await {
            let arrived: Vec<_> = arrived.into_iter().collect::<Result<_, StoreError>>()?;
            let cache = self.clone();
            let (written, absent) = blocking(move || cache.write_small(arrived)).await?;
            missing.extend(absent);
            end_claims(&mut claims, &written.files);
            held.join(written);
        }

        let arriving = stream::iter(large).map(|file| self.fetch_large(store, file));
        let mut arriving = std::pin::pin!(arriving.buffer_unordered(LARGE_FETCHES_IN_FLIGHT_MAX));
        while let Some(arrived) = arriving.next().await {
            match arrived? {
                Ok(written) => {
                    end_claims(&mut claims, &written.files);
                    held.join(written);
                }
                Err(absent) => missing.push(absent),
            }
        }
        Ok(missing)
    }

    /// Writes what has arrived; returns what had not.
    fn write_small(
        self: &Arc<Self>,
        arrived: Vec<Fetched<FileId>>,
    ) -> Result<(HeldFiles, Vec<Digest>), FileCacheError> {
        let mut written = Vec::with_capacity(arrived.len());
        let mut absent = Vec::new();
        for fetched in &arrived {
            match &fetched.bytes {
                Some(bytes) => {
                    self.create_temporary(&fetched.of)?.append(bytes)?.publish()?;
                    written.push(fetched.of);
                }
                None => absent.push(fetched.of.digest),
            }
        }
        Ok((self.take_in(written), absent))
    }

    /// Streams one file to disk; `Err` is the digest the store does not have.
    async fn fetch_large(
        self: &Arc<Self>,
        store: &dyn BlobStore,
        file: FileId,
    ) -> Result<Result<HeldFiles, Digest>, FileCacheError> {
        let digest = file.digest;
        let Some(stream) = open(store, digest).await? else {
            return Ok(Err(digest));
        };
        let mut chunks = Blob::checked(digest, stream).into_stream();
        let cache = self.clone();
        let mut temporary = blocking(move || cache.create_temporary(&file)).await?;
        while let Some(chunk) = chunks.next().await {
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) if is_a_miss(&error) => return Ok(Err(digest)),
                Err(error) => return Err(StoreError::from(error).into()),
            };
            temporary = blocking(move || temporary.append(&chunk)).await?;
        }
        let cache = self.clone();
        let publish = move || {
            temporary.publish()?;
            Ok::<_, FileCacheError>(cache.take_in(vec![file]))
        };
        Ok(Ok(blocking(publish).await?))
    }

    /// Notes files that have been written, held from the start, and makes room for them.
    fn take_in(self: &Arc<Self>, files: Vec<FileId>) -> HeldFiles {
        {
            let mut state = self.state.lock();
            for file in &files {
                state.add(file);
            }
        }
        self.evict();
        HeldFiles {
            cache: self.clone(),
            files,
        }
    }

    fn create_temporary(&self, file: &FileId) -> Result<Temporary, FileCacheError> {
        Temporary::create(
            &self.directory,
            self.next_temporary.fetch_add(1, Ordering::Relaxed),
            file,
        )
    }

    /// Removes the least recently used until the bound is kept. Cheap when there is nothing to do.
    fn evict(&self) {
        let mut state = self.state.lock();
        while state.idle.weight() + state.held_bytes > self.bytes_max {
            let Some((file, ())) = state.idle.pop_oldest() else {
                break;
            };
            // Under the lock nobody can have fetched it again, so the name is still the old file's.
            self.unlink(&file);
        }
    }

    fn unlink(&self, file: &FileId) {
        match sys::unlinkat(&self.directory, name_of(file), AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(error) => tracing::warn!(digest = %file.digest, %error, "a cached file could not be removed"),
        }
    }
}

impl HeldFiles {
    fn join(&mut self, mut other: HeldFiles) {
        self.files.append(&mut other.files);
    }
}

impl Drop for HeldFiles {
    fn drop(&mut self) {
        let mut state = self.cache.state.lock();
        for file in &self.files {
            state.release(file);
        }
    }
}

#[derive(Default)]
struct Claims {
    mine: Vec<Claim>,
    theirs: Vec<(FileId, CancellationToken)>,
}

/// The right to fetch one file. Dropping it, however the fetch ended, lets those who wait look again.
struct Claim {
    cache: Arc<FileCache>,
    file: FileId,
    _ended: DropGuard,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.cache.state.lock().in_flight.remove(&self.file);
    }
}

fn end_claims(claims: &mut HashMap<FileId, Claim>, files: &[FileId]) {
    for file in files {
        claims.remove(file);
    }
}

/// A machine that went down may have lost what was written last, so only files of this boot are trusted.
fn empty_after_reboot(directory: &Path) -> io::Result<()> {
    let boot = std::fs::read("/proc/sys/kernel/random/boot_id")?;
    let note = directory.join(BOOT);
    match std::fs::read(&note) {
        Ok(noted) if noted == boot => return Ok(()),
        Ok(_) => tracing::info!("the machine was restarted: the worker's file cache starts empty"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    for shelf in 0..=u8::MAX {
        match std::fs::remove_dir_all(directory.join(format!("{shelf:02x}"))) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    std::fs::write(note, boot)
}

#[cfg(test)]
mod tests;
