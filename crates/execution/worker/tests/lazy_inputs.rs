//! Inputs that come when they are opened: a real runner, real mounts, a store that is watched.
//!
//! Where nothing can be mounted (no root, no `/dev/fuse`) these tests say so and check that actions run all the same.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only functions marked as tests for tests"
)]

#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use blob::Digest;
use merkle::TreeBuilder;
use reapi::execution as proto;
use reapi::execution::ExecuteResponse;
use reapi::rpc::Code;
use support::watched::Watched;
use support::{F, Farm, Job, shell};
use worker::{LazyInputs, LazyOptions};
use worker_api::v1::ObservedInputs;

const ON_REQUEST: LazyOptions = LazyOptions {
    when: LazyInputs::OnRequest,
    observe: false,
};

struct Fixture {
    farm: Farm,
    store: Arc<Watched>,
}

async fn fixture(sandbox: &str, options: LazyOptions) -> Fixture {
    let store = Watched::new();
    let farm = Farm::start_by(sandbox, 1, 0, store.clone(), options).await;
    Fixture { farm, store }
}

/// Whether this machine mounts lazy roots for us; says why, if not.
async fn can_be_lazy(fixture: &mut Fixture) -> bool {
    let input_root = fixture.farm.put_tree(TreeBuilder::new()).await;
    let response = fixture.run(observed(shell("true", &[])), input_root).await;
    let observed = observed_inputs(&response).unwrap();
    if !observed.unobserved_reason.is_empty() {
        eprintln!("skipped: {}", observed.unobserved_reason);
        assert!(!rustix::process::geteuid().is_root() || !std::path::Path::new("/dev/fuse").exists());
    }
    observed.unobserved_reason.is_empty()
}

impl Fixture {
    async fn run(&mut self, command: proto::Command, input_root: Digest) -> ExecuteResponse {
        let timeout = Duration::from_secs(60);
        self.run_for(command, input_root, timeout).await
    }

    async fn run_for(
        &mut self,
        command: proto::Command,
        input_root: Digest,
        timeout: Duration,
    ) -> ExecuteResponse {
        let job = Job {
            command,
            input_root,
            timeout,
        };
        self.farm.execute(job).await
    }

    /// Uploads a tree of such files.
    async fn tree(&self, files: &[(&str, &str)]) -> Digest {
        let mut tree = TreeBuilder::new();
        for (path, content) in files {
            tree.insert_file(path, self.farm.put(*content).await, false)
                .unwrap();
        }
        self.farm.put_tree(tree).await
    }
}

#[allow(
    deprecated,
    reason = "an action of these tests has no platform beside its command's"
)]
fn with(mut command: proto::Command, name: &str, value: &str) -> proto::Command {
    let platform = command.platform.get_or_insert_default();
    platform.properties.push(proto::platform::Property {
        name: name.into(),
        value: value.into(),
    });
    command
}

fn lazy(command: proto::Command) -> proto::Command {
    with(command, "lazy-inputs", "true")
}

fn observed(command: proto::Command) -> proto::Command {
    with(command, "observe-inputs", "true")
}

fn code(response: &ExecuteResponse) -> Code {
    Code::try_from(response.status.as_ref().map_or(0, |status| status.code)).unwrap()
}

fn result(response: &ExecuteResponse) -> &proto::ActionResult {
    assert_eq!(code(response), Code::Ok, "{response:?}");
    response.result.as_ref().unwrap()
}

fn metadata(response: &ExecuteResponse) -> &proto::ExecutedActionMetadata {
    result(response).execution_metadata.as_ref().unwrap()
}

fn observed_inputs(response: &ExecuteResponse) -> Option<ObservedInputs> {
    let mut told = metadata(response).auxiliary_metadata.iter();
    told.find_map(|any| any.to_msg().ok())
}

fn digest(content: &str) -> Digest {
    Digest::of(F, content.as_bytes())
}

