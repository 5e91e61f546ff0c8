//! Reads recorded commands: lines of the recorder of `e2e/sources`, or a `compile_commands.json`.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::Command;

/// The separator of the recorder's fields.
const SEPARATOR: u8 = 0x1f;

/// Every command in a file that compiles one source, each once.
pub fn read(path: &Path) -> Result<Vec<Command>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let recorded = if path.extension().is_some_and(|extension| extension == "json") {
        from_json(&bytes).with_context(|| format!("{} is no list of commands", path.display()))?
    } else {
        from_lines(&bytes)
    };
    let mut seen = std::collections::HashSet::new();
    Ok(recorded
        .into_iter()
        .filter(|record| seen.insert(record.clone()))
        .filter_map(|(cwd, words)| Command::read(cwd, &words))
        .collect())
}

type Record = (PathBuf, Vec<OsString>);

fn from_lines(bytes: &[u8]) -> Vec<Record> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            let mut fields = line
                .split(|byte| *byte == SEPARATOR)
                .map(|field| OsStr::from_bytes(field).to_owned());
            let cwd = fields.next().map(PathBuf::from).unwrap_or_default();
            (cwd, fields.collect())
        })
        .collect()
}

fn from_json(bytes: &[u8]) -> Result<Vec<Record>> {
    let value: serde_json::Value = serde_json::from_slice(bytes)?;
    let Some(entries) = value.as_array() else {
        bail!("no array");
    };
    let mut records = Vec::new();
    for entry in entries {
        let directory = entry["directory"]
            .as_str()
            .context("an entry without directory")?;
        let words = match (entry["arguments"].as_array(), entry["command"].as_str()) {
            (Some(arguments), _) => arguments
                .iter()
                .map(|argument| {
                    argument
                        .as_str()
                        .map(OsString::from)
                        .context("an argument that is no string")
                })
                .collect::<Result<_>>()?,
            (None, Some(command)) => shell_words(command),
            (None, None) => bail!("an entry without command"),
        };
        records.push((PathBuf::from(directory), words));
    }
    Ok(records)
}

/// The words of a command line as a shell has them: quotes and backslashes, nothing else.
pub fn shell_words(command: &str) -> Vec<OsString> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = command.chars();
    while let Some(character) = characters.next() {
        match (character, quote) {
            ('\'', None) | ('"', None) => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (character, Some(open)) if character == open => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(characters.next()),
            (' ' | '\t' | '\n', None) => words.extend(word.take().map(OsString::from)),
            (character, _) => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word.map(OsString::from));
    words
}
