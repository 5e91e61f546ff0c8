//! How much all calls together may hold in memory: bytes are counted, not calls.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tonic::Status;

use crate::limits::ADMISSION_WAIT_MAX;
use crate::status;

/// A budget of bytes. Whoever buffers takes a [`Share`] first and gives it back when the bytes are gone; nobody
/// keeps one while waiting for a client.
#[derive(Clone)]
pub(crate) struct Admission {
    kibibytes: Arc<Semaphore>,
    kibibytes_max: u32,
}

/// A part of the budget, given back when dropped.
pub(crate) struct Share<'a> {
    _permit: SemaphorePermit<'a>,
}

impl Admission {
    pub(crate) fn new(bytes_max: u64) -> Self {
        let kibibytes_max = u32::try_from(bytes_max.div_ceil(1024)).unwrap_or(u32::MAX).max(1);
        Admission {
            kibibytes: Arc::new(Semaphore::new(kibibytes_max as usize)),
            kibibytes_max,
        }
    }

    /// Waits, in order of arrival and not for long, until there is room for `bytes`. What is larger than the whole
    /// budget gets in alone.
    pub(crate) async fn admit(&self, bytes: u64) -> Result<Share<'_>, Status> {
        let kibibytes = u32::try_from(bytes.div_ceil(1024))
            .unwrap_or(u32::MAX)
            .min(self.kibibytes_max);
        match timeout(ADMISSION_WAIT_MAX, self.kibibytes.acquire_many(kibibytes)).await {
            Ok(Ok(permit)) => Ok(Share { _permit: permit }),
            Ok(Err(closed)) => unreachable!("the semaphore is never closed: {closed}"),
            Err(_elapsed) => Err(status::overloaded(format!(
                "no room for {bytes} more bytes within {} s: this server holds {} MiB for storage already; try again later",
                ADMISSION_WAIT_MAX.as_secs(),
                self.kibibytes_max / 1024
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_does_not_fit_waits_and_then_is_told_to_come_back() {
        let admission = Admission::new(10 * 1024);
        let eight = admission.admit(8 * 1024).await.unwrap();
        let refused = admission.admit(3 * 1024).await.err().unwrap();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        drop(eight);
        let huge = admission.admit(u64::MAX).await.unwrap();
        assert!(admission.admit(1).await.is_err());
        drop(huge);
        assert!(admission.admit(1).await.is_ok());
    }
}
