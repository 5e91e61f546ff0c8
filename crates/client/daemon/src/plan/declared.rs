//! What a front end declares that a command reads, beside what is found: files, directories with all that is in them,
//! programs with what lies beside them, links, and what only the server has.
//!
//! What is not there is passed over, and so are directories outside of the tree, as reclient does: lists of inputs are written for
//! all commands of a kind. A file outside of the tree counts, and no worker is given it.

mod outputs;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use blob::Digest;
use prost_types::Timestamp;
use settings::{Settings, VirtualInput};
use step_memory::Grounds;

pub(super) use self::outputs::{add_directories, files_made, makes_directories};
use super::build::{ActionBuilder, text};
use super::layout::{Layout, Place};
use super::why::Why;
use crate::limits::{DECLARED_DEPTH_MAX, DECLARED_FILES_MAX, RESPONSE_FILE_BYTES_MAX};
use crate::service::FUNCTION;

/// Beside a program, the list of what it needs: this name after the program's and a `_`, or else this name alone.
const SIDE_CAR: &str = "remote_toolchain_inputs";
/// What nobody can look at again for less than it costs to look anew.
const NOT_REMEMBERED: &str = "declared directories, links and absent files";

/// What else says of a command what it reads.
#[derive(Default)]
pub(super) struct More<'a> {
    /// A program that is a toolchain input.
    pub(super) wrapper: Option<&'a Path>,
    /// What a compiler makes anew, absolute: no input, whatever directory it is in.
    pub(super) made: BTreeSet<PathBuf>,
}

/// Adds all that is declared to an action, and to what its finding rests on.
pub(super) fn add(
    asked: &Settings,
    more: &More<'_>,
    layout: &Layout,
    builder: &mut ActionBuilder<'_>,
    grounds: &mut Grounds,
) -> Result<Added, Why> {
    let mut declared = Declared {
        made: &more.made,
        layout,
        builder,
        grounds,
        files: 0,
        walked: BTreeSet::new(),
        added: Added {
            paths: Vec::new(),
            is_whole: true,
        },
    };
    for path in &asked.inputs {
        declared.entry(&layout.root().join(path), 0)?;
    }
    for path in asked.inputs_override.iter().flatten() {
        declared.entry(&layout.absolute(path), 0)?;
    }
    for program in &asked.toolchain_inputs {
        declared.program(&layout.root().join(program))?;
    }
    if let Some(wrapper) = more.wrapper {
        declared.program(wrapper)?;
    }
    for path in &asked.empty_directories {
        declared.empty_directory(&layout.root().join(path))?;
    }
    if asked.preserve_symlink {
        declared.grounds.unknown(NOT_REMEMBERED);
    }
    for link in &asked.extra_symlinks {
        declared.link(link)?;
    }
    for input in &asked.virtual_inputs {
        declared.virtual_file(input)?;
    }
    Ok(declared.added)
}

/// What was declared.
pub(super) struct Added {
    /// Where all of it is.
    pub(super) paths: Vec<PathBuf>,
    /// Nothing of it is passed over, though it is there.
    pub(super) is_whole: bool,
}

/// Leaves out what is to be left out of the files that were found. Whether that is any.
pub(super) fn leave_out(asked: &Settings, layout: &Layout, files: &mut Vec<PathBuf>) -> bool {
    let excluded = asked.deps_exclude_paths.iter();
    let excluded: Vec<_> = excluded.map(|path| layout.absolute(path)).collect();
    // As a rule, and then no file's name has to be looked at.
    if excluded.is_empty() {
        return false;
    }
    let found = files.len();
    files.retain(|path| {
        let path = layout.absolute(path);
        !excluded.iter().any(|excluded| path.starts_with(excluded))
    });
    files.len() < found
}

/// What the action calls the command's own program, if that is in the tree.
pub(super) fn own_program(layout: &Layout, program: &Path) -> Option<PathBuf> {
    if !matches!(layout.place(program), Place::Tree(_)) {
        return None;
    }
    let name = layout.seen_from_working_directory(program);
    // A name alone would be looked for in the PATH.
    Some(match name.components().count() {
        1 => Path::new(".").join(name),
        _ => name,
    })
}

struct Declared<'a, 'b> {
    made: &'a BTreeSet<PathBuf>,
    layout: &'a Layout,
    builder: &'a mut ActionBuilder<'b>,
    grounds: &'a mut Grounds,
    files: usize,
    /// Directories whose contents are in, where links are links: one may lead to what is in already.
    walked: BTreeSet<PathBuf>,
    added: Added,
}

