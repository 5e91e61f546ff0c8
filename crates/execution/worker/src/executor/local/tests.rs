use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use action::missing_blobs_in;
use blob::{Blob, ByteRange, Digest, DigestFunction};
use merkle::TreeBuilder;
use reapi::execution as proto;
use runner_api::{BUILD_PATH, Conversation, Outcome, ResourceUsage, RunError, RunResponse};
use tasks::Group;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tonic::transport::Channel;

use super::*;
use crate::SurroundingsOptions;
use crate::build_directory::Placement;
use crate::fetch::Fetcher;
use crate::leases::{Leases, RunReport};

mod accounts;

const F: DigestFunction = DigestFunction::Sha256;

type Play = dyn Fn(&RunRequest) -> Outcome + Send + Sync;

/// A runner that plays a command.
struct Played(Box<Play>);

#[async_trait]
impl Runner for Played {
    async fn run(&self, request: RunRequest, cancel: &CancellationToken) -> Result<RunResponse, RunError> {
        request.check()?;
        if request.argv[0] == b"forever" {
            cancel.cancelled().await;
            return Err(RunError::Cancelled);
        }
        std::fs::write(&request.stdout_path, "").unwrap();
        std::fs::write(&request.stderr_path, "").unwrap();
        Ok(RunResponse {
            outcome: (self.0)(&request),
            usage: ResourceUsage {
                user_us: 5,
                ..Default::default()
            },
            started_unix_ns: 1_000,
            finished_unix_ns: 2_000,
            ran: Duration::from_nanos(1_500),
            stdout_truncated: false,
            stderr_truncated: false,
            processes_refused: 0,
            clock_stopped_ns: 0,
        })
    }

    async fn run_by_clock(
        &self,
        request: RunRequest,
        _: tokio::sync::watch::Receiver<bool>,
        cancel: &CancellationToken,
    ) -> Result<RunResponse, RunError> {
        self.run(request, cancel).await
    }

    async fn converse(
        &self,
        _: RunRequest,
        _: Conversation,
        _: &CancellationToken,
    ) -> Result<RunResponse, RunError> {
        Err(RunError::Refused {
            message: "this one plays no conversations".into(),
        })
    }
}

struct Fixture {
    scratch: TempDir,
    store: Arc<dyn BlobStore>,
    local: Local,
    group: Group,
}

fn fixture(play: impl Fn(&RunRequest) -> Outcome + Send + Sync + 'static) -> Fixture {
    let scratch = tempfile::tempdir().unwrap();
    let group = Group::new("test");
    let store = cas::memory(1 << 26);
    let fetcher = Fetcher::new();
    let files = FileCache::open(&scratch.path().join("cache"), 1 << 20, fetcher.clone()).unwrap();
    let files = Arc::new(files);
    let placement = Placement {
        links_files: true,
        owner: None,
        cannot_reflink: Default::default(),
    };
    let builds = scratch.path().join("builds");
    let build_directories = BuildDirectories::open(&builds, files.clone(), placement, 4, &group).unwrap();
    let given = store.clone();
    let local = Local {
        worker: "tester".into(),
        stores: Arc::new(move |_| given.clone()),
        directories: DirectoryCache::new(fetcher),
        files,
        build_directories: Arc::new(build_directories),
        trees: None,
        images: None,
        runner: Arc::new(Played(Box::new(play))),
        log_bytes_max: 1000,
        surroundings: Possible {
            options: SurroundingsOptions::default(),
            roots: true,
            users: true,
            images: false,
        },
        limits: ActionLimits::default(),
        // Nobody follows anything here.
        live_output: LiveOutput::new(Channel::from_static("http://127.0.0.1:1").connect_lazy()),
        persistent: None,
        lazy: LazyParts::none(&group),
        tools: Tools::fixed(None),
    };
    Fixture {
        scratch,
        store,
        local,
        group,
    }
}

fn command(arguments: &[&str]) -> proto::Command {
    proto::Command {
        arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
        ..Default::default()
    }
}

impl Fixture {
    async fn put(&self, bytes: &'static [u8]) -> Digest {
        let blob = Blob::from_bytes(F, bytes);
        let digest = blob.digest();
        self.store.put(blob).await.unwrap();
        digest
    }