/// Of two thousand headers a compile reads four: these alone travel, and are all that it has read.
#[tokio::test]
async fn a_compile_fetches_what_it_reads_and_tells_exactly_that() {
    let mut fixture = fixture("best-effort", ON_REQUEST).await;
    if !can_be_lazy(&mut fixture).await {
        return;
    }
    let read = [
        (
            "src/main.c",
            "#include \"a.h\"\n#include <deep/b.h>\n#if __has_include(<absent.h>)\n#error there\n#endif\nint main(void) { return A + B; }\n",
        ),
        ("src/a.h", "#include \"c.h\"\n#define A C\n"),
        ("src/c.h", "#define C 1\n"),
        ("include/deep/b.h", "#include <deep/d.h>\n#define B D\n"),
        ("include/deep/d.h", "#define D 2\n"),
    ];
    let unread: Vec<(String, String)> = (0..2000)
        .map(|number| {
            let path = format!("include/unread{}/h{number}.h", number % 20);
            (path, format!("#define H{number} {number}\n"))
        })
        .collect();
    let unread_files = unread
        .iter()
        .map(|(path, content)| (path.as_str(), content.as_str()));
    let files: Vec<(&str, &str)> = read.into_iter().chain(unread_files).collect();
    let input_root = fixture.tree(&files).await;
    let compile = |dependencies: &str| proto::Command {
        arguments: [
            "/usr/bin/gcc",
            dependencies,
            "-MF",
            "out/deps",
            "-c",
            "-Iinclude",
            "src/main.c",
            "-o",
            "out/main.o",
        ]
        .map(String::from)
        .to_vec(),
        output_paths: vec!["out/main.o".into(), "out/deps".into()],
        ..Default::default()
    };
    let response = fixture.run(observed(compile("-MD")), input_root).await;
    let made = result(&response);
    assert_eq!((made.exit_code, made.output_files.len()), (0, 2), "{response:?}");

    let of = |files: &[(&str, &str)]| {
        files
            .iter()
            .map(|(_, content)| digest(content))
            .collect::<HashSet<_>>()
    };
    assert_eq!(fixture.store.reads(&of(&files)), read.len());
    assert_eq!(fixture.store.reads(&of(&read)), read.len());

    let observed = observed_inputs(&response).unwrap();
    let deps = made
        .output_files
        .iter()
        .find(|file| file.path == "out/deps")
        .unwrap();
    let deps = String::from_utf8(fixture.farm.read(&deps.digest).await).unwrap();
    let mut named: Vec<&str> = deps
        .split_whitespace()
        .filter(|word| read.iter().any(|(path, _)| path == word))
        .collect();
    named.sort_unstable();
    assert_eq!(observed.files_read, named, "{deps}");
    assert!(
        observed.lookups_failed.contains(&"include/absent.h".to_owned()),
        "{observed:?}"
    );
    assert!(
        observed
            .lookups_failed
            .iter()
            .all(|path| !path.starts_with("out/")),
        "{observed:?}"
    );
    assert_eq!(observed.undeclared_writes, Vec::<String>::new());
    assert!(
        !observed.truncated && observed.directories_listed.is_empty(),
        "{observed:?}"
    );
    fixture.farm.end().await;
}

