//! Results of actions on a disk.

use std::sync::Arc;

use action::ActionDigest;
use action_cache::ActionCache;
use async_trait::async_trait;
use blob::InstanceName;
use cas::StoreError;
use prost::Message;
use reapi::execution::ActionResult;

use crate::checked_file::ReadError;
use crate::file_store::{Existing, FileStore, Kind};
use crate::layout::escape;
use crate::{DiskOptions, OpenError, Usage};

/// Largest encoded result that is taken: several times what fits into one message to a client.
const RESULT_BYTES_MAX: u64 = 32 << 20;

const KIND: Kind = Kind {
    name: "action-result",
    has_size_of_digest: false,
};

/// An [`ActionCache`] of checked files below `DIR/action-cache/<instance>`, one cache for each instance. The same
/// engine as that of the blobs; see the crate's introduction for what survives what.
pub struct DiskActionCache {
    files: Arc<FileStore>,
}

impl DiskActionCache {
    /// Opens the cache of an instance in a directory, or makes one there. Blocks while it lists what is there.
    pub fn open(options: DiskOptions, instance: &InstanceName) -> Result<Arc<Self>, OpenError> {
        let root = options.directory.join("action-cache").join(escape(instance));
        let files = FileStore::open(&root, &options, KIND)?;
        let usage = files.usage();
        tracing::info!(directory = %files.root().display(), %instance, ?usage, "action cache opened");
        Ok(Arc::new(DiskActionCache { files }))
    }

    /// What it holds.
    pub fn usage(&self) -> Usage {
        self.files.usage()
    }
}

#[async_trait]
impl ActionCache for DiskActionCache {
    async fn get(&self, action: &ActionDigest) -> Result<Option<ActionResult>, StoreError> {
        let digest = action.digest();
        let Some(generation) = self.files.touch(&digest) else {
            return Ok(None);
        };
        let read = self.files.run(move |files| {
            files.read(&digest, generation, |file| {
                if file.payload_bytes() > RESULT_BYTES_MAX {
                    return Err(ReadError::Damaged(format!(
                        "{} bytes are no result",
                        file.payload_bytes()
                    )));
                }
                // May be empty: a result whose fields all have their defaults (checklist A8).
                let encoded = file.read(0..file.payload_bytes())?;
                ActionResult::decode(encoded).map_err(|error| ReadError::Damaged(error.to_string()))
            })
        });
        read.await
    }

    async fn put(&self, action: &ActionDigest, result: ActionResult) -> Result<(), StoreError> {
        let digest = action.digest();
        let size_bytes = result.encoded_len() as u64;
        let size_bytes_max = self.files.payload_bytes_max().min(RESULT_BYTES_MAX);
        if size_bytes > size_bytes_max {
            let reason = format!("this action cache takes results of at most {size_bytes_max} bytes");
            return Err(StoreError::NoSpace { size_bytes, reason });
        }
        self.files
            .run(move |files| files.write(&digest, &result.encode_to_vec(), Existing::Replace))
            .await
    }
}
