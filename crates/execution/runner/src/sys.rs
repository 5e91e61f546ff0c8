//! The system calls that rustix does not offer, each in a safe wrapper. The only `unsafe` of the workspace.
#![allow(unsafe_code, reason = "raw system calls; each block says why it is sound")]

mod landlock;
mod notify;

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_void};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use rustix::io::Errno;

pub(crate) use landlock::{
    RulesetAttributes, landlock_abi, landlock_allow, landlock_create, landlock_restrict,
};
pub(crate) use notify::{Notice, filter_with_listener, is_waiting, let_happen, next_notice, read_memory};

fn last_errno() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// The two sides of a process that was just doubled.
pub(crate) enum Fork<T> {
    Parent(T),
    Child,
}

/// `fork(2)`. The caller must be single-threaded (the runner checks at start); then the child is a full copy in which
/// everything, allocation too, works.
pub(crate) fn fork() -> Result<Fork<libc::pid_t>, Errno> {
    // SAFETY: single-threaded, so no lock can be held by a thread that does not exist in the child.
    match unsafe { libc::fork() } {
        0 => Ok(Fork::Child),
        pid if pid > 0 => Ok(Fork::Parent(pid)),
        _ => Err(last_errno()),
    }
}

/// Like [`fork`], with new namespaces for the child (`CLONE_NEW*`) and a descriptor that tells when it is dead.
///
/// `clone(2)` rather than `clone3(2)`: container runtimes' filters cannot look into the latter and forbid it.
pub(crate) fn clone_into(namespaces: c_int) -> Result<Fork<(libc::pid_t, OwnedFd)>, Errno> {
    let mut pidfd: c_int = -1;
    let flags = c_long::from(namespaces | libc::CLONE_PIDFD | libc::SIGCHLD);
    // SAFETY: no stack and no CLONE_VM: the child continues on its own copy of this stack, like after fork; the one
    // pointer is valid for the kernel to store the descriptor. Single-threaded as in `fork`.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone,
            flags,
            ptr::null_mut::<c_void>(),
            &raw mut pidfd,
            0 as c_long,
            0 as c_long,
        )
    };
    match libc::pid_t::try_from(pid) {
        Ok(0) => Ok(Fork::Child),
        // SAFETY: with CLONE_PIDFD a successful clone stored a fresh descriptor that nobody else owns.
        Ok(pid) if pid > 0 => Ok(Fork::Parent((pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))),
        _ => Err(last_errno()),
    }
}

/// What the child of [`spawn`] needs, made before it exists so that it need not allocate.
pub(crate) struct Execution {
    candidates: Vec<CString>,
    // Own the strings that the pointer lists below point into; a CString's bytes stay where they are when moved.
    _strings: Vec<CString>,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
}

impl Execution {
    /// `candidates` are the executables to try, in order.
    pub(crate) fn new(candidates: Vec<CString>, argv: Vec<CString>, env: Vec<CString>) -> Self {
        let pointers = |strings: &[CString]| {
            strings
                .iter()
                .map(|string| string.as_ptr())
                .chain([ptr::null()])
                .collect::<Vec<_>>()
        };
        let (argv_pointers, envp) = (pointers(&argv), pointers(&env));
        let strings = argv.into_iter().chain(env).collect();
        Execution {
            candidates,
            _strings: strings,
            argv: argv_pointers,
            envp,
        }
    }
}

/// Bytes of stack for the child of [`spawn`] until it executes the command.
const SPAWN_STACK_BYTES: usize = 64 * 1024;

struct Spawning<'a> {
    execution: &'a Execution,
    no_signals: libc::sigset_t,
    errno: c_int,
}

