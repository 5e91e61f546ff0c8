//! A private copy of a cached file, sharing blocks where the file system can.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use rustix::fs::{self as sys, Mode, OFlags};
use rustix::io::Errno;

use super::Placement;
use crate::file_cache::input_times;
use crate::limits::FILE_PIECE_BYTES;

/// Copies the `size_bytes` of `from` to a new file at `path` below `root`.
pub(super) fn copy(
    from: &OwnedFd,
    root: &OwnedFd,
    path: &str,
    size_bytes: u64,
    mode: Mode,
    placement: &Placement,
) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let to = sys::openat(root, path, flags, Mode::RUSR | Mode::WUSR)?;
    if !reflink(from, &to, size_bytes, placement)? {
        copy_bytes(from, &to, size_bytes)?;
    }
    // The owner first: changing it would clear bits of the mode.
    if let Some((uid, gid)) = placement.owner {
        sys::fchown(&to, Some(uid), Some(gid))?;
    }
    sys::fchmod(&to, mode)?;
    Ok(sys::futimens(&to, &input_times())?)
}

/// Whether the file system has shared the blocks.
fn reflink(from: &OwnedFd, to: &OwnedFd, size_bytes: u64, placement: &Placement) -> io::Result<bool> {
    if size_bytes == 0 || placement.cannot_reflink.load(Ordering::Relaxed) {
        return Ok(false);
    }
    match sys::ioctl_ficlone(to, from) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::XDEV | Errno::INVAL | Errno::NOSYS) => {
            placement.cannot_reflink.store(true, Ordering::Relaxed);
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

fn copy_bytes(from: &OwnedFd, to: &OwnedFd, size_bytes: u64) -> io::Result<()> {
    let mut left = size_bytes;
    while left > 0 {
        let piece = left.min(FILE_PIECE_BYTES as u64) as usize;
        match sys::copy_file_range(from, None, to, None, piece) {
            Ok(0) => break,
            Ok(copied) => left -= copied as u64,
            Err(Errno::INTR) => {}
            // Not between these two file systems.
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if left == size_bytes => {
                return copy_through_memory(from, to, size_bytes);
            }
            Err(error) => return Err(error.into()),
        }
    }
    whole(size_bytes - left, size_bytes)
}

fn copy_through_memory(from: &OwnedFd, to: &OwnedFd, size_bytes: u64) -> io::Result<()> {
    let (mut from, mut to) = (
        std::fs::File::from(from.try_clone()?),
        std::fs::File::from(to.try_clone()?),
    );
    whole(io::copy(&mut from, &mut to)?, size_bytes)
}

fn whole(copied_bytes: u64, size_bytes: u64) -> io::Result<()> {
    if copied_bytes == size_bytes {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("{copied_bytes} of {size_bytes} bytes copied"),
    ))
}
