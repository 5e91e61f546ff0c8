//! Each system call that commands do not get, tried by each of the doors that this kind of machine has. Perl is part of
//! every Debian, and makes any call by its number.
#![cfg(target_arch = "x86_64")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use runner_api::Outcome;

use crate::host::{Build, Host, modes, request};

const EPERM: i32 = 1;
const EACCES: i32 = 13;
const EINVAL: i32 = 22;
const ENOSYS: i32 = 38;
const EAFNOSUPPORT: i32 = 97;

/// Native numbers with what they have to fail with; with zeros for arguments none of them does harm where it works.
const NATIVE: &[(i64, i32)] = &[
    (libc::SYS_bpf, EPERM),
    (libc::SYS_perf_event_open, EPERM),
    (libc::SYS_init_module, EPERM),
    (libc::SYS_finit_module, EPERM),
    (libc::SYS_delete_module, EPERM),
    (libc::SYS_kexec_load, EPERM),
    (libc::SYS_kexec_file_load, EPERM),
    (libc::SYS_modify_ldt, ENOSYS),
    (libc::SYS_userfaultfd, EPERM),
    (libc::SYS_io_uring_setup, ENOSYS),
    (libc::SYS_io_uring_enter, ENOSYS),
    (libc::SYS_io_uring_register, ENOSYS),
    (libc::SYS_add_key, EPERM),
    (libc::SYS_request_key, EPERM),
    (libc::SYS_keyctl, EPERM),
    (libc::SYS_open_by_handle_at, EPERM),
    (libc::SYS_lookup_dcookie, EPERM),
    (libc::SYS_mount, EPERM),
    (libc::SYS_umount2, EPERM),
    (libc::SYS_pivot_root, EPERM),
    (libc::SYS_chroot, EPERM),
    (libc::SYS_open_tree, EPERM),
    (libc::SYS_move_mount, EPERM),
    (libc::SYS_fsopen, EPERM),
    (libc::SYS_fsconfig, EPERM),
    (libc::SYS_fsmount, EPERM),
    (libc::SYS_fspick, EPERM),
    (libc::SYS_mount_setattr, EPERM),
    // open_tree_attr, which the C library has no name for yet.
    (467, EPERM),
    (libc::SYS_quotactl, EPERM),
    (libc::SYS_quotactl_fd, EPERM),
    (libc::SYS_acct, EPERM),
    (libc::SYS_swapon, EPERM),
    (libc::SYS_swapoff, EPERM),
    (libc::SYS_reboot, EPERM),
    (libc::SYS_syslog, EPERM),
    (libc::SYS_settimeofday, EPERM),
    (libc::SYS_clock_settime, EPERM),
    (libc::SYS_iopl, EPERM),
    (libc::SYS_ioperm, EPERM),
    (libc::SYS_vhangup, EPERM),
    (libc::SYS_setns, EPERM),
    (libc::SYS_clone3, ENOSYS),
    // By the door of x32, calls that are otherwise fine: getpid and read.
    (0x4000_0000 + 39, ENOSYS),
    (0x4000_0000, ENOSYS),
];

/// The same of i386, by their names in the kernel's table: number, first argument, what they have to fail with.
const I386: &[(u32, u32, i32)] = &[
    (357, 0, EPERM),           // bpf
    (336, 0, EPERM),           // perf_event_open
    (128, 0, EPERM),           // init_module
    (350, 0, EPERM),           // finit_module
    (129, 0, EPERM),           // delete_module
    (283, 0, EPERM),           // kexec_load
    (123, 0, ENOSYS),          // modify_ldt
    (113, 0, ENOSYS),          // vm86old
    (166, 0, ENOSYS),          // vm86
    (374, 0, EPERM),           // userfaultfd
    (425, 0, ENOSYS),          // io_uring_setup
    (426, 0, ENOSYS),          // io_uring_enter
    (427, 0, ENOSYS),          // io_uring_register
    (286, 0, EPERM),           // add_key
    (287, 0, EPERM),           // request_key
    (288, 0, EPERM),           // keyctl
    (342, 0, EPERM),           // open_by_handle_at
    (253, 0, EPERM),           // lookup_dcookie
    (21, 0, EPERM),            // mount
    (22, 0, EPERM),            // umount
    (52, 0, EPERM),            // umount2
    (217, 0, EPERM),           // pivot_root
    (61, 0, EPERM),            // chroot
    (428, 0, EPERM),           // open_tree
    (429, 0, EPERM),           // move_mount
    (430, 0, EPERM),           // fsopen
    (431, 0, EPERM),           // fsconfig
    (432, 0, EPERM),           // fsmount
    (433, 0, EPERM),           // fspick
    (442, 0, EPERM),           // mount_setattr
    (467, 0, EPERM),           // open_tree_attr
    (131, 0, EPERM),           // quotactl
    (443, 0, EPERM),           // quotactl_fd
    (51, 0, EPERM),            // acct
    (87, 0, EPERM),            // swapon
    (115, 0, EPERM),           // swapoff
    (88, 0, EPERM),            // reboot
    (103, 0, EPERM),           // syslog
    (79, 0, EPERM),            // settimeofday
    (25, 0, EPERM),            // stime
    (264, 0, EPERM),           // clock_settime
    (404, 0, EPERM),           // clock_settime64
    (110, 0, EPERM),           // iopl
    (101, 0, EPERM),           // ioperm
    (111, 0, EPERM),           // vhangup
    (346, 0, EPERM),           // setns
    (435, 0, ENOSYS),          // clone3
    (310, 0x1000_0000, EPERM), // unshare of the user namespace
    (120, 0x2000_0000, EPERM), // clone with a new pid namespace
    (359, 40, EAFNOSUPPORT),   // socket of the family of virtual machines
    (360, 38, EAFNOSUPPORT),   // socketpair of the family of the kernel's cryptography
    (102, 1, ENOSYS),          // socketcall
    // And two that work: getpid answers a number, which as an error would be negative.
    (20, 0, 0),
    (310, 0, 0),
];