impl Declared<'_, '_> {
    /// A file, or a directory with all that is in it. Links are what they lead to, or links and what they lead to.
    fn entry(&mut self, path: &Path, depth: usize) -> Result<(), Why> {
        let place = self.layout.place(path);
        let is_outside = !matches!(place, Place::Tree(_));
        self.added.paths.push(self.layout.absolute(path));
        if let Place::Tree(below) = place
            && self.builder.keeps_links()
            && fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
        {
            let leads_to = self.builder.way(path, below.clone())?;
            if leads_to != below {
                return self.entry(&self.layout.root().join(leads_to), depth + 1);
            }
        }
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.grounds.unknown(NOT_REMEMBERED);
                return Ok(());
            }
            Err(error) => return Err(unreadable(path, &error)),
        };
        if is_outside {
            return self.outside(path, &metadata);
        }
        if metadata.is_dir() {
            return self.directory(path, depth);
        }
        if !metadata.is_file() {
            let why = format!(
                "{} is declared and neither a file nor a directory",
                path.display()
            );
            return Err(Why::Inputs(why));
        }
        self.files += 1;
        if self.files > DECLARED_FILES_MAX {
            return Err(Why::Inputs(format!(
                "more than {DECLARED_FILES_MAX} files are declared"
            )));
        }
        let holds = self.builder.file(path)?;
        self.grounds.known_file(path, holds);
        Ok(())
    }

    /// No worker is given it; but here it may be read, and then it counts.
    fn outside(&mut self, path: &Path, metadata: &fs::Metadata) -> Result<(), Why> {
        match metadata.is_file() {
            true => {
                let holds = self.builder.host_file(path)?;
                self.grounds.known_file(path, holds);
            }
            // All that is in it, of a compiler, say, is too much to be looked at for each command.
            false => {
                self.added.is_whole = false;
                self.grounds.unknown(NOT_REMEMBERED);
            }
        }
        Ok(())
    }

    fn directory(&mut self, path: &Path, depth: usize) -> Result<(), Why> {
        // A link that leads upwards has no end.
        if depth > DECLARED_DEPTH_MAX {
            let why = format!(
                "{} is declared, and more than {DECLARED_DEPTH_MAX} deep",
                path.display()
            );
            return Err(Why::Inputs(why));
        }
        self.grounds.unknown(NOT_REMEMBERED);
        self.builder.directory(path)?;
        if self.builder.keeps_links()
            && let Place::Tree(below) = self.layout.place(path)
            && !self.walked.insert(self.builder.way(path, below)?)
        {
            return Ok(());
        }
        let entries = fs::read_dir(path).map_err(|error| unreadable(path, &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(path, &error))?;
            let path = entry.path();
            if !self.made.contains(&path) {
                self.entry(&path, depth + 1)?;
            }
        }
        Ok(())
    }

    /// A program, and what the list beside it names from there.
    fn program(&mut self, program: &Path) -> Result<(), Why> {
        self.entry(program, 0)?;
        let directory = program.parent().unwrap_or(Path::new("/"));
        let mut own = program.as_os_str().to_owned();
        own.push("_");
        own.push(SIDE_CAR);
        for list in [PathBuf::from(own), directory.join(SIDE_CAR)] {
            let size = match fs::metadata(&list) {
                Ok(metadata) => metadata.len(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.grounds.absent(&list);
                    continue;
                }
                Err(error) => return Err(unreadable(&list, &error)),
            };
            if size > RESPONSE_FILE_BYTES_MAX {
                return Err(Why::Inputs(format!("{} is too long for a list", list.display())));
            }
            let lines = fs::read_to_string(&list).map_err(|error| unreadable(&list, &error))?;
            self.grounds.file(&list);
            for path in named(&lines) {
                self.entry(&directory.join(path), 0)?;
            }
            break;
        }
        Ok(())
    }

    /// A directory with nothing in it. One that is not here would be there for a worker, and make a difference.
    fn empty_directory(&mut self, path: &Path) -> Result<(), Why> {
        if !path.is_dir() {
            let why = format!("{} is declared as a directory, and none is here", path.display());
            return Err(Why::Inputs(why));
        }
        self.grounds.directory(path);
        self.builder.directory(path)
    }

    fn link(&mut self, path: &Path) -> Result<(), Why> {
        let path = self.layout.absolute(path);
        let Place::Tree(below) = self.layout.place(&path) else {
            return Ok(());
        };
        self.grounds.unknown(NOT_REMEMBERED);
        self.added.paths.push(path.clone());
        let target = fs::read_link(&path).map_err(|error| unreadable(&path, &error))?;
        self.builder.link(&below, text(&target)?)
    }

    fn virtual_file(&mut self, input: &VirtualInput) -> Result<(), Why> {
        let path = self.layout.root().join(&input.path);
        let Place::Tree(below) = self.layout.place(&path) else {
            return Ok(());
        };
        let wrong = || {
            let path = input.path.display();
            Why::Inputs(format!("virtual input {path}: `{}` is no digest", input.digest))
        };
        let (hash, size) = input.digest.split_once('/').ok_or_else(wrong)?;
        let size = size.parse().map_err(|_| wrong())?;
        let digest = Digest::from_hex(FUNCTION, hash, size).map_err(|_| wrong())?;
        let is_executable = input.mode.is_some_and(|mode| mode & 0o111 != 0);
        self.builder
            .virtual_file(&below, digest, is_executable, input.mtime_ns.map(timestamp))
    }
}

/// What a list beside a program names: a path in each line, but for comments.
fn named(lines: &str) -> impl Iterator<Item = &str> {
    let lines = lines.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#') && !line.starts_with("//"))
}

fn timestamp(nanoseconds: i64) -> Timestamp {
    const IN_A_SECOND: i64 = 1_000_000_000;
    Timestamp {
        seconds: nanoseconds.div_euclid(IN_A_SECOND),
        nanos: i32::try_from(nanoseconds.rem_euclid(IN_A_SECOND)).unwrap_or_default(),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Why {
    Why::Unreadable {
        path: path.to_owned(),
        why: error.to_string(),
    }
}

#[cfg(test)]
mod tests;
