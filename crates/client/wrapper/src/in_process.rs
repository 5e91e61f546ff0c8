//! A command of somebody who goes on afterwards: a shell that does recipes itself.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use crate::converse::{self, Outcome, Seen};
use crate::input::Input;
use crate::run_here::end_of;
use crate::{real_tool, run_here};

/// A command that is done by this process, for as long as that takes, as the wrapper would do it.
#[derive(Debug)]
pub struct InProcess<'a> {
    /// Its words, the tool's name first.
    pub arguments: &'a [OsString],
    /// Variables that have other values than in this process's environment.
    pub set: &'a [(OsString, OsString)],
    /// Nothing comes after it: where only the real tool can help, this process becomes that.
    pub may_replace: bool,
}

impl InProcess<'_> {
    /// Has it done, and says with which code it ended.
    pub fn run(&self) -> u8 {
        let mut seen = Seen::default();
        match converse::asked(self.arguments, self.set, &mut seen) {
            Ok(Outcome::Ended(code)) => code,
            Ok(Outcome::Execute(program)) => self.really(Some(program), None),
            // No daemon, or it has gone: nobody has to know.
            Err(_) => {
                let program = self.arguments.first().and_then(|tool| real_tool::find(tool));
                self.really(program, seen.input.filter(|input| !input.is_untouched()))
            }
        }
    }

    fn really(&self, program: Option<PathBuf>, input: Option<Input>) -> u8 {
        let Some(program) = program else {
            return real_tool::not_found(self.arguments);
        };
        let mut command = real_tool::command(&program, self.arguments, self.set);
        let ended = match input {
            Some(input) => run_here::replace(&program, self.arguments, self.set, input),
            None if self.may_replace => Err(command.exec()),
            None => command.status().map(end_of),
        };
        match ended {
            Ok(end) => end.exit_code(),
            Err(error) => real_tool::cannot(&program, self.arguments, &error),
        }
    }
}