/// What no table has to refuse, as the kernel gives it only to those with rights: number, arguments, and the errno. Times and
/// names are those that are there, and the device is the null device, so that nothing happens where one can be made.
const BY_RIGHT: &[(i64, [i64; 3], i32)] = &[
    (libc::SYS_sethostname, [0, 0, 0], EPERM),
    (libc::SYS_setdomainname, [0, 0, 0], EPERM),
    (libc::SYS_setpriority, [0, 0, -5], EACCES),
    // There is no root to become.
    (libc::SYS_setuid, [0, 0, 0], EINVAL),
    (libc::SYS_setgid, [0, 0, 0], EINVAL),
    (libc::SYS_setgroups, [0, 0, 0], EPERM),
    (libc::SYS_fanotify_init, [0x10, 0, 0], EPERM),
    (libc::SYS_ioprio_set, [1, 0, 1 << 13], EPERM),
];

/// One line of errno for each call: number, then up to two arguments.
async fn errnos(host: &Host, calls: &[(i64, i64, i64)]) -> Vec<i32> {
    let calls: Vec<_> = calls
        .iter()
        .map(|(number, first, second)| (*number, *first, *second, 0))
        .collect();
    errnos_of_three(host, &calls).await
}

/// The same with a third argument.
async fn errnos_of_three(host: &Host, calls: &[(i64, i64, i64, i64)]) -> Vec<i32> {
    let build = host.build().await;
    let script = "for (@ARGV) { my @call = map { $_ + 0 } split /,/; $! = 0; \
                  my $answer = syscall($call[0], $call[1], $call[2], $call[3], 0, 0, 0); \
                  print(($answer == -1 ? $! + 0 : 0), qq{\\n}) }";
    let calls: Vec<String> = calls
        .iter()
        .map(|(number, first, second, third)| format!("{number},{first},{second},{third}"))
        .collect();
    let mut words = vec!["perl", "-e", script];
    words.extend(calls.iter().map(String::as_str));
    let said = host.run(&build, request(&build, &words)).await.ok();
    said.lines().map(|line| line.parse().unwrap()).collect()
}

#[tokio::test]
async fn each_refused_call_fails_as_it_should() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let calls: Vec<_> = NATIVE.iter().map(|(number, _)| (*number, 0, 0)).collect();
        let expected: Vec<_> = NATIVE.iter().map(|(_, errno)| *errno).collect();
        assert_eq!(errnos(&host, &calls).await, expected);
    }
}

#[tokio::test]
async fn what_takes_rights_is_refused_for_want_of_them() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let calls: Vec<_> = BY_RIGHT
            .iter()
            .map(|(number, [first, second, third], _)| (*number, *first, *second, *third))
            .collect();
        let expected: Vec<_> = BY_RIGHT.iter().map(|(.., errno)| *errno).collect();
        assert_eq!(errnos_of_three(&host, &calls).await, expected, "{mode:?}");
        // Which changes nobody but the caller: debuggers and some sanitizers do without random addresses.
        let no_random_addresses = i64::from(libc::ADDR_NO_RANDOMIZE);
        assert_eq!(
            errnos(&host, &[(libc::SYS_personality, no_random_addresses, 0)]).await,
            [0]
        );
    }
}

