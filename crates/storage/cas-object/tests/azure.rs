//! Against Azurite, Microsoft's own emulator of Azure Blob Storage. It is not installed with the other servers of the
//! tests, because it takes 360 MB: `docs/guides/object-storage.md` has the commands. There is nothing like it for
//! Google's protocol.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use blob::DigestSet;
use cas_object::{Credentials, OpenError, Options, open};
use support::{blob_of, bytes_of, read};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A container or bucket that is there, and how to reach it.
struct Place {
    url: String,
    options: Options,
}

fn endpoint(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} must name the server"))
}

/// Azurite's account, the same everywhere.
fn azure() -> Place {
    const ACCOUNT: &str = "devstoreaccount1";
    const KEY: &str =
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
    Place {
        url: format!("az://{}", endpoint("FARRIER_AZURE_CONTAINER")),
        options: Options {
            credentials: Credentials::Azure {
                account: ACCOUNT.into(),
                access_key: KEY.into(),
            },
            endpoint: Some(format!("{}/{ACCOUNT}", endpoint("FARRIER_AZURE"))),
            allow_http: true,
            refresh_interval: Duration::ZERO,
            collection_grace: Duration::ZERO,
            ..Options::default()
        },
    }
}

/// Every check below a prefix of its own.
fn fresh_url(place: &Place) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let started = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_millis();
    format!("{}/{started}/{}", place.url, NEXT.fetch_add(1, Ordering::SeqCst))
}

async fn conforms(place: Place) {
    cas::conformance::check(async || {
        let storage = open(&fresh_url(&place), place.options.clone()).await.unwrap();
        cas::conformance::Fresh {
            store: storage.blobs.clone(),
            keep: Box::new(storage),
        }
    })
    .await;
    action_cache::conformance::check(async || {
        let storage = open(&fresh_url(&place), place.options.clone()).await.unwrap();
        action_cache::conformance::Fresh {
            cache: storage.action_cache.clone(),
            keep: Box::new(storage),
        }
    })
    .await;
    is_shared_and_collected(&place).await;
}

/// Small and large blobs and one in parts, written by one process and read by another, then collected.
async fn is_shared_and_collected(place: &Place) {
    let url = fresh_url(place);
    let one = open(&url, place.options.clone()).await.unwrap();
    let other = open(&url, place.options.clone()).await.unwrap();
    let sizes = [10, 60_000, 70_000, 3_000_000, 17 << 20];
    let mut digests = Vec::new();
    for (seed, size_bytes) in (0..).zip(sizes) {
        let blob = blob_of(seed, size_bytes);
        let digest = blob.digest();
        one.blobs.put(blob).await.unwrap();
        other.blobs.put(blob_of(seed, size_bytes)).await.unwrap();
        let bytes = read(&*other.blobs, &digest).await.unwrap();
        assert!(
            bytes.as_deref() == Some(&bytes_of(seed, size_bytes)[..]),
            "{size_bytes} bytes"
        );
        digests.push(digest);
    }
    let all: DigestSet = digests.into_iter().collect();
    assert!(other.blobs.find_missing(&all).await.unwrap().is_empty());
    let later = SystemTime::now() + 3 * DAY;
    assert!(one.collector.collect(later, DAY).await.unwrap().condemned >= 4);
    let after = later + Duration::from_secs(1);
    assert!(one.collector.collect(after, DAY).await.unwrap().removed >= 4);
    let anew = open(&url, place.options.clone()).await.unwrap();
    assert_eq!(anew.blobs.find_missing(&all).await.unwrap(), all);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "wants Azurite running"]
async fn azure_conforms() {
    conforms(azure()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "wants Azurite running"]
async fn azure_says_what_is_wrong() {
    let Place { options, url } = azure();
    let nowhere = open("az://nowhere-at-all/x", options.clone()).await;
    let error = nowhere.err().expect("no such container");
    assert!(matches!(error, OpenError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("there is no such bucket"), "{error}");
    let wrong = Options {
        credentials: Credentials::Azure {
            account: "devstoreaccount1".into(),
            access_key: "bm90IGl0".into(),
        },
        ..options
    };
    let error = open(&url, wrong).await.err().expect("another key");
    // Azurite calls it what Azure calls a lack of rights.
    assert!(matches!(error, OpenError::Refused { .. }), "{error}");
    assert!(
        error.to_string().contains("these credentials may not list"),
        "{error}"
    );
}
