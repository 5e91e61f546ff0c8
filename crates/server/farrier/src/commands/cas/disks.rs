//! `farrier cas stat`, `du` and `scrub`: looking after what is on a farrier's disks.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};

use admin_api::v1::share::{Age, Kind, Scope};
use admin_api::v1::{ScrubProgress, Scrubbed, Share, StoreUsage};
use anyhow::{Result, bail};
use blob::InstanceName;
use clap::Args;

use super::whose::WhoseOptions;
use crate::byte_size::ByteSize;
use crate::commands::output::print;

#[derive(Args, Debug)]
pub(crate) struct StatOptions {
    #[command(flatten)]
    whose: WhoseOptions,
}

#[derive(Args, Debug)]
pub(crate) struct DuOptions {
    #[command(flatten)]
    whose: WhoseOptions,
    /// Instance names to tell apart beside those that the server serves; repeat for several. Results of others are summed
    /// up.
    #[arg(long = "instance", value_name = "NAME", value_parser = InstanceName::new)]
    instances: Vec<InstanceName>,
    /// Sizes in plain bytes, for programs.
    #[arg(long)]
    bytes: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ScrubOptions {
    #[command(flatten)]
    whose: WhoseOptions,
    /// Bytes to read in a second at most [default: 32MiB of a running farrier, as fast as the disk of a stopped one].
    #[arg(long, value_name = "SIZE")]
    rate: Option<ByteSize>,
}

pub(super) async fn stat(options: StatOptions) -> Result<()> {
    let usage = options.whose.open().await?.usage().await?;
    for store in &usage.stores {
        print(&usage_lines(store))?;
    }
    Ok(())
}

/// What is there; who holds it; what has happened.
fn usage_lines(usage: &StoreUsage) -> String {
    let of = match usage.capacity_bytes {
        0 => String::new(),
        capacity => format!(
            " of {} ({} %)",
            ByteSize(capacity),
            usage.bytes.saturating_mul(100) / capacity
        ),
    };
    let mut text = format!(
        "{:<8} {} entries, {}{of} in {} segments, what goes next is {} old; {} of memory for the index\n",
        usage.name,
        usage.entries,
        ByteSize(usage.bytes),
        usage.segments,
        age(usage.retention.as_ref()),
        ByteSize(usage.index_bytes),
    );
    if usage.capacity_bytes == 0 {
        // Nobody is promised anything by a farrier that is stopped, and nothing has happened since.
        return text;
    }
    text.push_str(&format!(
        "         promised: {} to {} builds; lapsed beyond a build's share: {}\n",
        ByteSize(usage.promised_bytes),
        usage.builds,
        ByteSize(usage.lapsed_bytes),
    ));
    text.push_str(&format!(
        "         next to make room: {}, {} old\n",
        ByteSize(usage.next_eviction_bytes),
        age(usage.next_eviction_age.as_ref()),
    ));
    text.push_str(&format!(
        "         since the start: {} evicted, {} carried forward, {} damaged, {} writes refused\n",
        usage.evicted,
        ByteSize(usage.carried_bytes),
        usage.corrupt,
        usage.refused,
    ));
    text
}

fn age(duration: Option<&prost_types::Duration>) -> String {
    let seconds = duration.map_or(0, |duration| duration.seconds.max(0));
    match seconds {
        0..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

pub(super) async fn du(options: DuOptions) -> Result<()> {
    let survey = options.whose.open().await?.survey(&options.instances).await?;
    let size = |bytes: u64| match options.bytes {
        true => bytes.to_string(),
        false => ByteSize(bytes).to_string(),
    };
    print(&format!(
        "{:<10} {:<24} {:<10} {:>10} {:>12} {:>12}\n",
        "KIND", "INSTANCE", "AGE", "ENTRIES", "CONTENT", "ON DISK"
    ))?;
    for ((kind, instance, age), sum) in rows(&survey.shares) {
        print(&format!(
            "{:<10} {:<24} {:<10} {:>10} {:>12} {:>12}\n",
            kind,
            instance,
            age.words(),
            sum.entries,
            size(sum.content_bytes),
            size(sum.stored_bytes),
        ))?;
    }
    print(&format!(
        "{} more are of records that were replaced or dropped\n",
        size(survey.dead_bytes)
    ))
}

/// Ages, the youngest first, as rows are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct RowAge(i32);

impl RowAge {
    fn words(self) -> &'static str {
        match Age::try_from(self.0) {
            Ok(Age::LessThanAnHour) => "< 1 h",
            Ok(Age::LessThanADay) => "< 1 day",
            Ok(Age::LessThanAWeek) => "< 1 week",
            Ok(Age::Older) => "older",
            Ok(Age::Unspecified) | Err(_) => "?",
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    entries: u64,
    content_bytes: u64,
    stored_bytes: u64,
}

fn rows(shares: &[Share]) -> BTreeMap<(&'static str, String, RowAge), Sum> {
    let mut rows: BTreeMap<_, Sum> = BTreeMap::new();
    for share in shares {
        let kind = match share.kind() {
            Kind::Blob => "blob",
            Kind::Recipe => "recipe",
            Kind::Result => "result",
            Kind::Unspecified => "?",
        };
        let instance = match &share.scope {
            Some(Scope::Shared(_)) => "(shared)".to_owned(),
            Some(Scope::InstanceName(name)) if name.is_empty() => "(unnamed)".to_owned(),
            Some(Scope::InstanceName(name)) => format!("{name:?}"),
            Some(Scope::Other(_)) | None => "(others)".to_owned(),
        };
        let sum = rows.entry((kind, instance, RowAge(share.age))).or_default();
        sum.entries += share.entries;
        sum.content_bytes += share.content_bytes;
        sum.stored_bytes += share.stored_bytes;
    }
    rows
}

pub(super) async fn scrub(options: ScrubOptions) -> Result<()> {
    let mut whose = options.whose.open().await?;
    let shows = std::io::stderr().is_terminal();
    let rate = options.rate.map(|rate| rate.0);
    let done = whose.scrub(rate, |progress| {
        if shows && let Some(store) = progress.stores.last() {
            // Nobody has to see it.
            let _ = write!(std::io::stderr(), "\r{}\x1b[K", scrubbed_line(store));
        }
    });
    let done: ScrubProgress = done.await?;
    if shows {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    for store in &done.stores {
        print(&format!("{}\n", scrubbed_line(store)))?;
    }
    let damaged: u64 = done.stores.iter().map(|store| store.damaged).sum();
    if damaged > 0 {
        bail!(
            "{damaged} entries were damaged; they are missing now and will be made or uploaded again when needed"
        );
    }
    Ok(())
}

fn scrubbed_line(store: &Scrubbed) -> String {
    format!(
        "{}: {} entries, {} read, {} damaged and dropped",
        store.name,
        store.entries,
        ByteSize(store.bytes),
        store.damaged
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_store_tells_more_than_a_stopped_one() {
        let mut usage = StoreUsage {
            name: "blobs".to_owned(),
            entries: 3,
            bytes: 512 << 20,
            segments: 2,
            ..StoreUsage::default()
        };
        assert_eq!(usage_lines(&usage).lines().count(), 1);
        usage.capacity_bytes = 1 << 30;
        usage.retention = Some(prost_types::Duration {
            seconds: 3 * 3_600,
            nanos: 0,
        });
        let text = usage_lines(&usage);
        assert!(
            text.starts_with(
                "blobs    3 entries, 512 MiB of 1 GiB (50 %) in 2 segments, what goes next is 3 h old;"
            ),
            "{text}"
        );
        assert_eq!(text.lines().count(), 4);
    }

    #[test]
    fn shares_of_one_row_are_summed_and_ages_are_in_order() {
        let share = |age: Age, entries| Share {
            kind: Kind::Result.into(),
            age: age.into(),
            entries,
            content_bytes: 10 * entries,
            stored_bytes: 16 * entries,
            scope: Some(Scope::InstanceName(String::new())),
        };
        let shares = [
            share(Age::Older, 1),
            share(Age::LessThanAWeek, 2),
            share(Age::Older, 3),
        ];
        let rows: Vec<_> = rows(&shares)
            .into_iter()
            .map(|((kind, instance, age), sum)| (kind, instance, age.words(), sum.entries, sum.stored_bytes))
            .collect();
        let unnamed = || "(unnamed)".to_owned();
        assert_eq!(
            rows,
            [
                ("result", unnamed(), "< 1 week", 2, 32),
                ("result", unnamed(), "older", 4, 64)
            ]
        );
    }
}
