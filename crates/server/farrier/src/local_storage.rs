//! What is on this machine's disks, and the look into it: by a running server and by commands on a stopped one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use admin_api::v1::share::{self, Scope};
use admin_api::v1::{GetUsageResponse, ScrubProgress, Scrubbed, Share, StoreUsage, SurveyResponse};
use anyhow::{Context, Result, bail};
use blob::InstanceName;
use cas::StoreError;
use cas_disk::{Age, DiskBlobStore, DiskOptions, DiskResults, EntryKind, ScrubReport, Survey, Usage};
use tokio::sync::Semaphore;

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
                usage_message("blobs", &self.blobs.usage()),
                usage_message("results", &self.results.usage()),
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

/// In the order in which they are read.
const STORES: [&str; 2] = ["blobs", "results"];

fn progress(reports: &[ScrubReport], done: bool) -> ScrubProgress {
    let stores = STORES.iter().zip(reports).map(|(name, report)| Scrubbed {
        name: (*name).to_owned(),
        entries: report.entries,
        bytes: report.bytes,
        damaged: report.damaged,
    });
    ScrubProgress {
        stores: stores.collect(),
        done,
    }
}

/// Ages are far below the hundreds of billions of years that the message cannot hold.
fn duration(duration: Duration) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(duration).ok()
}

fn usage_message(name: &str, usage: &Usage) -> StoreUsage {
    let bound = Some(usage.capacity_bytes).filter(|bytes| *bytes != UNBOUNDED_BYTES);
    StoreUsage {
        name: name.to_owned(),
        entries: usage.blobs,
        bytes: usage.bytes,
        capacity_bytes: bound.unwrap_or(0),
        segments: usage.segments,
        index_bytes: usage.index_bytes,
        evicted: usage.evicted,
        carried_bytes: usage.carried_bytes,
        corrupt: usage.corrupt,
        refused: usage.refused,
        retention: duration(usage.retention),
        next_eviction_bytes: usage.next.bytes,
        next_eviction_age: duration(usage.next.age),
        builds: usage.leases.builds,
        promised_bytes: usage.leases.promised_bytes,
        lapsed_bytes: usage.leases.lapsed_bytes,
    }
}

fn survey_message(surveys: &[Survey], instances: &[InstanceName]) -> SurveyResponse {
    let scope_of = |scope: u64| {
        let named = instances.iter().find(|name| DiskResults::scope_of(name) == scope);
        match (scope, named) {
            (0, _) => Scope::Shared(true),
            (_, Some(name)) => Scope::InstanceName(name.as_str().to_owned()),
            _ => Scope::Other(true),
        }
    };
    let shares = surveys.iter().flat_map(|survey| &survey.shares);
    let shares = shares.map(|((kind, age, scope), share)| {
        let kind = match kind {
            EntryKind::Blob => share::Kind::Blob,
            EntryKind::Recipe => share::Kind::Recipe,
            EntryKind::Result => share::Kind::Result,
        };
        let age = match age {
            Age::Hour => share::Age::LessThanAnHour,
            Age::Day => share::Age::LessThanADay,
            Age::Week => share::Age::LessThanAWeek,
            Age::Older => share::Age::Older,
        };
        Share {
            kind: kind.into(),
            age: age.into(),
            entries: share.entries,
            content_bytes: share.content_bytes,
            stored_bytes: share.stored_bytes,
            scope: Some(scope_of(*scope)),
        }
    });
    SurveyResponse {
        shares: shares.collect(),
        dead_bytes: surveys.iter().map(|survey| survey.dead_bytes).sum(),
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

    #[test]
    fn results_of_instances_that_nobody_named_are_told_apart_from_those_of_named_ones() {
        let name = |name: &str| InstanceName::new(name).unwrap();
        let share = |number| cas_disk::Share {
            entries: number,
            ..Default::default()
        };
        let mut survey = Survey::default();
        for (scope, number) in [
            (0, 1),
            (DiskResults::scope_of(&name("main")), 2),
            (DiskResults::scope_of(&name("old")), 3),
            (DiskResults::scope_of(&name("")), 4),
        ] {
            survey
                .shares
                .insert((EntryKind::Result, Age::Day, scope), share(number));
        }
        let message = survey_message(&[survey], &[name("main"), name("")]);
        let mut scopes: Vec<_> = message
            .shares
            .into_iter()
            .map(|share| (share.entries, share.scope.unwrap()))
            .collect();
        scopes.sort_by_key(|(entries, _)| *entries);
        let named = |name: &str| Scope::InstanceName(name.to_owned());
        assert_eq!(
            scopes,
            [
                (1, Scope::Shared(true)),
                (2, named("main")),
                (3, Scope::Other(true)),
                (4, named(""))
            ]
        );
    }
}
