//! What is on this machine's disks, and the look into it: by a running server and by commands on a stopped one.

mod words;

use std::path::PathBuf;
use std::sync::Arc;

use admin_api::v1::{GetUsageResponse, ScrubProgress, SurveyResponse};
use anyhow::{Context, Result, bail};
use blob::InstanceName;
use cas::StoreError;
use cas_disk::{DiskBlobStore, DiskOptions, DiskResults};
use tokio::sync::Semaphore;

use self::words::{progress, survey_message, usage_message};
use crate::data_directory::DataDirectory;

/// Opened only to be looked at: nothing is ever dropped for want of room.
const UNBOUNDED_BYTES: u64 = 1 << 50;

/// The blobs and the results of actions on this machine.
#[derive(Clone)]
pub(crate) struct LocalStorage {
    pub(crate) blobs: Arc<DiskBlobStore>,
    pub(crate) results: Arc<DiskResults>,
    /// Held by whoever reads everything: one at a time is enough for a disk.
    scrubbing: Arc<Semaphore>,
}

/// Somebody reads everything already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScrubRuns;

impl LocalStorage {
    /// Opens both below a data directory.
    pub(crate) fn open(blobs: DiskOptions, results: DiskOptions) -> Result<Self> {
        Ok(LocalStorage {
            blobs: DiskBlobStore::open(blobs).context("cannot open the blob store")?,
            results: DiskResults::open(results).context("cannot open the action cache")?,
            scrubbing: Arc::new(Semaphore::new(1)),
        })
    }

    /// Opens what a stopped farrier has left in its data directory, and in those beside it, to look at it.
    pub(crate) fn open_stopped(path: &std::path::Path, also: &[PathBuf]) -> Result<Self> {
        if !path.is_dir() {
            bail!(
                "{} is not there; name the data directory of a farrier",
                path.display()
            );
        }
        let storage = DataDirectory::open(path)?.storage();
        if !storage.is_dir() {
            bail!("{} holds no storage of a farrier", path.display());
        }
        let results = DiskOptions::new(storage, UNBOUNDED_BYTES);
        let mut blobs = results.clone();
        blobs.directories.extend_from_slice(also);
        LocalStorage::open(blobs, results)
    }

    /// Finishes what is being written. Nothing is taken afterwards.
    pub(crate) fn close(&self) {
        self.blobs.close();
        self.results.close();
    }

    /// What each holds, and what has happened to it since it was opened.
    pub(crate) fn usage(&self) -> GetUsageResponse {
        GetUsageResponse {
            stores: vec![
                usage_message(words::BLOBS, &self.blobs.usage()),
                usage_message(words::RESULTS, &self.results.usage()),
            ],
        }
    }

    /// What is stored, by kind, instance and age; `instances` are told apart.
    pub(crate) async fn survey(&self, instances: &[InstanceName]) -> Result<SurveyResponse, StoreError> {
        let blobs = self.blobs.survey(|_| {}).await?;
        let results = self.results.survey().await?;
        Ok(survey_message(&[blobs, results], instances))
    }

    /// Reads everything once and drops what is damaged, at most so many bytes a second, if no other does. `told` hears
    /// how far it is. Dropping the future ends it.
    pub(crate) async fn scrub(
        &self,
        bytes_per_second: Option<u64>,
        mut told: impl FnMut(ScrubProgress) + Send,
    ) -> Result<Result<ScrubProgress, StoreError>, ScrubRuns> {
        let _alone = self.scrubbing.try_acquire().map_err(|_| ScrubRuns)?;
        let all = async {
            let blobs = self
                .blobs
                .scrub(bytes_per_second, |so_far| told(progress(&[so_far], false)))
                .await?;
            let results = self
                .results
                .scrub(bytes_per_second, |so_far| told(progress(&[blobs, so_far], false)))
                .await?;
            Ok(progress(&[blobs, results], true))
        };
        Ok(all.await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_one_reads_everything_at_a_time() {
        let scratch = tempfile::tempdir().unwrap();
        let options = DiskOptions::new(scratch.path(), 4 << 20);
        let local = LocalStorage::open(options.clone(), options).unwrap();
        let held = local.scrubbing.acquire().await.unwrap();
        assert!(local.scrub(None, |_| {}).await.is_err());
        drop(held);
        let done = local.scrub(None, |_| {}).await.unwrap().unwrap();
        assert!(done.done && done.stores.len() == 2, "{done:?}");
    }
}
