//! Which errors say that the server is out of order, and which are about one command: pure.

use std::error::Error as StdError;
use std::io::ErrorKind;

use anyhow::Error;
use blob::BlobError;
use cas::StoreError;
use reapi::rpc::Code;
use remote_action::{NotDone, describe};
use thiserror::Error;
use tokio::time::error::Elapsed;

use crate::breaker::Deed;
use crate::moves::Stalled;

/// A worker had the action and could not run it.
#[derive(Debug, Error)]
#[error("the worker could not run it: {}", describe(*.code, .message))]
pub(crate) struct NotRun {
    /// Of the response.
    pub(crate) code: i32,
    pub(crate) message: String,
}

/// Whether somebody else would have met the same.
pub(crate) fn is_outage(deed: Deed, error: &Error) -> bool {
    match deed {
        // Of these, nobody is told anything of his own.
        Deed::Connect | Deed::Lookup => true,
        Deed::Fetch | Deed::Store | Deed::Execute => error.chain().any(|cause| is_cause(deed, cause)),
    }
}

/// Whether nothing was heard, or only that nobody is there.
pub(crate) fn is_silence(error: &Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<Elapsed>() || matches!(cause.downcast_ref(), Some(StoreError::Unavailable { .. }))
    })
}

/// Whether a store has something against this very blob, and may well take the next one.
pub(crate) fn is_of_one_blob(error: &Error) -> bool {
    error.chain().any(|cause| {
        matches!(
            cause.downcast_ref(),
            Some(StoreError::TooLarge { .. } | StoreError::Blob(_))
        )
    })
}

fn is_cause(deed: Deed, cause: &(dyn StdError + 'static)) -> bool {
    if cause.is::<Elapsed>() || cause.is::<Stalled>() {
        return true;
    }
    if let Some(NotDone { code, .. }) = cause.downcast_ref() {
        return is_of_everybody(*code);
    }
    match cause.downcast_ref() {
        Some(StoreError::Unavailable { .. }) => true,
        Some(StoreError::Io { source, .. }) => !is_refusal(source.kind()),
        // What is stored is read from files of this machine.
        Some(StoreError::Blob(BlobError::Io(source))) => deed == Deed::Fetch && !is_refusal(source.kind()),
        _ => false,
    }
}

/// A server that does not execute for anybody says so to everybody. That one action is not as it should be is its own.
fn is_of_everybody(code: i32) -> bool {
    ![
        Code::InvalidArgument,
        Code::FailedPrecondition,
        Code::NotFound,
        Code::OutOfRange,
        Code::AlreadyExists,
    ]
    .iter()
    .any(|own| *own as i32 == code)
}

/// The server is there, and does not want to: it lets this user not write, or takes no such blob.
fn is_refusal(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::PermissionDenied
            | ErrorKind::InvalidInput
            | ErrorKind::Unsupported
            | ErrorKind::NotFound
            | ErrorKind::InvalidData
    )
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::io;
    use std::time::Duration;

    use anyhow::{Context, anyhow};
    use blob::Digest;
    use tokio::time::timeout;

    use super::*;
    use crate::moves::Clock;
    use crate::service::FUNCTION;

    fn io(kind: ErrorKind) -> Error {
        StoreError::io("reading", kind.into()).into()
    }

    fn unavailable() -> Error {
        let reason = "why".to_owned();
        StoreError::Unavailable { reason }.into()
    }

    fn not_done(code: Code) -> Error {
        NotDone {
            code: code as i32,
            why: "why".to_owned(),
        }
        .into()
    }

    fn not_run(code: Code) -> Error {
        NotRun {
            code: code as i32,
            message: "why".to_owned(),
        }
        .into()
    }

    #[test]
    fn what_everybody_would_meet_is_an_outage() {
        let no_space = || StoreError::NoSpace {
            size_bytes: 1,
            reason: "full".to_owned(),
        };
        let wrong = || BlobError::WrongSize {
            expected: Digest::empty(FUNCTION),
            size_bytes: 1,
        };
        let broken = || BlobError::from(io::Error::from(ErrorKind::BrokenPipe));
        for (deed, error, expected) in [
            (Deed::Connect, anyhow!("anything"), true),
            (Deed::Lookup, io(ErrorKind::PermissionDenied), true),
            (Deed::Fetch, anyhow!("blob is not there"), false),
            (Deed::Fetch, StoreError::from(wrong()).into(), false),
            (Deed::Fetch, StoreError::from(broken()).into(), true),
            (Deed::Fetch, unavailable().context("on the way"), true),
            (Deed::Fetch, io(ErrorKind::TimedOut), true),
            (Deed::Fetch, io(ErrorKind::PermissionDenied), false),
            (Deed::Store, unavailable(), true),
            (Deed::Store, io(ErrorKind::Other), true),
            (Deed::Store, io(ErrorKind::PermissionDenied), false),
            (Deed::Store, no_space().into(), false),
            // The file that was to be uploaded, for example.
            (Deed::Store, StoreError::from(broken()).into(), false),
            (Deed::Store, io::Error::from(ErrorKind::NotFound).into(), false),
            (Deed::Execute, not_done(Code::Unavailable), true),
            (Deed::Execute, not_done(Code::Internal).context("executing"), true),
            (Deed::Execute, not_done(Code::Unimplemented), true),
            (Deed::Execute, not_done(Code::PermissionDenied), true),
            (Deed::Execute, not_done(Code::InvalidArgument), false),
            (Deed::Execute, not_done(Code::FailedPrecondition), false),
            (Deed::Execute, not_done(Code::NotFound), false),
            // One that kills its workers, or wants what none of them has.
            (Deed::Execute, not_run(Code::Unavailable), false),
            (Deed::Execute, not_run(Code::Internal), false),
            (Deed::Execute, not_run(Code::ResourceExhausted), false),
            (Deed::Execute, anyhow!("an output is missing"), false),
        ] {
            assert_eq!(is_outage(deed, &error), expected, "{deed:?} {error:#}");
        }
    }

    #[test]
    fn a_blob_that_is_too_large_says_nothing_of_the_next() {
        let digest = Digest::empty(FUNCTION);
        let too_large = StoreError::TooLarge {
            digest,
            size_bytes_max: 1,
        };
        let read_only = StoreError::ReadOnly { digest };
        assert!(is_of_one_blob(&Error::from(too_large).context("storing")));
        assert!(!is_of_one_blob(&read_only.into()) && !is_of_one_blob(&unavailable()));
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_takes_too_long_is_an_outage() {
        let elapsed = timeout(Duration::from_secs(1), pending::<()>()).await;
        let elapsed = elapsed.context("no outputs").unwrap_err();
        let stalled = Clock::default()
            .while_moving(Duration::from_secs(1), pending::<()>())
            .await;
        let stalled = Error::from(stalled.unwrap_err());
        assert!(is_outage(Deed::Fetch, &elapsed) && is_outage(Deed::Store, &stalled));
    }
}
