//! Build directories over a tree that is shared, and commands in an image.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use runner_api::{Availability, Base, Image, Outcome, Root, RunRequest, User};
use rustix::fs::{CWD, FileType, Mode as FileMode};

use crate::host::{Build, Host, Mode, modes, request, shell};
use crate::roots::fill;

/// Files of root that nobody can write, in directories of the action's user, as a worker lays them out.
pub(crate) fn give(host_ids: (u32, u32), tree: &Path, is_file_too: bool) {
    let (uid, gid) = host_ids;
    for entry in fs::read_dir(tree).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => give(host_ids, &entry.path(), is_file_too),
            kind if kind.is_file() && is_file_too => {
                let mode = if entry.metadata().unwrap().permissions().mode() & 0o100 != 0 {
                    0o555
                } else {
                    0o444
                };
                fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode)).unwrap();
            }
            _ => {}
        }
    }
    chown(tree, Some(uid), Some(gid)).unwrap();
}

pub(crate) struct Trees {
    pub(crate) host: Host,
    pub(crate) base: PathBuf,
    pub(crate) ids: (u32, u32),
}

/// A privileged runner and an empty directory for a base; `None` where there is no root for it.
pub(crate) async fn trees() -> Option<Trees> {
    if !modes().contains(&Mode::Privileged) {
        eprintln!("skipped: overlays take root");
        return None;
    }
    let host = Host::start(Mode::Privileged).await;
    let capabilities = host.capabilities().await;
    assert_eq!(capabilities.overlays, Availability::Available);
    let base = host.directory.path().join("base");
    fs::create_dir(&base).unwrap();
    Some(Trees {
        ids: (capabilities.action_uid, capabilities.action_gid),
        host,
        base,
    })
}

impl Trees {
    pub(crate) fn over_base(&self, build: &Build, script: &str) -> RunRequest {
        let work = self.work(build, "work");
        RunRequest {
            input_root_base: Some(Base {
                tree: self.base.clone(),
                work,
            }),
            ..shell(build, script)
        }
    }

    pub(crate) fn in_image(&self, build: &Build, argv: &[&str]) -> RunRequest {
        let upper = self.work(build, "image");
        for name in ["dev", "proc", "tmp", "build"] {
            fs::create_dir(upper.join(name)).unwrap();
        }
        chown(&upper, Some(self.ids.0), Some(self.ids.1)).unwrap();
        let base = Base {
            tree: self.base.clone(),
            work: self.work(build, "image-work"),
        };
        RunRequest {
            root: Root::Image,
            image: Some(Image { upper, base }),
            ..request(build, argv)
        }
    }

    fn work(&self, build: &Build, name: &str) -> PathBuf {
        let path = build
            .root
            .parent()
            .unwrap()
            .join(format!("{}-{name}", build.root.file_name().unwrap().display()));
        fs::create_dir(&path).unwrap();
        path
    }
}

#[tokio::test]
async fn a_base_shows_through_and_never_changes() {
    let Some(trees) = trees().await else { return };
    fs::create_dir_all(trees.base.join("lib/deep")).unwrap();
    for (name, text) in [
        ("lib/kept", "kept"),
        ("lib/changed", "old"),
        ("lib/gone", "gone"),
        ("lib/deep/file", "deep"),
    ] {
        fs::write(trees.base.join(name), text).unwrap();
    }
    give(trees.ids, &trees.base, true);
    for _ in 0..2 {
        let build = trees.host.build().await;
        fs::create_dir(build.root.join("lib")).unwrap();
        fs::write(build.root.join("lib/changed"), "new").unwrap();
        rustix::fs::mknodat(
            CWD,
            build.root.join("lib/gone"),
            FileType::CharacterDevice,
            FileMode::empty(),
            0,
        )
        .unwrap();
        give(trees.ids, &build.root, true);
        let script = "cat lib/kept lib/changed lib/deep/file; ls lib; (echo x > lib/kept) 2>/dev/null || echo no; \
                      chmod u+w lib/kept 2>/dev/null || echo no; (echo x > lib/changed) 2>/dev/null || echo no; \
                      mv lib/deep lib/moved; rm lib/kept; echo mine > lib/kept; echo made > made; cat lib/moved/file";
        let ran = trees.host.run(&build, trees.over_base(&build, script)).await;
        assert_eq!(ran.ok(), "keptnewdeepchanged\ndeep\nkept\nno\nno\nno\ndeep");
        assert_eq!(fs::read_to_string(build.root.join("made")).unwrap(), "made\n");
        assert_eq!(fs::read_to_string(build.root.join("lib/kept")).unwrap(), "mine\n");
    }
    assert_eq!(fs::read_to_string(trees.base.join("lib/kept")).unwrap(), "kept");
    assert_eq!(
        fs::read_to_string(trees.base.join("lib/deep/file")).unwrap(),
        "deep"
    );
}

