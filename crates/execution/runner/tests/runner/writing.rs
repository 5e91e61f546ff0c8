//! What a command can change outside of its build directory and scratch space: nothing.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use runner_api::RunRequest;

use crate::host::{Host, Mode, modes, request, shell};
use crate::roots::{ROOT_USER, in_root, system};

/// Ways to write to `input` that a shell has no word for. Says which worked.
const ODD_WAYS: &str = r#"
import ctypes, mmap, os
libc = ctypes.CDLL(None, use_errno=True)

def way(name, go):
    try:
        go()
        print('could:', name)
    except (OSError, TypeError):
        pass

def refused(answer):
    if answer != 0:
        raise OSError(ctypes.get_errno(), 'refused')

read = os.open('input', os.O_RDONLY)
path = os.open('input', os.O_PATH)
again = [f'/proc/self/fd/{fd}' for fd in (read, path)] + [f'/proc/{os.getpid()}/task/{os.getpid()}/fd/{read}']
way('map it for writing', lambda: mmap.mmap(read, 8, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE))
mapped = mmap.mmap(read, 8, mmap.MAP_SHARED, mmap.PROT_READ)
way('write to what is mapped for reading', lambda: mapped.__setitem__(0, 1))
for name in again:
    way(f'open {name} again for writing', lambda: os.open(name, os.O_WRONLY))
    way(f'open {name} again for both', lambda: os.open(name, os.O_RDWR))
    way(f'truncate {name}', lambda: os.truncate(name, 0))
    way(f'change the mode of {name}', lambda: os.chmod(name, 0o777))
    way(f'change the times of {name}', lambda: os.utime(name, (0, 0)))
way('write through it', lambda: os.write(read, b'x'))
way('truncate through it', lambda: os.ftruncate(read, 0))
way('allocate', lambda: os.posix_fallocate(read, 0, 100))
way('punch a hole', lambda: refused(libc.fallocate(read, 3, ctypes.c_long(0), ctypes.c_long(4))))
way('change its mode', lambda: os.fchmod(read, 0o777))
way('give it away', lambda: os.fchown(read, os.getuid(), os.getgid()))
for name in ['user.x', 'security.capability', 'system.posix_acl_access']:
    way(f'set {name}', lambda: os.setxattr('input', name, b'y'))
way('copy into it', lambda: os.copy_file_range(os.open('/etc/passwd', os.O_RDONLY), read, 4))
way('send into it', lambda: os.sendfile(read, os.open('/etc/passwd', os.O_RDONLY), 0, 4))
"#;

#[tokio::test]
async fn linked_inputs_of_root_cannot_be_changed() {
    if !modes().contains(&Mode::Privileged) {
        return println!("not tried: only root's inputs are linked");
    }
    let host = Host::start(Mode::Privileged).await;
    assert!(host.capabilities().await.hardlinks_safe);
    let build = host.build().await;
    let cached = host.directory.path().join("cached");
    fs::write(&cached, "precious").unwrap();
    fs::set_permissions(&cached, fs::Permissions::from_mode(0o444)).unwrap();
    fs::hard_link(&cached, build.root.join("input")).unwrap();
    let before = fs::metadata(&cached).unwrap();

    let odd = host
        .run(&build, request(&build, &["python3", "-c", ODD_WAYS]))
        .await;
    assert_eq!((odd.stdout.as_str(), odd.stderr.as_str()), ("", ""));
    let script = "for try in 'echo x >> input' 'chmod u+w input' 'chown 1000 input' 'truncate -s 0 input' \
                    'touch -d 2001-01-01 input' 'ln input linked && echo x >> linked'; do \
                    sh -c \"$try\" 2>/dev/null && echo \"could: $try\"; done; \
                  cat input; mv input moved; cp moved copy; echo x >> copy; chmod 777 copy; rm -f moved linked";
    let again = host.run(&build, shell(&build, script)).await;
    assert!(again.stdout.ends_with("precious"), "{}", again.stdout);
    assert_eq!(again.ok(), "precious");

    let after = fs::metadata(&cached).unwrap();
    assert_eq!(fs::read_to_string(&cached).unwrap(), "precious");
    let facts = |file: &fs::Metadata| {
        (
            file.mode(),
            file.uid(),
            file.gid(),
            file.mtime(),
            file.mtime_nsec(),
        )
    };
    assert_eq!(facts(&after), facts(&before));
}

/// Each setting is given the value that it has, so nothing happens where one can be.
const SETTINGS: &str = "find /proc/sys -type f | while read f; do \
                          v=$(cat \"$f\" 2>/dev/null) || v=1; (echo \"$v\" > \"$f\") 2>/dev/null && echo \"$f\"; done; \
                        for f in /proc/sysrq-trigger /proc/irq/*/smp_affinity /proc/acpi/* /sys/kernel/uevent_helper \
                            /sys/fs/cgroup/*/release_agent /sys/fs/cgroup/release_agent /sys/fs/cgroup/cgroup.procs; do \
                          (: > \"$f\") 2>/dev/null && echo \"$f\"; done; ls /sys 2>/dev/null; true";

#[tokio::test]
async fn no_setting_of_the_kernel_can_be_changed() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        assert_eq!(
            host.shell("find /proc/sys -type f | grep -c core_pattern")
                .await
                .ok(),
            "1\n"
        );
        assert_eq!(host.shell(SETTINGS).await.ok(), "", "{mode:?}");
    }
}

/// A user that is root in its own world may change what is that world's alone: its network, its processes, its shared memory.
#[tokio::test]
async fn nor_by_one_who_is_root_in_a_world_of_its_own() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let build = system(&host, &["sh", "find", "cat", "ls"]).await;
        let asked = RunRequest {
            user: Some(ROOT_USER),
            ..in_root(&build, &["/bin/sh", "-c", SETTINGS])
        };
        let changed = host.run(&build, asked).await.ok();
        let own = [
            "/proc/sys/net/",
            "/proc/sys/kernel/pid_max",
            "/proc/sys/kernel/auto_msgmni",
            "/proc/sys/kernel/shm",
            "/proc/sys/kernel/msg",
            "/proc/sys/kernel/sem",
            "/proc/sys/fs/mqueue/",
        ];
        let others: Vec<&str> = changed
            .lines()
            .filter(|name| !own.iter().any(|own| name.starts_with(own)))
            .collect();
        assert_eq!(others, Vec::<&str>::new(), "{mode:?}");
    }
}

#[tokio::test]
async fn no_device_can_be_made() {
    let script = "for d in . /tmp /dev/shm /dev; do for kind in 'c 1 1' 'c 1 3' 'b 8 0' 'b 254 0'; do \
                    mknod $d/device $kind 2>/dev/null && echo \"made $kind in $d\"; done; done; \
                  mknod fifo p && [ -p fifo ] && stat -f -c %T /dev/shm /tmp";
    for mode in modes() {
        let host = Host::start(*mode).await;
        assert_eq!(host.shell(script).await.ok(), "tmpfs\ntmpfs\n", "{mode:?}");
    }
}
