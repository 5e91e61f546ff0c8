//! What a source includes, by asking the compiler with `-M`: what is done for want of a scan that is sure.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use compiler::{DirectoryKind, Included, Macro, Step};
use daemon_api::Request;

use super::why::Why;
use crate::tool::ask;

/// What the compiler says that it reads for one source.
pub(crate) fn dependencies(
    request: &Request,
    program: &Path,
    step: &Step,
    source: &Path,
) -> Result<Vec<PathBuf>, Why> {
    let said =
        ask(request, program, &question(step, source)).map_err(|error| Why::Inputs(error.to_string()))?;
    prerequisites(&said.stdout)
        .ok_or_else(|| Why::Inputs("the compiler's make rule is not understood".to_owned()))
}

/// The command that lists what a source includes, system headers too.
fn question(step: &Step, source: &Path) -> Vec<OsString> {
    let mut words: Vec<OsString> = step.facts_arguments.clone();
    let mut joined = |option: &str, value: &OsStr| {
        let mut word = OsString::from(option);
        word.push(value);
        words.push(word);
    };
    if let Some(preprocessing) = &step.preprocessing {
        for change in &preprocessing.macros {
            match change {
                Macro::Define(text) => joined("-D", text.as_ref()),
                Macro::Undefine(name) => joined("-U", name.as_ref()),
                Macro::Assert(text) => joined("-A", text.as_ref()),
            }
        }
        for directory in &preprocessing.directories {
            let option = match directory.kind {
                DirectoryKind::Quote => "-iquote",
                DirectoryKind::Angle => "-I",
                DirectoryKind::System => "-isystem",
                DirectoryKind::After => "-idirafter",
                DirectoryKind::Framework => "-F",
                DirectoryKind::SystemFramework => "-iframework",
                DirectoryKind::CxxSystem => "-cxx-isystem",
                DirectoryKind::CSystem => "-c-isystem",
            };
            joined(option, directory.path.as_os_str());
        }
        for forced in &preprocessing.forced {
            let option = match forced.how {
                Included::Whole => "-include",
                Included::Macros => "-imacros",
            };
            words.extend([option.into(), forced.path.clone().into_os_string()]);
        }
    }
    words.extend(["-M".into(), source.as_os_str().to_owned()]);
    words
}

/// What stands after the colon of a make rule. `None` if there is no rule.
fn prerequisites(rule: &[u8]) -> Option<Vec<PathBuf>> {
    let colon = rule
        .windows(2)
        .position(|pair| pair[0] == b':' && pair[1].is_ascii_whitespace())?;
    let mut paths = Vec::new();
    let mut path = Vec::new();
    let mut bytes = rule[colon + 1..].iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if bytes.peek() == Some(&b'\n') => {}
            // Before a blank or a `#` it makes that a part of the name.
            b'\\'
                if bytes
                    .peek()
                    .is_some_and(|next| matches!(next, b' ' | b'\t' | b'#')) =>
            {
                path.extend(bytes.next())
            }
            b'$' if bytes.peek() == Some(&b'$') => path.extend(bytes.next()),
            byte if byte.is_ascii_whitespace() => {
                if !path.is_empty() {
                    paths.push(PathBuf::from(OsString::from_vec(std::mem::take(&mut path))));
                }
            }
            byte => path.push(byte),
        }
    }
    if !path.is_empty() {
        paths.push(PathBuf::from(OsStr::from_bytes(&path)));
    }
    Some(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_make_rule_is_read_as_make_reads_it() {
        let check = |rule: &str, expected: &[&str]| {
            let expected: Vec<_> = expected.iter().map(PathBuf::from).collect();
            assert_eq!(prerequisites(rule.as_bytes()), Some(expected), "{rule}");
        };
        check(
            "a.o: a.c \\\n /usr/include/stdio.h b.h\n",
            &["a.c", "/usr/include/stdio.h", "b.h"],
        );
        check(
            "a.o: with\\ blank.c x\\#y.h do$$llar.h\n",
            &["with blank.c", "x#y.h", "do$llar.h"],
        );
        check("a.o:\n", &[]);
        assert_eq!(prerequisites(b"no rule"), None);
    }
}
