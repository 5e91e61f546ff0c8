use async_trait::async_trait;
use runner_api::{Availability, Conversation, RunError, RunRequest, RunResponse, UidMode};
use tokio_util::sync::CancellationToken;

use super::*;

struct NoRunner;

#[async_trait]
impl Runner for NoRunner {
    async fn run(&self, _: RunRequest, _: &CancellationToken) -> Result<RunResponse, RunError> {
        Err(RunError::Busy {
            message: "nobody here".into(),
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
        request: RunRequest,
        _: Conversation,
        cancel: &CancellationToken,
    ) -> Result<RunResponse, RunError> {
        self.run(request, cancel).await
    }
}

fn options(directory: &Path) -> WorkerOptions {
    WorkerOptions {
        name: "w".into(),
        slots: 1,
        properties: default_properties(),
        directory: directory.to_owned(),
        cache_bytes_max: 1 << 20,
        tree_cache_bytes_max: 1 << 30,
        log_bytes_max: 1 << 20,
        surroundings: Default::default(),
        limits: ActionLimits::default(),
        memory_bytes: 0,
        resources: Vec::new(),
        persistent_processes_max: 0,
        lazy_inputs: Default::default(),
        host_tools: HostTools::Unsaid,
    }
}

fn parts() -> WorkerParts {
    WorkerParts {
        runner: Arc::new(NoRunner),
        capabilities: Capabilities {
            mechanisms: vec![],
            uid_mode: UidMode::Rootless,
            hardlinks_safe: false,
            action_uid: rustix::process::geteuid().as_raw(),
            action_gid: rustix::process::getegid().as_raw(),
            runs_max: 8,
            memory_limit: Availability::Available,
            process_limit: Availability::Available,
            processor_limit: Availability::Available,
            overlays: Availability::Available,
        },
        stores: Arc::new(|_| cas::memory(1)),
        results: Arc::new(|_| action_cache::memory(1)),
        channel: Channel::from_static("http://127.0.0.1:9").connect_lazy(),
        output_channel: Channel::from_static("http://127.0.0.1:9").connect_lazy(),
        token: None,
    }
}

#[tokio::test]
async fn two_workers_never_share_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let group = Group::new("test");
    let first = Worker::open(options(directory.path()), parts(), &group)
        .await
        .unwrap();
    let refused = Worker::open(options(directory.path()), parts(), &group)
        .await
        .err()
        .unwrap();
    let pid = std::process::id().to_string();
    assert!(
        matches!(&refused, WorkerError::InUse { pid: told, .. } if *told == pid),
        "{refused}"
    );
    drop(first);
    Worker::open(options(directory.path()), parts(), &group)
        .await
        .unwrap();
}

#[tokio::test]
async fn impossible_options_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let group = Group::new("test");
    for slots in [0, 9] {
        let refused = Worker::open(
            WorkerOptions {
                slots,
                ..options(directory.path())
            },
            parts(),
            &group,
        )
        .await;
        assert!(matches!(
            refused,
            Err(WorkerError::Option { option: "slots", .. })
        ));
    }
    let too_many = WorkerOptions {
        persistent_processes_max: 8,
        ..options(directory.path())
    };
    assert!(matches!(
        Worker::open(too_many, parts(), &group).await,
        Err(WorkerError::Option {
            option: "persistent workers",
            ..
        })
    ));
    let refused = Worker::open(
        options(directory.path()),
        WorkerParts {
            token: Some("a\nb".into()),
            ..parts()
        },
        &group,
    );
    assert!(matches!(
        refused.await,
        Err(WorkerError::Option { option: "token", .. })
    ));
    let nowhere = options(Path::new("/proc/no/such/place"));
    assert!(matches!(
        Worker::open(nowhere, parts(), &group).await,
        Err(WorkerError::Directory { .. })
    ));
}

#[tokio::test]
async fn a_worker_without_a_server_stops_when_told() {
    let directory = tempfile::tempdir().unwrap();
    let group = Group::new("test");
    let worker = Worker::open(options(directory.path()), parts(), &group)
        .await
        .unwrap();
    let leave = tokio::sync::watch::Sender::new(None);
    leave.send_replace(Some(tokio::time::Instant::now()));
    tokio::time::timeout(Duration::from_secs(5), worker.run(leave.subscribe()))
        .await
        .unwrap()
        .unwrap();
}

#[test]
fn this_machine_is_described_in_the_words_of_the_lexicon() {
    let properties = default_properties();
    assert!(properties.contains(&("OSFamily".to_owned(), "linux".to_owned())));
    if cfg!(target_arch = "x86_64") {
        assert!(properties.contains(&("ISA".to_owned(), "x86-64".to_owned())));
    }
}
