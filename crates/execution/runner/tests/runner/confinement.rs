//! What a command can see and do, and what not.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use runner_api::{Mechanism, RunRequest, UidMode};

use crate::host::{Host, Mode, modes, request, shell};

#[tokio::test]
async fn every_mechanism_is_reported() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let capabilities = host.capabilities().await;
        assert!(
            Mechanism::ALL
                .into_iter()
                .all(|mechanism| capabilities.has(mechanism)),
            "{capabilities:?}"
        );
        match mode {
            Mode::Privileged => {
                assert_eq!(capabilities.uid_mode, UidMode::Privileged);
                assert_eq!(
                    (capabilities.action_uid, capabilities.action_gid),
                    (62_000, 62_000)
                );
                assert!(capabilities.hardlinks_safe);
            }
            Mode::Rootless => {
                assert_eq!(capabilities.uid_mode, UidMode::Rootless);
                assert!(!capabilities.hardlinks_safe);
            }
        }
    }
}

#[tokio::test]
async fn a_command_is_an_ordinary_user_of_its_own() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        assert_eq!(host.shell("id -u; id -g").await.ok(), "1000\n1000\n");
        let build = host.build().await;
        host.run(&build, shell(&build, "touch made")).await.ok();
        let made = fs::metadata(build.root.join("made")).unwrap();
        let capabilities = host.capabilities().await;
        use std::os::unix::fs::MetadataExt;
        assert_eq!(
            (made.uid(), made.gid()),
            (capabilities.action_uid, capabilities.action_gid)
        );
    }
}

#[tokio::test]
async fn control_groups_tell_nothing_of_the_worker() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let groups = host.shell("cat /proc/self/cgroup").await.ok();
        assert!(!groups.is_empty());
        assert!(groups.lines().all(|line| line.ends_with(":/")), "{groups}");
    }
}

#[tokio::test]
async fn a_privileged_runner_drops_supplementary_groups() {
    if modes().contains(&Mode::Privileged) {
        let host = Host::start(Mode::Privileged).await;
        assert_eq!(host.shell("id -G").await.ok(), "1000\n");
    }
}

#[tokio::test]
async fn no_rights_are_left_to_use_or_to_regain() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let status = host
            .shell("grep -E '^(Cap|NoNewPrivs)' /proc/self/status")
            .await
            .ok();
        for line in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert!(
                status.contains(&format!("{line}:\t0000000000000000\n")),
                "{status}"
            );
        }
        assert!(status.contains("NoNewPrivs:\t1\n"), "{status}");
        for forbidden in [
            "mount -t tmpfs none /tmp",
            "umount /tmp",
            "mount -o remount,rw /usr",
            "unshare -U true",
            "unshare -m true",
            "unshare -Urn true",
            "chroot / true",
            "hostname evil",
            "kill -9 1 && sleep 0.1 && false",
        ] {
            let ran = host
                .shell(&format!("if {forbidden} 2>/dev/null; then echo {forbidden}; fi"))
                .await;
            match forbidden.starts_with("kill") {
                // Nothing happens to init, and nothing goes wrong because of it.
                true => assert_eq!(ran.ok(), ""),
                false => assert_eq!(ran.ok(), "", "it could: {forbidden}"),
            }
        }
    }
}

#[tokio::test]
async fn a_set_user_id_program_gives_nothing() {
    if modes().contains(&Mode::Privileged) {
        let host = Host::start(Mode::Privileged).await;
        let build = host.build().await;
        let program = build.root.join("id");
        fs::copy("/usr/bin/id", &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o6755)).unwrap();
        assert_eq!(
            host.run(&build, request(&build, &["./id", "-u"])).await.ok(),
            "1000\n"
        );
    }
    for mode in modes() {
        let host = Host::start(*mode).await;
        let script = "su root -c id; mount | grep -v -E ' on (/dev/[a-z]+) ' | grep -v nosuid";
        let said = host.shell(script).await;
        assert_eq!(said.stdout, "", "somebody became root, or a mount allows it");
    }
}

