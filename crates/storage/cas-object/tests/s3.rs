//! Against a real S3 server: the contracts, and what must hold whatever goes wrong on the way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use blob::{Blob, BlobError, Digest, DigestSet};
use cas::{BlobStore, StoreError};
use cas_object::{Credentials, OpenError, Options, open};
use futures::channel::oneshot;
use futures::future::{self, Either};
use futures::stream::{self, StreamExt};
use hyper::Method;
use parking_lot::Mutex;
use support::s3::{Fault, S3Server};
use support::{F, Random, blob_of, bytes_of, read};

#[tokio::test(flavor = "multi_thread")]
async fn blobs_conform() {
    cas::conformance::check(async || {
        let server = S3Server::start().await;
        let storage = open(&server.url(), server.options()).await.unwrap();
        cas::conformance::Fresh {
            store: storage.blobs.clone(),
            keep: Box::new((storage, server)),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_conform() {
    action_cache::conformance::check(async || {
        let server = S3Server::start().await;
        let storage = open(&server.url(), server.options()).await.unwrap();
        action_cache::conformance::Fresh {
            cache: storage.action_cache.clone(),
            keep: Box::new((storage, server)),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_bucket_from_being_used_is_told_at_the_start() {
    let server = S3Server::start().await;
    let key = |id: &str, secret: &str| Options {
        credentials: Credentials::Aws {
            access_key_id: id.into(),
            secret_access_key: secret.into(),
            session_token: None,
        },
        ..server.options()
    };
    let nobody = Options {
        credentials: Credentials::Anonymous,
        ..server.options()
    };
    for (url, options, tried, advised) in [
        (
            server.url(),
            key("test-key", "not it"),
            "list",
            "the credentials are wrong",
        ),
        (
            server.url(),
            key("nobody", "not it"),
            "list",
            "the credentials are wrong",
        ),
        (server.url(), nobody, "list", "these credentials may not list"),
        (
            "s3://nowhere/x".into(),
            server.options(),
            "list",
            "there is no such bucket: create it",
        ),
    ] {
        told(&server, &url, options, tried, advised).await;
    }
    for (method, of_bucket, tried) in [
        (Method::GET, true, "list"),
        (Method::PUT, false, "write"),
        (Method::GET, false, "read"),
    ] {
        server.deny(method, of_bucket);
        let advised = format!("these credentials may not {tried} there: allow them to list, read, write");
        told(&server, &server.url(), server.options(), tried, &advised).await;
    }
    // Another farrier may be the one who removes.
    server.deny(Method::POST, true);
    open(&server.url(), server.options()).await.unwrap();
}

/// And soon: what will not pass is not tried again.
async fn told(server: &S3Server, url: &str, options: Options, tried: &str, advised: &str) {
    let before = server.requests();
    let error = open(url, options).await.err().expect(advised);
    let refused = matches!(&error, OpenError::Refused { doing, .. } if *doing == tried);
    let error = error.to_string();
    assert!(refused, "{error}");
    assert!(error.contains(advised) && error.contains(url), "{error}");
    let requests = server.requests() - before;
    assert!(requests <= 4, "{requests} requests for: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn trying_a_bucket_out_leaves_nothing_in_it() {
    let server = S3Server::start().await;
    open(&server.url(), server.options()).await.unwrap();
    assert_eq!(server.objects(), 0);
}

/// The clock stands still but for what is waited for, so that the bound is reached at once.
#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up_at_the_start() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = Options {
        endpoint: Some(format!("http://{}", silent.local_addr().unwrap())),
        path_style: true,
        allow_http: true,
        ..Options::default()
    };
    let began = tokio::time::Instant::now();
    let error = open("s3://bucket/x", options)
        .await
        .err()
        .expect("nobody answers");
    assert!(matches!(error, OpenError::Store { .. }), "{error}");
    assert!(error.to_string().contains("check the endpoint"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(60), "by its own clock");
}

/// Number 16 of the list of faults: nothing that was acknowledged is ever absent, and no byte is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_whatever_went_wrong() {
    rounds_of_faults(5).await;
}

/// The same with 50 000 requests that go wrong: `cargo test -p cas-object --test s3 -- --ignored`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes ten minutes"]
async fn what_was_acknowledged_is_there_after_a_night_of_faults() {
    rounds_of_faults(84).await;
}

/// Each with a server of its own: this one looks at every file of the bucket to list any of them.
async fn rounds_of_faults(rounds: u64) {
    const FAULTED_PER_ROUND: u64 = 600;
    let mut faulted = BTreeMap::new();
    let mut good = 0;
    for round in 0..rounds {
        let server = S3Server::start().await;
        good += round_of_faults(&server, round, FAULTED_PER_ROUND).await as u64;
        for (fault, number) in server.faulted() {
            *faulted.entry(fault).or_insert(0) += number;
        }
    }
    println!("{good} puts acknowledged; faults: {faulted:?}");
    assert!(good > 80 * rounds, "only {good} puts came through");
    assert!(faulted.values().sum::<u64>() >= rounds * FAULTED_PER_ROUND);
    assert!(
        Fault::ORDINARY.iter().all(|fault| faulted.contains_key(fault)),
        "{faulted:?}"
    );
}

/// Number of acknowledged puts.
async fn round_of_faults(server: &S3Server, round: u64, faulted: u64) -> usize {
    const WRITERS: u64 = 48;
    let options = Options {
        // What never comes is not waited for long.
        request_timeout: Duration::from_secs(1),
        ..server.options()
    };
    let storages = [
        open(&server.url(), options.clone()).await.unwrap(),
        open(&server.url(), options).await.unwrap(),
    ];
    server.go_wrong(400, &Fault::ORDINARY);
    let acknowledged = Mutex::new(HashMap::new());
    let writers = (0..WRITERS).map(|writer| {
        let (store, other) = match writer % 2 {
            0 => (&storages[0].blobs, &storages[1].blobs),
            _ => (&storages[1].blobs, &storages[0].blobs),
        };
        let acknowledged = &acknowledged;
        async move {
            let mut random = Random(round << 32 | writer);
            while server.faulted().values().sum::<u64>() < faulted {
                let seed = random.next();
                let size_bytes = size(&mut random);
                let blob = blob_of(seed, size_bytes);
                let digest = blob.digest();
                match store.put(blob).await {
                    Ok(()) => drop(acknowledged.lock().insert(digest, (seed, size_bytes))),
                    Err(StoreError::Unavailable { .. }) => {}
                    Err(other) => panic!("a fault that passes is not {other:?}"),
                }
                let known = random_of(&acknowledged.lock(), &mut random);
                if let Some((digest, seed, size_bytes)) = known {
                    check(&**other, &digest, seed, size_bytes).await;
                }
            }
        }
    });
    future::join_all(writers).await;

    // With nothing going wrong any more, for those who wrote and for somebody who comes anew.
    server.go_wrong(0, &Fault::ORDINARY);
    let anew = open(&server.url(), server.options()).await.unwrap();
    let acknowledged = acknowledged.into_inner();
    let digests: DigestSet = acknowledged.keys().copied().collect();
    for storage in storages.iter().chain([&anew]) {
        let missing = storage.blobs.find_missing(&digests).await.unwrap();
        assert!(
            missing.is_empty(),
            "{} of {} are absent",
            missing.len(),
            digests.len()
        );
        assert_eq!(storage.statistics().damaged, 0, "nothing was damaged");
    }
    for (digest, (seed, size_bytes)) in &acknowledged {
        let bytes = read(&*anew.blobs, digest).await.unwrap();
        assert!(
            bytes.as_deref() == Some(&bytes_of(*seed, *size_bytes)[..]),
            "{digest} must read as it was put"
        );
    }
    acknowledged.len()
}

fn size(random: &mut Random) -> usize {
    match random.below(80) {
        0 => (16 << 20) + random.below(100_000) as usize,
        1..16 => 65_536 + random.below(300_000) as usize,
        _ => random.below(20_000) as usize,
    }
}

fn random_of(known: &HashMap<Digest, (u64, usize)>, random: &mut Random) -> Option<(Digest, u64, usize)> {
    let at = random.below(known.len().max(1) as u64) as usize;
    known
        .iter()
        .nth(at)
        .map(|(digest, (seed, size_bytes))| (*digest, *seed, *size_bytes))
}

/// Through the other store: it may fail, but must neither miss it nor get it wrong.
async fn check(store: &dyn BlobStore, digest: &Digest, seed: u64, size_bytes: usize) {
    if let Ok(missing) = store.find_missing(&DigestSet::from(*digest)).await {
        assert!(
            missing.is_empty(),
            "{digest} was acknowledged and is reported missing"
        );
    }
    if let Ok(read) = read(store, digest).await {
        assert!(read.is_some(), "{digest} was acknowledged and cannot be read");
        assert!(
            read.as_deref() == Some(&bytes_of(seed, size_bytes)[..]),
            "{digest} has wrong bytes"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_changes_bytes_is_never_believed() {
    let server = S3Server::start().await;
    let storage = open(&server.url(), server.options()).await.unwrap();
    let sizes = [1, 1000, 65_535, 65_536, 200_000, 3_000_000];
    for (seed, size_bytes) in sizes.into_iter().enumerate() {
        storage.blobs.put(blob_of(seed as u64, size_bytes)).await.unwrap();
    }
    server.go_wrong(1000, &[Fault::Flipped]);
    for (seed, size_bytes) in sizes.into_iter().enumerate() {
        let bytes = bytes_of(seed as u64, size_bytes);
        let digest = Digest::of(F, &bytes);
        let read = read(&*storage.blobs, &digest).await;
        assert!(
            matches!(read, Ok(None) | Err(StoreError::Blob(_))),
            "{size_bytes} bytes: {:?}",
            read.is_ok()
        );
    }
    assert!(storage.statistics().damaged >= sizes.len() as u64);
    server.go_wrong(0, &Fault::ORDINARY);
    for (seed, size_bytes) in sizes.into_iter().enumerate() {
        let bytes = bytes_of(seed as u64, size_bytes);
        let digest = Digest::of(F, &bytes);
        let missing = storage
            .blobs
            .find_missing(&DigestSet::from(digest))
            .await
            .unwrap();
        assert!(missing.contains(&digest), "what is damaged counts as missing");
        storage
            .blobs
            .put(Blob::from_bytes(F, bytes.clone()))
            .await
            .unwrap();
        assert!(
            read(&*storage.blobs, &digest).await.unwrap().as_deref() == Some(&bytes[..]),
            "and is repaired"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_is_unavailable_after_a_bounded_time() {
    let server = S3Server::start().await;
    let storage = Arc::new(open(&server.url(), server.options()).await.unwrap());
    server.go_wrong(1000, &[Fault::SlowDown]);
    for size_bytes in [10, 100_000] {
        let requests = server.requests();
        let put = storage.blobs.put(blob_of(1, size_bytes)).await;
        assert!(matches!(put, Err(StoreError::Unavailable { .. })), "{put:?}");
        assert!(
            server.requests() - requests <= 2 * 7,
            "it was asked {} times",
            server.requests() - requests
        );
    }
}

/// However an upload in parts ends early, its parts do not stay.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_ends_early_is_aborted() {
    let server = S3Server::start().await;
    let storage = open(&server.url(), server.options()).await.unwrap();
    let bytes = bytes_of(1, 20 << 20);
    let digest = Digest::of(F, &bytes);
    let most = || stream::iter([Ok::<_, BlobError>(bytes.slice(..18 << 20))]);

    let failing = most().chain(stream::iter([Err(
        std::io::Error::other("the source failed").into()
    )]));
    let failed = storage.blobs.put(Blob::checked(digest, failing)).await;
    assert!(matches!(failed, Err(StoreError::Blob(_))), "{failed:?}");
    let short = storage.blobs.put(Blob::checked(digest, most())).await;
    assert!(matches!(short, Err(StoreError::Blob(_))), "{short:?}");

    // Dropped when everything that there is of it has been taken.
    let (taken, all_taken) = oneshot::channel::<()>();
    let stalling = most().chain(stream::once(async move {
        drop(taken);
        future::pending().await
    }));
    let upload = storage.blobs.put(Blob::checked(digest, stalling));
    let Either::Right((_, upload)) = future::select(upload, all_taken).await else {
        panic!("an upload that has not ended must not be answered")
    };
    drop(upload);

    // Aborting is a task of the store's; closing waits for it.
    assert!(storage.close().await);
    assert_eq!(server.aborts(), 3);
    let anew = open(&server.url(), server.options()).await.unwrap();
    assert!(
        anew.blobs
            .find_missing(&DigestSet::from(digest))
            .await
            .unwrap()
            .contains(&digest)
    );
}
