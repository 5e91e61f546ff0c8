//! Being asked about system calls of others: `seccomp_unotify(2)`.

use std::ffi::{c_int, c_ulong, c_void};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use super::{Instruction, install_filter, last_errno};

/// A system call that somebody is about to make, and waits to be allowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notice {
    id: u64,
    /// Who; a thread's number.
    pub(crate) process: u32,
    /// How the architecture is named in `AUDIT_ARCH_*`.
    pub(crate) architecture: u32,
    /// Which call.
    pub(crate) number: i32,
    pub(crate) arguments: [u64; 6],
}

/// `struct seccomp_notif` as the kernel has had it since 5.0; it refuses a structure of another size.
#[repr(C)]
#[derive(Default)]
struct RawNotice {
    id: u64,
    pid: u32,
    flags: u32,
    number: i32,
    architecture: u32,
    instruction_pointer: u64,
    arguments: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
struct RawAnswer {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

const NOTIF_RECV: c_ulong = 0xc050_2100;
const NOTIF_SEND: c_ulong = 0xc018_2101;
const NOTIF_ID_VALID: c_ulong = 0x4008_2102;
const FLAG_CONTINUE: u32 = 1;
/// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`.
const FLAG_WAIT_KILLABLE: c_ulong = 1 << 5;

/// Has further system calls of this thread, and of all that it starts, pass a filter, and returns where those are told for
/// which the filter says so.
pub(crate) fn filter_with_listener(program: &[Instruction]) -> Result<OwnedFd, Errno> {
    // Once we have been asked, only death interrupts the call: a program that sends itself a signal every few microseconds
    // would ask for ever. Kernels before 5.19 do not know this.
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let listener = match install_filter(program, flags | FLAG_WAIT_KILLABLE) {
        Err(Errno::INVAL) => install_filter(program, flags),
        installed => installed,
    }?;
    let listener = c_int::try_from(listener).map_err(|_| Errno::BADF)?;
    // SAFETY: with this flag a successful call returns a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(listener) })
}

/// The next call that waits. `None` if its process has died meanwhile.
pub(crate) fn next_notice(listener: &OwnedFd) -> Result<Option<Notice>, Errno> {
    // The kernel wants zeroes.
    let mut raw = RawNotice::default();
    // SAFETY: the ioctl writes one structure of the size that is part of its number.
    match unsafe { libc::ioctl(listener.as_fd().as_raw_fd(), NOTIF_RECV, &raw mut raw) } {
        0 => Ok(Some(Notice {
            id: raw.id,
            process: raw.pid,
            architecture: raw.architecture,
            number: raw.number,
            arguments: raw.arguments,
        })),
        _ => match last_errno() {
            Errno::NOENT | Errno::INTR => Ok(None),
            errno => Err(errno),
        },
    }
}

/// Whether the process that makes the call is still the one that is known by its number.
pub(crate) fn is_waiting(listener: &OwnedFd, notice: &Notice) -> bool {
    let id = notice.id;
    // SAFETY: the ioctl reads one number.
    unsafe { libc::ioctl(listener.as_fd().as_raw_fd(), NOTIF_ID_VALID, &raw const id) == 0 }
}

/// Lets the call happen. It may have been given up meanwhile.
pub(crate) fn let_happen(listener: &OwnedFd, notice: &Notice) -> Result<(), Errno> {
    let answer = RawAnswer {
        id: notice.id,
        value: 0,
        error: 0,
        flags: FLAG_CONTINUE,
    };
    // SAFETY: the ioctl reads one structure of the size that is part of its number.
    match unsafe { libc::ioctl(listener.as_fd().as_raw_fd(), NOTIF_SEND, &raw const answer) } {
        0 => Ok(()),
        _ => match last_errno() {
            Errno::NOENT | Errno::INPROGRESS => Ok(()),
            errno => Err(errno),
        },
    }
}

/// Copies memory of another process. How much there was; less than asked for where the memory ends.
pub(crate) fn read_memory(process: u32, address: u64, to: &mut [u8]) -> Result<usize, Errno> {
    let process = libc::pid_t::try_from(process).map_err(|_| Errno::SRCH)?;
    let address = usize::try_from(address).map_err(|_| Errno::FAULT)?;
    let local = libc::iovec {
        iov_base: to.as_mut_ptr().cast::<c_void>(),
        iov_len: to.len(),
    };
    let remote = libc::iovec {
        iov_base: std::ptr::without_provenance_mut(address),
        iov_len: to.len(),
    };
    // SAFETY: the local vector is a slice that may be written; the remote one is another process's, and the kernel checks it.
    let read = unsafe { libc::process_vm_readv(process, &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(read).map_err(|_| last_errno())
}
