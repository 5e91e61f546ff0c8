//! Files stay readable: a ratchet, not a wall. A file over the bound is listed with its length, and may only shrink.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Past this many lines a file holds a second idea.
const LINES_MAX: usize = 600;
/// The files that are longer, each with the length it may not pass.
const RATCHET: &str = "xtask/large-files.txt";

pub(super) fn check(root: &Path, files: &[PathBuf]) -> Result<Vec<String>> {
    let mut allowed = read_ratchet(root)?;
    let mut complaints = Vec::new();
    for file in files {
        let shown = file.display().to_string();
        let lines = fs::read_to_string(root.join(file))
            .with_context(|| format!("cannot read {shown}"))?
            .lines()
            .count();
        match allowed.remove(&shown) {
            Some(max) if lines > max => {
                complaints.push(format!(
                    "{shown}: grew from {max} to {lines} lines; split it by idea"
                ));
            }
            Some(_) if lines <= LINES_MAX => {
                complaints.push(format!(
                    "{shown}: is down to {lines} lines; take it out of {RATCHET}"
                ));
            }
            Some(_) => {}
            None if lines > LINES_MAX => {
                complaints.push(format!(
                    "{shown}: {lines} lines are more than {LINES_MAX}; split it by idea"
                ));
            }
            None => {}
        }
    }
    complaints.extend(
        allowed
            .keys()
            .map(|gone| format!("{RATCHET} lists {gone}, which does not exist")),
    );
    Ok(complaints)
}

fn read_ratchet(root: &Path) -> Result<BTreeMap<String, usize>> {
    let text = fs::read_to_string(root.join(RATCHET)).with_context(|| format!("cannot read {RATCHET}"))?;
    let mut allowed = BTreeMap::new();
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let Some((file, max)) = line.split_once(' ') else {
            bail!("{RATCHET}: `{line}` is not `file lines`")
        };
        allowed.insert(
            file.to_owned(),
            max.parse().with_context(|| format!("{RATCHET}: `{line}`"))?,
        );
    }
    Ok(allowed)
}
