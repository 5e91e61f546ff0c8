//! What a command is expected to leave behind.

use std::collections::{BTreeSet, HashMap};

use thiserror::Error;

use crate::input_path::{InputPath, InputPathError};
use crate::limits::{OUTPUTS_MAX, quoted};

/// One expected output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputPath {
    /// The path as the command gives it; results must repeat it letter by letter.
    pub text: String,
    /// Where it is.
    pub path: InputPath,
}

/// The outputs of a command, in the order given. None stands twice.
///
/// REAPI asks for sorted lists. Unsorted ones are taken as they are, because clients send them; they only make
/// another action of it (checklist G10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputPaths {
    /// `output_paths` (2.1 and later): whatever is there at the end. The old lists, if also given, are ignored.
    Paths(Vec<OutputPath>),
    /// `output_files` and `output_directories` (2.0): the kind is fixed, another one is an error (E22).
    FilesAndDirectories {
        /// Must be files, or symlinks to such.
        files: Vec<OutputPath>,
        /// Must be directories, or symlinks to such.
        directories: Vec<OutputPath>,
    },
}

/// Why a command's outputs make no sense.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OutputPathsError {
    /// Not a path inside the input root.
    #[error(transparent)]
    Path(#[from] InputPathError),
    /// A file at the root, which is a directory.
    #[error("output file `{text}` is the input root, which is a directory")]
    FileAtRoot {
        /// The path as given.
        text: String,
    },
    /// Two entries for one place.
    #[error("output `{text}` stands twice{}", if text == other { String::new() } else { format!(", also as `{other}`") })]
    Duplicate {
        /// The path as given the second time.
        text: String,
        /// The path as given the first time.
        other: String,
    },
    /// Something below what must be a file.
    #[error("output `{text}` lies below `{file}`, which is to be a file")]
    BelowFile {
        /// The path as given.
        text: String,
        /// The file above it.
        file: String,
    },
    /// More than [`OUTPUTS_MAX`].
    #[error("{count} outputs; at most {} are possible", OUTPUTS_MAX)]
    TooMany {
        /// How many there are.
        count: usize,
    },
}

impl OutputPaths {
    /// Reads the three lists of a command.
    pub(crate) fn new(
        working_directory: &InputPath,
        paths: &[String],
        files: &[String],
        directories: &[String],
    ) -> Result<Self, OutputPathsError> {
        let resolved = |texts: &[String]| -> Result<Vec<OutputPath>, OutputPathsError> {
            if texts.len() > OUTPUTS_MAX {
                return Err(OutputPathsError::TooMany { count: texts.len() });
            }
            texts
                .iter()
                .map(|text| {
                    Ok(OutputPath {
                        text: text.clone(),
                        path: InputPath::resolve(working_directory, text)?,
                    })
                })
                .collect()
        };
        let outputs = if paths.is_empty() {
            OutputPaths::FilesAndDirectories {
                files: resolved(files)?,
                directories: resolved(directories)?,
            }
        } else {
            OutputPaths::Paths(resolved(paths)?)
        };
        outputs.check()?;
        Ok(outputs)
    }

    fn check(&self) -> Result<(), OutputPathsError> {
        let mut seen: HashMap<&InputPath, &OutputPath> = HashMap::new();
        for output in self.iter() {
            if let Some(other) = seen.insert(&output.path, output) {
                let [text, other] = [output, other].map(|output| quoted(&output.text));
                return Err(OutputPathsError::Duplicate { text, other });
            }
        }
        let OutputPaths::FilesAndDirectories { files, .. } = self else {
            return Ok(());
        };
        if let Some(file) = files.iter().find(|file| file.path.is_root()) {
            return Err(OutputPathsError::FileAtRoot {
                text: quoted(&file.text),
            });
        }
        let files: HashMap<&str, &OutputPath> = files.iter().map(|file| (file.path.as_str(), file)).collect();
        for output in self.iter() {
            let path = output.path.as_str();
            let above = path.match_indices('/').find_map(|(at, _)| files.get(&path[..at]));
            if let Some(file) = above {
                return Err(OutputPathsError::BelowFile {
                    text: quoted(&output.text),
                    file: quoted(&file.text),
                });
            }
        }
        Ok(())
    }

    /// All of them: the paths, or the files and then the directories.
    pub fn iter(&self) -> impl Iterator<Item = &OutputPath> {
        let (first, second) = match self {
            OutputPaths::Paths(paths) => (paths.as_slice(), &[][..]),
            OutputPaths::FilesAndDirectories { files, directories } => {
                (files.as_slice(), directories.as_slice())
            }
        };
        first.iter().chain(second)
    }

    /// Whether nothing is expected.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The directories that must exist before the command runs (checklist E21): the parent of each output, but
    /// not the output itself. Ascending, so that a directory comes before those below it; the root is left out.
    /// Their own parents are not listed.
    pub fn parents(&self) -> BTreeSet<InputPath> {
        self.iter()
            .filter_map(|output| output.path.parent())
            .filter(|parent| !parent.is_root())
            .collect()
    }
}
