//! Where blobs and results are kept, as options of the server.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use blob::InstanceName;
use cas_disk::Durability;
use clap::{Args, ValueEnum};

use super::bucket::{self, BucketChoice};
use super::peers::PeerArguments;
use super::shards::ShardChoice;
use super::storage::{Backing, StorageChoices, Upstream};
use crate::bad_options::BadOptions;
use crate::durations;

/// The options.
#[derive(Args, Debug)]
pub(super) struct StorageArguments {
    /// What an acknowledged upload survives.
    #[arg(long, value_enum, default_value_t = Survives::PowerCut, value_name = "WHAT")]
    survives: Survives,
    /// Another directory to spread blobs over, on another disk; repeat for several. Always name the same ones.
    #[arg(long, value_name = "DIR")]
    also_dir: Vec<PathBuf>,
    /// A server to read from what is not here, and to keep what was read: any that speaks the Remote Execution API.
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// The instance name at the upstream server.
    #[arg(long, default_value = "", hide_default_value = true, requires = "upstream", value_name = "NAME", value_parser = parse_name)]
    upstream_instance: InstanceName,
    /// A farrier that runs with --as-shard and keeps a share of all blobs and results; repeat for each. URL,URL names two
    /// that hold the same, either of which may be down; =WEIGHT says how much more than others it holds. The data
    /// directory here then holds copies.
    #[arg(long = "shard", conflicts_with_all = ["upstream", "object_store"], value_name = "URL[,URL][=WEIGHT]",
        value_parser = ShardChoice::parse)]
    shards: Vec<ShardChoice>,
    /// Keep a share of what other farriers keep, which name this one with --shard. Results are kept as they come, since
    /// what they refer to may lie elsewhere, and actions are not run here: no client should use it by itself.
    #[arg(long, conflicts_with_all = ["upstream", "object_store", "shards", "slots", "command"])]
    as_shard: bool,
    #[command(flatten)]
    peers: PeerArguments,
    /// A bucket that keeps all blobs and results, shared by all farriers that name it; the data directory then holds
    /// copies: s3://BUCKET/PREFIX, gs://… or az://…. The environment says who we are, as for the cloud's own tools.
    #[arg(long, conflicts_with = "upstream", value_name = "URL")]
    object_store: Option<String>,
    /// Another server than the cloud's own, such as http://127.0.0.1:9000.
    #[arg(long, requires = "object_store", value_name = "URL")]
    object_store_endpoint: Option<String>,
    /// The bucket's server does not create objects on the condition that there is none. Some do not; with it, two
    /// farriers that store the same blob at the same time may both write it.
    #[arg(long, requires = "object_store")]
    object_store_without_conditions: bool,
    /// Remove from the bucket what nobody has used for so long, at least 12h; 0s leaves that to another farrier.
    #[arg(long, default_value = "336h", requires = "object_store", value_parser = durations::parse, value_name = "DURATION")]
    object_store_keep: Duration,
}

/// What an acknowledged upload survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Survives {
    /// The death of this machine: acknowledged when it is on the disk.
    PowerCut,
    /// The death of this process: acknowledged when the system has it.
    Kill,
}

impl StorageArguments {
    /// What is wrong with them, beside what the parser sees.
    pub(super) fn check(&self) -> Result<()> {
        let keep_min = bucket::keep_min();
        if !self.object_store_keep.is_zero() && self.object_store_keep < keep_min {
            return Err(BadOptions::message(format!(
                "--object-store-keep is shorter than the {} h for which use is certain to be noticed; name a longer one, or 0s",
                keep_min.as_secs() / 3600
            )));
        }
        for (index, shard) in self.shards.iter().enumerate() {
            let earlier = self.shards[..index].iter().flat_map(|shard| &shard.urls);
            if let Some(twice) = earlier.into_iter().find(|url| shard.urls.contains(url)) {
                return Err(BadOptions::message(format!(
                    "--shard names {twice} twice; a farrier keeps one share"
                )));
            }
        }
        if self.peers.is_given() && self.shards.is_empty() && self.upstream.is_none() {
            return Err(BadOptions::message(
                "--peer-tls-ca and --peer-token-file are for --upstream and --shard; name one of these",
            ));
        }
        if !self.shards.is_empty() && self.shards.iter().all(|shard| shard.weight == 0) {
            return Err(BadOptions::message(
                "every --shard has the weight 0; one of them has to keep something",
            ));
        }
        Ok(())
    }