#[tokio::test]
async fn the_host_cannot_be_changed() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let script = "for d in / /etc /usr /usr/bin /opt /dev /proc /var /bin; do \
                        [ -e $d ] && touch $d/x 2>/dev/null && echo wrote $d; done; \
                      for f in /etc/passwd /etc/hostname /proc/sys/kernel/hostname /proc/sysrq-trigger; do \
                        (echo x >> $f) 2>/dev/null && echo wrote $f; done; true";
        assert_eq!(host.shell(script).await.ok(), "");
        let writable = host
            .shell("mount | grep -E '[(,]rw[,)]' | cut -d' ' -f3 | sort")
            .await
            .ok();
        let expected = [
            "/build",
            "/dev/full",
            "/dev/null",
            "/dev/random",
            "/dev/shm",
            "/dev/urandom",
            "/dev/zero",
            "/proc",
            "/tmp",
        ];
        assert_eq!(writable.lines().collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn the_host_is_out_of_sight() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let root = host.shell("ls /").await.ok();
        let allowed = [
            "bin", "build", "dev", "etc", "lib", "lib32", "lib64", "libx32", "nix", "opt", "proc", "sbin",
            "tmp", "usr", "var",
        ];
        let seen: Vec<&str> = root.lines().filter(|name| !allowed.contains(name)).collect();
        assert_eq!(seen, Vec::<&str>::new());
        let script = "ls /var; ls -A /tmp /var/tmp/ /build; cat /proc/1/environ /proc/1/root/etc/shadow 2>/dev/null; \
                      ls /proc/1/fd /proc/1/root/ 2>/dev/null; true";
        assert_eq!(
            host.shell(script).await.ok(),
            "tmp\n/build:\n\n/tmp:\n\n/var/tmp/:\n"
        );
    }
}

#[tokio::test]
async fn symbolic_links_of_the_host_stay_links() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        for name in ["/bin", "/lib", "/sbin", "/lib64"] {
            if let Ok(target) = fs::read_link(name) {
                let seen = host.shell(&format!("readlink {name}")).await.ok();
                assert_eq!(seen.trim_end(), target.to_str().unwrap());
            }
        }
    }
}

#[tokio::test]
async fn another_host_path_is_shown_when_asked_for() {
    // Below what is a link in a command's tree too.
    for place in ["/tmp", "/var/tmp", "/srv"] {
        let Ok(tools) = tempfile::tempdir_in(place) else {
            println!("not tried: nothing can be made in {place}");
            continue;
        };
        fs::set_permissions(tools.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(tools.path().join("tool"), "found").unwrap();
        let path = tools.path().to_str().unwrap();
        for mode in modes() {
            let host = Host::start_with(*mode, &["--host-path", path]).await;
            let script = format!("cat {path}/tool; touch {path}/new 2>/dev/null && echo wrote; true");
            assert_eq!(host.shell(&script).await.ok(), "found", "{mode:?} {place}");
        }
        let elsewhere = std::path::Path::new("/tmp").join(tools.path().file_name().unwrap());
        assert_eq!(
            fs::exists(&elsewhere).unwrap(),
            place == "/tmp",
            "it was made on the host"
        );
    }
}

#[tokio::test]
async fn tmp_is_private_and_empty_every_time() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let script =
            "ls -A /tmp /dev/shm; stat -c %a /tmp /dev/shm; echo mine > /tmp/left; echo mine > /dev/shm/left";
        let expected = "/dev/shm:\n\n/tmp:\n1777\n1777\n";
        assert_eq!(host.shell(script).await.ok(), expected);
        assert_eq!(host.shell(script).await.ok(), expected);
        assert!(!fs::exists("/tmp/left").unwrap());
    }
}

