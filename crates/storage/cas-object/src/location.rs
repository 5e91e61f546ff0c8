//! From a URL and options to an object store.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use url::Url;

use crate::limits::{RETRY_DELAY_MAX, RETRY_DELAY_MIN, RETRY_TIME_MAX, SERVER_RETRIES_MAX};
use crate::options::{Credentials, OpenError, Options};

/// Region of buckets whose region nobody said.
const REGION: &str = "us-east-1";

/// The store that `url` names, and the prefix below which everything lies.
///
/// `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`; for tests, `file:///directory` and `memory:///`.
pub(crate) fn locate(url: &str, options: &Options) -> Result<(Arc<dyn ObjectStore>, Path), OpenError> {
    let bad_url = |reason: String| OpenError::BadUrl {
        url: url.to_owned(),
        reason,
    };
    let bad_options = |reason: String| OpenError::BadOptions {
        url: url.to_owned(),
        reason,
    };
    let parsed = Url::parse(url).map_err(|error| bad_url(format!("{error}; write `s3://bucket/prefix`")))?;
    if parsed.query().is_some() || parsed.fragment().is_some() || !parsed.username().is_empty() {
        return Err(bad_url("options and credentials do not go into the URL".into()));
    }
    let scheme = parsed.scheme();
    if scheme == "file" {
        return directory(&parsed).map_err(bad_url);
    }
    let prefix = Path::from_url_path(parsed.path()).map_err(|error| bad_url(error.to_string()))?;
    let bucket = parsed.host_str().unwrap_or_default();
    if bucket.is_empty() != (scheme == "memory") {
        return Err(bad_url(format!(
            "write `{scheme}://bucket/prefix`, or `memory:///`"
        )));
    }
    let store = match scheme {
        "memory" => Ok(Arc::new(InMemory::new()) as Arc<dyn ObjectStore>),
        "s3" => s3(bucket, options),
        "gs" => google(bucket, options),
        "az" => azure(bucket, options),
        _ => {
            return Err(bad_url(format!(
                "`{scheme}` is none of s3, gs, az, file and memory"
            )));
        }
    };
    Ok((store.map_err(bad_options)?, prefix))
}

/// Objects as files: for tests, and for a shared file system. What is acknowledged has been synced.
fn directory(url: &Url) -> Result<(Arc<dyn ObjectStore>, Path), String> {
    let directory = url
        .to_file_path()
        .map_err(|()| "write `file:///absolute/directory`".to_owned())?;
    std::fs::create_dir_all(&directory)
        .map_err(|error| format!("cannot make {}: {error}", directory.display()))?;
    let store = LocalFileSystem::new_with_prefix(&directory).map_err(|error| error.to_string())?;
    Ok((Arc::new(store.with_fsync(true)), Path::default()))
}

fn s3(bucket: &str, options: &Options) -> Result<Arc<dyn ObjectStore>, String> {
    let mut builder = match &options.credentials {
        Credentials::Environment => AmazonS3Builder::from_env(),
        Credentials::Anonymous => AmazonS3Builder::new().with_skip_signature(true),
        Credentials::Aws {
            access_key_id,
            secret_access_key,
            session_token,
        } => {
            let builder = AmazonS3Builder::new()
                .with_access_key_id(access_key_id)
                .with_secret_access_key(secret_access_key);
            match session_token {
                Some(token) => builder.with_token(token),
                None => builder,
            }
        }
        other => return Err(wrong_kind(other, "an S3 key")),
    };
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    match &options.region {
        Some(region) => builder = builder.with_region(region),
        None if matches!(options.credentials, Credentials::Environment) => {}
        None => builder = builder.with_region(REGION),
    }
    let conditional_put = match options.conditional_put {
        true => S3ConditionalPut::ETagMatch,
        false => S3ConditionalPut::Disabled,
    };
    builder
        .with_bucket_name(bucket)
        .with_virtual_hosted_style_request(!options.path_style)
        .with_conditional_put(conditional_put)
        .with_client_options(client(options))
        .with_retry(retry())
        .build()
        .map(|store| Arc::new(store) as Arc<dyn ObjectStore>)
        .map_err(|error| error.to_string())
}