    /// As the stores are told.
    pub(super) fn choices(&self, clients_may_update_action_cache: bool) -> StorageChoices {
        let bucket = || {
            let url = self.object_store.clone()?;
            Some(Backing::Bucket(BucketChoice {
                url,
                endpoint: self.object_store_endpoint.clone(),
                without_conditions: self.object_store_without_conditions,
            }))
        };
        let upstream = || {
            let url = self.upstream.clone()?;
            Some(Backing::Upstream(Upstream {
                url,
                instance: self.upstream_instance.clone(),
            }))
        };
        let shards = || (!self.shards.is_empty()).then(|| Backing::Shards(self.shards.clone()));
        StorageChoices {
            durability: match self.survives {
                Survives::PowerCut => Durability::Disk,
                Survives::Kill => Durability::Process,
            },
            also: self.also_dir.clone(),
            behind: bucket().or_else(upstream).or_else(shards),
            peers: self.peers.clone(),
            is_shard: self.as_shard,
            clients_may_update_action_cache,
        }
    }

    /// Whether this farrier keeps a share for others and does nothing else.
    pub(super) fn is_shard(&self) -> bool {
        self.as_shard
    }

    /// How long the bucket keeps what nobody uses.
    pub(super) fn bucket_keeps(&self) -> Duration {
        self.object_store_keep
    }

    /// Where everything is that was acknowledged, in words; `None` for the data directory.
    pub(super) fn kept_in(&self) -> Option<String> {
        let shards = || (!self.shards.is_empty()).then(|| "the shards".to_owned());
        self.object_store.clone().or_else(shards)
    }
}

fn parse_name(name: &str) -> Result<InstanceName, String> {
    InstanceName::new(name).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        storage: StorageArguments,
        #[arg(long)]
        slots: Option<u32>,
        command: Vec<String>,
    }

    fn parsed(words: &[&str]) -> Result<StorageArguments> {
        let line = Line::try_parse_from([&["up"], words].concat())?;
        line.storage.check()?;
        Ok(line.storage)
    }

    #[test]
    fn what_lies_behind_the_disk_is_one_thing() {
        let behind = |words: &[&str]| parsed(words).unwrap().choices(true).behind;
        assert!(behind(&[]).is_none());
        assert!(matches!(
            behind(&["--upstream=grpc://a:1"]),
            Some(Backing::Upstream(_))
        ));
        assert!(matches!(
            behind(&["--object-store=s3://b"]),
            Some(Backing::Bucket(_))
        ));
        let shards = behind(&["--shard=grpc://a:1,grpc://b:1=2", "--shard=grpc://c:1"]);
        assert!(matches!(shards, Some(Backing::Shards(shards)) if shards.len() == 2));
        for wrong in [
            &["--upstream=grpc://a:1", "--object-store=s3://b"][..],
            &["--upstream=grpc://a:1", "--shard=grpc://b:1"],
            &["--shard=grpc://a:1", "--object-store=s3://b"],
            &["--shard=grpc://a:1", "--as-shard"],
            &["--as-shard", "--slots=2"],
            &["--shard=grpc://a:1", "--shard=grpc://b:1,grpc://a:1"],
            &["--shard=grpc://a:1=0"],
            &["--object-store=s3://b", "--object-store-keep=1h"],
            &["--object-store-without-conditions"],
            &["--peer-token-file=t"],
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }
}
