//! Whether the disk has room for what CI builds. Where it has not, compilers fail late, with errors about something else,
//! and tools that want a part of the disk free for themselves wait without a word.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// What a run takes where nothing is built yet, and what its tests put aside at once, with a third to spare.
const WANTED_GIB: u64 = 24;

/// What is free where `directory` lies, in a line to print before anything is built.
pub(super) fn said(directory: &Path) -> Result<String> {
    let mut df = Command::new("df");
    df.args(["--output=avail", "--block-size=1G"]).arg(directory);
    let output = df.output().context("df, which tells what is free on the disk")?;
    let printed = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "df failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let free = printed
        .split_whitespace()
        .last()
        .and_then(|word| word.parse().ok());
    Ok(sentence(free.with_context(|| format!("df printed {printed:?}"))?))
}

fn sentence(free_gib: u64) -> String {
    let advice = match free_gib < WANTED_GIB {
        true => {
            format!(
                "; from nothing CI wants {WANTED_GIB}: where it fails below, make room first (`cargo clean` does)"
            )
        }
        false => String::new(),
    };
    format!("disk: {free_gib} GiB free{advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_before_anything_fails_for_it() {
        assert_eq!(sentence(WANTED_GIB), "disk: 24 GiB free");
        assert!(sentence(3).starts_with("disk: 3 GiB free; from nothing CI wants 24: "));
    }

    #[test]
    fn what_is_free_is_read_from_this_disk() {
        let said = said(Path::new(".")).unwrap();
        assert!(said.starts_with("disk: ") && said.contains(" GiB free"), "{said}");
    }
}
