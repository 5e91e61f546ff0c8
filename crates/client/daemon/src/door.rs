//! Where wrappers knock: one socket for each user, behind a directory that nobody else may enter.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use socket2::{Domain, SockAddr, Socket, Type};
use thiserror::Error;
use tokio::net::UnixListener;

use crate::limits::BACKLOG;

/// Why there is no door.
#[derive(Debug, Error)]
pub enum DoorError {
    /// Another daemon serves it.
    #[error("another daemon is there already")]
    Taken,
    /// Others could come in, or put something else in its place.
    #[error("{} belongs to somebody else, or others may write to it; name another socket", .0.display())]
    Open(PathBuf),
    /// The system says no.
    #[error("cannot listen at {}: {source}", .path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A door, open as long as this is kept.
pub struct Door {
    /// Where wrappers come in.
    pub listener: UnixListener,
    _lock: File,
}

/// Opens the door at `socket`. What a daemon that died has left there is cleared away.
pub fn open_door(socket: &Path) -> Result<Door, DoorError> {
    let io = |source: io::Error| DoorError::Io {
        path: socket.to_owned(),
        source,
    };
    let directory = socket.parent().unwrap_or(Path::new("/"));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(io)?;
    let metadata = fs::metadata(directory).map_err(io)?;
    if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
        return Err(DoorError::Open(directory.to_owned()));
    }
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(socket.with_extension("lock"))
        .map_err(io)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(DoorError::Taken),
        Err(error) => return Err(io(error.into())),
    }
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    let listen = || {
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        listener.bind(&SockAddr::unix(socket)?)?;
        listener.listen(BACKLOG)?;
        listener.set_nonblocking(true)?;
        UnixListener::from_std(listener.into())
    };
    Ok(Door {
        listener: listen().map_err(io)?,
        _lock: lock,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn one_daemon_at_a_time_whatever_the_last_one_left() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("below/daemon.socket");
        let door = open_door(&socket).unwrap();
        assert!(matches!(open_door(&socket), Err(DoorError::Taken)));
        drop(door);
        assert!(socket.exists(), "as after a crash");
        let door = open_door(&socket).unwrap();
        tokio::net::UnixStream::connect(&socket).await.unwrap();
        drop(door);
    }

    #[tokio::test]
    async fn where_others_may_write_no_door_is_opened() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let error = open_door(&directory.path().join("daemon.socket")).err().unwrap();
        assert!(matches!(error, DoorError::Open(_)), "{error}");
    }
}