/// The same action, whichever way its inputs come.
#[tokio::test]
async fn an_action_sees_the_same_and_makes_the_same() {
    for sandbox in ["best-effort", "off"] {
        let mut fixture = fixture(sandbox, ON_REQUEST).await;
        let mut tree = TreeBuilder::new();
        let greet = fixture
            .farm
            .put("#!/bin/sh\necho hello $1; cat ../data; echo oops >&2\n")
            .await;
        tree.insert_file("bin/greet", greet, true).unwrap();
        tree.insert_file("data", fixture.farm.put("some data\n").await, false)
            .unwrap();
        tree.insert_file("tree/given", fixture.farm.put("given").await, false)
            .unwrap();
        tree.insert_symlink("work/link", "../data").unwrap();
        let input_root = fixture.farm.put_tree(tree).await;
        let script = "../bin/greet you && cp link tree/copy && echo more >> tree/given && ln -s copy tree/link && \
                      mkdir -p made/here && mv ../bin ../tools && ../tools/greet again && pwd > out/pwd && \
                      stat -L -c '%a %s %Y' link ../tools/greet tree/given.old 2>/dev/null; ls -a .. && id -u; exit 7";
        let mut command = shell(script, &["../tree", "tree", "out/pwd", "out/absent"]);
        command.working_directory = "work".into();
        command.output_paths.remove(0);
        let eager = fixture.run(command.clone(), input_root).await;
        let lazy = fixture.run(lazy(command), input_root).await;
        let shape = |response: &ExecuteResponse| {
            let result = result(response).clone();
            (
                result.exit_code,
                String::from_utf8_lossy(&result.stdout_raw).into_owned(),
                String::from_utf8_lossy(&result.stderr_raw).into_owned(),
                result.output_files,
                result.output_directories,
            )
        };
        assert_eq!(shape(&eager), shape(&lazy), "{sandbox}");
        assert_eq!(shape(&lazy).0, 7);
        fixture.farm.end().await;
    }
}

#[tokio::test]
async fn no_action_changes_the_inputs_of_another() {
    let mut fixture = fixture("best-effort", ON_REQUEST).await;
    let input_root = fixture
        .tree(&[("input", "original"), ("output/given", "given")])
        .await;
    let attack = "exec 2>/dev/null; chmod u+w input; echo changed > input; truncate -s 0 input; \
                  echo appended >> output/given; rm -f input; echo new > input; cat input";
    let attacked = fixture.run(lazy(shell(attack, &["output"])), input_root).await;
    assert_eq!(&result(&attacked).stdout_raw[..], b"new\n");
    for command in [
        shell("cat input output/given", &[]),
        lazy(shell("cat input output/given", &[])),
    ] {
        let after = fixture.run(command, input_root).await;
        assert_eq!(&result(&after).stdout_raw[..], b"originalgiven");
    }
    if rustix::process::geteuid().is_root() {
        let refused = fixture
            .run(lazy(shell("chmod u+w input || echo x > input", &[])), input_root)
            .await;
        assert_ne!(result(&refused).exit_code, 0, "{refused:?}");
    }
    fixture.farm.end().await;
}

#[tokio::test]
async fn everything_a_command_does_to_its_inputs_is_told() {
    let mut fixture = fixture("best-effort", ON_REQUEST).await;
    if !can_be_lazy(&mut fixture).await {
        return;
    }
    let mut tree = TreeBuilder::new();
    for path in ["dir/a", "dir/b", "removed", "unread", "out/old"] {
        tree.insert_file(path, fixture.farm.put(path).await, false)
            .unwrap();
    }
    tree.insert_symlink("link", "dir/a").unwrap();
    let input_root = fixture.farm.put_tree(tree).await;
    let script = "cat link >/dev/null; ls dir >/dev/null; cat nowhere 2>/dev/null; rm removed; echo x > beside; \
                  echo y > out/new; test -e unread";
    let response = fixture.run(observed(shell(script, &["out"])), input_root).await;
    assert_eq!(result(&response).exit_code, 0, "{response:?}");
    let mut observed = observed_inputs(&response).unwrap();
    // What the shell itself looks for depends on the shell.
    assert!(
        observed.lookups_failed.contains(&"nowhere".to_owned()),
        "{observed:?}"
    );
    observed.lookups_failed.clear();
    let expected = ObservedInputs {
        files_read: vec!["dir/a".into()],
        symlinks_read: vec!["link".into()],
        directories_listed: vec!["dir".into()],
        undeclared_writes: vec!["beside".into()],
        undeclared_removals: vec!["removed".into()],
        ..Default::default()
    };
    assert_eq!(observed, expected);
    fixture.farm.end().await;
}

