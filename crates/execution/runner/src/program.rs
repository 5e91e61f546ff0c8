//! What a command's `argv`, environment and working directory mean to the kernel (REAPI `Command.arguments`).

use std::ffi::{CString, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use runner_api::{DEFAULT_PATH, InputRootPlace, Root, RunRequest};

use crate::limits::{PATH_BYTES_MAX, PATH_ENTRIES_MAX};
use crate::sys::Execution;

/// A command, ready to be executed.
pub(crate) struct Program {
    pub(crate) execution: Execution,
    /// Relative to the build directory; empty for the build directory itself.
    pub(crate) working_directory: CString,
    /// What it sees at `/`.
    pub(crate) root: Root,
    /// Where it sees its build directory, if it asks for that.
    pub(crate) place: Option<InputRootPlace>,
    /// How many processes and threads it may have at once.
    pub(crate) processes_max: Option<u32>,
}

impl Program {
    /// Of a request that passed its check, started `through` a program and its arguments if there is one. An error is for
    /// the client.
    pub(crate) fn of(request: &RunRequest, through: &[Vec<u8>]) -> Result<Program, String> {
        let candidates = match through.first() {
            Some(program) => c_strings([program.clone()])?,
            None => c_strings(candidates(request)?)?,
        };
        let argv = c_strings(through.iter().chain(&request.argv).cloned())?;
        let env = c_strings(
            request
                .env
                .iter()
                .map(|(name, value)| [name, &b"="[..], value].concat()),
        )?;
        let working_directory = c_string(request.working_directory.as_os_str().as_bytes().to_vec())?;
        Ok(Program {
            execution: Execution::new(candidates, argv, env),
            working_directory,
            root: request.root,
            place: request.input_root_place.clone(),
            processes_max: request.processes_max,
        })
    }
}

/// The executable as the command named it, for messages about it.
pub(crate) fn executable(request: &RunRequest, through: &[Vec<u8>]) -> PathBuf {
    let first = through.first().or(request.argv.first());
    PathBuf::from(OsString::from_vec(first.cloned().unwrap_or_default()))
}

/// The paths to try in order. They are tried where the command will run, after changing to its working directory, so
/// relative ones mean what they should.
fn candidates(request: &RunRequest) -> Result<Vec<Vec<u8>>, String> {
    let name = request.argv.first().ok_or("the command has no arguments")?;
    if name.contains(&b'/') {
        return Ok(vec![name.clone()]);
    }
    let path = request.env.iter().find(|(name, _)| name == b"PATH");
    let path = path.map_or(DEFAULT_PATH.as_bytes(), |(_, value)| value);
    if path.split(|byte| *byte == b':').nth(PATH_ENTRIES_MAX).is_some() {
        return Err(format!(
            "the command's PATH has more than {PATH_ENTRIES_MAX} entries"
        ));
    }
    let in_directory = |directory: &[u8]| match directory {
        // An empty entry is the working directory (POSIX); the kernel takes a bare name so.
        [] => name.clone(),
        _ => [directory, b"/", name].concat(),
    };
    // Longer ones cannot exist, and would let a long PATH with a long name fill the memory.
    let fits = |candidate: &Vec<u8>| candidate.len() < PATH_BYTES_MAX;
    Ok(path
        .split(|byte| *byte == b':')
        .map(in_directory)
        .filter(fits)
        .collect())
}

fn c_strings(strings: impl IntoIterator<Item = Vec<u8>>) -> Result<Vec<CString>, String> {
    strings.into_iter().map(c_string).collect()
}

fn c_string(bytes: Vec<u8>) -> Result<CString, String> {
    CString::new(bytes)
        .map_err(|error| format!("a NUL byte in {:?}", String::from_utf8_lossy(&error.into_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(argv0: &str, path: Option<&str>) -> RunRequest {
        RunRequest {
            argv: vec![argv0.into()],
            env: path
                .iter()
                .map(|path| (b"PATH".to_vec(), path.as_bytes().to_vec()))
                .collect(),
            input_root: "/r".into(),
            working_directory: PathBuf::new(),
            timeout: None,
            stdout_path: "/o".into(),
            stderr_path: "/e".into(),
            output_log_bytes_max: 0,
            root: Root::Host,
            image: None,
            input_root_place: None,
            input_root_base: None,
            user: None,
            network: false,
            memory_bytes_max: None,
            processes_max: None,
            processors_max: None,
        }
    }

    fn check(argv0: &str, path: Option<&str>, expected: &[&str]) {
        let found: Vec<String> = candidates(&request(argv0, path))
            .unwrap()
            .into_iter()
            .map(|candidate| String::from_utf8(candidate).unwrap())
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn with_a_slash_there_is_one_candidate() {
        check("/bin/true", Some("/a"), &["/bin/true"]);
        check("tools/gen", Some("/a"), &["tools/gen"]);
        check("./gen", None, &["./gen"]);
    }

    #[test]
    fn a_bare_name_is_looked_up() {
        check("cc", Some("/a:b"), &["/a/cc", "b/cc"]);
        check("cc", None, &["/usr/local/bin/cc", "/usr/bin/cc", "/bin/cc"]);
        check("cc", Some(""), &["cc"]);
        check("cc", Some("/a::/b"), &["/a/cc", "cc", "/b/cc"]);
    }

    #[test]
    fn a_path_has_a_bound() {
        let path = ":".repeat(PATH_ENTRIES_MAX);
        assert!(
            candidates(&request("cc", Some(&path)))
                .unwrap_err()
                .contains("more than 1024 entries")
        );
        check(&"x".repeat(PATH_BYTES_MAX), Some("/a:/b"), &[]);
    }
}