/// Starts the command as a child in a session of its own, with no signal blocked, and returns its pid; or what the kernel said about the first
/// candidate that was more than absent. Descriptors, directory, ids and limits are the caller's.
///
/// The child borrows our memory until it executes (`CLONE_VFORK`), so nothing is copied, however large we are.
pub(crate) fn spawn(execution: &Execution) -> Result<libc::pid_t, Errno> {
    extern "C" fn child(spawning: *mut c_void) -> c_int {
        // SAFETY: the pointer is the `Spawning` below, alive and untouched while the parent is suspended.
        let spawning = unsafe { &mut *spawning.cast::<Spawning<'_>>() };
        // SAFETY: plain system calls; the set is valid, and a fresh child leads no process group, so none can fail.
        unsafe {
            libc::sigprocmask(libc::SIG_SETMASK, &raw const spawning.no_signals, ptr::null_mut());
            libc::setsid();
        }
        let execution = spawning.execution;
        let mut denied = None;
        let mut last = libc::ENOENT;
        for candidate in &execution.candidates {
            // SAFETY: NUL-terminated strings and NULL-terminated lists of them, all kept alive by `execution`.
            unsafe {
                libc::execve(
                    candidate.as_ptr(),
                    execution.argv.as_ptr(),
                    execution.envp.as_ptr(),
                )
            };
            last = io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
            match last {
                // As a shell does: look on, and complain about the one that may not be executed only at the end.
                libc::EACCES => denied = Some(last),
                libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG | libc::ELOOP => {}
                _ => {
                    denied = None;
                    break;
                }
            }
        }
        spawning.errno = denied.unwrap_or(last);
        // SAFETY: ends only this process and runs nothing of ours on the way.
        unsafe { libc::_exit(127) }
    }

    // Never filled, so that only the pages it uses exist.
    let mut stack = Vec::<u128>::with_capacity(SPAWN_STACK_BYTES / size_of::<u128>());
    let mut spawning = Spawning {
        execution,
        no_signals: signal_set(&[]),
        errno: 0,
    };
    // SAFETY: the stack is ours, 16-byte aligned, large enough for `child`, and alive until the child has executed or
    // ended, because CLONE_VFORK suspends us until then. The child writes only its stack and `spawning.errno`.
    let pid = unsafe {
        let top = stack.as_mut_ptr().add(stack.capacity()).cast::<c_void>();
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        libc::clone(child, top, flags, (&raw mut spawning).cast())
    };
    if pid < 0 {
        return Err(last_errno());
    }
    // The child changed it behind the compiler's back.
    // SAFETY: a valid, aligned, initialised field of a live local.
    match unsafe { ptr::read_volatile(&raw const spawning.errno) } {
        0 => Ok(pid),
        errno => {
            // It is dead already; a failure here could only mean that it was reaped.
            let _ = wait4(pid, 0);
            Err(Errno::from_raw_os_error(errno))
        }
    }
}

/// Ends this process at once, running nothing on the way out.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: always sound.
    unsafe { libc::_exit(code) }
}

/// `wait4(2)`: a dead child, its raw status and what it used. `None` with `WNOHANG` when none is dead yet.
pub(crate) fn wait4(
    pid: libc::pid_t,
    options: c_int,
) -> Result<Option<(libc::pid_t, c_int, libc::rusage)>, Errno> {
    loop {
        let mut status = 0;
        // SAFETY: rusage is plain numbers, for which zeroes are a value.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers are valid for writing.
        match unsafe { libc::wait4(pid, &raw mut status, options, &raw mut usage) } {
            0 => return Ok(None),
            pid if pid > 0 => return Ok(Some((pid, status, usage))),
            _ => match last_errno() {
                Errno::INTR => {}
                errno => return Err(errno),
            },
        }
    }
}

/// Sends a signal.
pub(crate) fn kill(pid: libc::pid_t, signal: c_int) -> Result<(), Errno> {
    // SAFETY: a plain system call.
    match unsafe { libc::kill(pid, signal) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

/// Ends this process by a signal, as if it had been sent by somebody else.
pub(crate) fn die_by(signal: c_int) {
    let only = signal_set(&[signal]);
    // SAFETY: plain system calls with a valid set; the default action needs no handler.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
        libc::sigprocmask(libc::SIG_UNBLOCK, &raw const only, ptr::null_mut());
    }
}

/// Gives a signal its default meaning.
pub(crate) fn do_not_ignore(signal: c_int) {
    // SAFETY: a plain system call; the default needs no handler.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// The two signals an init waits for: a child died, and the supervisor wants an end.
const INIT_SIGNALS: [c_int; 2] = [libc::SIGCHLD, libc::SIGTERM];

fn signal_set(signals: &[c_int]) -> libc::sigset_t {
    // SAFETY: the set is initialised by sigemptyset before it is used; its pointer is valid throughout.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for &signal in signals {
            libc::sigaddset(&raw mut set, signal);
        }
        set
    }
}

/// Gives every signal its default meaning, and blocks only what [`next_init_signal`] waits for. Rust's runtime ignores
/// `SIGPIPE`, and whoever started the runner may have ignored anything.
pub(crate) fn prepare_init_signals() {
    // The C library keeps two signals to itself and would not let us touch them, so this asks the kernel. Zeroes are
    // its `struct sigaction` for the default; the largest of any architecture is shorter than this.
    let default = [0_u64; 8];
    for signal in 1..=c_long::from(libc::SIGRTMAX()) {
        // SAFETY: reads at most 64 bytes, installs no handler; SIGKILL and SIGSTOP fail harmlessly.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                &raw const default,
                ptr::null_mut::<c_void>(),
                8,
            )
        };
    }
    let blocked = signal_set(&INIT_SIGNALS);
    // SAFETY: a valid set.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const blocked, ptr::null_mut()) };
}

