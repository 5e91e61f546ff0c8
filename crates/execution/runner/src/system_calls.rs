//! Which system calls commands do not get.
//!
//! What is refused here is of no use to a compiler or a test, and opens large parts of the kernel to whoever looks for a
//! hole in it: programs in the kernel, other people's memory and keys, mounts, new namespaces, odd families of sockets.
//! Most of it a command without rights would be refused anyway, but later, by more code. Everything else is allowed:
//! this is no list of what programs may need.
//!
//! Both numberings of calls are covered that an x86-64 machine takes; the third (x32) is refused as a whole.

use rustix::io::Errno;

use crate::setup_error::{Result, SetupError, Step};
use crate::sys::{self, Instruction};

/// What becomes of a call.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    /// It fails with this.
    Refused(Errno),
    /// It fails if its first argument has any of these bits.
    RefusedWith { bits: u32, errno: Errno },
    /// It fails unless its first argument is one of these.
    OnlyFor { values: &'static [u32], errno: Errno },
}

use Verdict::{OnlyFor, Refused, RefusedWith};

/// A new namespace of any kind, for `clone` and `unshare`.
const NEW_NAMESPACE: u32 = 0x7e02_0080;
/// Families of sockets that programs use: Unix, both internets, and the kernel's own for its tables of addresses.
const SOCKET_FAMILIES: &[u32] = &[1, 2, 10, 16];

/// Its number on x86-64, its number on i386, and what becomes of it.
type Row = (Option<u32>, Option<u32>, Verdict);

const PERM: Verdict = Refused(Errno::PERM);
/// For what programs look for, and do without where the kernel has not got it.
const NOSYS: Verdict = Refused(Errno::NOSYS);

const TABLE: &[Row] = &[
    // Programs and tables in the kernel.
    (Some(321), Some(357), PERM),  // bpf
    (Some(298), Some(336), PERM),  // perf_event_open
    (Some(175), Some(128), PERM),  // init_module
    (Some(313), Some(350), PERM),  // finit_module
    (Some(176), Some(129), PERM),  // delete_module
    (Some(246), Some(283), PERM),  // kexec_load
    (Some(320), None, PERM),       // kexec_file_load
    (Some(154), Some(123), NOSYS), // modify_ldt
    (None, Some(113), NOSYS),      // vm86old
    (None, Some(166), NOSYS),      // vm86
    // Memory and time of one's own that other parts of the kernel serve.
    (Some(323), Some(374), PERM),  // userfaultfd
    (Some(425), Some(425), NOSYS), // io_uring_setup
    (Some(426), Some(426), NOSYS), // io_uring_enter
    (Some(427), Some(427), NOSYS), // io_uring_register
    // Keys are everybody's who has the same number.
    (Some(248), Some(286), PERM), // add_key
    (Some(249), Some(287), PERM), // request_key
    (Some(250), Some(288), PERM), // keyctl
    // Files without a path.
    (Some(304), Some(342), PERM), // open_by_handle_at
    (Some(212), Some(253), PERM), // lookup_dcookie
    // File trees.
    (Some(165), Some(21), PERM),  // mount
    (None, Some(22), PERM),       // umount
    (Some(166), Some(52), PERM),  // umount2
    (Some(155), Some(217), PERM), // pivot_root
    (Some(161), Some(61), PERM),  // chroot
    (Some(428), Some(428), PERM), // open_tree
    (Some(429), Some(429), PERM), // move_mount
    (Some(430), Some(430), PERM), // fsopen
    (Some(431), Some(431), PERM), // fsconfig
    (Some(432), Some(432), PERM), // fsmount
    (Some(433), Some(433), PERM), // fspick
    (Some(442), Some(442), PERM), // mount_setattr
    (Some(467), Some(467), PERM), // open_tree_attr
    (Some(179), Some(131), PERM), // quotactl
    (Some(443), Some(443), PERM), // quotactl_fd
    (Some(163), Some(51), PERM),  // acct
    (Some(167), Some(87), PERM),  // swapon
    (Some(168), Some(115), PERM), // swapoff
    // The machine.
    (Some(169), Some(88), PERM),  // reboot
    (Some(103), Some(103), PERM), // syslog
    (Some(164), Some(79), PERM),  // settimeofday
    (None, Some(25), PERM),       // stime
    (Some(227), Some(264), PERM), // clock_settime
    (None, Some(404), PERM),      // clock_settime64
    (Some(172), Some(110), PERM), // iopl
    (Some(173), Some(101), PERM), // ioperm
    (Some(153), Some(111), PERM), // vhangup
    // Namespaces. The flags of clone3 are out of sight; whoever calls it knows what to do without.
    (Some(308), Some(346), PERM),       // setns
    (Some(435), Some(435), NOSYS),      // clone3
    (Some(56), Some(120), NAMESPACES),  // clone
    (Some(272), Some(310), NAMESPACES), // unshare
    // Sockets. The old door to all of them on i386 takes its arguments out of sight.
    (Some(41), Some(359), SOCKETS), // socket
    (Some(53), Some(360), SOCKETS), // socketpair
    (None, Some(102), NOSYS),       // socketcall
];

const NAMESPACES: Verdict = RefusedWith {
    bits: NEW_NAMESPACE,
    errno: Errno::PERM,
};
const SOCKETS: Verdict = OnlyFor {
    values: SOCKET_FAMILIES,
    errno: Errno::AFNOSUPPORT,
};

/// As the kernel names architectures in what a filter sees.
pub(crate) const ARCH_X86_64: u32 = 0xc000_003e;
const ARCH_I386: u32 = 0x4000_0003;
/// Numbers from here on are x32's.
pub(crate) const X32: u32 = 0x4000_0000;

