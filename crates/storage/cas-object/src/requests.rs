//! Every request to the object store: how many at once, what is tried again, and what a failure means. The only file
//! that knows.
//!
//! Everything this crate asks for may be asked for twice: an object's name says what is in it, or nobody else has the
//! name. So a request whose answer was lost is simply made again. `object_store` repeats by itself what the server
//! refused for the moment (429, 5xx) and what never reached it; here is repeated what it dares not: a connection that
//! broke or timed out in the middle of a PUT, a body that ended early.

use std::error::Error as _;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cas::StoreError;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::client::HttpError;
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, PutPayload,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use uuid::Uuid;

use crate::limits::{ATTEMPTS_MAX, DOOMED_MAX, RETRY_DELAY_MAX, RETRY_DELAY_MIN, RETRY_TIME_MAX};
use crate::statistics::Counters;

mod trial;

pub(crate) use trial::Refusal;

/// An object store with our rules around it.
#[derive(Debug)]
pub(crate) struct Requests {
    store: Arc<dyn ObjectStore>,
    /// Held by each request until its answer is complete.
    in_flight: Semaphore,
    conditional_put: bool,
    pub(crate) counters: Arc<Counters>,
}

/// Bytes of an object, and how long the whole of it is.
pub(crate) struct Part {
    pub(crate) bytes: Bytes,
    pub(crate) object_bytes: u64,
}

