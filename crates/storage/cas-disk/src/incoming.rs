//! A file that is being written and has no name yet.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cas::StoreError;
use tokio::runtime::Handle;

use crate::checked_file::{Seal, Trailer, file_bytes};
use crate::file_store::FileStore;
use crate::options::on_disk_bytes;

/// A file in the directory `incoming`, growing. It takes the room it needs from its store as it grows.
pub(crate) struct Incoming {
    temporary: Temporary,
    file: File,
    trailer: Trailer,
}

/// A file that is complete but for its name.
pub(crate) struct Sealed {
    temporary: Temporary,
}

/// Removes the file and gives its room back when dropped, unless it got a name. Until then it keeps the store, and
/// with it the lock on the directory, so that the path can mean nothing else.
struct Temporary {
    store: Arc<FileStore>,
    path: Option<PathBuf>,
    room_bytes: u64,
}

impl Incoming {
    /// A new file at `path`.
    pub(crate) fn create(store: Arc<FileStore>, path: PathBuf, seal: Seal) -> Result<Self, StoreError> {
        let file = File::create_new(&path).map_err(|error| write_error(&path, file_bytes(0), error))?;
        let temporary = Temporary {
            store,
            path: Some(path),
            room_bytes: 0,
        };
        Ok(Incoming {
            temporary,
            file,
            trailer: Trailer::new(seal),
        })
    }

    /// Appends to the payload.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let length = file_bytes(self.trailer.payload_bytes() + bytes.len() as u64);
        self.temporary.take_room(on_disk_bytes(length))?;
        self.file
            .write_all(bytes)
            .map_err(|error| self.temporary.write_error(bytes.len(), error))?;
        self.trailer.update(bytes);
        Ok(())
    }

    /// Writes what follows the payload.
    pub(crate) fn seal(mut self) -> Result<Sealed, StoreError> {
        let length = file_bytes(self.trailer.payload_bytes());
        self.temporary.take_room(on_disk_bytes(length))?;
        let trailer = self.trailer.finish();
        self.file
            .write_all(&trailer)
            .map_err(|error| self.temporary.write_error(trailer.len(), error))?;
        Ok(Sealed {
            temporary: self.temporary,
        })
    }
}

impl Sealed {
    /// Gives the file its name, replacing what had it. Returns the room it takes, which is the caller's now.
    pub(crate) fn rename(mut self, to: &Path) -> Result<u64, StoreError> {
        let path = self
            .temporary
            .path
            .as_ref()
            .expect("only this takes the path, and it ends here");
        let renamed = fs::rename(path, to).or_else(|error| match (error.kind(), to.parent()) {
            // The first entry in its directory.
            (ErrorKind::NotFound, Some(parent)) => {
                fs::create_dir_all(parent).and_then(|()| fs::rename(path, to))
            }
            _ => Err(error),
        });
        renamed.map_err(|error| write_error(to, self.temporary.room_bytes, error))?;
        self.temporary.path = None;
        Ok(std::mem::take(&mut self.temporary.room_bytes))
    }
}

impl Temporary {
    fn take_room(&mut self, bytes: u64) -> Result<(), StoreError> {
        if bytes > self.room_bytes {
            self.store.make_room(bytes - self.room_bytes)?;
            self.room_bytes = bytes;
        }
        Ok(())
    }

    fn write_error(&self, size_bytes: usize, error: std::io::Error) -> StoreError {
        let path = self.path.as_deref().unwrap_or(Path::new("a temporary file"));
        write_error(path, size_bytes as u64, error)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let (store, room_bytes) = (self.store.clone(), self.room_bytes);
        let Some(path) = self.path.take() else {
            return store.give_room_back(room_bytes);
        };
        let remove = move || {
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "cannot remove a temporary file; the next start will");
            }
            store.give_room_back(room_bytes);
        };
        // Removing a large file takes the kernel a while; whoever drops an upload may be serving others.
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

/// What a failure to write `size_bytes` means to the caller.
fn write_error(path: &Path, size_bytes: u64, error: std::io::Error) -> StoreError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::NoSpace {
            size_bytes,
            reason: format!(
                "{error} at {}; free some, or give the store a smaller capacity",
                path.display()
            ),
        },
        _ => StoreError::io(format!("writing {}", path.display()), error),
    }
}
