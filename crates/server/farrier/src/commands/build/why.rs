//! `farrier why OUTPUT`: how a step differs from the last time that it was done.

use std::collections::BTreeMap;
use std::process::ExitCode;

use ::action::{Action, Command, Platform};
use ::cas::tree::{fetch_input_tree, read_all};
use anyhow::{Context, Result, anyhow, bail};
use blob::{Digest, DigestFunction};
use clap::Args;
use merkle::{Entry, InputTree};
use remote_action::Server;
use serde_json::Value;

use super::ask::ask;
use super::state::State;
use crate::commands::connection::ServerOptions;
use crate::commands::output::print;
use crate::server_trust::ServerTrust;

#[derive(Args, Debug)]
pub(crate) struct WhyOptions {
    /// What the step makes, or the end of its path.
    #[arg(value_name = "OUTPUT")]
    output: String,
    #[command(flatten)]
    trust: ServerTrust,
}

/// The largest Action or Command that is read.
const MESSAGE_BYTES_MAX: u64 = 32 << 20;
/// Inputs that are told.
const INPUTS_TOLD_MAX: usize = 50;

/// Everything that decides an action, in words that can be compared one by one.
struct Facts {
    words: BTreeMap<String, String>,
    inputs: BTreeMap<String, String>,
    salt: Vec<u8>,
}

