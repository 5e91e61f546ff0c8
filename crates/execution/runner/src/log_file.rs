//! One of a command's output streams on its way into a file, up to a bound (REAPI leaves the bound to the server; the
//! marker is what tells the user).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use runner_api::log_marker;
use rustix::buffer::spare_capacity;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::thread::{Gid, Uid};

use crate::confinement::Ids;
use crate::limits::COPIES_PER_TURN;

/// A pipe's reading end and the file it is copied to.
pub(crate) struct LogFile {
    name: &'static str,
    /// Gone when nobody holds the writing end any more.
    pipe: Option<OwnedFd>,
    path: PathBuf,
    /// Created at the first byte: most commands say nothing, and a file costs more than a pipe.
    file: Option<File>,
    /// Whose the file is to be, if not ours.
    owner: Option<(Uid, Gid)>,
    kept_bytes_max: u64,
    kept_bytes: u64,
    dropped_bytes: u64,
    last_byte: u8,
}

impl LogFile {
    /// Makes the pipe. The second value is the command's end of it; it belongs to the command's user, so that opening
    /// `/dev/stdout` works. The file must not exist.
    pub(crate) fn new(
        name: &'static str,
        path: &Path,
        kept_bytes_max: u64,
        ids: &Ids,
    ) -> io::Result<(LogFile, OwnedFd)> {
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::fs::fcntl_setfl(&reader, OFlags::NONBLOCK)?;
        rustix::fs::fchown(
            &writer,
            Some(Uid::from_raw(ids.uid)),
            Some(Gid::from_raw(ids.gid)),
        )?;
        let log = LogFile {
            name,
            pipe: Some(reader),
            path: path.to_path_buf(),
            file: None,
            owner: None,
            kept_bytes_max,
            kept_bytes: 0,
            dropped_bytes: 0,
            last_byte: b'\n',
        };
        Ok((log, writer))
    }

    /// The file is made for this user.
    pub(crate) fn owned_by(mut self, owner: Option<(Uid, Gid)>) -> Self {
        self.owner = owner;
        self
    }

    /// Readable when there is something to [`copy`](Self::copy). `None` when there never will be.
    pub(crate) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Copies what is there, at most a turn's worth, through a buffer whose capacity is what counts: a command that says
    /// nothing leaves its memory untouched, which every fork saves.
    pub(crate) fn copy(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        for _ in 0..COPIES_PER_TURN {
            let Some(pipe) = &self.pipe else { break };
            buffer.clear();
            match rustix::io::read(pipe, spare_capacity(buffer)) {
                Ok(0) => self.pipe = None,
                Ok(_) => self.keep(buffer)?,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.failed("reading", errno.into())),
            }
        }
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) -> io::Result<()> {
        let room = usize::try_from(self.kept_bytes_max - self.kept_bytes).unwrap_or(usize::MAX);
        let (kept, dropped) = bytes.split_at(bytes.len().min(room));
        if !kept.is_empty() {
            self.write(kept)?;
        }
        self.kept_bytes += kept.len() as u64;
        self.dropped_bytes += dropped.len() as u64;
        self.last_byte = kept.last().copied().unwrap_or(self.last_byte);
        Ok(())
    }

    /// Appends the marker if something was dropped; says whether.
    pub(crate) fn finish(mut self) -> io::Result<bool> {
        if self.dropped_bytes == 0 {
            return Ok(false);
        }
        let ends_line = self.last_byte == b'\n';
        let marker = log_marker(self.name, self.kept_bytes, self.dropped_bytes, ends_line);
        self.write(marker.as_bytes())?;
        Ok(true)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = match &mut self.file {
            Some(file) => file.write_all(bytes),
            None => {
                let created = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&self.path);
                let owned = created.and_then(|file| match self.owner {
                    Some((uid, gid)) => Ok(rustix::fs::fchown(&file, Some(uid), Some(gid)).map(|()| file)?),
                    None => Ok(file),
                });
                owned.and_then(|file| self.file.insert(file).write_all(bytes))
            }
        };
        written.map_err(|error| self.failed("writing", error))
    }

    fn failed(&self, verb: &str, error: io::Error) -> io::Error {
        let LogFile { name, path, .. } = self;
        io::Error::new(
            error.kind(),
            format!("{verb} the command's {name} for {path:?}: {error}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use runner_api::{DEFAULT_USER, LOG_MARKER_BYTES_MAX, UidMode};

    use super::*;

    fn own_ids() -> Ids {
        let (uid, gid) = (
            rustix::process::getuid().as_raw(),
            rustix::process::getgid().as_raw(),
        );
        Ids {
            mode: UidMode::Rootless,
            uid,
            gid,
            inner: DEFAULT_USER,
        }
    }

    fn check(chunks: &[&str], kept_bytes_max: u64, expected: &str, expected_truncated: bool) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let (mut log, writer) = LogFile::new("stdout", &path, kept_bytes_max, &own_ids()).unwrap();
        let mut buffer = Vec::with_capacity(7);
        for chunk in chunks {
            rustix::io::write(&writer, chunk.as_bytes()).unwrap();
            log.copy(&mut buffer).unwrap();
            assert!(log.pipe().is_some());
        }
        drop(writer);
        log.copy(&mut buffer).unwrap();
        assert!(log.pipe().is_none());
        assert_eq!(log.finish().unwrap(), expected_truncated);
        assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), expected);
        assert_eq!(path.exists(), !expected.is_empty());
    }

    #[test]
    fn what_fits_is_kept_as_it_is() {
        check(&[], 0, "", false);
        check(&["hello ", "world"], 11, "hello world", false);
    }

    #[test]
    fn the_rest_is_dropped_and_said() {
        check(
            &["hello world"],
            5,
            "hello\n[farrier: stdout cut after 5 bytes; the other 6 bytes were dropped]\n",
            true,
        );
        check(
            &["ab\n", "c", "d"],
            3,
            "ab\n[farrier: stdout cut after 3 bytes; the other 2 bytes were dropped]\n",
            true,
        );
        check(
            &["x"],
            0,
            "[farrier: stdout cut after 0 bytes; the other 1 bytes were dropped]\n",
            true,
        );
    }

    #[test]
    fn the_marker_has_its_bound() {
        assert!(log_marker("stdout", u64::MAX, u64::MAX, false).len() <= LOG_MARKER_BYTES_MAX);
    }

    #[test]
    fn an_existing_file_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::fs::write(&path, "precious").unwrap();
        let (mut log, writer) = LogFile::new("stderr", &path, 9, &own_ids()).unwrap();
        rustix::io::write(&writer, b"new").unwrap();
        let error = log.copy(&mut Vec::with_capacity(9)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(
            error.to_string().contains("writing the command's stderr for"),
            "{error}"
        );
        assert_eq!(std::fs::read_to_string(path).unwrap(), "precious");
    }
}
