//! Looking after the data directory of a farrier that is not running.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use blob::InstanceName;
use cas_disk::{Age, DiskBlobStore, DiskOptions, DiskResults, EntryKind, ScrubReport, Share, Survey, Usage};
use clap::Args;

use crate::byte_size::ByteSize;
use crate::commands::output::print;
use crate::data_directory::DataDirectory;

/// Opened only to be looked at: nothing is ever dropped for want of room.
const CAPACITY_BYTES: u64 = 1 << 50;

/// Where a stopped farrier keeps its data.
#[derive(Args, Debug)]
pub(crate) struct DataOptions {
    /// The data directory [default: ~/.local/share/farrier].
    #[arg(long, env = "FARRIER_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct DuOptions {
    #[command(flatten)]
    data: DataOptions,
    /// Instance names to tell apart; repeat for several. Results of others are summed up.
    #[arg(long = "instance", value_name = "NAME", value_parser = parse_instance)]
    instances: Vec<InstanceName>,
    /// Sizes in plain bytes, for programs.
    #[arg(long)]
    bytes: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ScrubOptions {
    #[command(flatten)]
    data: DataOptions,
    /// Bytes to read in a second at most [default: as fast as the disk].
    #[arg(long, value_name = "SIZE")]
    rate: Option<ByteSize>,
}

fn parse_instance(name: &str) -> Result<InstanceName, String> {
    InstanceName::new(name).map_err(|error| error.to_string())
}

impl DataOptions {
    fn open(&self) -> Result<(std::sync::Arc<DiskBlobStore>, std::sync::Arc<DiskResults>)> {
        let path = self
            .data_dir
            .clone()
            .map_or_else(DataDirectory::default_path, Ok)?;
        if !path.is_dir() {
            bail!("{} is not there", path.display());
        }
        let storage = DataDirectory::open(&path)?.storage();
        let options = DiskOptions::new(storage, CAPACITY_BYTES);
        let blobs = DiskBlobStore::open(options.clone()).context("cannot open the blob store")?;
        let results = DiskResults::open(options).context("cannot open the action cache")?;
        Ok((blobs, results))
    }
}

pub(super) async fn stat(options: DataOptions) -> Result<()> {
    let (blobs, results) = options.open()?;
    print(&format!("blobs    {}\n", line(&blobs.usage())))?;
    print(&format!("results  {}\n", line(&results.usage())))
}

fn line(usage: &Usage) -> String {
    format!(
        "{} entries, {} in {} segments, the oldest {} old; {} of memory for the index",
        usage.blobs,
        ByteSize(usage.bytes),
        usage.segments,
        age(usage.retention.as_secs()),
        ByteSize(usage.index_bytes),
    )
}

fn age(seconds: u64) -> String {
    match seconds {
        0..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

pub(super) async fn du(options: DuOptions) -> Result<()> {
    let (blobs, results) = options.data.open()?;
    let size = |bytes: u64| match options.bytes {
        true => bytes.to_string(),
        false => ByteSize(bytes).to_string(),
    };
    let blobs = blobs.survey(|_| {}).await?;
    let results = results.survey().await?;
    print(&format!(
        "{:<10} {:<24} {:<10} {:>10} {:>12} {:>12}\n",
        "KIND", "INSTANCE", "AGE", "ENTRIES", "CONTENT", "ON DISK"
    ))?;
    for ((kind, instance, age), share) in rows(&blobs, &results, &options.instances) {
        print(&format!(
            "{:<10} {:<24} {:<10} {:>10} {:>12} {:>12}\n",
            kind,
            instance,
            age,
            share.entries,
            size(share.content_bytes),
            size(share.stored_bytes),
        ))?;
    }
    let dead = size(blobs.dead_bytes + results.dead_bytes);
    print(&format!(
        "{dead} more are of records that were replaced or dropped\n"
    ))
}

type Row = (&'static str, String, &'static str);

fn rows(blobs: &Survey, results: &Survey, instances: &[InstanceName]) -> BTreeMap<Row, Share> {
    let mut rows: BTreeMap<Row, Share> = BTreeMap::new();
    for ((kind, age, scope), share) in blobs.shares.iter().chain(&results.shares) {
        let kind = match kind {
            EntryKind::Blob => "blob",
            EntryKind::Recipe => "recipe",
            EntryKind::Result => "result",
        };
        let named = instances
            .iter()
            .find(|name| DiskResults::scope_of(name) == *scope);
        let instance = match (scope, named) {
            (0, _) => "(shared)".to_owned(),
            (_, Some(name)) => format!("{:?}", name.as_str()),
            _ if *scope == DiskResults::scope_of(&InstanceName::default()) => "(unnamed)".to_owned(),
            _ => "(others)".to_owned(),
        };
        let age = match age {
            Age::Hour => "< 1 h",
            Age::Day => "< 1 day",
            Age::Week => "< 1 week",
            Age::Older => "older",
        };
        let row = rows.entry((kind, instance, age)).or_default();
        row.entries += share.entries;
        row.content_bytes += share.content_bytes;
        row.stored_bytes += share.stored_bytes;
    }
    rows
}

pub(super) async fn scrub(options: ScrubOptions) -> Result<()> {
    let (blobs, results) = options.data.open()?;
    let rate = options.rate.map(|rate| rate.0);
    let (blobs, results) = (blobs.scrub(rate).await?, results.scrub(rate).await?);
    let told = |what: &str, report: ScrubReport| {
        print(&format!(
            "{what}: {} entries, {} read, {} damaged and dropped\n",
            report.entries,
            ByteSize(report.bytes),
            report.damaged
        ))
    };
    told("blobs", blobs)?;
    told("results", results)?;
    let damaged = blobs.damaged + results.damaged;
    if damaged > 0 {
        bail!(
            "{damaged} entries were damaged; they are missing now and will be made or uploaded again when needed"
        );
    }
    Ok(())
}
