//! The question: one command as a build started it. And the door where it is given to the tool's own reader.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::response::{self, Quoting};
use crate::tool::ToolName;
use crate::{
    NotOurs, Step, Tool, absolute, archiver, assembler, clang_tools, dexer, driver, javac, linker, metalava,
    nm, objcopy, rustc, typescript,
};

/// One command, exactly as a build started it.
#[derive(Clone, Copy)]
pub struct Invocation<'a> {
    /// The arguments; the first names the tool, with or without a directory.
    pub argv: &'a [OsString],
    /// The working directory, absolute. It is compared with, never opened.
    pub cwd: &'a Path,
    /// One variable of the command's environment.
    pub env: &'a dyn Fn(&str) -> Option<OsString>,
}

/// Where the text of response files (`@file`) comes from.
pub trait ResponseFiles {
    /// The bytes of a file, `None` when it cannot be read. A relative path is relative to the command's working
    /// directory. The caller bounds what it reads by [`RESPONSE_FILE_BYTES_MAX`](crate::RESPONSE_FILE_BYTES_MAX) plus
    /// one byte; more is refused here.
    fn read(&self, path: &Path) -> Option<Vec<u8>>;
}

/// Knows no response file: a command that has one is not ours.
pub struct NoResponseFiles;

impl ResponseFiles for NoResponseFiles {
    fn read(&self, _path: &Path) -> Option<Vec<u8>> {
        None
    }
}

/// What a command turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// Everything it reads and writes by its command line is known.
    Step(Box<Step>),
    /// The caller runs the real tool, silently.
    NotOurs(NotOurs),
}

/// Reads a command line.
///
/// Never panics, whatever the arguments are; what cannot be told with certainty is [`Parsed::NotOurs`].
pub fn parse(invocation: &Invocation, files: &dyn ResponseFiles) -> Parsed {
    match step(invocation, files) {
        Ok(step) => Parsed::Step(Box::new(step)),
        Err(not_ours) => Parsed::NotOurs(not_ours),
    }
}

fn step(invocation: &Invocation, files: &dyn ResponseFiles) -> Result<Step, NotOurs> {
    let file_name = invocation
        .argv
        .first()
        .map(|first| Path::new(first).file_name().unwrap_or_default())
        .and_then(|name| name.to_str())
        .ok_or(NotOurs::NoTool)?;
    let name = ToolName::parse(file_name).ok_or_else(|| NotOurs::UnknownTool {
        name: file_name.to_owned(),
    })?;
    let quoting = match name.tool {
        Tool::Rustc | Tool::D8 | Tool::R8 => Quoting::Lines,
        Tool::Javac | Tool::Metalava => Quoting::Java,
        Tool::Tsc | Tool::ClangTidy | Tool::HeaderAbiDumper => Quoting::None,
        _ => Quoting::Gnu,
    };
    let arguments = response::expand(invocation.argv.get(1..).unwrap_or_default(), files, quoting)?;
    let mut step = match name.tool {
        Tool::GccDriver | Tool::ClangDriver => driver::parse(name, &arguments.list, invocation)?,
        Tool::Ld => linker::parse(file_name, &arguments.list)?,
        Tool::As => assembler::parse(&arguments.list)?,
        Tool::Ar => archiver::parse(&arguments.list)?,
        Tool::Ranlib => archiver::parse_ranlib(&arguments.list)?,
        Tool::Objcopy | Tool::Strip => objcopy::parse(name.tool, &arguments.list)?,
        Tool::Nm => nm::parse(&arguments.list, invocation.env)?,
        Tool::Rustc => rustc::parse(&arguments.list, invocation)?,
        Tool::Javac => javac::parse(&arguments.list, invocation.env)?,
        Tool::D8 | Tool::R8 => dexer::parse(name.tool, &arguments.list)?,
        Tool::Metalava => metalava::parse(&arguments.list)?,
        Tool::Tsc => typescript::parse(&arguments.list)?,
        Tool::ClangTidy | Tool::HeaderAbiDumper => {
            clang_tools::parse(name.tool, &arguments.list, invocation)?
        }
        Tool::Other => {
            return Err(NotOurs::UnknownTool {
                name: file_name.to_owned(),
            });
        }
    };
    step.absolute_paths.extend(absolute::paths(&arguments.list));
    step.inputs.extend(arguments.response_files);
    step.finish();
    Ok(step)
}

/// A path as it is written in an argument.
pub(crate) fn path(text: &str) -> PathBuf {
    PathBuf::from(text)
}