    /// Uploads a tree and gives its root.
    async fn input(&self, tree: TreeBuilder) -> Digest {
        let built = tree.build(F).unwrap();
        for blob in built.blobs() {
            self.store.put(blob).await.unwrap();
        }
        built.root
    }

    async fn execute(&self, command: proto::Command, input_root: Digest) -> ExecuteResponse {
        self.execute_with(command, input_root, &CancellationToken::new())
            .await
    }

    async fn execute_with(
        &self,
        command: proto::Command,
        input_root: Digest,
        cancel: &CancellationToken,
    ) -> ExecuteResponse {
        let digest = |bytes| Some(Digest::of(F, bytes).to_proto());
        let assignment = worker_api::v1::Assignment {
            action_digest: digest(b"action"),
            action: Some(proto::Action {
                command_digest: digest(b"command"),
                input_root_digest: Some(input_root.to_proto()),
                ..Default::default()
            }),
            command: Some(command),
            timeout: Some(prost_types::Duration { seconds: 9, nanos: 0 }),
            ..Default::default()
        };
        let assignment = Assignment::from_proto(assignment).unwrap();
        let lease = worker_api::v1::Lease {
            lease_id: 1,
            assignment: Some(Default::default()),
            ..Default::default()
        };
        let start = Leases::new(1).obey(vec![lease]).0.remove(0);
        let (reports, mut received) = mpsc::channel(10);
        let response = self
            .local
            .execute(
                assignment,
                &Progress::new(start.run, reports, start.followed),
                cancel,
            )
            .await;
        let mut phases = Vec::new();
        while let Some((_, RunReport::Phase(phase, _))) = received.recv().await {
            phases.push(phase);
        }
        assert!(
            phases.is_sorted() && phases.first() == Some(&Phase::FetchingInputs),
            "{phases:?}"
        );
        response
    }

    async fn read(&self, digest: &Option<proto::Digest>) -> Vec<u8> {
        let digest = Digest::required(F, digest.as_ref(), "digest").unwrap();
        let stream = self
            .store
            .get(&digest, ByteRange::FULL)
            .await
            .unwrap()
            .expect("in the store");
        Blob::checked(digest, stream)
            .into_bytes(1 << 20)
            .await
            .unwrap()
            .to_vec()
    }

    /// All build directories are gone in the end.
    async fn leaves_nothing(&self) {
        assert!(self.group.shut_down(Duration::from_secs(10)).await);
        assert_eq!(
            std::fs::read_dir(self.scratch.path().join("builds"))
                .unwrap()
                .count(),
            0
        );
    }
}

fn code(response: &ExecuteResponse) -> Code {
    let code = response.status.as_ref().map_or(0, |status| status.code);
    Code::try_from(code).unwrap()
}

fn write(request: &RunRequest, path: &str, bytes: &[u8]) {
    std::fs::write(request.input_root.join(path), bytes).unwrap();
}

fn exited(exit_code: i32) -> Outcome {
    Outcome::Exited(exit_code)
}

