//! A server that does not answer, of one kind or another.

use std::future::pending;

use action::ActionDigest;
use async_trait::async_trait;
use blob::{Blob, BlobStream, ByteRange, DigestSet};
use cas::{BlobStore, StoreError};
use reapi::execution::{ActionResult, OutputFile};
use tokio::net::TcpListener;
use tokio::time::sleep;

use super::*;
use crate::attempt::cached;
use crate::attempt::remote::{self, Wish};
use crate::course::Course;
use crate::limits::{EXECUTE_FAILS_FOR, FETCH_STALLS_FOR, LOOKUP_WITHIN, STORE_STALLS_FOR};
use crate::plan::tests::Place;
use crate::plan::{PlannedOutput, Subject};
use crate::uploads::{Upload, Uploads};

fn service(endpoint: &str) -> Arc<Service> {
    let options = ServiceOptions {
        endpoint: endpoint.to_owned(),
        tls: None,
        instance: InstanceName::default(),
        token: None,
    };
    Service::new(options, Group::new("test"))
}

/// One that nobody is asked of.
pub(crate) fn unreachable() -> Arc<Service> {
    service("http://127.0.0.1:9")
}

fn caller(build: &str) -> Caller {
    Caller {
        build: build.to_owned(),
        ..Caller::default()
    }
}

/// Takes connections and never says anything, as a process does that was stopped.
async fn deaf() -> (TcpListener, Arc<Service>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, service(&format!("http://{address}")))
}

/// As if it had connected.
fn connected(service: &Arc<Service>, build: &str) -> Server {
    let caller = caller(build);
    let remote = RemoteChannel::connect_later(service.remote_options(&caller)).unwrap();
    let server = service.over(remote, &caller);
    service.servers.lock().push_back((caller, server.clone()));
    server
}

