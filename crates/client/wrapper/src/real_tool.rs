//! Where the real tool is, and what it must not see.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::TOOLS_VARIABLE;

/// What a shell answers when it cannot find a command, and when it cannot execute it.
pub(crate) const EXIT_NOT_FOUND: u8 = 127;
const EXIT_NOT_EXECUTABLE: u8 = 126;

/// Whether this is the path of a program, or names one in `PATH`.
pub(crate) fn exists(tool: &OsStr) -> bool {
    find(tool).is_some()
}

/// The program that `tool` would be without the wrapper: a path as it is, a name where `PATH` has it first, not counting
/// links to this very program.
pub fn find(tool: &OsStr) -> Option<PathBuf> {
    if tool.as_bytes().contains(&b'/') {
        return is_executable(Path::new(tool)).then(|| tool.into());
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|directory| directory.join(tool))
        .find(|candidate| is_executable(candidate))
}

fn is_executable(path: &Path) -> bool {
    let is_this = |found: &Metadata| match fs::metadata("/proc/self/exe") {
        Ok(this) => this.dev() == found.dev() && this.ino() == found.ino(),
        Err(_) => false,
    };
    match fs::metadata(path) {
        Ok(found) => found.is_file() && found.permissions().mode() & 0o111 != 0 && !is_this(&found),
        Err(_) => false,
    }
}

/// The real tool as a process: with the name that it was called by, and without the links to the wrapper in its `PATH`,
/// where it would look for its own parts. `set` are variables that have other values than here.
pub(crate) fn command(program: &Path, arguments: &[OsString], set: &[(OsString, OsString)]) -> Command {
    let mut command = Command::new(program);
    if let Some((name, rest)) = arguments.split_first() {
        command.arg0(name).args(rest);
    }
    if let Some(path) =
        env::var_os("PATH").and_then(|path| without_links(&path, env::var_os(TOOLS_VARIABLE)?))
    {
        command.env("PATH", path);
    }
    command.envs(set.iter().map(|(name, value)| (name, value)));
    command
}

fn without_links(path: &OsStr, links: OsString) -> Option<OsString> {
    env::join_paths(env::split_paths(path).filter(|directory| directory.as_os_str() != links)).ok()
}

/// Becomes the real tool. Returns only when that is not possible.
pub fn execute(program: Option<PathBuf>, arguments: &[OsString]) -> ExitCode {
    ExitCode::from(match program {
        None => not_found(arguments),
        Some(program) => cannot(&program, arguments, &command(&program, arguments, &[]).exec()),
    })
}

/// Says that there is no such tool, and answers as a shell does.
pub(crate) fn not_found(arguments: &[OsString]) -> u8 {
    say(&format!("{}: command not found", name(arguments)));
    EXIT_NOT_FOUND
}

/// Says why the tool does not start, and answers as a shell does.
pub(crate) fn cannot(program: &Path, arguments: &[OsString], error: &io::Error) -> u8 {
    let program = program.display();
    say(&format!("{}: cannot execute {program}: {error}", name(arguments)));
    match error.kind() {
        io::ErrorKind::NotFound => EXIT_NOT_FOUND,
        _ => EXIT_NOT_EXECUTABLE,
    }
}

fn name(arguments: &[OsString]) -> String {
    arguments
        .first()
        .map(|name| name.display().to_string())
        .unwrap_or_default()
}

/// Nobody is left to tell that it cannot be said.
fn say(what: &str) {
    let _ = io::stderr().write_all(format!("{what}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_and_a_path_is_taken_as_it_is() {
        assert!(find(OsStr::new("sh")).is_some());
        assert_eq!(find(OsStr::new("/bin/sh")), Some("/bin/sh".into()));
        assert_eq!(find(OsStr::new("/bin/there-is-no-such-tool")), None);
        assert_eq!(find(OsStr::new("there-is-no-such-tool")), None);
        assert_eq!(find(OsStr::new("/etc/passwd")), None, "it cannot be executed");
    }

    #[test]
    fn links_are_left_out_of_the_path() {
        let path = without_links(OsStr::new("/links:/usr/bin:/links:/bin"), "/links".into());
        assert_eq!(path, Some("/usr/bin:/bin".into()));
    }

    #[test]
    fn this_program_is_no_real_tool() {
        assert!(!is_executable(Path::new("/proc/self/exe")));
    }
}
