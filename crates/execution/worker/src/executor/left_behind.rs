//! What a command has left behind: logs and outputs.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use action::{OutputDirectoryFormat, OutputPath, OutputPaths};

use super::ending::Ending;
use super::failure::Failure;
use crate::assignment::Assignment;
use crate::blocking::blocking;
use crate::build_directory::BuildDirectory;
use crate::outputs::{
    List, Log, OutputError, OutputWanted, Outputs, OutputsWanted, PropertiesWanted, Uploads, collect,
    read_log,
};
use crate::tree_cache::{CachedTree, merged};

/// What was found after the command, and what has to be uploaded for it.
pub(super) struct LeftBehind {
    pub(super) stdout: Log,
    pub(super) stderr: Log,
    pub(super) outputs: Result<Outputs, OutputError>,
    pub(super) uploads: Uploads,
}

impl LeftBehind {
    /// Looks at the build directory, in one hop to a thread that may block.
    pub(super) async fn find(
        assignment: &Assignment,
        build_directory: &BuildDirectory,
        ending: &Ending,
    ) -> Result<LeftBehind, Failure> {
        let (function, stderr_line) = (assignment.function, ending.stderr_line());
        let wanted = ending.started.then(|| outputs_wanted(assignment));
        let (root, base) = (build_directory.root().clone(), build_directory.base());
        let (stdout_path, stderr_path) = (build_directory.stdout_path(), build_directory.stderr_path());
        let find = move || {
            let mut uploads = Uploads::default();
            let stdout = read_log(&stdout_path, None, function, &mut uploads)?;
            let stderr = read_log(&stderr_path, stderr_line.as_deref(), function, &mut uploads)?;
            let outputs = match wanted {
                // Without anything to look for, nothing has to be put together.
                Some(wanted) if !wanted.outputs.is_empty() => {
                    collect(&wanted, &as_a_whole(root, base)?, &mut uploads)
                }
                _ => Ok(Outputs::default()),
            };
            Ok(LeftBehind {
                stdout,
                stderr,
                outputs,
                uploads,
            })
        };
        let found = blocking(find).await;
        found.map_err(|error| Failure::disk("reading what the command printed", error))
    }
}

/// The input root as the command saw it at its end.
fn as_a_whole(root: Arc<OwnedFd>, base: Option<Arc<CachedTree>>) -> io::Result<Arc<OwnedFd>> {
    match base {
        None => Ok(root),
        Some(base) => Ok(Arc::new(merged(&root, base.path())?)),
    }
}

fn outputs_wanted(assignment: &Assignment) -> OutputsWanted {
    let command = &assignment.command;
    let wanted = |list: List| {
        move |output: &OutputPath| OutputWanted {
            text: output.text.clone(),
            path: output.path.as_str().to_owned(),
            list,
        }
    };
    let outputs = match command.outputs() {
        OutputPaths::Paths(paths) => paths.iter().map(wanted(List::Paths)).collect(),
        OutputPaths::FilesAndDirectories { files, directories } => {
            let files = files.iter().map(wanted(List::Files));
            files
                .chain(directories.iter().map(wanted(List::Directories)))
                .collect()
        }
    };
    let format = command.output_directory_format();
    let properties = command.output_node_properties();
    OutputsWanted {
        outputs,
        function: assignment.function,
        trees: format != OutputDirectoryFormat::DirectoryOnly,
        directories: format != OutputDirectoryFormat::TreeOnly,
        properties: PropertiesWanted {
            mtime: properties.mtime,
            unix_mode: properties.unix_mode,
        },
    }
}