#[tokio::test]
async fn inputs_in_outputs_out() {
    let fixture = fixture(|request| {
        let root = &request.input_root;
        assert_eq!(std::fs::read(root.join("src/main.c")).unwrap(), b"int main;");
        assert_eq!(request.working_directory, Path::new("src"));
        assert!(root.join("src/out/deep").is_dir() && root.join("top").is_dir());
        assert_eq!(request.argv, [b"cc".to_vec(), b"-c".to_vec()]);
        assert_eq!(
            request.env,
            [
                (b"A".to_vec(), b"1".to_vec()),
                (b"PATH".to_vec(), DEFAULT_PATH.into())
            ]
        );
        assert_eq!(
            (request.timeout, request.output_log_bytes_max),
            (Some(Duration::from_secs(9)), 1000)
        );
        assert_ne!(root, Path::new(BUILD_PATH));
        write(request, "src/out/deep/main.o", b"object");
        write(request, "top/dir", b"above");
        std::fs::write(&request.stdout_path, "hello\n").unwrap();
        exited(0)
    });
    let mut tree = TreeBuilder::new();
    tree.insert_file("src/main.c", fixture.put(b"int main;").await, false)
        .unwrap();
    let mut command = command(&["cc", "-c"]);
    command.working_directory = "src".into();
    command.environment_variables = vec![proto::command::EnvironmentVariable {
        name: "A".into(),
        value: "1".into(),
    }];
    command.output_paths = ["out/deep/main.o", "../top/dir", "absent"]
        .map(String::from)
        .to_vec();
    let input = fixture.input(tree).await;
    for _ in 0..2 {
        let response = fixture.execute(command.clone(), input).await;
        assert_eq!(code(&response), Code::Ok, "{response:?}");
        let result = response.result.unwrap();
        assert_eq!(result.exit_code, 0);
        let paths: Vec<_> = result.output_files.iter().map(|file| &*file.path).collect();
        assert_eq!(paths, ["out/deep/main.o", "../top/dir"]);
        assert_eq!(fixture.read(&result.output_files[0].digest).await, b"object");
        assert_eq!(result.stdout_raw, "hello\n");
        assert_eq!(fixture.read(&result.stdout_digest).await, b"hello\n");
        assert!(result.stderr_raw.is_empty() && result.stderr_digest.is_none());
        let metadata = result.execution_metadata.unwrap();
        assert_eq!(metadata.worker, "tester");
        assert_eq!(metadata.virtual_execution_duration.unwrap().nanos, 1_500);
        assert!(metadata.worker_completed_timestamp.is_some() && metadata.auxiliary_metadata.len() == 1);
    }
    fixture.leaves_nothing().await;
}

#[tokio::test]
async fn everything_missing_is_reported_at_once_directories_and_files() {
    let fixture = fixture(|_| panic!("must not run"));
    let mut tree = TreeBuilder::new();
    let absent = |text: &[u8]| Digest::of(F, text);
    tree.insert_file("here", fixture.put(b"here").await, false)
        .unwrap();
    tree.insert_file(
        "gone/in/dir",
        absent(b"unknown as its directory is missing"),
        false,
    )
    .unwrap();
    tree.insert_file("lost", absent(b"lost"), false).unwrap();
    tree.insert_file("a/lost_too", absent(b"lost too"), true).unwrap();
    let built = tree.clone().build(F).unwrap();
    let gone = built.root_directory().directory("gone").unwrap().digest;
    for blob in built.blobs().filter(|blob| blob.digest() != gone) {
        fixture.store.put(blob).await.unwrap();
    }
    let response = fixture.execute(command(&["x"]), built.root).await;
    assert_eq!(code(&response), Code::FailedPrecondition);
    let expected: DigestSet = [gone, absent(b"lost"), absent(b"lost too")].into_iter().collect();
    assert_eq!(missing_blobs_in(response.status.as_ref().unwrap()), expected);
    assert!(response.result.is_none());

    fixture
        .store
        .put(built.blobs().find(|blob| blob.digest() == gone).unwrap())
        .await
        .unwrap();
    for blob in built.blobs() {
        fixture.store.put(blob).await.unwrap();
    }
    let response = fixture.execute(command(&["x"]), built.root).await;
    let missing = missing_blobs_in(response.status.as_ref().unwrap());
    assert_eq!(missing.len(), 3, "two directories deeper: {missing:?}");
    fixture.leaves_nothing().await;
}

