//! Other farriers that keep the blobs and results between them: what `--shard` names.

use std::sync::Arc;
use std::time::Duration;

use action_cache::ActionCache;
use anyhow::{Context, Result};
use blob::InstanceName;
use cas::{BlobStore, Deadlines, Mirrored, Patience, Sharded};
use cas_remote::{RemoteChannel, RemoteOptions};
use futures::future;

use super::peers::PeerArguments;

/// One share: the farrier that keeps it, or the two that both do, and how much it is beside the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShardChoice {
    pub(crate) urls: Vec<String>,
    pub(crate) weight: u32,
}

/// A share is at most so many times another one.
const WEIGHT_MAX: u32 = 1000;
/// A farrier that says nothing for so long is away. Calls are tried again behind this; see `cas_remote`.
const DEADLINES: Deadlines = Deadlines {
    answer: Duration::from_secs(10),
    write: Duration::from_secs(40),
    piece: Duration::from_secs(60),
    stream: Duration::from_secs(3600),
};
/// Then nobody waits for it for so long: whoever asks is told at once, or gets it from its mirror.
const REST: Duration = Duration::from_secs(15);
/// Its mirror can stand in, or whoever asked tries again: nobody gains by waiting here.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const RETRIES_MAX: u32 = 2;

impl ShardChoice {
    /// `URL`, `URL,URL` for a pair that holds the same, either with `=WEIGHT` behind it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (urls, weight) = match text.rsplit_once('=') {
            None => (text, 1),
            Some((urls, weight)) => {
                let weight = weight.parse().ok().filter(|weight| *weight <= WEIGHT_MAX);
                (
                    urls,
                    weight.ok_or_else(|| format!("a weight is a number from 0 to {WEIGHT_MAX}"))?,
                )
            }
        };
        let urls: Vec<String> = urls.split(',').map(str::to_owned).collect();
        let is_pair_of_one = urls.len() == 2 && urls[0] == urls[1];
        if urls.len() > 2 || is_pair_of_one || urls.iter().any(String::is_empty) {
            return Err("a share is kept by one farrier, or by two that are named as URL,URL".to_owned());
        }
        Ok(ShardChoice { urls, weight })
    }

    /// What its share follows from. A mirror may be added, or take the first one's place as the other of the pair, and
    /// nothing moves as long as the first URL stays.
    fn name(&self) -> &str {
        &self.urls[0]
    }
}

/// The farriers, as stores.
pub(crate) struct Shards {
    connected: Vec<Connected>,
    blobs: Arc<Sharded>,
    pairs: Vec<Arc<Mirrored>>,
}

struct Connected {
    choice: ShardChoice,
    servers: Vec<Server>,
}

struct Server {
    channel: RemoteChannel,
    patience: Arc<Patience>,
}

impl Server {
    fn blobs(&self, instance: &InstanceName) -> Arc<dyn BlobStore> {
        let blobs = self.channel.blob_store(instance.clone());
        cas::deadlined(blobs, self.patience.clone(), DEADLINES)
    }

    fn results_of(&self, instance: &InstanceName) -> Arc<dyn ActionCache> {
        let results = self.channel.action_cache(instance.clone());
        action_cache::deadlined(results, self.patience.clone(), DEADLINES.answer)
    }
}

impl Shards {
    /// None of them has to be there yet: one that is away is one that is down. They serve the same instances as this server;
    /// blobs are shared by all, so they go by the name of one of them.
    pub(crate) fn open(
        choices: &[ShardChoice],
        instance: &InstanceName,
        peers: &PeerArguments,
    ) -> Result<Self> {
        let connect = |choice: &ShardChoice| {
            let server = |url: &String| {
                let options = RemoteOptions {
                    connect_timeout: CONNECT_TIMEOUT,
                    retries_max: RETRIES_MAX,
                    ..peers.options(url)?
                };
                let channel = RemoteChannel::connect_later(options);
                Ok(Server {
                    channel: channel.with_context(|| format!("--shard {url}"))?,
                    patience: Patience::new("a shard", REST),
                })
            };
            Ok(Connected {
                choice: choice.clone(),
                servers: choice.urls.iter().map(server).collect::<Result<_>>()?,
            })
        };
        let connected: Vec<Connected> = choices.iter().map(connect).collect::<Result<_>>()?;
        let mut pairs = Vec::new();
        let shard = |connected: &Connected| cas::Shard {
            name: connected.choice.name().to_owned(),
            weight: connected.choice.weight,
            store: match &connected.servers[..] {
                [first, second] => {
                    let pair = cas::mirrored(first.blobs(instance), second.blobs(instance));
                    pairs.push(pair.clone());
                    pair
                }
                servers => servers[0].blobs(instance),
            },
        };
        let blobs = cas::sharded(connected.iter().map(shard).collect());
        Ok(Shards {
            connected,
            blobs,
            pairs,
        })
    }

    /// All blobs.
    pub(crate) fn blobs(&self) -> Arc<dyn BlobStore> {
        self.blobs.clone()
    }

    /// The results of an instance, which the shards must serve too.
    pub(crate) fn results_of(&self, instance: &InstanceName) -> Arc<dyn ActionCache> {
        let shard = |connected: &Connected| action_cache::Shard {
            name: connected.choice.name().to_owned(),
            weight: connected.choice.weight,
            cache: match &connected.servers[..] {
                [first, second] => {
                    action_cache::mirrored(first.results_of(instance), second.results_of(instance))
                }
                servers => servers[0].results_of(instance),
            },
        };
        action_cache::sharded(self.connected.iter().map(shard).collect())
    }

    /// Copies what a side of a pair missed, and moves home what lies where it belonged before, for as long as it is
    /// polled.
    pub(crate) async fn keep_in_order(&self) {
        let repairs = self.pairs.iter().map(|pair| pair.keep_repaired());
        future::join(self.blobs.keep_balanced(), future::join_all(repairs)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_one_url_or_two_and_a_weight() {
        let share = |urls: &[&str], weight| {
            Ok(ShardChoice {
                urls: urls.iter().map(|url| (*url).to_owned()).collect(),
                weight,
            })
        };
        let (a, b) = ("grpc://a:8980", "grpc://b:8980");
        assert_eq!(ShardChoice::parse(a), share(&[a], 1));
        assert_eq!(ShardChoice::parse(&format!("{a},{b}")), share(&[a, b], 1));
        assert_eq!(ShardChoice::parse(&format!("{a},{b}=3")), share(&[a, b], 3));
        assert_eq!(ShardChoice::parse(&format!("{a}=0")), share(&[a], 0));
        for wrong in ["", "=1", "a,", "a,a", "a,b,c", "a=x", "a=1001", "a=-1"] {
            assert!(ShardChoice::parse(wrong).is_err(), "{wrong}");
        }
    }
}
