//! A bucket behind the local disk: what `--object-store` names.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use action_cache::ActionCache;
use anyhow::{Context, Result};
use blob::InstanceName;
use cas::{BlobStore, Deadlines, Patience};
use cas_object::{Collector, Credentials, ObjectStorage, Options};
use tasks::CancellationToken;

/// How a bucket is named.
#[derive(Clone, Debug)]
pub(crate) struct BucketChoice {
    /// `s3://bucket/prefix`, `gs://…`, `az://…`.
    pub(crate) url: String,
    /// A server other than the cloud's own.
    pub(crate) endpoint: Option<String>,
    /// Its server ignores the condition that an object must not be there yet.
    pub(crate) without_conditions: bool,
}

/// A bucket, opened.
#[derive(Clone)]
pub(crate) struct Bucket {
    storage: Arc<ObjectStorage>,
    patience: Arc<Patience>,
}

/// A bucket that says nothing for so long is away. Requests are tried again behind this; see `cas_object`.
const DEADLINES: Deadlines = Deadlines {
    answer: Duration::from_secs(20),
    write: Duration::from_secs(40),
    piece: Duration::from_secs(60),
    stream: Duration::from_secs(3600),
};
/// Then nobody waits for it for so long: whoever asks is told at once.
const REST: Duration = Duration::from_secs(15);
/// When a server first removes what nobody uses, and how often from then on: about as often as what is condemned has to
/// wait before it goes.
const FIRST_COLLECTION_AFTER: Duration = Duration::from_secs(600);
const COLLECT_EVERY: Duration = Duration::from_secs(3600);

impl Bucket {
    /// Opens it; fails if it is not there or nobody may use it.
    pub(crate) async fn open(choice: &BucketChoice) -> Result<Self> {
        let storage = cas_object::open(&choice.url, options(choice))
            .await
            .with_context(|| {
                format!(
                    "cannot use {} as object store; the bucket has to exist, and the environment says who we are \
                     (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, or those of the other clouds)",
                    choice.url
                )
            })?;
        Ok(Bucket {
            storage: Arc::new(storage),
            patience: Patience::new("the object store", REST),
        })
    }

    /// Its blobs. A bucket that hangs is one that is away.
    pub(crate) fn blobs(&self) -> Arc<dyn BlobStore> {
        cas::deadlined(self.storage.blobs.clone(), self.patience.clone(), DEADLINES)
    }

    /// The results of an instance.
    pub(crate) fn results_of(&self, instance: &InstanceName) -> Arc<dyn ActionCache> {
        let results = self.storage.results_of(instance);
        action_cache::deadlined(results, self.patience.clone(), DEADLINES.answer)
    }

    /// Stores what is on its way.
    pub(crate) async fn close(&self) {
        if !self.storage.close().await {
            tracing::warn!("something was still on its way to the object store; it was not acknowledged");
        }
    }

    /// Removes what nobody has used for `keep`, again and again until `stop`; never if that is zero.
    pub(crate) async fn keep_collected(self, keep: Duration, stop: CancellationToken) {
        if keep.is_zero() {
            return;
        }
        let mut wait = FIRST_COLLECTION_AFTER;
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => wait = COLLECT_EVERY,
                () = stop.cancelled() => return,
            }
            tokio::select! {
                () = collect(&self.storage.collector, keep) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

async fn collect(collector: &Collector, keep: Duration) {
    match collector.collect(SystemTime::now(), keep).await {
        Ok(collected) => tracing::info!(?collected, "collected what nobody uses in the object store"),
        Err(error) => tracing::warn!(%error, "collecting in the object store stopped; it goes on in an hour"),
    }
}

/// Servers of our own are addressed by path, and without TLS only if they were named so.
fn options(choice: &BucketChoice) -> Options {
    let endpoint = choice.endpoint.clone();
    Options {
        credentials: Credentials::Environment,
        path_style: endpoint.is_some(),
        allow_http: endpoint
            .as_ref()
            .is_some_and(|endpoint| endpoint.starts_with("http://")),
        endpoint,
        conditional_put: !choice.without_conditions,
        ..Options::default()
    }
}

/// The least that `--object-store-keep` may say: use is recorded once in [`Options::epoch`], and what was used in this
/// one or in the one before stays.
pub(crate) fn keep_min() -> Duration {
    2 * Options::default().epoch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_spoken_only_to_a_server_that_was_named_so() {
        let with = |endpoint: Option<&str>| {
            let options = options(&BucketChoice {
                url: "s3://bucket".to_owned(),
                endpoint: endpoint.map(str::to_owned),
                without_conditions: false,
            });
            (options.path_style, options.allow_http)
        };
        assert_eq!(with(None), (false, false));
        assert_eq!(with(Some("https://minio:9000")), (true, false));
        assert_eq!(with(Some("http://127.0.0.1:9000")), (true, true));
    }

    #[tokio::test]
    async fn a_url_that_names_no_bucket_is_refused_with_what_would_be_right() {
        let choice = BucketChoice {
            url: "http://bucket/".to_owned(),
            endpoint: None,
            without_conditions: false,
        };
        let error = format!("{:#}", Bucket::open(&choice).await.map(drop).unwrap_err());
        assert!(error.contains("none of s3, gs, az"), "{error}");
    }
}
