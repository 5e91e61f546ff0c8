//! `cargo run --release -p bench -- [scenario…]`: what farrier costs on this machine, each figure beside a physical
//! limit taken in the same run. Absolute numbers belong to the machine; the ratios travel.
//!
//! Needs `cargo build --release` first: it measures `target/release/farrier` as users run it.

mod byte_stream;
mod client;
mod doors;
mod large_roots;
mod memory;
mod report;
mod server;
mod small_actions;
mod storage;

use anyhow::{Result, bail};

const SCENARIOS: [&str; 5] = ["small-actions", "large-roots", "doors", "byte-stream", "memory"];

#[tokio::main]
async fn main() -> Result<()> {
    let mut asked: Vec<String> = std::env::args().skip(1).collect();
    let all = asked.is_empty();
    let storage = storage::Asked::take_from(&mut asked)?;
    if let Some(unknown) = asked.iter().find(|name| !SCENARIOS.contains(&name.as_str())) {
        let known = [&SCENARIOS[..], &storage::SCENARIOS[..]].concat();
        bail!("no scenario `{unknown}`; there are: {}", known.join(", "));
    }
    for scenario in SCENARIOS
        .iter()
        .filter(|name| all || asked.iter().any(|asked| asked == *name))
    {
        println!("\n## {scenario}\n");
        match *scenario {
            "small-actions" => small_actions::run().await?,
            "large-roots" => large_roots::run().await?,
            "doors" => doors::run().await?,
            "byte-stream" => byte_stream::run().await?,
            _ => memory::run().await?,
        }
    }
    storage.run().await
}
