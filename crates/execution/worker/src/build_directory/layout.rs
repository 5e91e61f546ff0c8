//! What stands where in a build directory: decided before anything is touched.

use std::collections::BTreeSet;

use merkle::{Entry, InputTree, TreeBoundError};
use thiserror::Error;

use crate::file_cache::FileId;
use crate::limits::INPUT_PATH_BYTES_MAX;

/// Every step that lays out an input root, in an order in which each can be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    steps: Vec<Step>,
    /// Every file of the steps, each once.
    files: Vec<FileId>,
    /// What a tree below has and this one has not: to be hidden.
    absent: Vec<String>,
    /// Directories to be made after all else, with their parents, unless they are there.
    output_parents: Vec<String>,
}

/// One thing to make at a path relative to the input root, below directories made by earlier steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Directory {
        path: String,
    },
    File {
        path: String,
        file: FileId,
        is_private: bool,
    },
    Symlink {
        path: String,
        target: String,
    },
}

impl Step {
    pub(crate) fn path(&self) -> &str {
        match self {
            Step::Directory { path } | Step::File { path, .. } | Step::Symlink { path, .. } => path,
        }
    }
}

/// Where an action writes, relative to the input root, resolved. The empty path is the root itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct OutputPlaces {
    /// The outputs: what the input root has there, or below, the action may overwrite (E21).
    pub(crate) outputs: Vec<String>,
    /// The directories that have to be there beforehand (E21).
    pub(crate) parents: Vec<String>,
}

/// Why an input root cannot be laid out on any disk.
#[derive(Debug, Error)]
pub(crate) enum LayoutError {
    /// It expands to too much.
    #[error("input root: {0}")]
    Bound(#[from] TreeBoundError),
    /// No system call takes this path.
    #[error(
        "an input path is {path_bytes} bytes long, beginning with `{beginning}`; at most {INPUT_PATH_BYTES_MAX} are possible"
    )]
    PathTooLong { path_bytes: usize, beginning: String },
}

impl Layout {
    /// Plans a complete input tree.
    pub(crate) fn new(input: &InputTree, places: OutputPlaces) -> Result<Self, LayoutError> {
        let OutputPlaces { outputs, parents } = places;
        let outputs: BTreeSet<&str> = outputs.iter().map(String::as_str).collect();
        let everything_is_private = outputs.contains("");
        // Entries come depth first, so one prefix is enough to know whether we are below an output.
        let mut private_prefix: Option<String> = None;
        let mut steps = Vec::new();
        let mut files = BTreeSet::new();
        for (path, entry) in input.entries()? {
            if path.len() > INPUT_PATH_BYTES_MAX {
                let beginning = path.chars().take(80).collect();
                return Err(LayoutError::PathTooLong {
                    path_bytes: path.len(),
                    beginning,
                });
            }
            let is_private = everything_is_private
                || outputs.contains(path.as_str())
                || private_prefix
                    .as_ref()
                    .is_some_and(|prefix| path.starts_with(prefix));
            steps.push(match entry {
                Entry::Directory(_) => {
                    if outputs.contains(path.as_str()) {
                        private_prefix = Some(format!("{path}/"));
                    }
                    Step::Directory { path }
                }
                Entry::File(node) => {
                    let file = FileId {
                        digest: node.digest,
                        is_executable: node.is_executable,
                    };
                    files.insert(file);
                    Step::File {
                        path,
                        file,
                        is_private,
                    }
                }
                Entry::Symlink(node) => Step::Symlink {
                    path,
                    target: node.target.as_str().to_owned(),
                },
            });
        }
        Ok(Layout {
            steps,
            files: files.into_iter().collect(),
            absent: Vec::new(),
            output_parents: parents,
        })
    }

    /// Those files and symlinks alone, with the directories above them, and `parents` beside them. Nothing of it is the
    /// action's to write.
    pub(crate) fn only(&self, paths: &BTreeSet<String>, parents: Vec<String>) -> Layout {
        let is_above = |directory: &str| {
            let prefix = format!("{directory}/");
            let mut below = paths.range(prefix.clone()..);
            below.next().is_some_and(|path| path.starts_with(&prefix))
        };
        let mut steps = self.steps.clone();
        steps.retain_mut(|step| match step {
            Step::Directory { path } => is_above(path),
            Step::Symlink { path, .. } => paths.contains(path),
            Step::File { path, is_private, .. } => {
                *is_private = false;
                paths.contains(path)
            }
        });
        Layout::of(steps, parents)
    }

    /// Everything but those files and symlinks.
    pub(crate) fn without(&self, paths: &BTreeSet<String>) -> Layout {
        let mut steps = self.steps.clone();
        steps.retain(|step| match step {
            Step::Directory { .. } => true,
            Step::File { path, .. } | Step::Symlink { path, .. } => !paths.contains(path),
        });
        Layout::of(steps, self.output_parents.clone())
    }

    /// What has to be put over a tree that shows through, in an order in which each step can be done.
    pub(crate) fn over(steps: Vec<Step>, absent: Vec<String>, output_parents: Vec<String>) -> Layout {
        Layout {
            absent,
            ..Layout::of(steps, output_parents)
        }
    }

    /// How much there is to do.
    pub(crate) fn len(&self) -> usize {
        self.steps.len() + self.absent.len()
    }

    fn of(steps: Vec<Step>, output_parents: Vec<String>) -> Layout {
        let files: BTreeSet<FileId> = steps
            .iter()
            .filter_map(|step| match step {
                Step::File { file, .. } => Some(*file),
                Step::Directory { .. } | Step::Symlink { .. } => None,
            })
            .collect();
        Layout {
            steps,
            files: files.into_iter().collect(),
            absent: Vec::new(),
            output_parents,
        }
    }

    /// Every file that has to be there, each once.
    pub(crate) fn files(&self) -> &[FileId] {
        &self.files
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    pub(crate) fn absent(&self) -> &[String] {
        &self.absent
    }

    pub(crate) fn output_parents(&self) -> &[String] {
        &self.output_parents
    }
}
