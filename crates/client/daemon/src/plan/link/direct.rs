//! A linker that is called by the build itself, as kernels do.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use compiler::Step;
use compiler::linker_script::{Reference, references};
use daemon_api::Request;

use super::driver::Told;
use super::unknown;
use crate::plan::why::Why;
use crate::tool::ask;

/// What a linker's own command line says.
pub(super) fn told(request: &Request, step: &Step) -> Told {
    Told {
        step: Box::new(step.clone()),
        emulation: emulation(&request.arguments),
    }
}

/// The kind of output that `-m` names, joined or not; the last one counts. Options that only begin so (`-mllvm`) are
/// lld's, which does not look at it.
fn emulation(arguments: &[OsString]) -> Option<String> {
    let mut found = None;
    let mut words = arguments.iter().filter_map(|word| word.to_str());
    while let Some(word) = words.next() {
        match word.strip_prefix("-m") {
            Some("") => found = words.next(),
            Some(joined) if joined.starts_with("elf") => found = Some(joined),
            _ => {}
        }
    }
    found.map(str::to_owned)
}

/// Where a linker looks for libraries by itself, as it says: a leading `=` stands for the root of the system.
pub(super) fn standard_directories(
    request: &Request,
    linker: &Path,
    emulation: Option<&str>,
) -> Result<Vec<PathBuf>, Why> {
    let name = linker.canonicalize().unwrap_or_else(|_| linker.to_owned());
    let name = name.file_name().unwrap_or_default().to_string_lossy();
    if name.contains("lld") {
        // It has none.
        return Ok(Vec::new());
    }
    let emulation = emulation.into_iter().flat_map(|emulation| ["-m", emulation]);
    let words: Vec<OsString> = emulation.chain(["--verbose"]).map(OsString::from).collect();
    let said = ask(request, linker, &words).map_err(|error| unknown(&error.to_string()))?;
    let named = references(&said.stdout).map_err(|error| unknown(&error.to_string()))?;
    let directories = named.into_iter().filter_map(|reference| match reference {
        Reference::SearchDirectory(directory) => Some(PathBuf::from(directory)),
        _ => None,
    });
    let directories: Vec<_> = directories.collect();
    match directories.is_empty() {
        true => Err(unknown("the linker does not say where it looks for libraries")),
        false => Ok(directories),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_emulation_counts() {
        let check = |line: &str, expected: Option<&str>| {
            let words: Vec<_> = line.split(' ').map(OsString::from).collect();
            assert_eq!(emulation(&words).as_deref(), expected, "{line}");
        };
        check("ld -o a a.o", None);
        check("ld -m elf_x86_64 a.o -m elf_i386", Some("elf_i386"));
        check("ld -melf_i386 a.o", Some("elf_i386"));
        check("ld.lld -mllvm -x a.o", None);
    }
}
