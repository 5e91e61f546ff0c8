//! The arguments of a request: what the flag files of a command line say.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use action::InputPath;
use rustix::fs::{self as sys, FileType, Mode, OFlags, ResolveFlags};
use thiserror::Error;

use super::command_line::file_of;
use crate::limits::{FLAG_FILE_BYTES_MAX, FLAG_FILE_DEPTH_MAX, REQUEST_ARGUMENTS_MAX};

/// Why arguments cannot be expanded. The command itself may know better, or explain it better.
#[derive(Debug, Error)]
pub(crate) enum FlagFileError {
    /// Not there, not a file, or reached through a symlink.
    #[error("flag file `{path}`: {source}")]
    Unreadable { path: String, source: io::Error },
    /// Outside the input root.
    #[error("flag file `{path}`: {reason}")]
    Path { path: String, reason: String },
    /// Arguments are text.
    #[error("flag file `{path}` is not UTF-8")]
    Text { path: String },
    /// More than any bound.
    #[error(
        "flag files have more than {FLAG_FILE_BYTES_MAX} bytes, or name each other more than {FLAG_FILE_DEPTH_MAX} times, or hold more than {REQUEST_ARGUMENTS_MAX} arguments"
    )]
    TooMuch,
}

/// Replaces each `@FILE` by the lines of the file, which may say `@FILE` again; all else stays. Files are below `root`,
/// relative to `working_directory`. Blocking.
pub(crate) fn expand(
    arguments: &[String],
    root: &OwnedFd,
    working_directory: &InputPath,
) -> Result<Vec<String>, FlagFileError> {
    let mut expansion = Expansion {
        root,
        working_directory,
        bytes_left: FLAG_FILE_BYTES_MAX,
        arguments: Vec::new(),
    };
    for argument in arguments {
        expansion.add(argument, 0)?;
    }
    Ok(expansion.arguments)
}

struct Expansion<'a> {
    root: &'a OwnedFd,
    working_directory: &'a InputPath,
    bytes_left: u64,
    arguments: Vec<String>,
}

impl Expansion<'_> {
    fn add(&mut self, argument: &str, depth: usize) -> Result<(), FlagFileError> {
        let Some(file) = file_of(argument) else {
            if self.arguments.len() >= REQUEST_ARGUMENTS_MAX {
                return Err(FlagFileError::TooMuch);
            }
            self.arguments.push(argument.to_owned());
            return Ok(());
        };
        if depth >= FLAG_FILE_DEPTH_MAX {
            return Err(FlagFileError::TooMuch);
        }
        let text = self.read(file)?;
        text.lines().try_for_each(|line| self.add(line, depth + 1))
    }

    fn read(&mut self, file: &str) -> Result<String, FlagFileError> {
        let path = InputPath::resolve(self.working_directory, file).map_err(|error| FlagFileError::Path {
            path: file.to_owned(),
            reason: error.to_string(),
        })?;
        let unreadable = |source| FlagFileError::Unreadable {
            path: file.to_owned(),
            source,
        };
        let mut bytes = Vec::new();
        open(self.root, path.as_str())
            .and_then(|file| file.take(self.bytes_left + 1).read_to_end(&mut bytes))
            .map_err(unreadable)?;
        self.bytes_left = self
            .bytes_left
            .checked_sub(bytes.len() as u64)
            .ok_or(FlagFileError::TooMuch)?;
        String::from_utf8(bytes).map_err(|_| FlagFileError::Text {
            path: file.to_owned(),
        })
    }
}

/// Opens an input file, through no symlink: the worker reads it, not the command.
fn open(root: &OwnedFd, path: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let opened = sys::openat2(root, path, flags, Mode::empty(), resolve)?;
    match FileType::from_raw_mode(sys::fstat(&opened)?.st_mode) {
        FileType::RegularFile => Ok(opened.into()),
        _ => Err(io::Error::other("not a file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        files: &[(&str, &str)],
        working_directory: &str,
        arguments: &[&str],
        expected: Result<&[&str], &str>,
    ) {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(scratch.path().join("root/work")).unwrap();
        std::fs::write(scratch.path().join("outside"), "secret").unwrap();
        let root = scratch.path().join("root");
        std::os::unix::fs::symlink("../outside", root.join("link")).unwrap();
        for (path, text) in files {
            std::fs::write(root.join(path), text).unwrap();
        }
        let root = sys::open(&root, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).unwrap();
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        let found = expand(&arguments, &root, &InputPath::new(working_directory).unwrap());
        match expected {
            Ok(expected) => assert_eq!(found.unwrap(), expected),
            Err(part) => {
                let error = found.unwrap_err().to_string();
                assert!(error.contains(part), "{error}");
            }
        }
    }

    #[test]
    fn lines_become_arguments_and_files_may_name_files() {
        let files = [("a", "-x\r\n@b\n\n@@c\nlast"), ("b", "in b\n")];
        check(
            &files,
            "",
            &["@a", "--flagfile=a"],
            Ok(&["-x", "in b", "", "@@c", "last", "--flagfile=a"]),
        );
        check(
            &[("work/a", "1"), ("b", "2")],
            "work",
            &["@a", "@../b"],
            Ok(&["1", "2"]),
        );
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        check(&[], "", &["@absent"], Err("flag file `absent`"));
        check(&[], "", &["@link"], Err("flag file `link`"));
        check(&[], "", &["@../outside"], Err("flag file `../outside`"));
        check(&[], "", &["@work"], Err("not a file"));
        check(&[("loop", "@loop")], "", &["@loop"], Err("name each other"));
        let long = "x".repeat(FLAG_FILE_BYTES_MAX as usize + 1);
        check(&[("long", &long)], "", &["@long"], Err("more than"));
    }
}
