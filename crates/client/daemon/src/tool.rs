//! Which program a command would have been without the wrapper.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use daemon_api::Request;
use toolchain::{Answer, ProbeError, Run};

/// Names of the wrapper's program; its links are no tools.
const WRAPPERS: [&str; 2] = ["farrier-cc", "farrier"];

/// One variable of the command's environment.
pub(crate) fn variable<'a>(request: &'a Request, name: &str) -> Option<&'a OsStr> {
    let found = request.environment.iter().find(|(n, _)| n == name);
    found.map(|(_, value)| value.as_os_str())
}

/// Where the tool is that the command names: a path as it is, a name where `PATH` has it first, not counting links to
/// the wrapper.
pub(crate) fn find(request: &Request) -> Option<PathBuf> {
    find_named(request, request.arguments.first()?)
}

/// The same of another program that is to run as the command would.
pub(crate) fn find_named(request: &Request, tool: &OsStr) -> Option<PathBuf> {
    if tool.as_bytes().contains(&b'/') {
        let path = request.directory.join(tool);
        return is_tool(&path).then_some(path);
    }
    search_path(request)?
        .map(|directory| directory.join(tool))
        .find(|candidate| is_tool(candidate))
}

/// The command's `PATH` as the real tool sees it: without the links to the wrapper.
pub(crate) fn path_of(request: &Request) -> OsString {
    let directories = search_path(request).into_iter().flatten();
    env::join_paths(directories).unwrap_or_default()
}

/// The command's environment as the real tool sees it, sorted.
pub(crate) fn environment_of(request: &Request) -> Vec<(OsString, OsString)> {
    let others = request.environment.iter().filter(|(name, _)| name != "PATH");
    let mut environment: Vec<_> = others.cloned().collect();
    environment.push(("PATH".into(), path_of(request)));
    environment.sort();
    environment
}

/// Asks a tool something, where the command was called and as it would see the world.
pub(crate) fn ask(request: &Request, program: &Path, words: &[OsString]) -> Result<Answer, ProbeError> {
    toolchain::run_well(&Run {
        driver: program,
        arguments: words,
        cwd: &request.directory,
        environment: &environment_of(request),
        stdin: b"",
    })
}

fn search_path(request: &Request) -> Option<impl Iterator<Item = PathBuf>> {
    let links = variable(request, "FARRIER_TOOLS");
    let directories = env::split_paths(variable(request, "PATH")?);
    Some(
        directories
            .filter(move |directory| Some(directory.as_os_str()) != links)
            .map(|directory| request.directory.join(directory)),
    )
}

fn is_tool(path: &Path) -> bool {
    let Ok(metadata) = fs::metadata(path) else {
        return false;
    };
    let is_program = metadata.is_file() && metadata.permissions().mode() & 0o111 != 0;
    let is_wrapper = |real: PathBuf| {
        WRAPPERS
            .iter()
            .any(|name| real.file_name() == Some(OsStr::new(name)))
    };
    is_program && fs::canonicalize(path).is_ok_and(|real| !is_wrapper(real))
}

/// Enough of a command to know it by.
const WORDS_BYTES_MAX: usize = 160;

/// The beginning of a command, for people.
pub(crate) fn first_words(request: &Request) -> String {
    let mut words = String::new();
    for argument in &request.arguments {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(&argument.to_string_lossy());
        if words.len() > WORDS_BYTES_MAX {
            let end = (0..=WORDS_BYTES_MAX)
                .rev()
                .find(|end| words.is_char_boundary(*end));
            words.truncate(end.unwrap_or_default());
            words.push('…');
            break;
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_the_wrapper_are_no_tools() {
        let directory = tempfile::tempdir().unwrap();
        let program = |name: &str| {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path
        };
        let wrapper = program("bin/farrier-cc");
        let real = program("real/gcc");
        fs::create_dir(directory.path().join("by-hand")).unwrap();
        std::os::unix::fs::symlink(&wrapper, directory.path().join("by-hand/gcc")).unwrap();
        program("links/gcc");
        let path = ["links", "by-hand", "no-such", "real"].map(|name| directory.path().join(name));
        let environment = vec![
            ("PATH".into(), env::join_paths(&path).unwrap()),
            ("FARRIER_TOOLS".into(), path[0].clone().into_os_string()),
        ];
        let request = |tool: &Path| Request {
            arguments: vec![tool.into()],
            directory: directory.path().to_owned(),
            environment: environment.clone(),
            settings: Vec::new(),
            is_terminal: false,
        };
        assert_eq!(find(&request(Path::new("gcc"))), Some(real.clone()));
        assert_eq!(find(&request(Path::new("real/gcc"))), Some(real.clone()));
        assert_eq!(find(&request(Path::new("by-hand/gcc"))), None);
        assert_eq!(find(&request(Path::new("clang"))), None);
        assert_eq!(
            path_of(&request(Path::new("gcc"))),
            env::join_paths(&path[1..]).unwrap()
        );
    }
}