impl Requests {
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        in_flight_max: usize,
        conditional_put: bool,
        counters: Arc<Counters>,
    ) -> Self {
        Requests {
            store,
            in_flight: Semaphore::new(in_flight_max.max(1)),
            conditional_put,
            counters,
        }
    }

    /// `None` if there is no such object. From one that ends before the range, there are no bytes.
    pub(crate) async fn get(&self, path: &Path, range: Option<GetRange>) -> Result<Option<Part>, StoreError> {
        let read = || async {
            let options = GetOptions {
                range: range.clone(),
                ..GetOptions::default()
            };
            let answer = self.store.get_opts(path, options).await?;
            let (expected, object_bytes) = (answer.range.clone(), answer.meta.size);
            let bytes = answer.bytes().await?;
            whole(&expected, &bytes)?;
            Ok(Part { bytes, object_bytes })
        };
        match self.attempt("read", path, read).await {
            Err(Failure::Short) => Ok(Some(Part {
                bytes: Bytes::new(),
                object_bytes: 0,
            })),
            answer => found(answer),
        }
    }

    /// The length of an object; `None` if there is none.
    pub(crate) async fn head(&self, path: &Path) -> Result<Option<u64>, StoreError> {
        let head = || async { Ok(self.store.head(path).await?.size) };
        found(self.attempt("look for", path, head).await)
    }

    /// Stores an object unless there is one of this name, which is then as good: it has the same bytes, because the
    /// name tells them. Visible as a whole or not at all.
    pub(crate) async fn create(&self, path: &Path, payload: &PutPayload) -> Result<(), StoreError> {
        self.try_create(path, payload).await.map_err(Failure::into_error)
    }

    async fn try_create(&self, path: &Path, payload: &PutPayload) -> Result<(), Failure> {
        if !self.conditional_put {
            return self.try_replace(path, payload).await;
        }
        let create = || async {
            let options = PutOptions::from(PutMode::Create);
            match self.store.put_opts(path, payload.clone(), options).await {
                Ok(_) | Err(Error::AlreadyExists { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        };
        self.attempt("create", path, create).await
    }

    /// Stores an object, whatever is there.
    pub(crate) async fn replace(&self, path: &Path, payload: &PutPayload) -> Result<(), StoreError> {
        self.try_replace(path, payload).await.map_err(Failure::into_error)
    }

    async fn try_replace(&self, path: &Path, payload: &PutPayload) -> Result<(), Failure> {
        let put = || async { self.store.put(path, payload.clone()).await.map(drop) };
        self.attempt("write", path, put).await
    }

    /// Starts an upload in parts.
    pub(crate) async fn start_upload(&self, path: &Path) -> Result<Box<dyn MultipartUpload>, StoreError> {
        let start = || self.store.put_multipart(path);
        self.attempt("start an upload of", path, start)
            .await
            .map_err(Failure::into_error)
    }

    /// Makes one request of an upload, which `object_store` repeats itself as far as that is possible.
    pub(crate) async fn once<T>(
        &self,
        what: &'static str,
        path: &Path,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, StoreError> {
        let _permit = self.in_flight.acquire().await.expect("never closed");
        Counters::add(&self.counters.requests, 1);
        request
            .await
            .map_err(|error| Failure::of(what, path, error).into_error())
    }

    /// All objects of a folder, in the order of their names; with `after`, only those with later names.
    pub(crate) async fn list(
        &self,
        folder: &Path,
        after: Option<&Path>,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        let list = || async {
            let listing = match after {
                Some(after) => self.store.list_with_offset(Some(folder), after),
                None => self.store.list(Some(folder)),
            };
            let mut objects: Vec<ObjectMeta> = listing.try_collect().await?;
            objects.sort_unstable_by(|one, other| one.location.cmp(&other.location));
            Ok(objects)
        };
        self.attempt("list", folder, list)
            .await
            .map_err(Failure::into_error)
    }

    /// Looks at all objects of a folder, without holding them. After a failure, some may be looked at again.
    pub(crate) async fn walk(&self, folder: &Path, look: impl FnMut(&Path) + Send) -> Result<(), StoreError> {
        // One attempt after the other; the lock only says so.
        let look = Mutex::new(look);
        let walk = || async {
            let mut listing = self.store.list(Some(folder));
            while let Some(object) = listing.try_next().await? {
                (look.lock())(&object.location);
            }
            Ok(())
        };
        self.attempt("list", folder, walk)
            .await
            .map_err(Failure::into_error)
    }

    /// Whether a listing can be had; of a large folder only its beginning.
    async fn try_list(&self, folder: &Path) -> Result<(), Failure> {
        let list = || async { self.store.list(Some(folder)).try_next().await.map(drop) };
        self.attempt("list", folder, list).await
    }

    /// Removes objects, at most [`DOOMED_MAX`]. Those that are not there are fine.
    pub(crate) async fn remove(&self, folder: &Path, paths: &[Path]) -> Result<(), StoreError> {
        self.try_remove(folder, paths).await.map_err(Failure::into_error)
    }

    async fn try_remove(&self, folder: &Path, paths: &[Path]) -> Result<(), Failure> {
        debug_assert!(paths.len() <= DOOMED_MAX);
        let remove = || async {
            let paths: Vec<_> = paths.iter().cloned().map(Ok).collect();
            let mut answers = self.store.delete_stream(stream::iter(paths).boxed());
            let mut first = Ok(());
            // Each is tried, whatever becomes of the others.
            while let Some(answer) = answers.next().await {
                match answer {
                    Ok(_) | Err(Error::NotFound { .. }) => {}
                    Err(error) if first.is_ok() => first = Err(error),
                    Err(_) => {}
                }
            }
            first
        };
        self.attempt("remove from", folder, remove).await
    }

    async fn attempt<T, F>(
        &self,
        what: &'static str,
        path: &Path,
        mut request: impl FnMut() -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        let started = Instant::now();
        let mut attempt = 1;
        loop {
            let permit = self.in_flight.acquire().await.expect("never closed");
            Counters::add(&self.counters.requests, 1);
            let error = match request().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            drop(permit);
            let failure = Failure::of(what, path, error);
            let again = matches!(failure, Failure::Broken(_))
                && attempt < ATTEMPTS_MAX
                && started.elapsed() < RETRY_TIME_MAX;
            if !again {
                return Err(failure);
            }
            let delay = delay(attempt, random());
            tracing::debug!(%path, attempt, ?delay, "cannot {what} it: {failure}");
            Counters::add(&self.counters.retries, 1);
            tokio::time::sleep(delay).await;
            attempt += 1;
        }
    }
}

fn whole(expected: &Range<u64>, bytes: &Bytes) -> object_store::Result<()> {
    if bytes.len() as u64 == expected.end - expected.start {
        return Ok(());
    }
    Err(Error::Generic {
        store: "answer",
        source: format!("{} bytes of the range {expected:?}", bytes.len()).into(),
    })
}

fn found<T>(answer: Result<T, Failure>) -> Result<Option<T>, StoreError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(Failure::Absent) => Ok(None),
        Err(failure) => Err(failure.into_error()),
    }
}

/// Waits double; `spread` in 0..=1 takes up to half of one away, so that clients do not come back in step.
fn delay(attempt: u32, spread: f64) -> Duration {
    let doubled = RETRY_DELAY_MIN.saturating_mul(1 << (attempt - 1).min(16));
    doubled.min(RETRY_DELAY_MAX).mul_f64(1.0 - spread / 2.0)
}

/// A version 4 UUID is made of random bits, the low 62 among them.
fn random() -> f64 {
    (Uuid::new_v4().as_u128() as u32) as f64 / u32::MAX as f64
}

/// What a failed request means.
#[derive(Debug)]
enum Failure {
    /// There is no such object.
    Absent,
    /// The object ends before the range that was asked for.
    Short,
    /// No answer, or not all of it: worth another attempt.
    Broken(String),
    /// The server could not, and `object_store` has already tried again.
    Refused(String),
    /// Not for these credentials.
    Forbidden(String),
    /// It will never work like this.
    Wrong(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Absent => f.write_str("not found"),
            Failure::Short => f.write_str("shorter than what was to be read of it"),
            Failure::Broken(why) | Failure::Refused(why) | Failure::Forbidden(why) | Failure::Wrong(why) => {
                f.write_str(why)
            }
        }
    }
}