/// As when a world that was ready got the overlay and then failed.
#[tokio::test]
async fn an_overlay_can_be_made_again_in_the_same_place() {
    let Some(trees) = trees().await else { return };
    fs::write(trees.base.join("file"), "shared").unwrap();
    give(trees.ids, &trees.base, true);
    let build = trees.host.build().await;
    let first = trees.over_base(&build, "cat file");
    assert_eq!(trees.host.run(&build, first.clone()).await.ok(), "shared");
    fs::remove_file(&build.stdout).unwrap();
    assert_eq!(trees.host.run(&build, first).await.ok(), "shared");
}

#[tokio::test]
async fn an_image_is_the_root_and_keeps_nothing() {
    let Some(trees) = trees().await else { return };
    fill(&trees.base, &["sh", "ls", "cat", "id", "touch", "mount"]);
    give(trees.ids, &trees.base, true);
    for user in [None, Some(User { uid: 0, gid: 0 })] {
        let build = trees.host.build().await;
        fs::write(build.root.join("input"), "given\n").unwrap();
        let script = "ls /; pwd; cat input /mark; echo x > /usr/mine; cat /usr/mine; echo out > result; \
                      (echo x > /mark) 2>/dev/null || echo no; id -u; ls /proc/self/fd/0 /dev/null; \
                      mount -t tmpfs none /work 2>/dev/null || echo no mount; echo t > /tmp/t; ls /etc/passwd 2>/dev/null || echo no host";
        let asked = RunRequest {
            user,
            ..trees.in_image(&build, &["sh", "-c", script])
        };
        let ran = trees.host.run(&build, asked).await;
        let uid = user.map_or(1000, |user| user.uid);
        assert_eq!(
            ran.ok(),
            format!(
                "bin\nbuild\ndev\ninstall\nlib\nlib64\nmark\nproc\ntmp\nusr\nwork\n/build\ngiven\nminex\nno\n{uid}\n\
                 /dev/null\n/proc/self/fd/0\nno mount\nno host\n"
            )
        );
        assert_eq!(fs::read_to_string(build.root.join("result")).unwrap(), "out\n");
    }
    assert!(!trees.base.join("usr/mine").exists());
    let names = Command::new("ls").arg(&trees.base).output().unwrap().stdout;
    assert!(!String::from_utf8(names).unwrap().contains("build"));
}

/// In its image, a command has both layers: of the input root, and of the root.
#[tokio::test]
async fn an_input_root_over_a_base_in_an_image() {
    let Some(trees) = trees().await else { return };
    fill(&trees.base, &["sh", "cat"]);
    let inputs = trees.host.directory.path().join("inputs");
    fs::create_dir_all(inputs.join("src")).unwrap();
    fs::write(inputs.join("src/file"), "shared\n").unwrap();
    give(trees.ids, &trees.base, true);
    give(trees.ids, &inputs, true);
    let build = trees.host.build().await;
    let asked = RunRequest {
        input_root_base: Some(Base {
            tree: inputs.clone(),
            work: trees.work(&build, "work"),
        }),
        working_directory: "src".into(),
        ..trees.in_image(
            &build,
            &["/bin/sh", "-c", "cat file; echo new > made; cat /build/src/made"],
        )
    };
    assert_eq!(trees.host.run(&build, asked).await.ok(), "shared\nnew\n");
    assert!(build.root.join("src/made").exists() && !inputs.join("src/made").exists());
}

#[tokio::test]
async fn a_runner_without_rights_over_mounts_says_so() {
    let host = Host::start(Mode::Rootless).await;
    let capabilities = host.capabilities().await;
    assert!(matches!(capabilities.overlays, Availability::Missing { .. }));
    let build = host.build().await;
    let base = Base {
        tree: build.root.clone(),
        work: build.root.clone(),
    };
    let asked = RunRequest {
        input_root_base: Some(base),
        ..shell(&build, "true")
    };
    let Outcome::SetupFailed { message } = host.run(&build, asked).await.response.outcome else {
        panic!("it ran")
    };
    assert!(message.contains("no rights over mounts"), "{message}");
}
