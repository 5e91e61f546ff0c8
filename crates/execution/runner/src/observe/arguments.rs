//! The arguments of a system call: numbers, and what they point to in the memory of whoever makes it.

use std::ffi::{CStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::sys::{self, Notice};
use crate::system_calls::{ARCH_X86_64, X32};

/// The longest path that the kernel takes, with the zero behind it.
const PATH_BYTES_MAX: usize = 4096;

/// The arguments of a call that waits.
#[derive(Clone, Copy)]
pub(super) struct Arguments<'a>(pub(super) &'a Notice);

/// Why a call is not understood.
pub(super) struct Unseen(pub(super) &'static str);

impl Arguments<'_> {
    /// Which call it is; `None` in another numbering than this program's own.
    pub(super) fn call(&self) -> Option<i64> {
        let is_own = self.0.architecture == ARCH_X86_64
            && u32::try_from(self.0.number).is_ok_and(|number| number < X32);
        is_own.then(|| i64::from(self.0.number))
    }

    /// Who makes the call.
    pub(super) fn process(&self) -> u32 {
        self.0.process
    }

    /// An argument as it is.
    pub(super) fn number(&self, argument: usize) -> u64 {
        self.0.arguments[argument]
    }

    /// The half of it that descriptors and most flags are in.
    pub(super) fn word(&self, argument: usize) -> i32 {
        self.number(argument) as i32
    }

    /// Whether flags say that a link at the end of a path is followed.
    pub(super) fn follows(&self, argument: usize) -> bool {
        self.word(argument) & libc::AT_SYMLINK_NOFOLLOW == 0
    }

    /// Memory that an argument points to; less than asked for where that ends.
    pub(super) fn bytes(&self, argument: usize, length: usize) -> Result<Vec<u8>, Unseen> {
        let mut bytes = vec![0; length];
        let read = sys::read_memory(self.process(), self.number(argument), &mut bytes)
            .map_err(|_| Unseen("its memory cannot be read"))?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// The text that an argument points to; `None` where the call will fail, because there is no such memory.
    fn text(&self, argument: usize) -> Result<Option<OsString>, Unseen> {
        let address = self.number(argument);
        // What lies behind the end of a page may not be there.
        let page = PATH_BYTES_MAX as u64;
        let first = usize::try_from(page - address % page).unwrap_or(PATH_BYTES_MAX);
        let mut bytes = vec![0; PATH_BYTES_MAX];
        let read = |from: u64, to: &mut [u8]| match sys::read_memory(self.process(), from, to) {
            Ok(read) => Ok(read),
            Err(Errno::FAULT) => Ok(0),
            Err(_) => Err(Unseen("its memory cannot be read")),
        };
        let mut length = read(address, &mut bytes[..first])?;
        if length == first && !bytes[..first].contains(&0) {
            length += read(address + first as u64, &mut bytes[first..])?;
        }
        let text = CStr::from_bytes_until_nul(&bytes[..length]);
        Ok(text.ok().map(|text| OsString::from_vec(text.to_bytes().to_vec())))
    }

    /// Where the process is.
    pub(super) fn directory(&self) -> Result<PathBuf, Unseen> {
        self.link("cwd")
            .map_err(|_| Unseen("its directory cannot be told"))
    }

    /// Where a link that the system has of the process leads.
    fn link(&self, name: &str) -> io::Result<PathBuf> {
        fs::read_link(format!("/proc/{}/{name}", self.process()))
    }

    /// The path of an argument, made absolute. `None` where the call will fail, or is about something that has no path.
    pub(super) fn path(&self, directory: i32, argument: usize) -> Result<Option<PathBuf>, Unseen> {
        let Some(text) = self.text(argument)? else {
            return Ok(None);
        };
        let path = Path::new(&text);
        // It means the descriptor: whatever that is was noted when it was opened.
        if text.is_empty() {
            return Ok(None);
        }
        if path.is_absolute() {
            return Ok(Some(path.components().collect()));
        }
        let base = match directory {
            libc::AT_FDCWD => Some(self.directory()?),
            descriptor => self.opened(descriptor),
        };
        Ok(base.map(|base| base.join(path).components().collect()))
    }

    /// The path of an open file: pipes and the like have none, nor has what was removed.
    pub(super) fn opened(&self, descriptor: i32) -> Option<PathBuf> {
        let path = self.link(&format!("fd/{descriptor}")).ok()?;
        let is_there = path.is_absolute() && !path.as_os_str().as_encoded_bytes().ends_with(b" (deleted)");
        is_there.then_some(path)
    }
}