#[tokio::test]
async fn ends_that_are_not_exit_codes() {
    let check = async |outcome: Outcome, expected: Code, exit_code: Option<i32>, told: &str| {
        let fixture = fixture(move |request| {
            std::fs::write(&request.stdout_path, "said before").unwrap();
            write(request, "log", b"partial");
            outcome.clone()
        });
        let input = fixture.input(TreeBuilder::new()).await;
        let mut command = command(&["x"]);
        command.output_paths = vec!["log".into()];
        let response = fixture.execute(command, input).await;
        assert_eq!(code(&response), expected, "{response:?}");
        assert_eq!(response.result.as_ref().map(|result| result.exit_code), exit_code);
        let status = response.status.clone().unwrap_or_default().message;
        assert!(
            status.contains(told) || response.message.contains(told),
            "{status} / {}",
            response.message
        );
        fixture.leaves_nothing().await;
        response.result.unwrap_or_default()
    };
    let killed = check(Outcome::Signaled(11), Code::Ok, Some(139), "signal 11 (SIGSEGV)").await;
    assert_eq!(
        (killed.output_files.len(), &killed.stdout_raw[..]),
        (1, &b"said before"[..])
    );
    let late = check(Outcome::TimedOut, Code::DeadlineExceeded, Some(137), "9s").await;
    assert_eq!(
        (late.output_files.len(), &late.stdout_raw[..]),
        (1, &b"said before"[..])
    );
    let failed = check(Outcome::Exited(3), Code::Ok, Some(3), "").await;
    assert_eq!(failed.output_files.len(), 1);
    check(
        Outcome::SetupFailed {
            message: "no mounts".into(),
        },
        Code::Unavailable,
        None,
        "no mounts",
    )
    .await;
    for (errno, exit_code) in [(2, 127), (13, 126), (8, 126)] {
        let outcome = Outcome::NotStarted {
            errno,
            path: "bin/tool".into(),
        };
        let result = check(outcome, Code::Ok, Some(exit_code), "cannot run `bin/tool`").await;
        assert!(result.stderr_raw.starts_with(b"farrier: cannot run `bin/tool`: "));
        assert!(result.output_files.is_empty());
    }
}

#[tokio::test]
#[allow(deprecated, reason = "clients of API 2.0 still fill the old lists")]
async fn unusable_outputs_fail_a_good_command_and_only_comment_on_a_bad_one() {
    for exit_code in [0, 1] {
        let fixture = fixture(move |request| {
            std::fs::write(&request.stderr_path, "warning").unwrap();
            std::fs::create_dir(request.input_root.join("out")).unwrap();
            exited(exit_code)
        });
        let mut command = command(&["x"]);
        command.output_files = vec!["out".into()];
        let response = fixture
            .execute(command, fixture.input(TreeBuilder::new()).await)
            .await;
        let result = response.result.as_ref().unwrap();
        assert_eq!(
            (result.exit_code, &result.stderr_raw[..]),
            (exit_code, &b"warning"[..])
        );
        let said = "`out` stands in output_files, but the action made it a directory";
        match exit_code {
            0 => {
                assert_eq!(code(&response), Code::FailedPrecondition);
                assert_eq!(response.status.unwrap().message, said);
            }
            _ => assert_eq!((code(&response), &*response.message), (Code::Ok, said)),
        }
    }
}

#[tokio::test]
async fn mistakes_of_the_client_are_named() {
    let fixture = fixture(|_| panic!("must not run"));
    let empty = fixture.input(TreeBuilder::new()).await;
    let mut elsewhere = command(&["x"]);
    elsewhere.working_directory = "not/there".into();
    let response = fixture.execute(elsewhere, empty).await;
    assert_eq!(code(&response), Code::InvalidArgument);
    assert!(
        response
            .status
            .unwrap()
            .message
            .contains("`not/there` is not in the input root")
    );

    let garbage = fixture.put(b"\xff\xff not a directory").await;
    let response = fixture.execute(command(&["x"]), garbage).await;
    assert_eq!(code(&response), Code::InvalidArgument);
    assert!(response.status.unwrap().message.contains(&garbage.to_string()));

    let mut tree = TreeBuilder::new();
    tree.insert_file("file", fixture.put(b"x").await, false).unwrap();
    let mut below_file = command(&["x"]);
    below_file.output_paths = vec!["file/below/out".into()];
    let response = fixture.execute(below_file, fixture.input(tree).await).await;
    assert_eq!(code(&response), Code::InvalidArgument);
    fixture.leaves_nothing().await;
}

#[tokio::test]
async fn inputs_beyond_the_cache_are_refused_with_the_numbers() {
    let fixture = fixture(|_| panic!("must not run"));
    let mut tree = TreeBuilder::new();
    let large = Digest::from_hash(F, &[1; 32], 1 << 30).unwrap();
    tree.insert_file("large", large, false).unwrap();
    let response = fixture.execute(command(&["x"]), fixture.input(tree).await).await;
    assert_eq!(code(&response), Code::ResourceExhausted);
    assert!(response.status.unwrap().message.contains("1073741824 bytes"));
}

