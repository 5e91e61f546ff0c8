//! What is tried again, when, and how often. The only file that knows.
//!
//! A call is tried again when its status says that the server, the network or the moment was to blame (checklist
//! G2), or when the server asks for it by `RetryInfo` (G1). Waits double and are spread at random, so that many
//! clients do not come back in step; a budget shared by all calls of a channel keeps a server that is down from
//! being asked `retries_max` times as often as one that is well.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use prost::Message;
use reapi::rpc::{self, RetryInfo};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::limits::{
    RETRY_BUDGET_MAX, RETRY_DELAY_MAX, RETRY_DELAY_MIN, RETRY_INFO_DELAY_MAX, SUCCESSES_PER_RETRY,
};

/// The budget that the calls of one channel share.
#[derive(Clone, Debug)]
pub(crate) struct RetryBudget {
    /// In parts of a retry: a success earns one, a retry costs [`SUCCESSES_PER_RETRY`].
    parts: Arc<AtomicU32>,
    /// How often one call is tried again without any progress between.
    retries_max: u32,
}

/// The retries of one call, for calls over [`RemoteChannel::channel`](crate::RemoteChannel::channel) too.
#[derive(Debug)]
pub struct Retries {
    budget: RetryBudget,
    made: u32,
}

const PARTS_MAX: u32 = RETRY_BUDGET_MAX * SUCCESSES_PER_RETRY;

impl RetryBudget {
    /// A full one.
    pub(crate) fn new(retries_max: u32) -> Self {
        RetryBudget {
            parts: Arc::new(AtomicU32::new(PARTS_MAX)),
            retries_max,
        }
    }

    /// For one call.
    pub(crate) fn start(&self) -> Retries {
        Retries {
            budget: self.clone(),
            made: 0,
        }
    }

    fn earn(&self) {
        let earned = |parts: u32| (parts < PARTS_MAX).then_some(parts + 1);
        // An error means that it is full.
        let _full = self
            .parts
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, earned);
    }

    fn spend(&self) -> bool {
        let spent = |parts: u32| parts.checked_sub(SUCCESSES_PER_RETRY);
        self.parts
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spent)
            .is_ok()
    }
}

impl Retries {
    /// Waits until the call may be made again; gives the status back when it should not be.
    pub async fn again(&mut self, status: Status) -> Result<(), Status> {
        let Some(delay) = self.delay(&status, random()) else {
            return Err(status);
        };
        tracing::debug!(code = ?status.code(), message = status.message(), retry = self.made, ?delay, "trying again");
        tokio::time::sleep(delay).await;
        Ok(())
    }

    /// Something was achieved: what follows starts counting anew.
    pub fn progressed(&mut self) {
        self.made = 0;
    }

    /// The call has succeeded.
    pub fn succeeded(self) {
        self.budget.earn();
    }

    /// `spread` is uniform in 0..=1.
    fn delay(&mut self, status: &Status, spread: f64) -> Option<Duration> {
        let asked = asked_for(status);
        if asked.is_none() && !is_worth_another_try(status.code()) || self.made >= self.budget.retries_max {
            return None;
        }
        let delay = match asked {
            Some(delay) if delay > RETRY_INFO_DELAY_MAX => return None,
            // At least what was asked for, at most half as much again.
            Some(delay) => delay.mul_f64(1.0 + spread / 2.0),
            None => {
                let doubled = RETRY_DELAY_MIN.saturating_mul(1 << self.made.min(16));
                doubled.min(RETRY_DELAY_MAX).mul_f64(0.5 + spread / 2.0)
            }
        };
        self.made += 1;
        self.budget.spend().then_some(delay)
    }
}

/// Bazel's list (checklist G2).
pub(crate) fn is_worth_another_try(code: Code) -> bool {
    matches!(
        code,
        Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::Internal
            | Code::Unavailable
            | Code::ResourceExhausted
    )
}

/// What the server asks for by `RetryInfo`.
fn asked_for(status: &Status) -> Option<Duration> {
    let details = rpc::Status::decode(status.details()).ok()?.details;
    let info = details
        .iter()
        .find_map(|detail| detail.to_msg::<RetryInfo>().ok())?;
    // Negative is nonsense and as good as none.
    Duration::try_from(info.retry_delay.unwrap_or_default()).ok()
}

/// Not worth a dependency on a generator: a version 4 UUID is made of random bits, the low 62 among them.
fn random() -> f64 {
    (Uuid::new_v4().as_u128() as u32) as f64 / u32::MAX as f64
}

#[cfg(test)]
mod tests {
    use prost_types::Any;

    use super::*;
    use crate::limits::RETRIES_MAX;

    fn with_retry_info(code: Code, seconds: i64) -> Status {
        let retry_delay = Some(prost_types::Duration { seconds, nanos: 0 });
        let details = vec![Any::from_msg(&RetryInfo { retry_delay }).unwrap()];
        let proto = rpc::Status {
            code: code as i32,
            message: String::new(),
            details,
        };
        Status::with_details(code, "", proto.encode_to_vec().into())
    }

    #[test]
    fn waits_double_up_to_a_bound_and_end() {
        let mut retries = RetryBudget::new(RETRIES_MAX).start();
        let unavailable = Status::unavailable("");
        let waits: Vec<_> = std::iter::from_fn(|| retries.delay(&unavailable, 1.0)).collect();
        let milliseconds: Vec<_> = waits.iter().map(Duration::as_millis).collect();
        assert_eq!(milliseconds, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        retries.progressed();
        assert_eq!(retries.delay(&unavailable, 0.0), Some(Duration::from_millis(50)));
    }

    #[test]
    fn mistakes_are_not_repeated_and_a_server_that_asks_is_obeyed() {
        let mut retries = RetryBudget::new(RETRIES_MAX).start();
        for code in [
            Code::InvalidArgument,
            Code::NotFound,
            Code::FailedPrecondition,
            Code::PermissionDenied,
            Code::Unimplemented,
            Code::Unauthenticated,
            Code::OutOfRange,
            Code::DataLoss,
        ] {
            assert_eq!(retries.delay(&Status::new(code, ""), 0.0), None, "{code:?}");
        }
        let asked = with_retry_info(Code::FailedPrecondition, 7);
        assert_eq!(retries.delay(&asked, 0.0), Some(Duration::from_secs(7)));
        assert_eq!(
            retries.delay(&with_retry_info(Code::Unavailable, 3600), 0.0),
            None
        );
        assert_eq!(
            retries.delay(&with_retry_info(Code::Internal, -1), 0.0),
            Some(Duration::from_millis(100))
        );
    }

    #[test]
    fn an_empty_budget_stops_every_call_until_successes_fill_it() {
        let budget = RetryBudget::new(RETRIES_MAX);
        let unavailable = Status::unavailable("");
        let granted = (0..RETRY_BUDGET_MAX * 2)
            .filter(|_| budget.start().delay(&unavailable, 0.0).is_some())
            .count();
        assert_eq!(granted as u32, RETRY_BUDGET_MAX);
        for _ in 0..SUCCESSES_PER_RETRY {
            budget.start().succeeded();
        }
        assert!(budget.start().delay(&unavailable, 0.0).is_some());
        assert!(budget.start().delay(&unavailable, 0.0).is_none());
        for _ in 0..PARTS_MAX + 5 {
            budget.earn();
        }
        assert_eq!(budget.parts.load(Ordering::Relaxed), PARTS_MAX);
    }
}
