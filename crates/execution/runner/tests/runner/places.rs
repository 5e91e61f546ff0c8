//! Commands that see their input root where they ask for it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Command, Stdio};

use runner_api::{InputRootPlace, Outcome, RunRequest, Runner, UnixRunner};
use tokio_util::sync::CancellationToken;

use crate::fallback::{build_in, without};
use crate::host::{Build, Host, eventually, modes, request, shell};
use crate::overlays::{give, trees};
use crate::roots::{fill, in_root};

fn at(place: &str, request: RunRequest) -> RunRequest {
    RunRequest {
        input_root_place: Some(InputRootPlace::parse(place).unwrap()),
        ..request
    }
}

fn refusal(outcome: Outcome) -> String {
    match outcome {
        Outcome::SetupFailed { message } => message,
        other => panic!("{other:?}"),
    }
}

fn write(build: &Build, name: &str, text: &str) {
    fs::write(build.root.join(name), text).unwrap();
}

#[tokio::test]
async fn it_is_there_and_nothing_around_it() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        // One in a world that is ready, and one in a new one.
        for is_ready in [true, false] {
            for place in [
                "/home/ann/project",
                "/home",
                "/root/x",
                "/work",
                "/src",
                "/tmp/deep/er",
                "/build",
                "/build/deep",
                "/var/lib/jobs/one two",
                "/run/job",
                "/new/ö",
            ] {
                if is_ready {
                    host.spares(1..=8).await;
                }
                let build = host.build().await;
                write(&build, "input", "given");
                fs::create_dir(build.root.join("sub")).unwrap();
                let script = "pwd; /bin/pwd; cat \"$1/input\"; ls \"$1\"; ls -A \"${1%/*}/\"; echo made > \"$1/made\" && rm input; \
                              cat /etc/passwd > /dev/null && ls -A /home /root 2>/dev/null; exit 0";
                let argv = ["/bin/sh", "-c", script, "sh", place];
                let mut asked = at(place, request(&build, &argv));
                if !is_ready {
                    asked.network = true;
                }
                let said = host.run(&build, asked).await.ok();
                let expected = format!("{place}\n{place}\ngiveninput\nsub\n");
                let rest = said
                    .strip_prefix(&expected)
                    .unwrap_or_else(|| panic!("{place}: {said}"));
                let beside = match place {
                    "/build/deep" => Some("deep\n"),
                    "/home/ann/project" => Some("project\n/home:\nann\n"),
                    "/tmp/deep/er" => Some("er\n"),
                    "/run/job" if !is_ready => None,
                    "/run/job" => Some("job\n"),
                    "/var/lib/jobs/one two" => Some("one two\n"),
                    _ => None,
                };
                if let Some(beside) = beside {
                    assert_eq!(rest, beside, "{place}");
                }
                assert_eq!(fs::read_to_string(build.root.join("made")).unwrap(), "made\n");
                assert!(!build.root.join("input").exists());
            }
        }
    }
}

#[tokio::test]
async fn the_working_directory_lies_in_it_and_what_leads_to_it_cannot_be_written() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let build = host.build().await;
        fs::create_dir(build.root.join("sub")).unwrap();
        let script = "pwd; echo x > /home/ann/beside || echo no; mkdir /other || echo no; rmdir /build || echo no; \
                      mv /home/ann /home/bob || echo no; echo x > ../up && ls ..";
        let mut asked = at("/home/ann/project", shell(&build, script));
        asked.working_directory = "sub".into();
        if rustix::process::geteuid().is_root() {
            let owner = host.capabilities().await;
            chown(
                build.root.join("sub"),
                Some(owner.action_uid),
                Some(owner.action_gid),
            )
            .unwrap();
        }
        let said = host.run(&build, asked).await.ok();
        assert_eq!(said, "/home/ann/project/sub\nno\nno\nno\nno\nsub\nup\n");
        // The next one finds what it always does.
        let plain = host.shell("pwd; ls -A /; ls -A /tmp").await.ok();
        assert!(
            plain.starts_with("/build\n") && !plain.contains("home"),
            "{plain}"
        );
    }
}

/// The very directory that the client works in, or one in `/tmp`, on a worker that has it too.
#[tokio::test]
async fn what_the_host_has_at_the_same_path_is_not_seen_and_stays_as_it_is() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let own = fs::canonicalize(env!("CARGO_MANIFEST_DIR")).unwrap();
        let scratch = tempfile::tempdir_in("/tmp").unwrap();
        let outside = scratch.path().join("project");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "of the host").unwrap();
        for place in [own.to_str().unwrap(), outside.to_str().unwrap()] {
            let names = |path: &str| fs::read_dir(path).unwrap().count();
            let before = names(place);
            let build = host.build().await;
            write(&build, "input", "given");
            let script = "ls -A .; ls -A ..; echo x > made; echo x > ../beside 2>/dev/null; exit 0";
            let said = host.run(&build, at(place, shell(&build, script))).await.ok();
            let name = place.rsplit('/').next().unwrap();
            assert_eq!(said, format!("input\n{name}\n"), "{place}");
            assert!(build.root.join("made").exists());
            assert_eq!(names(place), before);
            assert!(!std::path::Path::new(place).with_file_name("beside").exists());
        }
    }
}