/// Runs `farrier why`.
pub(crate) async fn why(options: &WhyOptions) -> Result<ExitCode> {
    let state = State::open()?;
    let absent = || anyhow!("no daemon is there; `farrier run` starts one, and it remembers what it did");
    let history = ask(&state.socket(), "history", Some(&options.output))?.ok_or_else(absent)?;
    let history = history.as_array().cloned().unwrap_or_default();
    let Some(last) = history.last() else {
        bail!(
            "the daemon remembers no step that makes `{}`; `farrier steps` lists the last build",
            options.output
        );
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut lines = vec![format!("{}: {}", text(&last["name"]), text(&last["how"]))];
    lines.extend(last["why"].as_str().map(|why| format!("  {why}")));
    lines.extend(
        last["fallback"]
            .as_str()
            .map(|why| format!("  not by a worker: {why}")),
    );
    let is_miss = last["how"] == "local" || last["how"] == "remote";
    if let (true, Some(action)) = (is_miss, last["action"].as_str()) {
        let earlier = history.iter().rev().filter_map(|step| step["action"].as_str());
        let earlier = earlier.skip(1).find(|earlier| *earlier != action);
        match earlier {
            None => lines.push("  it was not done before, as far as the daemon remembers".to_owned()),
            Some(earlier) => {
                let status = ask(&state.socket(), "status", None)?.ok_or_else(absent)?;
                let server = ServerOptions {
                    endpoint: text(&status["endpoint"]),
                    trust: options.trust.clone(),
                    instance: blob::InstanceName::new(&text(&status["instance"]))?,
                    digest_function: DigestFunction::Sha256,
                };
                let server = server.connect().await?;
                let (before, now) = (facts(&server, earlier).await?, facts(&server, action).await?);
                lines.push("  since the last time:".to_owned());
                lines.extend(
                    differences(&before, &now)
                        .into_iter()
                        .map(|line| format!("    {line}")),
                );
            }
        }
    }
    print(&format!("{}\n", lines.join("\n")))?;
    Ok(ExitCode::SUCCESS)
}

async fn facts(server: &Server, action: &str) -> Result<Facts> {
    let (hash, size) = action
        .split_once('/')
        .context("the daemon names an action by something else than a digest")?;
    let digest = Digest::from_hex(
        server.function,
        hash,
        size.parse().context("the size of an action")?,
    )?;
    let action = Action::decode(server.function, &message(server, digest).await?)?;
    let command = Command::decode(&message(server, action.command_digest()).await?)?;
    let mut words = BTreeMap::new();
    words.insert("command".to_owned(), command.arguments().join(" "));
    words.insert(
        "working directory".to_owned(),
        command.working_directory().to_string(),
    );
    for (name, value) in command.environment() {
        words.insert(format!("variable {name}"), value.clone());
    }
    for (name, value) in Platform::of(&action, &command).iter() {
        words.insert(format!("property {name}"), value.to_owned());
    }
    let tree = fetch_input_tree(&*server.store, action.input_root_digest()).await?;
    Ok(Facts {
        words,
        inputs: inputs(&tree)?,
        salt: action.salt().to_vec(),
    })
}

async fn message(server: &Server, digest: Digest) -> Result<bytes::Bytes> {
    let bytes = read_all(&*server.store, &digest, MESSAGE_BYTES_MAX).await?;
    bytes.ok_or_else(|| anyhow!("the server has forgotten {digest}, so there is nothing to compare with"))
}

fn inputs(tree: &InputTree) -> Result<BTreeMap<String, String>> {
    let entries = tree.entries()?;
    let files = entries.filter_map(|(path, entry)| match entry {
        Entry::File(file) => Some((path, format!("{} {}", file.digest, file.is_executable))),
        _ => None,
    });
    Ok(files.collect())
}

/// One line for each difference.
fn differences(before: &Facts, now: &Facts) -> Vec<String> {
    let mut lines = Vec::new();
    for name in before
        .words
        .keys()
        .chain(now.words.keys().filter(|name| !before.words.contains_key(*name)))
    {
        match (before.words.get(name), now.words.get(name)) {
            (Some(was), Some(is)) if was != is => lines.push(format!("{name}: was `{was}`, is `{is}`")),
            (None, Some(is)) => lines.push(format!("{name}: is new: `{is}`")),
            (Some(was), None) => lines.push(format!("{name}: is gone; it was `{was}`")),
            _ => {}
        }
    }
    let paths = before.inputs.keys().chain(
        now.inputs
            .keys()
            .filter(|path| !before.inputs.contains_key(*path)),
    );
    let mut inputs: Vec<_> = paths
        .filter_map(|path| match (before.inputs.get(path), now.inputs.get(path)) {
            (Some(was), Some(is)) => (was != is).then(|| format!("input {path} has changed")),
            (None, _) => Some(format!("input {path} is new")),
            (_, None) => Some(format!("input {path} is not read any more")),
        })
        .collect();
    let more = inputs.len().saturating_sub(INPUTS_TOLD_MAX);
    inputs.truncate(INPUTS_TOLD_MAX);
    lines.extend(inputs);
    if more > 0 {
        lines.push(format!("and {more} more inputs"));
    }
    if before.salt != now.salt {
        lines.push(
            "the toolchain or a file outside of the project (a header or a library of the host) has changed"
                .to_owned(),
        );
    }
    if lines.is_empty() {
        lines.push("nothing: its result was not kept, or has gone".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(words: &[(&str, &str)], inputs: &[(&str, &str)], salt: &[u8]) -> Facts {
        let map = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                .collect()
        };
        Facts {
            words: map(words),
            inputs: map(inputs),
            salt: salt.to_vec(),
        }
    }

    #[test]
    fn every_difference_is_a_line() {
        let before = facts(
            &[("command", "gcc -c a.c"), ("variable LANG", "C")],
            &[("a.c", "1"), ("a.h", "2")],
            b"x",
        );
        let now = facts(
            &[("command", "gcc -O -c a.c")],
            &[("a.c", "1"), ("a.h", "3"), ("b.h", "4")],
            b"y",
        );
        let expected = [
            "command: was `gcc -c a.c`, is `gcc -O -c a.c`",
            "variable LANG: is gone; it was `C`",
            "input a.h has changed",
            "input b.h is new",
            "the toolchain or a file outside of the project (a header or a library of the host) has changed",
        ];
        assert_eq!(differences(&before, &now), expected);
        assert_eq!(
            differences(&now, &now),
            ["nothing: its result was not kept, or has gone"]
        );
    }
}
