//! What the documents say must exist: files they name, tests that `docs/reapi.md` points at, checklist items.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Documents whose file names are checked.
const DOCUMENTS: [&str; 4] = ["README.md", "ARCHITECTURE.md", "docs/reapi.md", "CHANGELOG.md"];
/// A path in backquotes that begins so is a claim that it exists.
const TOPS: [&str; 10] = [
    "crates/",
    "xtask/",
    "proto/",
    "docs/",
    "e2e/",
    "bench/",
    "examples/",
    "deploy/",
    ".ci/",
    ".cargo/",
];
/// Checklist items that `docs/reapi.md` must have a row for: letter and highest number.
const ITEMS: [(char, u32); 10] = [
    ('G', 14),
    ('C', 7),
    ('S', 9),
    ('B', 20),
    ('K', 7),
    ('A', 8),
    ('E', 36),
    ('L', 3),
    ('R', 9),
    ('V', 1),
];

pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut documents: Vec<PathBuf> = DOCUMENTS.iter().map(|name| root.join(name)).collect();
    for folder in ["docs/adr", "docs/guides"] {
        let folder = root.join(folder);
        if folder.is_dir() {
            for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
                documents.push(entry?.path());
            }
        }
    }
    let mut complaints = Vec::new();
    for document in &documents {
        let shown = document
            .strip_prefix(root)
            .unwrap_or(document)
            .display()
            .to_string();
        let text = fs::read_to_string(document).with_context(|| format!("cannot read {shown}"))?;
        for claim in backquoted(&text).filter(|claim| TOPS.iter().any(|top| claim.starts_with(top))) {
            if let Some(complaint) = broken(root, claim) {
                complaints.push(format!("{shown}: `{claim}`: {complaint}"));
            }
        }
        let folder = document.parent().unwrap_or(root);
        for target in links(&text).filter(|target| !folder.join(target).exists()) {
            complaints.push(format!("{shown}: links to {target}, which does not exist"));
        }
        if shown == "docs/reapi.md" {
            complaints.extend(missing_items(&text).map(|item| format!("{shown}: no row for item {item}")));
        }
    }
    Ok(complaints)
}

/// Text between single backquotes on one line, outside code blocks.
fn backquoted(text: &str) -> impl Iterator<Item = &str> {
    let mut in_block = false;
    text.lines()
        .filter(move |line| {
            let fence = line.trim_start().starts_with("```");
            in_block ^= fence;
            !in_block && !fence
        })
        .flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// Targets of Markdown links to files, without their anchors.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.split('#').next().unwrap_or(target))
        .filter(|target| !target.is_empty() && !target.contains("://") && !target.contains(['`', ' ', '\n']))
}

/// Why `path` or `path::test` is not true.
fn broken(root: &Path, claim: &str) -> Option<String> {
    let (path, test) = match claim.split_once("::") {
        Some((path, test)) => (path, Some(test)),
        None => (claim, None),
    };
    // Patterns such as `docs/adr/NNNN-*.md` name a kind of file.
    if path.contains(['*', '{', '<', ' ', '$']) {
        return None;
    }
    let file = root.join(path);
    if !file.exists() {
        return Some("does not exist".to_owned());
    }
    let test = test?;
    let name = test.rsplit("::").next().unwrap_or(test);
    match fs::read_to_string(&file) {
        Ok(text) if text.contains(&format!("fn {name}(")) => None,
        _ => Some(format!("has no test `{name}`")),
    }
}

fn missing_items(text: &str) -> impl Iterator<Item = String> + '_ {
    let rows: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("| ")).collect();
    ITEMS
        .into_iter()
        .flat_map(|(letter, highest)| (1..=highest).map(move |number| format!("{letter}{number}")))
        .filter(move |item| !rows.iter().any(|row| row.starts_with(&format!("{item} "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_found_outside_code_blocks() {
        let text = "see `a/b.rs` and `c`\n```\n`not/this`\n```\n`d`";
        assert_eq!(backquoted(text).collect::<Vec<_>>(), ["a/b.rs", "c", "d"]);
    }

    #[test]
    fn links_to_files_are_found_and_others_are_not() {
        let text = "[a](docs/a.md#part) and [web](https://example.org), [here](#below), [b](b.md)";
        assert_eq!(links(text).collect::<Vec<_>>(), ["docs/a.md", "b.md"]);
    }

    #[test]
    fn missing_files_tests_and_items_are_noticed() {
        let root = super::super::root();
        assert_eq!(
            broken(
                &root,
                "xtask/src/tidy/docs.rs::claims_are_found_outside_code_blocks"
            ),
            None
        );
        assert!(broken(&root, "xtask/src/tidy/docs.rs::no_such_test").is_some());
        assert!(broken(&root, "xtask/src/nowhere.rs").is_some());
        assert_eq!(broken(&root, "docs/adr/NNNN-*.md"), None);
        assert_eq!(missing_items("| G1 | yes |").next().as_deref(), Some("G2"));
    }
}
