//! What a driver would tell its linker: asked with `-###`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use compiler::{Caution, Invocation, Parsed, Step, Tool};
use daemon_api::Request;

use super::unknown;
use crate::plan::discover::ResponseFilesOf;
use crate::plan::why::Why;
use crate::tool::{ask, path_of};

/// The linker's command line, as the driver would write it.
pub(super) struct Told {
    /// What it says, in order.
    pub(super) step: Box<Step>,
    /// The kind of output that it names (`-m`), which decides where libraries are looked for.
    pub(super) emulation: Option<String>,
}

/// What gcc starts in place of a linker, to start that.
const COLLECT: &str = "collect2";

/// Asks the driver.
pub(super) fn told(request: &Request, program: &Path) -> Result<Told, Why> {
    let mut words: Vec<OsString> = request.arguments.iter().skip(1).cloned().collect();
    words.push("-###".into());
    let said = ask(request, program, &words).map_err(|error| unknown(&error.to_string()))?;
    let said = String::from_utf8(said.stderr).map_err(|_| unknown("the driver does not write UTF-8"))?;
    let commands = said.lines().filter(|line| line.starts_with(' '));
    let mut command = commands
        .map(quoted_words)
        .rfind(|words| words.first().is_some_and(|first| is_linker(first)))
        .ok_or_else(|| unknown("the driver links nothing"))?;
    // For another target it may start a linker that is no part of the toolchain as that is known.
    let is_own = |linker: &Path| {
        let own = linker_of(request, program)?;
        Ok::<_, Why>(own.canonicalize().ok() == linker.canonicalize().ok())
    };
    let linker = Path::new(&command[0]);
    if linker.file_name() != Some(OsStr::new(COLLECT)) && !is_own(linker)? {
        return Err(unknown("the driver starts another linker than it names"));
    }
    // `collect2` takes the linker's own words.
    command[0] = "ld".to_owned();
    let mut after = command.iter().skip_while(|word| *word != "-m");
    let emulation = after.nth(1).cloned();
    let argv = without_own_plugin(command);
    let invocation = Invocation {
        argv: &argv,
        cwd: &request.directory,
        env: &|_| None,
    };
    match compiler::parse(&invocation, &ResponseFilesOf(&request.directory)) {
        Parsed::Step(step) => match step.caution.iter().find(|caution| !is_harmless(**caution)) {
            Some(caution) => Err(Why::Caution(*caution)),
            None => Ok(Told { step, emulation }),
        },
        Parsed::NotOurs(not_ours) => Err(unknown(&format!("the linker's command line: {not_ours}"))),
    }
}

/// Where the driver looks for startup files and libraries of its own, whether they are there or not.
pub(super) fn own_directories(request: &Request, program: &Path) -> Result<Vec<PathBuf>, Why> {
    let said = ask(request, program, &["-print-search-dirs".into()]);
    let said = said.map_err(|error| unknown(&error.to_string()))?;
    let mut lines = said.stdout.split(|byte| *byte == b'\n');
    let directories = lines
        .find_map(|line| line.strip_prefix(b"libraries: ="))
        .ok_or_else(|| unknown("the driver does not say where it looks for libraries"))?;
    Ok(std::env::split_paths(OsStr::from_bytes(directories)).collect())
}

/// The linker that the driver starts.
pub(super) fn linker_of(request: &Request, program: &Path) -> Result<PathBuf, Why> {
    let said = ask(request, program, &["-print-prog-name=ld".into()]);
    let said = said.map_err(|error| unknown(&error.to_string()))?;
    let name = PathBuf::from(OsString::from_vec(said.stdout.trim_ascii().to_vec()));
    if name.is_absolute() {
        return Ok(name);
    }
    let path = path_of(request);
    let mut found = std::env::split_paths(&path).map(|directory| directory.join(&name));
    found
        .find(|path| path.is_file())
        .ok_or_else(|| unknown("the linker is nowhere"))
}

fn is_linker(program: &str) -> bool {
    let name = Path::new(program).file_name().and_then(OsStr::to_str);
    name.is_some_and(|name| name == COLLECT || compiler::is_tool_name(name) == Some(Tool::Ld))
}

/// Without the compiler's own plugin and its files: the one is a part of the toolchain, the others are made meanwhile.
fn without_own_plugin(command: Vec<String>) -> Vec<OsString> {
    let mut argv = Vec::new();
    let mut words = command.into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-plugin" => drop(words.next()),
            option if option.starts_with("-plugin-opt=") => {}
            _ => argv.push(OsString::from(word)),
        }
    }
    argv
}

/// The plugin of the compiler itself is a part of the toolchain, and every driver loads it.
fn is_harmless(caution: Caution) -> bool {
    matches!(
        caution,
        Caution::InputsNameInputs | Caution::Plugin | Caution::LinkTimeOptimization | Caution::OtherTools
    )
}

/// The words of a line of `-###`: quoted where they need it, with backslashes before what would end that.
fn quoted_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            '\\' => word.get_or_insert_default().extend(characters.next()),
            ' ' if !is_quoted => words.extend(word.take()),
            character => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_taken_out_of_their_quotes() {
        let check = |line: &str, expected: &[&str]| assert_eq!(quoted_words(line), expected, "{line}");
        check(" /usr/bin/ld -o a", &["/usr/bin/ld", "-o", "a"]);
        check(
            r#" "/usr/bin/ld" "-o" "a b" "" "c\"d""#,
            &["/usr/bin/ld", "-o", "a b", "", "c\"d"],
        );
        check("", &[]);
    }

    #[test]
    fn linkers_are_known_by_their_names_with_targets_and_versions() {
        for (program, expected) in [
            ("/usr/lib/gcc/x86_64-linux-gnu/12/collect2", true),
            ("/usr/bin/x86_64-linux-gnu-ld", true),
            ("/usr/bin/ld.lld-14", true),
            ("/usr/lib/llvm-14/bin/clang", false),
            ("/usr/bin/as", false),
        ] {
            assert_eq!(is_linker(program), expected, "{program}");
        }
    }
}