/// Why an init was woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InitSignal {
    /// Look at the children.
    Child,
    /// Somebody outside the pid namespace sent `SIGTERM`.
    StopFromOutside,
    /// Nothing that means anything.
    Other,
}

/// Waits for a signal that [`prepare_init_signals`] blocked.
pub(crate) fn next_init_signal() -> InitSignal {
    let set = signal_set(&INIT_SIGNALS);
    // SAFETY: siginfo_t is plain bytes and numbers, for which zeroes are a value; both pointers are valid.
    let (signal, sender) = unsafe {
        let mut information: libc::siginfo_t = std::mem::zeroed();
        let signal = libc::sigwaitinfo(&raw const set, &raw mut information);
        // Reading the sender is sound for any signal; it is only meaningful for those that have one.
        (signal, information.si_pid())
    };
    match signal {
        libc::SIGCHLD => InitSignal::Child,
        // A process outside has no number in here.
        libc::SIGTERM if sender == 0 => InitSignal::StopFromOutside,
        _ => InitSignal::Other,
    }
}

/// Pid 1 of a pid namespace: kills everything else in it. Must never be called anywhere else: it would kill every
/// process of the user.
pub(crate) fn kill_everything_else() -> Result<(), Errno> {
    if rustix::process::getpid() != rustix::process::Pid::INIT {
        return Err(Errno::PERM);
    }
    match kill(-1, libc::SIGKILL) {
        // Nobody is left.
        Err(Errno::SRCH) => Ok(()),
        other => other,
    }
}

/// What all reaped children, and those they reaped, used together.
pub(crate) fn usage_of_children() -> libc::rusage {
    // SAFETY: rusage is plain numbers, for which zeroes are a value, and the pointer is valid; it cannot fail.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    }
}

/// Where the arguments of this process lie in its memory; every fork has them at the same place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommandLine {
    start: usize,
    length: usize,
}

impl CommandLine {
    /// `None` if the kernel does not say.
    pub(crate) fn find() -> Option<CommandLine> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // Fields 48 and 49, counted from 1; the second is in parentheses and may hold anything.
        let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().skip(45);
        let (start, end): (usize, usize) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let length = end.checked_sub(start)?;
        (start != 0).then_some(CommandLine { start, length })
    }

    /// Blanks them, so that whoever may list this process learns nothing of them. For an init, which never looks at
    /// its own arguments again.
    pub(crate) fn blank(self) {
        // SAFETY: the kernel put the arguments there, on the writable top of the main thread's stack, and nothing
        // else; this process is single-threaded and reads them no more.
        unsafe { ptr::write_bytes(ptr::with_exposed_provenance_mut::<u8>(self.start), 0, self.length) };
    }
}

/// Blocks the signals and returns a descriptor that becomes readable when one of them arrives.
pub(crate) fn signal_descriptor(signals: &[c_int]) -> Result<OwnedFd, Errno> {
    let set = signal_set(signals);
    // SAFETY: a valid set; a non-negative result is a fresh descriptor.
    unsafe {
        if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) != 0 {
            return Err(last_errno());
        }
        match libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            fd if fd >= 0 => Ok(OwnedFd::from_raw_fd(fd)),
            _ => Err(last_errno()),
        }
    }
}

/// The number of the next signal waiting at a [`signal_descriptor`].
pub(crate) fn next_signal(descriptor: &OwnedFd) -> Option<c_int> {
    let mut record = [0_u8; size_of::<libc::signalfd_siginfo>()];
    match rustix::io::read(descriptor, &mut record) {
        // The number is the record's first field.
        Ok(length) if length == record.len() => {
            let number = [record[0], record[1], record[2], record[3]];
            c_int::try_from(u32::from_ne_bytes(number)).ok()
        }
        _ => None,
    }
}

/// `dup2(2)`: makes the number `to` mean what `from` means; it survives exec.
pub(crate) fn duplicate_to(from: impl AsFd, to: RawFd) -> Result<(), Errno> {
    // SAFETY: a plain system call; `to` is one of 0 to 2, which no OwnedFd of this crate owns.
    match unsafe { libc::dup2(from.as_fd().as_raw_fd(), to) } {
        -1 => Err(last_errno()),
        _ => Ok(()),
    }
}

