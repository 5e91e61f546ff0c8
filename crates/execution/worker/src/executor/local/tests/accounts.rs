//! Every failure names its cause: in the message, and in a log on the server.

use super::*;

/// A runner whose command writes much, and goes on until it is ended.
struct Greedy;

#[async_trait]
impl Runner for Greedy {
    async fn run(&self, request: RunRequest, cancel: &CancellationToken) -> Result<RunResponse, RunError> {
        write(&request, "large", &[1; 2 << 20]);
        cancel.cancelled().await;
        Err(RunError::Cancelled)
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

/// Takes nothing and never says so.
struct Stuck(Arc<dyn BlobStore>);

#[async_trait]
impl BlobStore for Stuck {
    async fn get(
        &self,
        digest: &Digest,
        range: ByteRange,
    ) -> Result<Option<blob::BlobStream>, cas::StoreError> {
        self.0.get(digest, range).await
    }

    async fn put(&self, _: Blob) -> Result<(), cas::StoreError> {
        std::future::pending().await
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, cas::StoreError> {
        self.0.find_missing(digests).await
    }
}

impl Fixture {
    /// The message, and the account if there is one.
    #[allow(
        deprecated,
        reason = "clients of API 2.0 say so that an output has to be a file"
    )]
    async fn told(&self, mut command: proto::Command) -> (ExecuteResponse, Option<String>) {
        command.output_files = vec!["out".into()];
        let input = self.input(TreeBuilder::new()).await;
        let response = self.execute(command, input).await;
        let account = match response.server_logs.get("farrier") {
            None => None,
            Some(log) => Some(String::from_utf8(self.read(&log.digest).await).unwrap()),
        };
        (response, account)
    }
}

#[tokio::test]
async fn every_failure_names_its_cause_in_the_message_and_in_the_account() {
    let check = async |outcome: Outcome, expected: Code, cause: &str, in_account: &str| {
        let fixture = fixture(move |request| {
            std::fs::create_dir(request.input_root.join("out")).unwrap();
            outcome.clone()
        });
        let (response, account) = fixture.told(command(&["x"])).await;
        assert_eq!(code(&response), expected);
        assert!(response.message.contains(cause), "{}", response.message);
        let account = account.expect(cause);
        assert!(
            account.contains(in_account) && account.contains("worker     tester\n"),
            "{account}"
        );
        fixture.leaves_nothing().await;
    };
    let message = || "no mounts".to_owned();
    let setup = Outcome::SetupFailed { message: message() };
    check(
        setup,
        Code::Unavailable,
        "could not set up the command: no mounts",
        "no mounts",
    )
    .await;
    check(
        Outcome::TimedOut,
        Code::DeadlineExceeded,
        "longer than its timeout of 9s",
        "out of time",
    )
    .await;
    check(
        exited(0),
        Code::FailedPrecondition,
        "made it a directory",
        "made it a directory",
    )
    .await;
    check(Outcome::OutOfMemory, Code::Ok, "out of memory", "out of memory").await;
    check(
        Outcome::Signaled(9),
        Code::Ok,
        "signal 9",
        "signal 9; not by this worker",
    )
    .await;
}

#[tokio::test]
async fn what_the_client_did_wrong_is_told_in_the_same_places() {
    let fixture = fixture(|_| panic!("must not run"));
    let mut elsewhere = command(&["x"]);
    elsewhere.working_directory = "not/there".into();
    let (response, account) = fixture.told(elsewhere).await;
    assert_eq!(code(&response), Code::InvalidArgument);
    for text in [response.message, account.unwrap()] {
        assert!(text.contains("`not/there` is not in the input root"), "{text}");
    }
    fixture.leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn an_account_that_cannot_be_stored_holds_nothing_up() {
    let mut fixture = fixture(|_| Outcome::SetupFailed {
        message: "no mounts".into(),
    });
    let stuck: Arc<dyn BlobStore> = Arc::new(Stuck(fixture.store.clone()));
    fixture.local.stores = Arc::new(move |_| stuck.clone());
    let (response, account) = fixture.told(command(&["x"])).await;
    assert_eq!((code(&response), account), (Code::Unavailable, None));
    assert!(response.message.contains("no mounts"), "{}", response.message);
}

#[tokio::test(start_paused = true)]
async fn what_wrote_too_much_was_killed_by_this_worker_and_nobody_else() {
    let mut fixture = fixture(|_| panic!("not played"));
    fixture.local.runner = Arc::new(Greedy);
    fixture.local.limits.disk_bytes_max = Some(1 << 20);
    let (response, account) = fixture.told(command(&["x"])).await;
    let (message, account) = (response.message, account.unwrap());
    for text in [&message, &account] {
        assert!(
            text.contains("wrote more than the 1 MiB") && text.contains("--action-disk"),
            "{text}"
        );
    }
    assert!(!account.contains("not by this worker"), "{account}");
    assert!(account.contains("disk       at most 1 MiB\n"), "{account}");
    assert_eq!(response.result.unwrap().exit_code, 137);
}
