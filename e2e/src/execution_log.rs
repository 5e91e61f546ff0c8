//! Bazel's own record of every process that a build ran, or did not need to run.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Deserializer, Value};

/// One spawn: a process that an action started. Most actions have one; tests have two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spawn {
    /// What kind of action: `CppCompile`, `Genrule`, ...
    pub mnemonic: String,
    /// Who ran it: `remote`, `remote cache hit`, `linux-sandbox`, ...
    pub runner: String,
    /// Whether Bazel found its result in the remote action cache.
    pub remote_cache_hit: bool,
    /// The first of the files or directories it was to make.
    pub output: String,
    /// How its process ended.
    pub exit_code: i64,
}

/// Reads what `--execution_log_json_file` wrote: JSON objects, one after the other.
pub fn read(path: &Path) -> Result<Vec<Spawn>> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("Bazel wrote no execution log {}", path.display()))?;
    parse(&text)
}

fn parse(text: &str) -> Result<Vec<Spawn>> {
    Deserializer::from_str(text)
        .into_iter::<Value>()
        .map(|value| Ok(spawn(&value.context("the execution log is not JSON")?)))
        .collect()
}

fn spawn(value: &Value) -> Spawn {
    let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
    Spawn {
        mnemonic: text("mnemonic"),
        runner: text("runner"),
        remote_cache_hit: value["remoteCacheHit"].as_bool().unwrap_or(false),
        output: value["listedOutputs"][0].as_str().unwrap_or_default().to_owned(),
        exit_code: value["exitCode"].as_i64().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_one_after_the_other() {
        let text = r#"{"mnemonic": "Genrule", "runner": "remote", "listedOutputs": ["a", "b"]}
            { "mnemonic": "TestRunner", "runner": "remote cache hit", "remoteCacheHit": true, "exitCode": 3 }"#;
        let spawns = parse(text).unwrap();
        assert_eq!(spawns.len(), 2);
        assert_eq!(
            (spawns[0].runner.as_str(), spawns[0].output.as_str()),
            ("remote", "a")
        );
        assert!(!spawns[0].remote_cache_hit && spawns[1].remote_cache_hit);
        assert_eq!(spawns[1].exit_code, 3);
    }

    #[test]
    fn garbage_is_an_error() {
        assert!(parse("{} {").is_err());
    }
}
