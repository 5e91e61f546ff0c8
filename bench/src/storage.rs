//! Storage scenarios: the same gRPC requests to farrier and to buildbox-casd, in turns, in one run.
//!
//! What is measured is a server process on loopback over a directory of its own; nothing here knows how either of them
//! keeps its blobs. `TMPDIR` says on which disk that is. Each figure stands beside the aim it is held against.

mod action_results;
mod batch_update;
mod chunks;
mod figure;
mod find_missing;
mod large_blobs;
mod peer;
mod requests;
mod slow_readers;
mod start;

use anyhow::{Context, Result};

/// What can be asked for by name.
pub(crate) const SCENARIOS: [&str; 7] = [
    "find-missing",
    "batch-update",
    "action-results",
    "large-blobs",
    "chunks",
    "start",
    "slow-readers",
];

/// Rounds of each scenario; the figures are their medians.
const ROUNDS: usize = 3;
/// Blobs in the largest store unless `--blobs=` says otherwise.
const BLOBS_DEFAULT: u64 = 1_000_000;
const BLOBS_FLAG: &str = "--blobs=";

/// The storage scenarios of one command line.
pub(crate) struct Asked {
    scenarios: Vec<&'static str>,
    blobs: u64,
}

impl Asked {
    /// Takes from the words of the command line those that are meant for us. No words at all mean everything.
    pub(crate) fn take_from(words: &mut Vec<String>) -> Result<Self> {
        let mut blobs = BLOBS_DEFAULT;
        let mut scenarios = Vec::new();
        if words.is_empty() {
            scenarios.extend(SCENARIOS);
        }
        for word in std::mem::take(words) {
            if let Some(number) = word.strip_prefix(BLOBS_FLAG) {
                blobs = number
                    .parse()
                    .with_context(|| format!("`{word}` does not end with a number of blobs"))?;
            } else if let Some(scenario) = SCENARIOS.iter().find(|scenario| **scenario == word) {
                scenarios.push(*scenario);
            } else {
                words.push(word);
            }
        }
        Ok(Asked { scenarios, blobs })
    }

    /// Runs them one after the other.
    pub(crate) async fn run(self) -> Result<()> {
        for scenario in self.scenarios {
            println!("\n## {scenario}\n");
            match scenario {
                "find-missing" => find_missing::run(self.blobs).await?,
                "batch-update" => batch_update::run().await?,
                "action-results" => action_results::run().await?,
                "large-blobs" => large_blobs::run().await?,
                "chunks" => chunks::run().await?,
                "start" => start::run(self.blobs).await?,
                _ => slow_readers::run().await?,
            }
        }
        Ok(())
    }
}