#[tokio::test]
async fn where_nothing_can_be_observed_the_answer_says_so() {
    let never = LazyOptions {
        when: LazyInputs::Never,
        observe: false,
    };
    let mut fixture = fixture("best-effort", never).await;
    let input_root = fixture.tree(&[("input", "content")]).await;
    let response = fixture
        .run(observed(lazy(shell("cat input", &[]))), input_root)
        .await;
    assert_eq!(&result(&response).stdout_raw[..], b"content");
    let observed = observed_inputs(&response).unwrap();
    assert_eq!(
        observed.unobserved_reason,
        "this worker lays its inputs out (--lazy-inputs never)"
    );
    let unasked = fixture.run(shell("cat input", &[]), input_root).await;
    assert_eq!(observed_inputs(&unasked), None);
    let wrong = fixture
        .run(with(shell("true", &[]), "lazy-inputs", "maybe"), input_root)
        .await;
    assert_eq!(code(&wrong), Code::InvalidArgument);
    fixture.farm.end().await;
}

/// What is lost while the command runs is the store's fault, and named: all of it, so that one upload mends it.
#[tokio::test]
async fn a_blob_that_is_lost_meanwhile_is_named_and_not_blamed_on_the_command() {
    let mut fixture = fixture("best-effort", ON_REQUEST).await;
    if !can_be_lazy(&mut fixture).await {
        return;
    }
    let input_root = fixture
        .tree(&[("there", "there"), ("lost", "lost"), ("lost too", "lost too")])
        .await;
    fixture.store.lose(digest("lost"));
    fixture.store.lose(digest("lost too"));
    let start = Instant::now();
    // It would succeed in spite of it, after a while.
    let script = "cat there; cat lost; sleep 50; true";
    let response = fixture.run(lazy(shell(script, &[])), input_root).await;
    assert_eq!(code(&response), Code::FailedPrecondition, "{response:?}");
    let missing = action::missing_blobs_in(response.status.as_ref().unwrap());
    assert_eq!(missing.len(), 2, "{missing:?}");
    assert!(start.elapsed() < Duration::from_secs(30), "it was ended at once");
    fixture.farm.end().await;
}

#[tokio::test]
async fn time_stands_still_while_a_command_waits_for_its_inputs() {
    let mut fixture = fixture("best-effort", ON_REQUEST).await;
    if !can_be_lazy(&mut fixture).await {
        return;
    }
    let input_root = fixture.tree(&[("slow", "slow"), ("slower", "slower")]).await;
    fixture.store.delay(digest("slow"), Duration::from_millis(2500));
    fixture.store.delay(digest("slower"), Duration::from_millis(2500));
    let timeout = Duration::from_millis(1500);
    let response = fixture
        .run_for(lazy(shell("cat slow slower", &[])), input_root, timeout)
        .await;
    assert_eq!(&result(&response).stdout_raw[..], b"slowslower");
    let counted: Duration = metadata(&response)
        .virtual_execution_duration
        .unwrap()
        .try_into()
        .unwrap();
    assert!(counted < timeout, "{counted:?}");
    // Its own time counts as ever.
    let response = fixture
        .run_for(lazy(shell("cat slow; sleep 30", &[])), input_root, timeout)
        .await;
    assert_eq!(code(&response), Code::DeadlineExceeded, "{response:?}");
    fixture.farm.end().await;
}

#[tokio::test]
async fn a_command_that_waits_for_ever_can_be_cancelled() {
    let mut fixture = fixture("best-effort", ON_REQUEST).await;
    if !can_be_lazy(&mut fixture).await {
        return;
    }
    let input_root = fixture.tree(&[("never", "never")]).await;
    fixture.store.delay(digest("never"), Duration::from_secs(3600));
    let command = lazy(shell("cat never", &[]));
    let timeout = Duration::from_secs(60);
    let job = Job {
        command,
        input_root,
        timeout,
    };
    fixture.farm.begin(job).await;
    while fixture.store.read_at(digest("never")).is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let start = Instant::now();
    fixture.farm.want(vec![]).await;
    // It is killed in the middle of its open, and the only slot is free again.
    let next = fixture.farm.script("echo next", &[]).await;
    assert_eq!(&result(&next).stdout_raw[..], b"next\n");
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    fixture.farm.end().await;
}