fn google(bucket: &str, options: &Options) -> Result<Arc<dyn ObjectStore>, String> {
    let mut builder = match &options.credentials {
        Credentials::Environment => GoogleCloudStorageBuilder::from_env(),
        Credentials::Anonymous => GoogleCloudStorageBuilder::new().with_skip_signature(true),
        Credentials::Google { service_account_key } => {
            GoogleCloudStorageBuilder::new().with_service_account_key(service_account_key)
        }
        other => return Err(wrong_kind(other, "the key of a Google service account")),
    };
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    builder
        .with_bucket_name(bucket)
        .with_client_options(client(options))
        .with_retry(retry())
        .build()
        .map(|store| Arc::new(store) as Arc<dyn ObjectStore>)
        .map_err(|error| error.to_string())
}

fn azure(container: &str, options: &Options) -> Result<Arc<dyn ObjectStore>, String> {
    let mut builder = match &options.credentials {
        Credentials::Environment => MicrosoftAzureBuilder::from_env(),
        Credentials::Azure { account, access_key } => MicrosoftAzureBuilder::new()
            .with_account(account)
            .with_access_key(access_key),
        // The account is part of the address, so there is no anonymous way without naming it.
        other => return Err(wrong_kind(other, "an Azure account and its key")),
    };
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    builder
        .with_container_name(container)
        .with_allow_http(options.allow_http)
        .with_client_options(client(options))
        .with_retry(retry())
        .build()
        .map(|store| Arc::new(store) as Arc<dyn ObjectStore>)
        .map_err(|error| error.to_string())
}

fn wrong_kind(credentials: &Credentials, wanted: &str) -> String {
    format!("credentials are {credentials:?}; this URL needs {wanted}, or Credentials::Environment")
}

fn client(options: &Options) -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(options.allow_http)
        .with_connect_timeout(options.connect_timeout)
        .with_timeout(options.request_timeout)
        .with_pool_max_idle_per_host(options.requests_in_flight_max)
        .with_pool_idle_timeout(Duration::from_secs(30))
}

fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: RETRY_DELAY_MIN,
            max_backoff: RETRY_DELAY_MAX,
            base: 2.0,
        },
        max_retries: SERVER_RETRIES_MAX,
        retry_timeout: RETRY_TIME_MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(credentials: Credentials) -> Options {
        Options {
            credentials,
            ..Options::default()
        }
    }

    #[test]
    fn every_kind_of_url_is_understood_with_its_credentials() {
        let aws = with(Credentials::Aws {
            access_key_id: "id".into(),
            secret_access_key: "secret".into(),
            session_token: None,
        });
        let azure = with(Credentials::Azure {
            account: "account".into(),
            access_key: "a2V5".into(),
        });
        for (url, options, prefix) in [
            ("memory:///", &Options::default(), ""),
            ("memory:///a/b", &Options::default(), "a/b"),
            ("s3://bucket/some/where/", &aws, "some/where"),
            ("s3://bucket", &Options::default(), ""),
            ("gs://bucket/x", &Options::default(), "x"),
            ("az://container/x", &azure, "x"),
        ] {
            let (_, found) = locate(url, options).unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!(found.as_ref(), prefix, "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let anonymous = Options::default();
        for (url, said) in [
            ("bucket/prefix", "s3://bucket/prefix"),
            ("s3:///prefix", "s3://bucket/prefix"),
            ("memory://bucket/", "memory:///"),
            ("http://bucket/", "none of s3"),
            ("s3://key:secret@bucket/", "do not go into the URL"),
            ("s3://bucket/?region=x", "do not go into the URL"),
            ("az://container/", "needs an Azure account"),
        ] {
            let error = locate(url, &anonymous).map(drop).expect_err(url).to_string();
            assert!(error.contains(said), "{url}: {error}");
        }
        let azure = with(Credentials::Azure {
            account: "account".into(),
            access_key: "hush".into(),
        });
        let error = locate("s3://bucket/", &azure)
            .map(drop)
            .expect_err("another cloud's")
            .to_string();
        assert!(error.contains("Azure(..)") && !error.contains("hush"), "{error}");
    }
}
