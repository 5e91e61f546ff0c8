//! What a command cannot tell of the machine that it runs on, and of the secrets that are kept there.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use crate::host::{Host, Mode, modes};

#[tokio::test]
async fn names_are_the_same_on_every_machine() {
    let expected =
        "farrier\n(none)\nfarrier\n66617272696540008000000000000000\n66617272-6965-4000-8000-000000000000\n";
    for mode in modes() {
        let host = Host::start(*mode).await;
        let names = "uname -n; cat /proc/sys/kernel/domainname; \
                     [ -e /etc/hostname ] && cat /etc/hostname || echo farrier; \
                     [ -e /etc/machine-id ] && cat /etc/machine-id || echo 66617272696540008000000000000000; \
                     cat /proc/sys/kernel/random/boot_id";
        assert_eq!(host.shell(names).await.ok(), expected);
        // And none is the machine's own.
        for file in ["/etc/machine-id", "/proc/sys/kernel/random/boot_id"] {
            let own = fs::read_to_string(file).unwrap_or_default();
            assert!(own.trim().is_empty() || !expected.contains(own.trim()), "{file}");
        }
        // What is not a name of the machine still works.
        let script = "cat /proc/sys/kernel/random/uuid | wc -c; wc -l < /etc/passwd";
        let accounts = fs::read_to_string("/etc/passwd").unwrap().lines().count();
        assert_eq!(host.shell(script).await.ok(), format!("37\n{accounts}\n"));
    }
}

#[tokio::test]
async fn nothing_of_the_whole_machine_is_in_proc() {
    let masked = "acpi asound bus cmdline config.gz driver fs interrupts iomem ioports irq kallsyms kcore key-users keys kmsg \
                  kpagecgroup kpagecount kpageflags latency_stats modules sched_debug scsi slabinfo sysrq-trigger timer_list \
                  timer_stats vmallocinfo";
    let script = format!(
        "cd /proc; for f in {masked}; do \
           [ -d $f ] && ls -A $f || head -c 100 $f 2>/dev/null; \
           (echo x > $f) 2>/dev/null && echo wrote $f; \
         done; true"
    );
    for mode in modes() {
        let host = Host::start(*mode).await;
        // What there is of the kernel's command line is an empty line.
        assert_eq!(host.shell(&script).await.ok(), "\n");
        let needed = "for f in cpuinfo meminfo mounts self/maps stat uptime loadavg filesystems version; do \
                      [ -s /proc/$f ] || head -c 1 /proc/$f | grep -q . || echo no $f; done; true";
        assert_eq!(host.shell(needed).await.ok(), "");
    }
}

/// Without root the command has the id of the runner, and so of its secrets: no mode keeps it from them.
#[tokio::test]
async fn what_is_hidden_is_not_shown_wherever_it_lies() {
    let shown = tempfile::tempdir().unwrap();
    let path = |name: &str| shown.path().join(name);
    fs::set_permissions(shown.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(path("cache")).unwrap();
    for name in ["tool", "token", "cache/blob", "linked"] {
        fs::write(path(name), format!("content of {name}")).unwrap();
        fs::set_permissions(path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    symlink(path("linked"), path("link")).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    for mode in modes() {
        if *mode == Mode::Rootless && rustix::process::geteuid().is_root() {
            for name in ["tool", "token", "cache", "cache/blob", "linked"] {
                chown(path(name), Some(65_534), Some(65_534)).unwrap();
            }
        }
        let words = [
            "--host-path".to_owned(),
            text(shown.path()),
            "--hide".to_owned(),
            text(&path("token")),
            "--hide".to_owned(),
            text(&path("cache")),
            "--hide".to_owned(),
            text(&path("link")),
            "--hide".to_owned(),
            "/opt/not/there".to_owned(),
        ];
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let host = Host::start_with(*mode, &words).await;
        let script = format!(
            "cd {}; ls -A . cache; for f in tool token cache/blob link linked; do cat $f 2>/dev/null; done; \
             umount token cache 2>/dev/null && echo uncovered; true",
            shown.path().display()
        );
        let tool = match mode {
            Mode::Privileged => "",
            Mode::Rootless => "content of tool",
        };
        let expected = format!(".:\ncache\nlink\nlinked\ntoken\ntool\n\ncache:\n{tool}");
        assert_eq!(host.shell(&script).await.ok(), expected, "{mode:?}");
    }
}

/// What covers is nobody's to write to, to execute, or to have devices in; and there is one for each thing.
#[tokio::test]
async fn covers_are_restricted_and_each_lies_over_one_thing() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let script = "cat /proc/self/mountinfo; for f in /proc/kallsyms /proc/cmdline /proc/keys /proc/irq/x; do \
                      (echo x > $f) 2>/dev/null && echo wrote $f; done; exit 0";
        let said = host.shell(script).await.ok();
        let mut covered = Vec::new();
        for line in said.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            assert!(fields.len() > 6, "{line}");
            let (place, options) = (fields[4], fields[5]);
            if place.starts_with("/proc/") || place == "/etc/machine-id" || place == "/etc/hostname" {
                for option in ["ro", "nosuid", "nodev", "noexec"] {
                    assert!(options.split(',').any(|given| given == option), "{line}");
                }
                covered.push(place);
            }
        }
        let all = covered.len();
        covered.sort_unstable();
        covered.dedup();
        assert_eq!(covered.len(), all, "{covered:?}");
        for place in ["/proc/cmdline", "/proc/sys/kernel/random/boot_id", "/proc/irq"] {
            assert!(covered.contains(&place), "{place} is not among {covered:?}");
        }
    }
}
