//! Which system calls are asked about.

use rustix::io::Errno;

use crate::sys::Instruction;
use crate::system_calls::{
    ARCH_AT, ARCH_X86_64, FIRST_ARGUMENT_AT, NUMBER_AT, X32, allowed, load, refused, skip, skip_if,
    skip_unless, skip_unless_at_least,
};

/// Always.
#[cfg(target_arch = "x86_64")]
pub(super) const ALWAYS: &[i64] = &[
    // Files that are read, or looked for.
    libc::SYS_open,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_statfs,
    libc::SYS_getxattr,
    libc::SYS_lgetxattr,
    libc::SYS_listxattr,
    libc::SYS_llistxattr,
    libc::SYS_name_to_handle_at,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_access,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlink,
    libc::SYS_readlinkat,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_chdir,
    libc::SYS_getdents,
    libc::SYS_getdents64,
    // Files that are made and unmade.
    libc::SYS_creat,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_link,
    libc::SYS_linkat,
    libc::SYS_symlink,
    libc::SYS_symlinkat,
    libc::SYS_mknod,
    libc::SYS_mknodat,
    libc::SYS_unlink,
    libc::SYS_unlinkat,
    libc::SYS_rmdir,
    libc::SYS_mkdir,
    libc::SYS_mkdirat,
    libc::SYS_truncate,
    libc::SYS_ftruncate,
    libc::SYS_chmod,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    FCHMODAT2,
    libc::SYS_chown,
    libc::SYS_fchown,
    libc::SYS_lchown,
    libc::SYS_fchownat,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    // Whatever has an outcome that nobody can look at again.
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_open_by_handle_at,
    libc::SYS_uselib,
    libc::SYS_shmat,
    libc::SYS_msgrcv,
    libc::SYS_mq_open,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_swapon,
];

/// The C library's list ends before it.
#[cfg(target_arch = "x86_64")]
pub(super) const FCHMODAT2: i64 = 452;

/// `setxattrat`, `getxattrat`, `listxattrat`, `removexattrat`, `open_tree_attr`, `file_getattr` and `file_setattr`, which hardly
/// anybody uses yet.
#[cfg(target_arch = "x86_64")]
pub(super) const NEW_ATTRIBUTES: [i64; 7] = [463, 464, 465, 466, 467, 468, 469];

/// Where the descriptor that is read, or copied, is standard input.
#[cfg(target_arch = "x86_64")]
pub(super) const OF_INPUT: &[i64] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_copy_file_range,
    libc::SYS_splice,
    libc::SYS_tee,
    libc::SYS_dup,
    libc::SYS_dup2,
    libc::SYS_dup3,
    libc::SYS_fcntl,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
];

/// What a program does without where the kernel has not got it: files would be read out of sight.
#[cfg(target_arch = "x86_64")]
const REFUSED: &[i64] = &[libc::SYS_io_uring_setup];

/// The filter, for this architecture.
#[cfg(target_arch = "x86_64")]
pub(super) fn program() -> Result<Vec<Instruction>, Errno> {
    // Another numbering: the programs that use it are told from others, and not understood.
    let mut program = vec![
        load(ARCH_AT),
        skip_if(ARCH_X86_64, 1),
        asked(),
        load(NUMBER_AT),
        skip_unless_at_least(X32, 1),
        asked(),
    ];
    for &number in ALWAYS.iter().chain(&NEW_ATTRIBUTES) {
        program.extend([skip_unless(word(number), 1), asked()]);
    }
    for &number in REFUSED {
        program.extend([skip_unless(word(number), 1), refused(Errno::NOSYS)]);
    }
    for &number in OF_INPUT {
        program.extend([
            skip_unless(word(number), 4),
            load(FIRST_ARGUMENT_AT),
            skip_unless(0, 1),
            asked(),
            allowed(),
        ]);
    }
    // Those that name what they read second, and fifth.
    for (number, argument) in [(libc::SYS_sendfile, 1), (libc::SYS_mmap, 4)] {
        program.extend([
            skip_unless(word(number), 4),
            load(FIRST_ARGUMENT_AT + 8 * argument),
            skip_unless(0, 1),
            asked(),
            allowed(),
        ]);
    }
    // Both internets; other sockets are of this machine, and are asked about when they are connected.
    program.extend([
        skip_unless(word(libc::SYS_socket), 6),
        load(FIRST_ARGUMENT_AT),
        skip_if(libc::AF_INET.cast_unsigned(), 2),
        skip_if(libc::AF_INET6.cast_unsigned(), 1),
        skip(1),
        asked(),
        allowed(),
    ]);
    program.push(allowed());
    Ok(program)
}

/// Nobody has looked up the calls of another architecture yet.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn program() -> Result<Vec<Instruction>, Errno> {
    Err(Errno::NOSYS)
}

fn asked() -> Instruction {
    Instruction::new(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_USER_NOTIF)
}

fn word(number: i64) -> u32 {
    u32::try_from(number).expect("numbers of calls are small")
}
