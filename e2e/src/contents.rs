//! What is in a folder that Bazel built, to be compared.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Result;

/// What is at a path.
#[derive(Debug, PartialEq, Eq)]
pub enum Content {
    /// A regular file.
    File {
        /// What is in it.
        bytes: Vec<u8>,
        /// Whether somebody may execute it.
        is_executable: bool,
    },
    /// A symbolic link with its target.
    Symlink(String),
}

impl Content {
    /// Bazel makes every output executable, whatever it was.
    pub fn of_file(bytes: &[u8], is_executable: bool) -> Self {
        Self::File {
            bytes: bytes.to_vec(),
            is_executable,
        }
    }
}

/// Every file and symlink below a folder that came out of an action, by its path.
///
/// Left out is what Bazel writes itself, because it names this machine's folders: absolute symlinks, and the
/// runfiles trees, parameter files and manifests.
pub fn contents(folder: &Path) -> Result<BTreeMap<String, Content>> {
    let mut found = BTreeMap::new();
    collect(folder, "", &mut found)?;
    Ok(found)
}

fn collect(folder: &Path, prefix: &str, found: &mut BTreeMap<String, Content>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry
            .file_name()
            .into_string()
            .expect("every name in the project is UTF-8");
        let path = format!("{prefix}{name}");
        let kind = entry.file_type()?;
        if name.ends_with(".runfiles") || name.ends_with(".runfiles_manifest") || name.ends_with(".params") {
            continue;
        }
        if kind.is_symlink() {
            let target = fs::read_link(entry.path())?;
            if target.is_relative() {
                found.insert(path, Content::Symlink(target.to_string_lossy().into_owned()));
            }
        } else if kind.is_dir() {
            collect(&entry.path(), &format!("{path}/"), found)?;
        } else {
            let is_executable = entry.metadata()?.permissions().mode() & 0o111 != 0;
            found.insert(path, Content::of_file(&fs::read(entry.path())?, is_executable));
        }
    }
    Ok(())
}
