//! What has to be put over one input root so that it looks like another.

use std::collections::BTreeSet;
use std::sync::Arc;

use merkle::{Directory, Entry, FileNode, InputTree};

use crate::build_directory::{Layout, OutputPlaces, Step};
use crate::file_cache::FileId;
use crate::limits::{COMPARED_NODES_MAX, INPUT_PATH_BYTES_MAX};

/// Every step that turns `base` into `input`, with `places` made ready for the action: what differs, what the action may
/// write to as a private copy, marks for what is gone. Directories that are the same on both sides are not looked into,
/// so this costs what has changed and the directories above it. Neither tree may have missing directories.
///
/// `None`: it takes more than `steps_max` steps, or something that cannot be put over `base`; `input` has to be laid out
/// by itself then, which also finds whatever is wrong with it.
pub(crate) fn difference(
    base: &InputTree,
    input: &InputTree,
    places: &OutputPlaces,
    steps_max: usize,
) -> Option<Layout> {
    let outputs: BTreeSet<&str> = places.outputs.iter().map(String::as_str).collect();
    let mut comparison = Comparison {
        base,
        input,
        outputs: &outputs,
        steps: Vec::new(),
        absent: Vec::new(),
        steps_max,
        compared: 0,
        open: Vec::new(),
    };
    let is_private = outputs.contains("");
    if base.root() != input.root() || !outputs.is_empty() {
        comparison.open.push(Pair {
            path: String::new(),
            new: input.directories().get(&input.root()),
            old: base.directories().get(&base.root()),
            is_private,
        });
    }
    // Ends: each round opens one pair of directories of a tree without cycles, and counts its nodes against a bound.
    while let Some(pair) = comparison.open.pop() {
        comparison.compare(&pair)?;
    }
    let Comparison { steps, absent, .. } = comparison;
    let parents = missing_parents(base, input, &places.parents)?;
    Some(Layout::over(steps, absent, parents))
}

struct Comparison<'a> {
    base: &'a InputTree,
    input: &'a InputTree,
    outputs: &'a BTreeSet<&'a str>,
    steps: Vec<Step>,
    absent: Vec<String>,
    steps_max: usize,
    compared: usize,
    open: Vec<Pair<'a>>,
}

/// A directory of the input root, and what the base has in its place. An empty one may be `None`.
struct Pair<'a> {
    /// With a slash at its end, unless it is the root's.
    path: String,
    new: Option<&'a Arc<Directory>>,
    old: Option<&'a Arc<Directory>>,
    /// Whether it is, or is below, an output.
    is_private: bool,
}

impl<'a> Comparison<'a> {
    fn compare(&mut self, pair: &Pair<'a>) -> Option<()> {
        let nodes = |directory: Option<&Arc<Directory>>| directory.map_or(0, |there| there.node_count());
        self.compared += nodes(pair.new) + nodes(pair.old);
        if self.compared > COMPARED_NODES_MAX {
            return None;
        }
        if let Some(new) = pair.new {
            self.compare_files(pair, new)?;
            self.compare_symlinks(pair, new)?;
            self.compare_directories(pair, new)?;
        }
        match pair.old {
            Some(old) => self.mark_what_is_gone(pair, old),
            None => Some(()),
        }
    }

    fn compare_files(&mut self, pair: &Pair<'a>, new: &'a Directory) -> Option<()> {
        for node in new.files() {
            let path = format!("{}{}", pair.path, node.name);
            let is_private = pair.is_private || self.outputs.contains(path.as_str());
            let old = pair.old.and_then(|old| old.file(node.name.as_str()));
            if is_private || !old.is_some_and(|old| looks_like(old, node)) {
                let file = FileId {
                    digest: node.digest,
                    is_executable: node.is_executable,
                };
                self.take(Step::File {
                    path,
                    file,
                    is_private,
                })?;
            }
        }
        Some(())
    }

    fn compare_symlinks(&mut self, pair: &Pair<'a>, new: &'a Directory) -> Option<()> {
        for node in new.symlinks() {
            let old = pair.old.and_then(|old| old.symlink(node.name.as_str()));
            if old.is_none_or(|old| old.target != node.target) {
                self.take(Step::Symlink {
                    path: format!("{}{}", pair.path, node.name),
                    target: node.target.as_str().to_owned(),
                })?;
            }
        }
        Some(())
    }

    fn compare_directories(&mut self, pair: &Pair<'a>, new: &'a Directory) -> Option<()> {
        for node in new.directories() {
            let path = format!("{}{}", pair.path, node.name);
            let is_private = pair.is_private || self.outputs.contains(path.as_str());
            let old = pair.old.and_then(|old| old.directory(node.name.as_str()));
            let is_same = old.is_some_and(|old| old.digest == node.digest);
            if is_same && !is_private && !self.has_output_below(&path) {
                continue;
            }
            self.open.push(Pair {
                path: format!("{path}/"),
                new: self.input.directories().get(&node.digest),
                old: old.and_then(|old| self.base.directories().get(&old.digest)),
                is_private,
            });
            self.take(Step::Directory { path })?;
        }
        Some(())
    }

    fn mark_what_is_gone(&mut self, pair: &Pair<'a>, old: &'a Directory) -> Option<()> {
        let is_there = |name: &str| {
            pair.new.is_some_and(|new| {
                new.file(name).is_some() || new.directory(name).is_some() || new.symlink(name).is_some()
            })
        };
        let files = old.files().iter().map(|node| &node.name);
        let directories = old.directories().iter().map(|node| &node.name);
        let symlinks = old.symlinks().iter().map(|node| &node.name);
        for name in files.chain(directories).chain(symlinks) {
            if !is_there(name.as_str()) {
                self.absent.push(format!("{}{name}", pair.path));
            }
        }
        self.is_within_bound()
    }

    fn take(&mut self, step: Step) -> Option<()> {
        let is_too_long = step.path().len() > INPUT_PATH_BYTES_MAX;
        self.steps.push(step);
        if is_too_long { None } else { self.is_within_bound() }
    }

    fn is_within_bound(&self) -> Option<()> {
        (self.steps.len() + self.absent.len() <= self.steps_max).then_some(())
    }

    fn has_output_below(&self, path: &str) -> bool {
        let below = format!("{path}/");
        let mut following = self.outputs.range(below.as_str()..);
        following.next().is_some_and(|output| output.starts_with(&below))
    }
}

fn looks_like(one: &FileNode, other: &FileNode) -> bool {
    (one.digest, one.is_executable) == (other.digest, other.is_executable)
}

/// The directories that have to be made beside those of the input root. `None` if there is something in the way, or if
/// the base has something there: a new directory would not be empty then.
fn missing_parents(base: &InputTree, input: &InputTree, parents: &[String]) -> Option<Vec<String>> {
    let mut missing = Vec::new();
    for parent in parents {
        let mut end = 0;
        for component in parent.split('/').filter(|component| !component.is_empty()) {
            end += component.len() + usize::from(end > 0);
            let at = parent.get(..end)?;
            match (input.entry(at).ok()?, base.entry(at).ok()?) {
                (Some(Entry::Directory(_)), _) => {}
                (None, None) => {
                    missing.push(parent.clone());
                    break;
                }
                _ => return None,
            }
        }
    }
    Some(missing)
}

#[cfg(test)]
mod tests;