/// Where a filter finds things in what it sees of a call.
pub(crate) const NUMBER_AT: u32 = 0;
pub(crate) const ARCH_AT: u32 = 4;
pub(crate) const FIRST_ARGUMENT_AT: u32 = 16;

/// From here on this process and all that it starts do without what the table refuses. They must not be able to get
/// rights (`no_new_privs`).
pub(crate) fn refuse() -> Result<()> {
    if cfg!(not(target_arch = "x86_64")) {
        let what = "refusing system calls, whose numbers on this architecture nobody has looked up yet";
        return Err(SetupError::new(what, Errno::NOSYS));
    }
    sys::filter_system_calls(&program()).step("refusing system calls")
}

fn program() -> Vec<Instruction> {
    let mut native = vec![
        load(NUMBER_AT),
        skip_unless_at_least(X32, 1),
        refused(Errno::NOSYS),
    ];
    let mut compatible = vec![load(NUMBER_AT)];
    for (number, number_i386, verdict) in TABLE {
        native.extend(number.iter().flat_map(|number| rule(*number, *verdict)));
        compatible.extend(number_i386.iter().flat_map(|number| rule(*number, *verdict)));
    }
    native.push(allowed());
    compatible.push(allowed());

    let mut program = vec![load(ARCH_AT), skip_if(ARCH_X86_64, 1), skip(native.len())];
    program.extend(native);
    program.extend([skip_if(ARCH_I386, 1), refused(Errno::NOSYS)]);
    program.extend(compatible);
    program
}

/// Decides about one number, or goes on to what follows.
fn rule(number: u32, verdict: Verdict) -> Vec<Instruction> {
    let decision = match verdict {
        Refused(errno) => vec![refused(errno)],
        RefusedWith { bits, errno } => vec![
            load(FIRST_ARGUMENT_AT),
            skip_unless_any(bits, 1),
            refused(errno),
            allowed(),
        ],
        OnlyFor { values, errno } => {
            let mut decision = vec![load(FIRST_ARGUMENT_AT)];
            let to_allowed = |index: usize| values.len() - index;
            decision.extend((0..values.len()).map(|index| skip_if(values[index], to_allowed(index))));
            decision.extend([refused(errno), allowed()]);
            decision
        }
    };
    let mut rule = vec![skip_unless(number, decision.len())];
    rule.extend(decision);
    rule
}

pub(crate) fn load(at: u32) -> Instruction {
    Instruction::new(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, at)
}

pub(crate) fn skip(count: usize) -> Instruction {
    let count = u32::try_from(count).expect("a filter is short");
    Instruction::new(libc::BPF_JMP | libc::BPF_JA, count)
}

pub(crate) fn skip_if(value: u32, count: usize) -> Instruction {
    Instruction::new(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value).skipping(count, 0)
}

pub(crate) fn skip_unless(value: u32, count: usize) -> Instruction {
    Instruction::new(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value).skipping(0, count)
}

pub(crate) fn skip_unless_at_least(value: u32, count: usize) -> Instruction {
    Instruction::new(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, value).skipping(0, count)
}

fn skip_unless_any(bits: u32, count: usize) -> Instruction {
    Instruction::new(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, bits).skipping(0, count)
}

pub(crate) fn refused(errno: Errno) -> Instruction {
    let errno = errno.raw_os_error().cast_unsigned() & libc::SECCOMP_RET_DATA;
    Instruction::new(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | errno)
}

pub(crate) fn allowed() -> Instruction {
    Instruction::new(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW)
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Against the names that the C library has for the native numbers.
    #[test]
    fn numbers_are_what_their_names_say() {
        let named: BTreeSet<i64> = [
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_delete_module,
            libc::SYS_kexec_load,
            libc::SYS_kexec_file_load,
            libc::SYS_modify_ldt,
            libc::SYS_userfaultfd,
            libc::SYS_io_uring_setup,
            libc::SYS_io_uring_enter,
            libc::SYS_io_uring_register,
            libc::SYS_add_key,
            libc::SYS_request_key,
            libc::SYS_keyctl,
            libc::SYS_open_by_handle_at,
            libc::SYS_lookup_dcookie,
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_pivot_root,
            libc::SYS_chroot,
            libc::SYS_open_tree,
            libc::SYS_move_mount,
            libc::SYS_fsopen,
            libc::SYS_fsconfig,
            libc::SYS_fsmount,
            libc::SYS_fspick,
            libc::SYS_mount_setattr,
            libc::SYS_quotactl,
            libc::SYS_quotactl_fd,
            libc::SYS_acct,
            libc::SYS_swapon,
            libc::SYS_swapoff,
            libc::SYS_reboot,
            libc::SYS_syslog,
            libc::SYS_settimeofday,
            libc::SYS_clock_settime,
            libc::SYS_iopl,
            libc::SYS_ioperm,
            libc::SYS_vhangup,
            libc::SYS_setns,
            libc::SYS_clone3,
            libc::SYS_clone,
            libc::SYS_unshare,
            libc::SYS_socket,
            libc::SYS_socketpair,
            // open_tree_attr: newer than the C library's names.
            467,
        ]
        .into();
        let listed: BTreeSet<i64> = TABLE.iter().filter_map(|row| Some(row.0?.into())).collect();
        assert_eq!(listed, named);
        let flags = libc::CLONE_NEWNS
            | libc::CLONE_NEWCGROUP
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUSER
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET
            | libc::CLONE_NEWTIME;
        assert_eq!(NEW_NAMESPACE, flags.cast_unsigned());
        let families = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
        assert_eq!(SOCKET_FAMILIES, families.map(i32::cast_unsigned));
    }
}