/// What such a command has read before is fetched while it starts, with the content that it has now.
#[tokio::test]
async fn what_a_command_read_before_is_fetched_ahead() {
    let mut fixture = fixture("best-effort", ON_REQUEST).await;
    if !can_be_lazy(&mut fixture).await {
        return;
    }
    let command = || lazy(shell("sleep 1; cat read", &[]));
    let first = fixture
        .tree(&[("read", "old content"), ("unread", "old other")])
        .await;
    let response = fixture.run(command(), first).await;
    assert_eq!(&result(&response).stdout_raw[..], b"old content");
    let second = fixture
        .tree(&[("read", "new content"), ("unread", "new other")])
        .await;
    let response = fixture.run(command(), second).await;
    let ended = Instant::now();
    assert_eq!(&result(&response).stdout_raw[..], b"new content");
    let ahead = ended - fixture.store.read_at(digest("new content")).unwrap();
    assert!(
        ahead > Duration::from_millis(900),
        "{ahead:?} before the end of a command that reads it last"
    );
    assert_eq!(fixture.store.reads(&[digest("new content")].into()), 1);
    assert_eq!(
        fixture
            .store
            .reads(&[digest("new other"), digest("old other")].into()),
        0
    );
    fixture.farm.end().await;
}

/// A whole system as input root, of which a command reads a shell and what that is linked with.
#[tokio::test]
async fn a_root_of_its_own_comes_lazily_too() {
    let mut fixture = fixture("best-effort", ON_REQUEST).await;
    if !can_be_lazy(&mut fixture).await {
        return;
    }
    let mut tree = TreeBuilder::new();
    tree.insert_symlink("bin", "usr/bin").unwrap();
    tree.insert_file("mark", fixture.farm.put("mine").await, false)
        .unwrap();
    tree.insert_file("usr/share/unread", fixture.farm.put("unread").await, false)
        .unwrap();
    let mut placed = HashSet::new();
    for program in ["sh", "cat", "ls"] {
        let host = format!("/usr/bin/{program}");
        let libraries = std::process::Command::new("ldd")
            .arg(&host)
            .output()
            .unwrap()
            .stdout;
        let libraries = String::from_utf8(libraries).unwrap();
        let libraries = libraries.split_whitespace().filter(|word| word.starts_with('/'));
        for file in libraries.chain([host.as_str()]).map(str::to_owned) {
            let bytes = std::fs::read(&file).unwrap();
            if placed.insert(file.clone()) {
                let place = file.trim_start_matches('/');
                tree.insert_file(place, fixture.farm.put(bytes).await, true)
                    .unwrap();
            }
        }
    }
    let input_root = fixture.farm.put_tree(tree).await;
    let script = "cat /mark; echo made > /install; for name in /*; do echo $name; done";
    let command = proto::Command {
        arguments: ["/bin/sh", "-c", script].map(String::from).to_vec(),
        output_paths: vec!["install".into()],
        ..Default::default()
    };
    let response = fixture
        .run(observed(with(command, "root", "inputs")), input_root)
        .await;
    let result = result(&response);
    let said = String::from_utf8_lossy(&result.stdout_raw).into_owned();
    assert_eq!(
        (result.exit_code, result.output_files.len()),
        (0, 1),
        "{response:?}"
    );
    assert!(
        said.starts_with("mine") && said.contains("/install\n") && said.contains("/proc\n"),
        "{said}"
    );
    let observed = observed_inputs(&response).unwrap();
    for path in ["usr/bin/sh", "usr/bin/cat", "mark"] {
        assert!(
            observed.files_read.contains(&path.to_owned()),
            "{path}: {observed:?}"
        );
    }
    assert!(observed.symlinks_read.contains(&"bin".to_owned()), "{observed:?}");
    assert!(
        observed.directories_listed.contains(&String::new()),
        "{observed:?}"
    );
    assert!(
        !observed.files_read.contains(&"usr/bin/ls".to_owned()),
        "{observed:?}"
    );
    assert_eq!(fixture.store.reads(&[digest("unread")].into()), 0);
    fixture.farm.end().await;
}