#[tokio::test]
async fn cancelling_stops_the_command_and_leaves_nothing() {
    let fixture = fixture(|_| panic!("the command `forever` is not played"));
    let input = fixture.input(TreeBuilder::new()).await;
    let cancel = CancellationToken::new();
    let mut running = Box::pin(fixture.execute_with(command(&["forever"]), input, &cancel));
    let early = tokio::time::timeout(Duration::from_millis(50), &mut running).await;
    assert!(early.is_err());
    cancel.cancel();
    assert_eq!(code(&running.await), Code::Cancelled);
    assert_eq!(
        code(&fixture.execute_with(command(&["x"]), input, &cancel).await),
        Code::Cancelled
    );
    fixture.leaves_nothing().await;
}

/// Counts calls.
struct Counting {
    inner: Arc<dyn BlobStore>,
    calls: AtomicUsize,
}

#[async_trait]
impl BlobStore for Counting {
    async fn get(
        &self,
        digest: &Digest,
        range: ByteRange,
    ) -> Result<Option<blob::BlobStream>, cas::StoreError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.inner.get(digest, range).await
    }

    async fn put(&self, blob: Blob) -> Result<(), cas::StoreError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.inner.put(blob).await
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, cas::StoreError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.inner.find_missing(digests).await
    }
}

#[tokio::test]
async fn known_inputs_and_little_output_cost_one_round_trip() {
    let mut fixture = fixture(|request| {
        std::fs::write(&request.stdout_path, "ok").unwrap();
        exited(0)
    });
    let mut tree = TreeBuilder::new();
    for path in ["a/b/c", "a/d", "e"] {
        tree.insert_file(path, fixture.put(b"content").await, false)
            .unwrap();
    }
    let input = fixture.input(tree).await;
    let counting = Arc::new(Counting {
        inner: fixture.store.clone(),
        calls: AtomicUsize::new(0),
    });
    let given: Arc<dyn BlobStore> = counting.clone();
    fixture.local.stores = Arc::new(move |_| given.clone());
    for expected in [3 + 1 + 1, 1] {
        counting.calls.store(0, Ordering::SeqCst);
        assert_eq!(code(&fixture.execute(command(&["x"]), input).await), Code::Ok);
        assert_eq!(counting.calls.load(Ordering::SeqCst), expected);
    }
}

#[tokio::test]
async fn directories_of_mode_000_and_skipped_sockets_do_not_disturb() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = fixture(|request| {
        let out = request.input_root.join("out");
        std::fs::create_dir_all(out.join("closed/in")).unwrap();
        std::fs::write(out.join("closed/in/file"), "x").unwrap();
        drop(std::os::unix::net::UnixListener::bind(out.join("socket")).unwrap());
        for path in ["closed/in", "closed", ""] {
            std::fs::set_permissions(out.join(path), PermissionsExt::from_mode(0o000)).unwrap();
        }
        exited(0)
    });
    let mut command = command(&["x"]);
    command.output_paths = vec!["out".into()];
    let response = fixture
        .execute(command, fixture.input(TreeBuilder::new()).await)
        .await;
    assert_eq!(code(&response), Code::Ok);
    assert_eq!(response.result.unwrap().output_directories.len(), 1);
    assert!(response.message.contains("`out/socket`"), "{}", response.message);
    fixture.leaves_nothing().await;
}

#[test]
fn a_result_that_no_client_could_receive_is_an_error_that_says_so() {
    let response = |size_bytes: usize| {
        let result = proto::ActionResult {
            stdout_raw: vec![b'x'; size_bytes].into(),
            ..Default::default()
        };
        bounded(Report::success(result).into_response())
    };
    assert_eq!(code(&response(RESPONSE_BYTES_MAX - 100)), Code::Ok);
    let refused = response(RESPONSE_BYTES_MAX);
    assert_eq!(code(&refused), Code::ResourceExhausted);
    assert!(refused.encoded_len() < 1000 && refused.result.is_none());
}
