//! Commands whose input root is their root.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Command;

use runner_api::{MOUNT_POINTS, Outcome, Root, RunRequest, User};

use crate::host::{Build, Host, modes, request};

pub(crate) const ROOT_USER: User = User { uid: 0, gid: 0 };

/// A small system: these programs of the host and what they are linked with.
pub(crate) fn fill(root: &Path, programs: &[&str]) {
    for name in MOUNT_POINTS.iter().chain(&["usr/bin", "work/deep", "install"]) {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    symlink("usr/bin", root.join("bin")).unwrap();
    fs::write(root.join("mark"), "mine").unwrap();
    for program in programs {
        let host = Path::new("/usr/bin").join(program);
        fs::copy(&host, root.join("usr/bin").join(program)).unwrap();
        let libraries = Command::new("ldd").arg(&host).output().unwrap().stdout;
        let libraries = String::from_utf8(libraries).unwrap();
        for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
            let place = root.join(library.trim_start_matches('/'));
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::copy(library, place).unwrap();
        }
    }
}

pub(crate) fn in_root(build: &Build, argv: &[&str]) -> RunRequest {
    RunRequest {
        root: Root::InputRoot,
        ..request(build, argv)
    }
}

pub(crate) async fn system(host: &Host, programs: &[&str]) -> Build {
    let build = host.build().await;
    fill(&build.root, programs);
    // As a worker does with directories: they are the command's.
    let owner = fs::metadata(&build.root).unwrap();
    let owner = format!("{}:{}", owner.uid(), owner.gid());
    let given = Command::new("chown")
        .arg("-R")
        .arg(owner)
        .arg(&build.root)
        .status();
    assert!(given.unwrap().success());
    build
}

#[tokio::test]
async fn nothing_of_the_host_is_left_and_absolute_paths_are_its_own() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let build = system(&host, &["sh", "ls", "cat", "cp"]).await;
        let script = "ls /; cat /mark; cp /mark /install/made; ls /proc/self/fd /dev/null /dev/shm /tmp; \
                      cat /etc/passwd; cd /work/../../..; ls | cat; echo into > /tmp/scratch; echo > /dev/null";
        let ran = host.run(&build, in_root(&build, &["sh", "-c", script])).await;
        let (stdout, stderr) = (ran.stdout.clone(), ran.stderr.clone());
        let listing = "bin\ndev\ninstall\nlib\nlib64\nmark\nproc\ntmp\nusr\nwork\n";
        assert!(stdout.starts_with(&format!("{listing}mine")), "{stdout}");
        assert!(stdout.ends_with(listing), "{stdout}");
        assert!(stderr.contains("/etc/passwd"), "{stderr}");
        ran.ok();
        assert_eq!(
            fs::read_to_string(build.root.join("install/made")).unwrap(),
            "mine"
        );
        // What was written to the scratch space went with it.
        assert_eq!(fs::read_dir(build.root.join("tmp")).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn a_command_is_who_it_wants_to_be_and_gains_nothing_by_it() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let capabilities = host.capabilities().await;
        let build = system(&host, &["sh", "id", "touch", "chown", "mount", "ls"]).await;
        let script = "id -u; id -g; touch /install/made; chown 1:1 /install/made || echo no; \
                      mount -t tmpfs none /work || echo neither";
        let asked = RunRequest {
            user: Some(ROOT_USER),
            ..in_root(&build, &["/bin/sh", "-c", script])
        };
        assert_eq!(host.run(&build, asked).await.ok(), "0\n0\nno\nneither\n");
        let made = fs::metadata(build.root.join("install/made")).unwrap();
        assert_eq!(
            (made.uid(), made.gid()),
            (capabilities.action_uid, capabilities.action_gid)
        );
        // The next one is who it is again, with the host's root too.
        assert_eq!(host.shell("id -u").await.ok(), "1000\n");
    }
}

#[tokio::test]
async fn the_working_directory_and_the_program_are_looked_for_inside() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let build = system(&host, &["sh", "pwd"]).await;
        let mut asked = in_root(&build, &["pwd"]);
        asked.working_directory = "work/deep".into();
        assert_eq!(host.run(&build, asked).await.ok(), "/work/deep\n");
        let build = system(&host, &["sh"]).await;
        let ran = host.run(&build, in_root(&build, &["gcc"])).await;
        assert!(
            matches!(ran.response.outcome, Outcome::NotStarted { .. }),
            "{:?}",
            ran.response.outcome
        );
    }
}

#[tokio::test]
async fn a_root_without_places_for_mounts_or_with_traps_there_is_refused() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        for trap in [None, Some("/work"), Some("../../../../../tmp")] {
            let build = system(&host, &["sh"]).await;
            fs::remove_dir(build.root.join("proc")).unwrap();
            if let Some(target) = trap {
                symlink(target, build.root.join("proc")).unwrap();
            }
            let ran = host.run(&build, in_root(&build, &["sh", "-c", "true"])).await;
            let Outcome::SetupFailed { message } = ran.response.outcome else {
                panic!("{trap:?}: {:?}", ran.response.outcome);
            };
            assert!(message.contains("/proc"), "{message}");
        }
    }
}