fn subject() -> Subject {
    Subject {
        name: "a.o".to_owned(),
        program: "/usr/bin/gcc".into(),
        action_digest: ActionDigest::new(Digest::of(FUNCTION, b"action")),
        outputs: vec![PlannedOutput {
            name: "a.o".to_owned(),
            path: "/p/a.o".into(),
            is_required: true,
            is_rule: false,
            is_directory: false,
        }],
        moved: None,
        unsure: None,
        dated: None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_costs_a_build_two_seconds_in_all() {
    let (_listener, service) = deaf().await;
    let begun = Instant::now();
    let mut lost = Duration::ZERO;
    // Two minutes of steps, each of which asks; the server is taken for up again at each turn.
    while begun.elapsed() < Duration::from_secs(120) {
        let asked = Instant::now();
        let server = match service.patience_of("build") {
            Some(_) => Some(connected(&service, "build")),
            None => service.server(&caller("build")).await,
        };
        if let Some(server) = server {
            let result = cached::result(&service, &server, &subject(), false).await;
            assert_eq!(result, None);
        }
        assert!(asked.elapsed() <= LOOKUP_WITHIN, "{:?}", asked.elapsed());
        lost += asked.elapsed();
        service.breaker.send_replace(Breaker::default());
        sleep(Duration::from_millis(500)).await;
    }
    // What comes back in two minutes is 0.4 s.
    assert!(lost <= Duration::from_millis(2400), "{lost:?}");
    let why = service.failure_for("build").unwrap();
    assert!(
        why.contains("action cache") || why.contains("connection"),
        "{why}"
    );
    assert_eq!(service.failure_for("another build"), None);
}

#[tokio::test(start_paused = true)]
async fn a_build_that_has_no_patience_left_says_nothing_of_the_server() {
    let (_listener, service) = deaf().await;
    let server = connected(&service, "build");
    service.lose("build", Duration::from_millis(1700));
    let result = cached::result(&service, &server, &subject(), false).await;
    assert_eq!(result, None);
    assert!(service.is_up(), "others have waited for nothing yet");
    assert!(service.server(&caller("build")).await.is_none());
    assert!(
        service.needed_server(&caller("build")).await.is_some(),
        "what nobody else can do is asked for"
    );
}

#[tokio::test(start_paused = true)]
async fn while_it_is_down_nobody_waits_and_probes_become_rare() {
    let (_listener, service) = deaf().await;
    let server = connected(&service, "build");
    let subject = subject();
    let waiting = cached::result(&service, &server, &subject, false);
    let (begun, late) = (Instant::now(), sleep(Duration::from_millis(1400)));
    // The second one has come later, and waits no longer than the first.
    let second = async {
        late.await;
        cached::result(&service, &server, &subject, false).await
    };
    tokio::join!(waiting, second);
    assert_eq!(begun.elapsed(), LOOKUP_WITHIN);
    assert!(service.server(&caller("build")).await.is_none());
    assert_eq!(begun.elapsed(), LOOKUP_WITHIN);
    let wait = || service.breaker.borrow().wait();
    assert_eq!(wait(), Some(Duration::from_secs(5)));
    // A probe is as patient as builds are, and the server as silent.
    sleep(Duration::from_secs(10)).await;
    assert_eq!(wait(), Some(Duration::from_secs(10)));
    sleep(Duration::from_secs(15)).await;
    assert_eq!(wait(), Some(Duration::from_secs(20)));
}

/// Has everything, and never hands it out.
struct Withholding;

#[async_trait]
impl BlobStore for Withholding {
    async fn get(&self, _: &Digest, _: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        pending().await
    }

    async fn put(&self, _: Blob) -> Result<(), StoreError> {
        pending().await
    }

    async fn find_missing(&self, _: &DigestSet) -> Result<DigestSet, StoreError> {
        pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_hit_whose_blobs_do_not_come_marks_the_server_down() {
    let service = unreachable();
    let server = Server {
        store: Arc::new(Withholding),
        ..connected(&service, "build")
    };
    let digest = Digest::of(FUNCTION, b"object");
    let result = ActionResult {
        output_files: vec![OutputFile {
            path: "a.o".to_owned(),
            digest: Some(digest.to_proto()),
            ..OutputFile::default()
        }],
        ..ActionResult::default()
    };
    let begun = Instant::now();
    assert!(
        cached::fetched(&service, &server, &subject(), &result)
            .await
            .is_none()
    );
    assert_eq!(begun.elapsed(), FETCH_STALLS_FOR);
    assert!(!service.is_up());
    let why = service.last_failure().unwrap();
    assert!(why.contains("cannot fetch a result"), "{why}");
    assert_eq!(*service.withheld.lock(), Some(digest), "probes ask for it");
    // Whoever comes next does not ask.
    assert!(service.server(&caller("build")).await.is_none());
    assert_eq!(begun.elapsed(), FETCH_STALLS_FOR);
}

#[tokio::test(start_paused = true)]
async fn a_blob_that_has_gone_is_a_miss() {
    let service = unreachable();
    let server = Server {
        store: cas::memory(1 << 20),
        ..connected(&service, "build")
    };
    let result = ActionResult {
        output_files: vec![OutputFile {
            path: "a.o".to_owned(),
            digest: Some(Digest::of(FUNCTION, b"gone").to_proto()),
            ..OutputFile::default()
        }],
        ..ActionResult::default()
    };
    assert!(
        cached::fetched(&service, &server, &subject(), &result)
            .await
            .is_none()
    );
    assert!(service.is_up());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_worker_notices_that_the_server_has_gone() {
    let (_listener, service) = deaf().await;
    let server = connected(&service, "build");
    let begun = Instant::now();
    tokio::select! {
        () = service.watch(&server) => {}
        () = service.down() => {}
    }
    assert_eq!(begun.elapsed(), Duration::from_secs(5) + LOOKUP_WITHIN);
}

#[tokio::test(start_paused = true)]
async fn a_run_at_a_worker_notices_that_the_server_has_gone() {
    let place = Place::new(&[("a.c", "int a;\n")]);
    let plan = place
        .plan("gcc -c a.c -o a.o")
        .unwrap_or_else(|why| panic!("{why}"));
    let (_listener, service) = deaf().await;
    let server = connected(&service, "build");
    let course = Course::begin("a.o".to_owned());
    let wish = || Wish {
        plan: &plan,
        again: false,
        needs: false,
        course: &course,
    };
    let begun = Instant::now();
    let other = async {
        // Somebody else waits for something of the same server.
        sleep(Duration::from_secs(1)).await;
        remote::run(&service, &server, wish()).await.is_err()
    };
    let (ran, other) = tokio::join!(remote::run(&service, &server, wish()), other);
    let why = ran.err().map(|error| error.to_string());
    assert_eq!(why.as_deref(), Some("the server went down"));
    assert!(other && !service.is_up());
    assert_eq!(begun.elapsed(), Duration::from_secs(5) + LOOKUP_WITHIN);
}

/// Takes everything, and hands nothing out.
struct Swallowing;

#[async_trait]
impl BlobStore for Swallowing {
    async fn get(&self, _: &Digest, _: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        pending().await
    }

    async fn put(&self, _: Blob) -> Result<(), StoreError> {
        Ok(())
    }

    async fn find_missing(&self, _: &DigestSet) -> Result<DigestSet, StoreError> {
        Ok(DigestSet::default())
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_execute_is_not_asked_to_for_a_while() {
    let place = Place::new(&[("a.c", "int a;\n")]);
    let plan = place
        .plan("gcc -c a.c -o a.o")
        .unwrap_or_else(|why| panic!("{why}"));
    // Blobs are no trouble, and the call itself finds nobody.
    let service = unreachable();
    let server = Server {
        store: Arc::new(Swallowing),
        ..connected(&service, "build")
    };
    let course = Course::begin("a.o".to_owned());
    let run = || {
        let wish = Wish {
            plan: &plan,
            again: false,
            needs: false,
            course: &course,
        };
        remote::run(&service, &server, wish)
    };
    let begun = Instant::now();
    assert!(run().await.is_err());
    assert!(begun.elapsed() < 2 * EXECUTE_FAILS_FOR, "{:?}", begun.elapsed());
    let failure = service.failure_of(Part::Workers).unwrap();
    assert!(failure.contains("did not execute"), "{failure}");
    let begun = Instant::now();
    let why = run().await.err().unwrap().to_string();
    assert!(why.starts_with("workers are not asked for now"), "{why}");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    // What it knows of results is another matter.
    assert!(service.is_up());
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_build_waits_for_a_server_that_takes_nothing_once() {
    let service = unreachable();
    let server = Server {
        store: Arc::new(Withholding),
        ..connected(&service, "build")
    };
    let uploads = Arc::new(Uploads::new(None, service.tasks.clone()));
    let send = || {
        let upload = Upload {
            action: subject().action_digest,
            result: ActionResult::default(),
            blobs: vec![Blob::from_bytes(FUNCTION, "object")],
            messages: Vec::new(),
            is_at_server: false,
        };
        assert!(uploads.send(&service, Some(server.clone()), upload));
    };
    let begun = Instant::now();
    (0..3).for_each(|_| send());
    assert_eq!(uploads.flush().await, 0);
    assert_eq!(begun.elapsed(), STORE_STALLS_FOR);
    assert!(service.failure_of(Part::Keeping).is_some() && service.is_up());
    send();
    assert_eq!(uploads.flush().await, 0);
    assert_eq!(begun.elapsed(), STORE_STALLS_FOR);
}

#[test]
fn who_asks_is_in_every_request() {
    let caller = Caller {
        build: "build".to_owned(),
        correlated: "ci-7".to_owned(),
    };
    let metadata = caller.request_metadata();
    assert_eq!(metadata.tool_invocation_id, "build");
    assert_eq!(metadata.correlated_invocations_id, "ci-7");
}
