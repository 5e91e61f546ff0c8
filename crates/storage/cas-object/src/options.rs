//! How to reach a bucket.

use std::time::Duration;

use cas::StoreError;
use thiserror::Error;

/// How a bucket is reached and how much is asked of it at once. Everything but the credentials has a default that fits
/// the cloud's own service.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who we are.
    pub credentials: Credentials,
    /// Another server than the cloud's own, such as `http://127.0.0.1:9000`.
    pub endpoint: Option<String>,
    /// The region of an S3 bucket. `us-east-1` if unset, which most other servers take.
    pub region: Option<String>,
    /// S3: the bucket in the path instead of the host name. Servers other than Amazon's mostly need it.
    pub path_style: bool,
    /// Allow an endpoint without TLS. Then anybody on the way can read and change everything.
    pub allow_http: bool,
    /// Whether the server refuses to replace an object when asked to (`If-None-Match: *`). Where it cannot, unset it:
    /// uploads of what is there already then cost their bytes; nothing else changes.
    pub conditional_put: bool,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long one request may take, with its body.
    pub request_timeout: Duration,
    /// Requests under way at once.
    pub requests_in_flight_max: usize,
    /// Bytes of memory that large uploads may take, in all; further ones wait. An upload holds its share (its size, at
    /// most two parts of 16 MiB) until it is stored, however slowly its sender sends. At least 32 MiB are used.
    pub upload_bytes_max: u32,
    /// How long a packed blob of another writer may go unseen: a miss lists the bucket again unless that was done
    /// within this time.
    pub refresh_interval: Duration,
    /// How often the use of an object is recorded: once in so long, by every writer. The same for all who use a
    /// bucket. Collecting keeps everything for at least twice this.
    pub epoch: Duration,
    /// How long what a collection has condemned stays before another collection removes it.
    pub collection_grace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            credentials: Credentials::Anonymous,
            endpoint: None,
            region: None,
            path_style: false,
            allow_http: false,
            conditional_put: true,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(60),
            requests_in_flight_max: 128,
            upload_bytes_max: 256 << 20,
            refresh_interval: Duration::from_secs(1),
            epoch: Duration::from_secs(6 * 3600),
            collection_grace: Duration::from_secs(3600),
        }
    }
}

/// Who we are. Nothing is taken from the environment unless [`Credentials::Environment`] says so.
#[derive(Clone)]
pub enum Credentials {
    /// Nobody: requests are not signed.
    Anonymous,
    /// Whatever the environment says, in the way of the cloud: `AWS_…`, `GOOGLE_…` or `AZURE_…` variables, files they
    /// name, the machine's own identity.
    Environment,
    /// An S3 key.
    Aws {
        /// Its id.
        access_key_id: String,
        /// Its secret.
        secret_access_key: String,
        /// Of a temporary key.
        session_token: Option<String>,
    },
    /// A Google service account: the JSON of its key.
    Google {
        /// The JSON itself, not the name of a file.
        service_account_key: String,
    },
    /// An Azure storage account.
    Azure {
        /// Its name.
        account: String,
        /// Its access key, in base64.
        access_key: String,
    },
}

impl std::fmt::Debug for Credentials {
    /// Says which kind; never a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Credentials::Anonymous => "Anonymous",
            Credentials::Environment => "Environment",
            Credentials::Aws { .. } => "Aws(..)",
            Credentials::Google { .. } => "Google(..)",
            Credentials::Azure { .. } => "Azure(..)",
        })
    }
}

/// Why a bucket cannot be used.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The URL does not name a bucket.
    #[error("`{url}` does not name a bucket: {reason}")]
    BadUrl {
        /// As it was given.
        url: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The options do not make sense together.
    #[error("cannot use `{url}`: {reason}")]
    BadOptions {
        /// As it was given.
        url: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// What the store needs of the bucket, it cannot have: there is no such bucket, the credentials are wrong, or they
    /// do not allow everything.
    #[error("cannot {doing} in `{url}`: {advice} ({said})")]
    Refused {
        /// As it was given.
        url: String,
        /// What was tried, as a verb.
        doing: &'static str,
        /// What to do about it.
        advice: String,
        /// What the server said, or the library that speaks to it.
        said: String,
    },
    /// The bucket did not answer as it should.
    #[error("cannot open `{url}`: {source}")]
    Store {
        /// As it was given.
        url: String,
        /// What failed.
        source: Box<StoreError>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let options = Options {
            credentials: Credentials::Aws {
                access_key_id: "AKIA".into(),
                secret_access_key: "hush".into(),
                session_token: Some("hush".into()),
            },
            ..Options::default()
        };
        assert!(!format!("{options:?}").contains("hush"));
    }
}
