//! A command of somebody who goes on afterwards: a shell that does recipes itself.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::converse::{self, Outcome};
use crate::real_tool;
use crate::run_here::end_of;

/// A command that is done by this process, for as long as that takes, as the wrapper would do it.
#[derive(Debug)]
pub struct InProcess<'a> {
    /// Its words, the tool's name first.
    pub arguments: &'a [OsString],
    /// Variables that have other values than in this process's environment.
    pub set: &'a [(OsString, OsString)],
}

impl InProcess<'_> {
    /// Has it done, and says with which code it ended.
    pub fn run(&self) -> u8 {
        match converse::asked(self.arguments, self.set) {
            Ok(Outcome::Ended(code)) => code,
            Ok(Outcome::Execute(program)) => self.really(Some(program)),
            // No daemon, or it has gone: nobody has to know.
            Err(_) => self.really(self.arguments.first().and_then(|tool| real_tool::find(tool))),
        }
    }

    fn really(&self, program: Option<PathBuf>) -> u8 {
        let name = self.arguments.first().map(|name| name.display());
        let Some(program) = program else {
            eprintln!(
                "{}: command not found",
                name.map_or_else(String::new, |name| name.to_string())
            );
            return real_tool::EXIT_NOT_FOUND;
        };
        match real_tool::command(&program, self.arguments, self.set).status() {
            Ok(status) => end_of(status).exit_code(),
            Err(error) => {
                eprintln!("cannot execute {}: {error}", program.display());
                real_tool::EXIT_NOT_EXECUTABLE
            }
        }
    }
}