#[tokio::test]
async fn namespaces_and_odd_sockets_are_refused_and_ordinary_ones_are_not() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let new_namespace = |flag: i32| {
            [
                (libc::SYS_unshare, flag.into(), 0),
                (libc::SYS_clone, flag.into(), 0),
            ]
        };
        let flags = [
            libc::CLONE_NEWNS,
            libc::CLONE_NEWCGROUP,
            libc::CLONE_NEWUTS,
            libc::CLONE_NEWIPC,
            libc::CLONE_NEWUSER,
            libc::CLONE_NEWPID,
            libc::CLONE_NEWNET,
            libc::CLONE_NEWTIME,
        ];
        let calls: Vec<_> = flags.into_iter().flat_map(new_namespace).collect();
        assert_eq!(errnos(&host, &calls).await, vec![EPERM; calls.len()]);

        let stream = i64::from(libc::SOCK_STREAM);
        let refused = [
            libc::AF_VSOCK,
            libc::AF_ALG,
            libc::AF_PACKET,
            libc::AF_BLUETOOTH,
            libc::AF_TIPC,
            0,
            1000,
        ];
        let calls = refused.map(|family| (libc::SYS_socket, family.into(), stream));
        assert_eq!(errnos(&host, &calls).await, [EAFNOSUPPORT; 7]);
        let allowed = [
            (libc::SYS_socket, libc::AF_UNIX.into(), stream),
            (libc::SYS_socket, libc::AF_INET.into(), stream),
            (libc::SYS_socket, libc::AF_INET6.into(), stream),
            (
                libc::SYS_socket,
                libc::AF_NETLINK.into(),
                i64::from(libc::SOCK_RAW),
            ),
            (libc::SYS_unshare, libc::CLONE_FS.into(), 0),
            (libc::SYS_getpid, 0, 0),
        ];
        assert_eq!(errnos(&host, &allowed).await, [0; 6]);
    }
}

#[tokio::test]
async fn the_doors_of_i386_are_no_way_around() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let run = async |number, argument| {
            let build = host.build().await;
            put_program(&build, number, argument);
            host.run(&build, request(&build, &["./call"]))
                .await
                .response
                .outcome
        };
        // A kernel that does not run such programs has no such doors. One that does asks for getpid.
        if let Outcome::NotStarted { errno, .. } = run(20, 0).await {
            return println!("not tried: programs of i386 do not run here: errno {errno}");
        }
        for (number, argument, errno) in I386 {
            let expected = Outcome::Exited(*errno);
            assert_eq!(
                run(*number, *argument).await,
                expected,
                "{mode:?}: call {number} of i386"
            );
        }
    }
}

#[tokio::test]
async fn a_sandbox_that_is_off_refuses_nothing() {
    let host = Host::start_with(modes()[0], &["--sandbox", "off"]).await;
    let keyctl = errnos(&host, &[(libc::SYS_keyctl, 0, 0)]).await;
    assert_ne!(keyctl, [EPERM]);
}

/// A program of a few instructions that makes one call and exits with its errno, or with 0 if it did not fail.
fn put_program(build: &Build, number: u32, argument: u32) {
    let mut code = vec![0xb8];
    code.extend(number.to_le_bytes()); // mov eax, number
    code.push(0xbb);
    code.extend(argument.to_le_bytes()); // mov ebx, argument
    code.extend([0x31, 0xc9, 0x31, 0xd2, 0x31, 0xf6, 0x31, 0xff]); // no other arguments
    code.extend([0xcd, 0x80]); // the call
    code.extend([0x31, 0xdb]); // xor ebx, ebx
    code.extend([0x85, 0xc0]); // test eax, eax
    code.extend([0x79, 0x04]); // jns over the next two
    code.extend([0xf7, 0xd8]); // neg eax
    code.extend([0x89, 0xc3]); // mov ebx, eax
    code.extend([0xb8, 1, 0, 0, 0, 0xcd, 0x80]); // exit(ebx)

    const BASE: u32 = 0x0804_8000;
    const HEADERS: u32 = 52 + 32;
    let size = HEADERS + code.len() as u32;
    let mut elf = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let word = |elf: &mut Vec<u8>, value: u32| elf.extend(value.to_le_bytes());
    let half = |elf: &mut Vec<u8>, value: u16| elf.extend(value.to_le_bytes());
    half(&mut elf, 2); // an executable
    half(&mut elf, 3); // for i386
    word(&mut elf, 1);
    word(&mut elf, BASE + HEADERS); // entry
    word(&mut elf, 52); // program headers
    word(&mut elf, 0);
    word(&mut elf, 0);
    for value in [52, 32, 1, 0, 0, 0] {
        half(&mut elf, value);
    }
    for value in [1, 0, BASE, BASE, size, size, 5, 0x1000] {
        word(&mut elf, value);
    }
    elf.extend(code);
    let path = build.root.join("call");
    fs::write(&path, elf).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}
