//! What the stores tell, in the words of `farrier.admin.v1`.

use std::time::Duration;

use admin_api::v1::share::{self, Scope};
use admin_api::v1::{ScrubProgress, Scrubbed, Share, StoreUsage, SurveyResponse};
use blob::InstanceName;
use cas_disk::{Age, DiskResults, EntryKind, ScrubReport, Survey, Usage};

use super::UNBOUNDED_BYTES;

/// The name of the one store.
pub(super) const BLOBS: &str = "blobs";
/// And of the other.
pub(super) const RESULTS: &str = "results";
/// In the order in which they are read.
const STORES: [&str; 2] = [BLOBS, RESULTS];

pub(super) fn progress(reports: &[ScrubReport], done: bool) -> ScrubProgress {
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

pub(super) fn usage_message(name: &str, usage: &Usage) -> StoreUsage {
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

pub(super) fn survey_message(surveys: &[Survey], instances: &[InstanceName]) -> SurveyResponse {
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
