//! A cache in memory.

use std::sync::Arc;

use action::ActionDigest;
use async_trait::async_trait;
use blob::Digest;
use cas::{Lru, StoreError};
use parking_lot::Mutex;
use prost::Message;
use reapi::execution::ActionResult;

use crate::ActionCache;

/// What an entry costs beside its bytes, roughly. Counted, so that many tiny results stay within the bound too.
const ENTRY_BYTES: u64 = 256;

/// A cache in memory that holds at most `capacity_bytes` of encoded results, entries included, and drops what was
/// used longest ago. Nothing survives a restart.
pub fn memory(capacity_bytes: u64) -> Arc<dyn ActionCache> {
    Arc::new(Memory {
        capacity_bytes,
        results: Mutex::new(Lru::new()),
    })
}

struct Memory {
    capacity_bytes: u64,
    /// Encoded: one allocation whose size is known, and no window into anybody's receive buffer.
    results: Mutex<Lru<Digest, Arc<[u8]>>>,
}

#[async_trait]
impl ActionCache for Memory {
    async fn get(&self, action: &ActionDigest) -> Result<Option<ActionResult>, StoreError> {
        let encoded = self.results.lock().get(&action.digest()).cloned();
        Ok(encoded
            .map(|encoded| ActionResult::decode(&*encoded).expect("it was encoded from such a message")))
    }

    async fn put(&self, action: &ActionDigest, result: ActionResult) -> Result<(), StoreError> {
        let encoded: Arc<[u8]> = result.encode_to_vec().into();
        let size_bytes = encoded.len() as u64 + ENTRY_BYTES;
        if size_bytes > self.capacity_bytes {
            return Err(StoreError::NoSpace {
                size_bytes,
                reason: format!(
                    "the action cache in memory holds {} bytes in all",
                    self.capacity_bytes
                ),
            });
        }
        let mut results = self.results.lock();
        results.insert(action.digest(), encoded, size_bytes);
        while results.weight() > self.capacity_bytes {
            results.pop_oldest();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;
    use crate::conformance::{self, Fresh};

    #[test]
    fn conforms() {
        block_on(conformance::check(async || Fresh::of(memory(64 << 20))));
    }

    #[test]
    fn conforms_when_bounded() {
        block_on(conformance::check_bounded(
            async |capacity_bytes| Fresh::of(memory(capacity_bytes)),
            4 << 20,
        ));
    }
}
