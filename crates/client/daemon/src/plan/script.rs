//! Programs that are texts: who runs them.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::toolchains::in_path;

/// How much of a program the kernel looks at (`BINPRM_BUF_SIZE`).
const BEGINNING_BYTES: u64 = 256;

/// The programs that are started when this one is: what stands behind `#!`, and what `env` then finds in `path`. None for
/// what is no script.
pub(super) fn interpreters(program: &Path, path: &OsStr) -> io::Result<Vec<PathBuf>> {
    let mut beginning = Vec::new();
    File::open(program)?
        .take(BEGINNING_BYTES)
        .read_to_end(&mut beginning)?;
    let Some((interpreter, argument)) = first_line(&beginning) else {
        return Ok(Vec::new());
    };
    let started = argument
        .filter(|_| interpreter.file_name() == Some(OsStr::new("env")))
        .and_then(|argument| started_by_env(&argument))
        .and_then(|name| in_path(path, &name));
    Ok(std::iter::once(interpreter).chain(started).collect())
}

/// Who is named behind `#!`, and the rest of the line.
fn first_line(beginning: &[u8]) -> Option<(PathBuf, Option<Vec<u8>>)> {
    let line = beginning.strip_prefix(b"#!")?;
    let line = line.split(|byte| *byte == b'\n').next()?.trim_ascii();
    let end = line.iter().position(u8::is_ascii_whitespace);
    let (name, rest) = line.split_at(end.unwrap_or(line.len()));
    let argument = Some(rest.trim_ascii().to_vec()).filter(|rest| !rest.is_empty());
    (!name.is_empty()).then(|| (OsStr::from_bytes(name).into(), argument))
}

/// What `env` starts: the first word that is neither an option nor a variable.
fn started_by_env(argument: &[u8]) -> Option<OsString> {
    let mut words = argument.split(u8::is_ascii_whitespace);
    let word = words.find(|word| !word.is_empty() && !word.starts_with(b"-") && !word.contains(&b'='))?;
    Some(OsString::from_vec(word.to_vec()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn who_runs_a_script() {
        let scratch = tempfile::tempdir().unwrap();
        let program = scratch.path().join("program");
        let tool = scratch.path().join("tool");
        fs::write(&tool, "").unwrap();
        let check = |text: &str, expected: &[&Path]| {
            fs::write(&program, text).unwrap();
            let found = interpreters(&program, scratch.path().as_os_str()).unwrap();
            assert_eq!(found, expected, "{text}");
        };
        let [shell, env] = ["/bin/sh", "/usr/bin/env"].map(Path::new);
        check("", &[]);
        check("\x7fELF", &[]);
        check("#!", &[]);
        check("#!/bin/sh\necho", &[shell]);
        check("#! /bin/sh -e\n", &[shell]);
        check("#!/usr/bin/env tool", &[env, &tool]);
        check("#!/usr/bin/env -S A=b tool -x\n", &[env, &tool]);
        check("#!/usr/bin/env no-such\n", &[env]);
        assert!(interpreters(&scratch.path().join("no-such"), OsStr::new("")).is_err());
    }
}