#[tokio::test]
async fn dev_holds_what_is_harmless() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let devices = host.shell("ls /dev").await.ok();
        let expected = [
            "fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero",
        ];
        assert_eq!(devices.lines().collect::<Vec<_>>(), expected);
        let script = "echo gone > /dev/null; head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c; \
                      head -c 1 /dev/random | wc -c; (echo x > /dev/full) 2>/dev/null || echo full; \
                      echo out > /dev/stdout; echo err > /dev/stderr; wc -c < /dev/stdin";
        let ran = host.shell(script).await;
        assert_eq!(ran.stderr, "err\n");
        assert_eq!(ran.ok(), "3\n3\n1\nfull\nout\n0\n");
    }
}

#[tokio::test]
async fn no_network_but_loopback() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let interfaces = "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '";
        assert_eq!(host.shell(interfaces).await.ok(), "lo\n");
        // Loopback works: a listener of the same command is reached.
        let python = "import socket; s=socket.socket(); s.bind(('127.0.0.1',0)); s.listen(); \
                      c=socket.create_connection(s.getsockname()); c.sendall(b'hi'); print(s.accept()[0].recv(2))";
        assert_eq!(
            host.shell(&format!("python3 -c \"{python}\"")).await.ok(),
            "b'hi'\n"
        );

        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let connect = format!("python3 -c \"import socket; socket.create_connection(('127.0.0.1',{port}))\"");
        let refused = host.shell(&format!("{connect} 2>&1 | tail -n 1")).await.ok();
        assert!(refused.contains("refused"), "{refused}");

        let build = host.build().await;
        let script = format!("{connect}; cat /etc/resolv.conf 2>/dev/null");
        let open = RunRequest {
            network: true,
            ..shell(&build, &script)
        };
        let ran = host.run(&build, open).await;
        assert_eq!(
            (ran.stderr.as_str(), ran.stdout),
            ("", fs::read_to_string("/etc/resolv.conf").unwrap_or_default())
        );
    }
}

#[tokio::test]
async fn processes_of_others_are_hidden() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        // The shell itself looks, so that nobody else is on the way in or out: pid 1 is init, 2 is the shell.
        let script = "set -- /proc/[0-9]*; echo $$; echo $#; kill -0 -1 2>/dev/null || echo nobody else; cat /proc/1/comm >/dev/null";
        assert_eq!(host.shell(script).await.ok(), "2\n2\nnobody else\n");
        // Init is a copy of the runner; the runner's arguments are nobody's business.
        assert_eq!(
            host.shell("tr -d '\\0' < /proc/1/cmdline; cat /proc/1/comm")
                .await
                .ok(),
            "farrier-init\n"
        );
    }
}

#[tokio::test]
async fn no_descriptor_and_no_odd_signal_is_inherited() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let script = "cd /proc/self/fd; for fd in *; do readlink $fd | sed 's/:.*//'; done";
        // The fourth is the directory that the shell lists.
        let descriptors = host.shell(script).await.ok();
        assert_eq!(
            descriptors.lines().take(3).collect::<Vec<_>>(),
            ["/dev/null", "pipe", "pipe"]
        );
        let build = host.build().await;
        let listed = host
            .run(&build, request(&build, &["ls", "/proc/self/fd"]))
            .await
            .ok();
        assert_eq!(listed, "0\n1\n2\n3\n");
        let build = host.build().await;
        let signals = host
            .run(
                &build,
                request(&build, &["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]),
            )
            .await;
        assert_eq!(
            signals.ok(),
            "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
        );
        let build = host.build().await;
        let limits = host
            .run(
                &build,
                request(&build, &["grep", "core file", "/proc/self/limits"]),
            )
            .await
            .ok();
        assert_eq!(limits.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"]);
    }
}

#[tokio::test]
async fn a_session_of_its_own() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        assert_eq!(
            host.shell("cut -d' ' -f1,5,6,7 /proc/$$/stat").await.ok(),
            "2 2 2 0\n"
        );
    }
}
