//! How long somebody else's answer is waited for, and what follows when it does not come.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::StoreError;

/// Patience with one service. All who share it learn together that the service does not answer: the first ones wait, and
/// for a while afterwards the others are told so at once instead of waiting as long. Then it is tried again.
#[derive(Debug)]
pub struct Patience {
    name: &'static str,
    rest: Duration,
    rests_until: Mutex<Option<Instant>>,
}

impl Patience {
    /// With the service that messages call `name`, which is left alone for `rest` when an answer did not come.
    pub fn new(name: &'static str, rest: Duration) -> Arc<Self> {
        Arc::new(Patience {
            name,
            rest,
            rests_until: Mutex::new(None),
        })
    }

    /// The answer to `call`, or [`StoreError::Unavailable`] if it does not come within `limit`, or none came a moment ago.
    pub async fn answer<T>(
        &self,
        limit: Duration,
        what: &str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let rests_until = *self.rests_until.lock();
        if let Some(left) = rests_until.and_then(|until| until.checked_duration_since(Instant::now()))
            && !left.is_zero()
        {
            let (name, seconds) = (self.name, left.as_secs() + 1);
            return Err(StoreError::Unavailable {
                reason: format!("{name} did not answer a moment ago and is asked again in {seconds} s"),
            });
        }
        match tokio::time::timeout(limit, call).await {
            Ok(answer) => answer,
            Err(_) => {
                *self.rests_until.lock() = Some(Instant::now() + self.rest);
                Err(self.too_late(what, limit))
            }
        }
    }

    /// As [`answer`](Self::answer), for what may take long by the caller's own fault: it says nothing about others.
    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        what: &str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let in_time = tokio::time::timeout(limit, call).await;
        in_time.unwrap_or_else(|_| Err(self.too_late(what, limit)))
    }

    fn too_late(&self, what: &str, limit: Duration) -> StoreError {
        StoreError::Unavailable {
            reason: self.late(what, limit),
        }
    }

    pub(crate) fn late(&self, what: &str, limit: Duration) -> String {
        format!("{}: {what} took longer than {limit:?}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn one_who_waited_in_vain_saves_the_others_the_wait() {
        let patience = Patience::new("the moon", 5 * SECOND);
        let never = || std::future::pending::<Result<(), StoreError>>();
        let began = Instant::now();
        let said = patience
            .answer(10 * SECOND, "asking", never())
            .await
            .unwrap_err()
            .to_string();
        assert!(said.contains("the moon: asking took longer than 10s"), "{said}");
        assert_eq!(began.elapsed(), 10 * SECOND);
        let said = patience
            .answer(10 * SECOND, "asking", never())
            .await
            .unwrap_err()
            .to_string();
        assert!(said.contains("asked again in 6 s"), "{said}");
        assert_eq!(began.elapsed(), 10 * SECOND, "at once");

        tokio::time::advance(5 * SECOND).await;
        patience
            .answer(10 * SECOND, "asking", async { Ok(()) })
            .await
            .unwrap();
        let slow = async {
            tokio::time::sleep(9 * SECOND).await;
            Ok(())
        };
        patience.answer(10 * SECOND, "asking", slow).await.unwrap();
    }
}