impl Failure {
    fn of(what: &str, path: &Path, error: Error) -> Self {
        let why = format!("cannot {what} `{path}`: {error}");
        match &error {
            Error::NotFound { .. } => Failure::Absent,
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Failure::Forbidden(why),
            Error::InvalidPath { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::UnknownConfigurationKey { .. } => Failure::Wrong(why),
            Error::Generic { .. } if is_past_the_end(&why) => Failure::Short,
            error => match (is_transport(error), status(&why)) {
                (true, _) | (false, None) => Failure::Broken(why),
                (false, Some(401 | 403)) => Failure::Forbidden(why),
                // Of a listing; other requests say it by their own error.
                (false, Some(404)) => Failure::Absent,
                (false, Some(408 | 425 | 429 | 500..)) => Failure::Refused(why),
                (false, Some(_)) => Failure::Wrong(why),
            },
        }
    }

    fn into_error(self) -> StoreError {
        let io = |kind, why: String| StoreError::io("object storage", std::io::Error::new(kind, why));
        match self {
            Failure::Absent => StoreError::Unavailable {
                reason: "the bucket, or an object that was just written, is not there".into(),
            },
            Failure::Short => StoreError::Unavailable {
                reason: "an object ended before the range that was asked for".into(),
            },
            Failure::Broken(reason) | Failure::Refused(reason) => StoreError::Unavailable { reason },
            Failure::Forbidden(why) => io(
                std::io::ErrorKind::PermissionDenied,
                format!(
                    "{why}; check the credentials, and that they may read, write, delete and list in the bucket"
                ),
            ),
            Failure::Wrong(why) => io(std::io::ErrorKind::InvalidInput, why),
        }
    }
}

/// Whether there was no whole answer.
fn is_transport(error: &Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if error.is::<HttpError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// The HTTP status in the message of an error. `object_store` keeps the error's type to itself, so its words are all
/// there is; when they change, every refusal counts as one for the moment, which only costs a few attempts more.
fn status(message: &str) -> Option<u16> {
    let (_, rest) = message.split_once("non-2xx status code: ")?;
    rest.get(..3)?.parse().ok()
}

/// Whether a range begins where there is nothing: 416 of a server, or the words of the stores without one.
fn is_past_the_end(message: &str) -> bool {
    const WORDS: [&str; 3] = [
        "Wanted range starting at",
        "Out of range of file",
        "Requested range was invalid",
    ];
    status(message) == Some(416) || WORDS.iter().any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(words: &str) -> Error {
        Error::Generic {
            store: "S3",
            source: words.to_owned().into(),
        }
    }

    #[test]
    fn waits_double_up_to_a_bound() {
        let waits: Vec<u128> = (1..10).map(|attempt| delay(attempt, 0.0).as_millis()).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(delay(1, 1.0), Duration::from_millis(25));
    }

    #[test]
    fn refusals_are_told_apart() {
        let of = |error| Failure::of("read", &Path::from("x"), error);
        let said = |status: &str| {
            of(generic(&format!(
                "Server returned non-2xx status code: {status}: "
            )))
        };
        assert!(matches!(said("503 Service Unavailable"), Failure::Refused(_)));
        assert!(matches!(said("429 Too Many Requests"), Failure::Refused(_)));
        assert!(matches!(said("400 Bad Request"), Failure::Wrong(_)));
        assert!(matches!(said("404 Not Found"), Failure::Absent));
        assert!(matches!(said("416 Range Not Satisfiable"), Failure::Short));
        assert!(matches!(of(generic("anything else")), Failure::Broken(_)));
        let denied = of(Error::PermissionDenied {
            path: "x".into(),
            source: "403".into(),
        });
        assert!(denied.into_error().to_string().contains("check the credentials"));
    }
}