/// Closes every descriptor but 0, 1, 2 and `keep`, whoever believes to own them. Only for a process that was just
/// forked and forgets everything it had.
pub(crate) fn close_all_but(keep: &[RawFd]) -> Result<(), Errno> {
    let mut keep: Vec<u32> = keep
        .iter()
        .filter_map(|&fd| u32::try_from(fd).ok())
        .filter(|&fd| fd > 2)
        .collect();
    keep.sort_unstable();
    let mut from = 3;
    for fd in keep.into_iter().chain([u32::MAX]) {
        if from < fd {
            // SAFETY: a system call on numbers. Owners of the closed descriptors are leaked with the parent's memory.
            if unsafe { libc::syscall(libc::SYS_close_range, from, fd - 1, 0) } != 0 {
                return Err(last_errno());
            }
        }
        from = fd.saturating_add(1);
    }
    Ok(())
}

/// The `struct mount_attr` of `mount_setattr(2)`.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Adds `MOUNT_ATTR_*` to a mount, with `recursive` to all below it, and cuts it off from the mounts it was cloned from.
pub(crate) fn mount_set_attributes(mount: impl AsFd, set: u64, recursive: bool) -> Result<(), Errno> {
    mount_change_attributes(mount, set, 0, recursive)
}

/// Takes `MOUNT_ATTR_*` from a mount, and from that alone.
pub(crate) fn mount_clear_attributes(mount: impl AsFd, clear: u64) -> Result<(), Errno> {
    mount_change_attributes(mount, 0, clear, false)
}

fn mount_change_attributes(mount: impl AsFd, set: u64, clear: u64, recursive: bool) -> Result<(), Errno> {
    let attributes = MountAttributes {
        set,
        clear,
        propagation: libc::MS_PRIVATE,
        userns_fd: 0,
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: a descriptor, an empty C string, and a struct of the layout and size announced.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Switches a network interface on.
pub(crate) fn interface_up(socket: impl AsFd, name: &CStr) -> Result<(), Errno> {
    // SAFETY: ifreq is plain bytes and numbers, for which zeroes are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let bytes = name.to_bytes();
    if bytes.len() >= request.ifr_name.len() {
        return Err(Errno::NAMETOOLONG);
    }
    for (to, from) in request.ifr_name.iter_mut().zip(bytes) {
        *to = c_char::from_ne_bytes([*from]);
    }
    let socket = socket.as_fd().as_raw_fd();
    let up = libc::IFF_UP | libc::IFF_RUNNING;
    request.ifr_ifru.ifru_flags = i16::try_from(up).map_err(|_| Errno::INVAL)?;
    // SAFETY: the ioctl reads a whole, initialised ifreq. A fresh loopback has no other flag worth keeping.
    match unsafe { libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw const request) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

/// One step of a filter of system calls, in the kernel's own form.
#[derive(Clone, Copy)]
pub(crate) struct Instruction(libc::sock_filter);

impl Instruction {
    /// An operation with its operand.
    pub(crate) fn new(operation: u32, operand: u32) -> Self {
        Instruction(libc::sock_filter {
            code: u16::try_from(operation).expect("operations are 16 bits"),
            jt: 0,
            jf: 0,
            k: operand,
        })
    }

    /// A comparison that skips so many instructions when it holds, and so many when not.
    pub(crate) fn skipping(mut self, if_true: usize, if_false: usize) -> Self {
        let short = |count: usize| u8::try_from(count).expect("a comparison skips few instructions");
        self.0.jt = short(if_true);
        self.0.jf = short(if_false);
        self
    }
}

/// `seccomp(2)`: has every further system call of this thread, and of all that it starts, pass a filter. What the kernel
/// answers, for which `flags` decide what that means.
fn install_filter(program: &[Instruction], flags: libc::c_ulong) -> Result<c_long, Errno> {
    let mut steps: Vec<libc::sock_filter> = program.iter().map(|instruction| instruction.0).collect();
    let length = u16::try_from(steps.len()).map_err(|_| Errno::TOOBIG)?;
    let program = libc::sock_fprog {
        len: length,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: the program points to `length` instructions that live until the call returns; the kernel copies them.
    let installed = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    if installed < 0 {
        Err(last_errno())
    } else {
        Ok(installed)
    }
}

/// Has every further system call of this thread, and of all that it starts, pass a filter.
pub(crate) fn filter_system_calls(program: &[Instruction]) -> Result<(), Errno> {
    // Without this, some kernels switch off a speed-up of the processor for every filtered process; older ones do not
    // know it.
    match install_filter(program, libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW) {
        Err(Errno::INVAL) => install_filter(program, 0),
        installed => installed,
    }
    .map(|_| ())
}

/// A cgroup namespace of this process's own, whose top is the group that it is in.
pub(crate) fn unshare_cgroups() -> Result<(), Errno> {
    // SAFETY: only the table of descriptors would be dangerous to leave, and it is not among these flags.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWCGROUP) }
}