#[tokio::test]
async fn a_compiler_says_the_clients_own_paths() {
    let host = Host::start(modes()[0]).await;
    let build = host.build().await;
    fs::create_dir(build.root.join("include")).unwrap();
    write(&build, "include/n.h", "#define N 7\n");
    write(
        &build,
        "a.c",
        "#include <n.h>\nint f(void) { return N; }\nconst char *file = __FILE__;\n",
    );
    let place = "/home/ann/project";
    let argv = [
        "gcc",
        "-g",
        "-I/home/ann/project/include",
        "-MMD",
        "-MF",
        "/home/ann/project/a.d",
        "-c",
        "/home/ann/project/a.c",
        "-o",
        "/home/ann/project/a.o",
    ];
    host.run(&build, at(place, request(&build, &argv))).await.ok();
    let dump = Command::new("readelf")
        .args(["--debug-dump=info", "--wide"])
        .arg(build.root.join("a.o"))
        .output()
        .unwrap();
    let dump = String::from_utf8_lossy(&dump.stdout);
    let directory = dump.lines().find(|line| line.contains("DW_AT_comp_dir")).unwrap();
    assert!(directory.ends_with(": /home/ann/project"), "{directory}");
    let object = fs::read(build.root.join("a.o")).unwrap();
    let has = |text: &str| object.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("/home/ann/project/a.c\0") && !has("/build"));
    let dependencies = fs::read_to_string(build.root.join("a.d")).unwrap();
    assert!(
        dependencies.contains("/home/ann/project/include/n.h"),
        "{dependencies}"
    );
}

#[tokio::test]
async fn over_a_base_and_in_an_image_it_is_the_same() {
    let Some(mut trees) = trees().await else { return };
    fs::write(trees.base.join("shared"), "shared\n").unwrap();
    give(trees.ids, &trees.base, true);
    let build = trees.host.build().await;
    let script = "pwd; cat shared; echo x > made";
    let asked = at("/home/ann", trees.over_base(&build, script));
    assert_eq!(trees.host.run(&build, asked).await.ok(), "/home/ann\nshared\n");
    assert!(build.root.join("made").exists());

    trees.base = trees.host.directory.path().join("image");
    fs::create_dir(&trees.base).unwrap();
    fill(&trees.base, &["sh", "cat", "ls"]);
    fs::create_dir_all(trees.base.join("src/of-the-image")).unwrap();
    fs::create_dir_all(trees.base.join("home/ann")).unwrap();
    fs::write(trees.base.join("home/ann/hidden"), "").unwrap();
    give(trees.ids, &trees.base, true);
    for (place, beside) in [
        ("/home/ann", "ann\n"),
        ("/src/new/deep", "deep\n"),
        ("/tmp/x", "x\n"),
        ("/first", ""),
    ] {
        let build = trees.host.build().await;
        write(&build, "input", "given\n");
        let script = "pwd; ls; cat /mark; test $PWD = /first || ls ..; echo x > $PWD/made";
        let asked = at(place, trees.in_image(&build, &["/bin/sh", "-c", script]));
        let said = trees.host.run(&build, asked).await.ok();
        assert_eq!(said, format!("{place}\ninput\nmine{beside}"));
        assert!(build.root.join("made").exists());
    }
    assert!(!trees.base.join("first").exists() && !trees.base.join("home/ann/made").exists());
}

#[tokio::test]
async fn an_image_with_something_else_on_the_way_is_refused() {
    let Some(trees) = trees().await else { return };
    fill(&trees.base, &["sh"]);
    std::os::unix::fs::symlink("usr", trees.base.join("link")).unwrap();
    fs::write(trees.base.join("file"), "").unwrap();
    give(trees.ids, &trees.base, true);
    for place in ["/link", "/link/x", "/file", "/file/x"] {
        let build = trees.host.build().await;
        let asked = at(place, trees.in_image(&build, &["/bin/sh", "-c", "true"]));
        let message = refusal(trees.host.run(&build, asked).await.response.outcome);
        assert!(message.contains(place), "{message}");
    }
}

#[tokio::test]
async fn what_the_operator_shows_is_not_hidden_by_it() {
    let scratch = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let around = scratch.path().to_str().unwrap();
    let shown = format!("{around}/sdk");
    fs::create_dir(&shown).unwrap();
    for mode in modes() {
        let host = Host::start_with(*mode, &["--host-path", &shown]).await;
        for place in [around, &shown, &format!("{shown}/deep")] {
            let build = host.build().await;
            let ran = host.run(&build, at(place, shell(&build, "true"))).await;
            let message = refusal(ran.response.outcome);
            assert!(
                message.contains(&format!("{place:?}: this runner shows the host's {shown:?}")),
                "{message}"
            );
        }
        let build = host.build().await;
        let beside = format!("{around}/other");
        let ran = host.run(&build, at(&beside, shell(&build, "pwd; ls .."))).await;
        assert_eq!(ran.ok(), format!("{beside}\nother\nsdk\n"));
    }
}

#[tokio::test]
async fn not_with_the_input_root_as_root_and_not_without_mounts_of_its_own() {
    let host = Host::start(modes()[0]).await;
    let build = host.build().await;
    let asked = at("/home/ann", in_root(&build, &["sh"]));
    let refused = host.try_run(asked, &CancellationToken::new()).await.unwrap_err();
    assert!(refused.to_string().contains("cannot be elsewhere"), "{refused}");

    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let mut process = without("mnt", &socket, "best-effort")
        .arg("--exit-with-stdin")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the runner is ready", || socket.exists()).await;
    let build = build_in(directory.path());
    let response = UnixRunner::new(&socket)
        .run(at("/home/ann", shell(&build, "pwd")), &CancellationToken::new())
        .await
        .unwrap();
    let message = refusal(response.outcome);
    assert!(message.contains("no mount namespace"), "{message}");
    drop(process.stdin.take());
    assert!(process.wait().unwrap().success());
}
