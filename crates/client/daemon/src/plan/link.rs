//! Which files a link reads: the driver says what it would tell the linker, and its search for libraries is done here.
//!
//! Libraries that only other shared libraries need are not looked for: they decide whether a link fails, and a link that
//! failed is not kept.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use compiler::library_search::{Look, Seen, below_root, resolve};
use compiler::linker_script::{Reference, ScriptError, references};
use compiler::thin_archive::{Archive, members};
use compiler::{Caution, Invocation, LinkItem, LinkLine, Parsed, Step, Tool};
use daemon_api::Request;
use parking_lot::Mutex;

use super::discover::ResponseFilesOf;
use super::why::Why;
use crate::tool::{path_of, variable};

/// Scripts within scripts, and archives within archives.
const DEPTH_MAX: usize = 16;
/// What a linker script or the table of a thin archive may be long; more is another kind of file.
const TEXT_BYTES_MAX: u64 = 64 << 20;
/// Linkers whose own directories are known.
const LINKERS_MAX: usize = 64;

/// What is known about linkers.
#[derive(Default)]
pub(crate) struct Links {
    /// Where each looks for libraries by itself.
    directories: Mutex<HashMap<PathBuf, Vec<PathBuf>>>,
}

impl Links {
    /// Every file that a link reads, beside its sources.
    pub(crate) fn inputs(&self, request: &Request, program: &Path, step: &Step) -> Result<Vec<PathBuf>, Why> {
        let (linker, line, named) = match step.tool {
            Tool::Ld => {
                let line = step.libraries.clone().unwrap_or_default();
                (program.to_owned(), line, step.inputs.clone())
            }
            _ => driven(request, program)?,
        };
        let standard = self.standard(request, program, step, &linker)?;
        let mut reading = Reading {
            request,
            line: &line,
            standard: &standard,
            target: None,
            files: BTreeSet::new(),
        };
        reading.target = line.items.iter().find_map(|item| match item {
            LinkItem::File(path) => target(&request.directory.join(path)),
            LinkItem::Library { .. } => None,
        });
        // What the driver would make of a source is not there yet, and has the name of no file of the user's.
        let temporary = variable(request, "TMPDIR").map_or(Path::new("/tmp"), Path::new);
        let made = |path: &PathBuf| path.starts_with(temporary) && !request.directory.join(path).exists();
        for path in named.iter().filter(|path| !made(path)) {
            reading.file(path, 0)?;
        }
        for path in line.items.iter().filter_map(|item| match item {
            LinkItem::File(path) if !made(path) => Some(path),
            _ => None,
        }) {
            reading.file(path, 0)?;
        }
        reading.libraries(&line, 0)?;
        Ok(reading.files.into_iter().collect())
    }

    /// Where the linker looks after the directories of its command line.
    fn standard(
        &self,
        request: &Request,
        program: &Path,
        step: &Step,
        linker: &Path,
    ) -> Result<Vec<PathBuf>, Why> {
        let linker = match step.tool {
            Tool::Ld => linker.to_owned(),
            _ => named_by(request, program, step)?,
        };
        if let Some(known) = self.directories.lock().get(&linker) {
            return Ok(known.clone());
        }
        let said = asked(request, &linker, &["--verbose".into()])?;
        let directories = search_directories(&String::from_utf8_lossy(&said.stdout));
        let mut known = self.directories.lock();
        if known.len() >= LINKERS_MAX {
            known.clear();
        }
        known.insert(linker, directories.clone());
        Ok(directories)
    }
}

/// The linker that a driver starts.
fn named_by(request: &Request, program: &Path, step: &Step) -> Result<PathBuf, Why> {
    if step.libraries.as_ref().is_some_and(|line| line.linker.is_some()) {
        return Err(unknown("it names another linker"));
    }
    let said = asked(request, program, &["-print-prog-name=ld".into()])?;
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

/// The linker's command line, as the driver would write it.
fn driven(request: &Request, program: &Path) -> Result<(PathBuf, LinkLine, Vec<PathBuf>), Why> {
    let mut words: Vec<OsString> = request.arguments.iter().skip(1).cloned().collect();
    words.push("-###".into());
    let said = asked(request, program, &words)?;
    let said = String::from_utf8(said.stderr).map_err(|_| unknown("the driver does not write UTF-8"))?;
    let is_linker = |name: &str| ["collect2", "ld", "ld.bfd", "ld.gold", "ld.lld"].contains(&name);
    let command = said
        .lines()
        .filter(|line| line.starts_with(' '))
        .map(quoted_words)
        .rfind(|words| {
            let first = words
                .first()
                .map(Path::new)
                .and_then(Path::file_name)
                .and_then(OsStr::to_str);
            first.is_some_and(is_linker)
        });
    let mut command = command.ok_or_else(|| unknown("the driver links nothing"))?;
    let linker = PathBuf::from(std::mem::replace(&mut command[0], "ld".to_owned()));
    let argv = without_own_plugin(command);
    let invocation = Invocation {
        argv: &argv,
        cwd: &request.directory,
        env: &|_| None,
    };
    match compiler::parse(&invocation, &ResponseFilesOf(&request.directory)) {
        Parsed::Step(step) => match step.caution.iter().find(|caution| !is_harmless(**caution)) {
            Some(caution) => Err(Why::Caution(*caution)),
            None => Ok((linker, step.libraries.unwrap_or_default(), step.inputs)),
        },
        Parsed::NotOurs(not_ours) => Err(unknown(&format!("the linker's command line: {not_ours:?}"))),
    }
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

fn asked(request: &Request, program: &Path, words: &[OsString]) -> Result<std::process::Output, Why> {
    let output = Command::new(program)
        .args(words)
        .current_dir(&request.directory)
        .env_clear()
        .envs(request.environment.iter().map(|(name, value)| (name, value)))
        .env("PATH", path_of(request))
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| unknown(&format!("cannot ask {}: {error}", program.display())))?;
    match output.status.success() {
        true => Ok(output),
        false => Err(unknown(&format!("{} does not answer", program.display()))),
    }
}

fn unknown(why: &str) -> Why {
    Why::Inputs(format!("link: {why}"))
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

/// `SEARCH_DIR("=/usr/lib");` of a linker's own script.
fn search_directories(script: &str) -> Vec<PathBuf> {
    script
        .split("SEARCH_DIR(")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .map(|directory| directory.trim_matches('"'))
        .map(|directory| PathBuf::from(directory.strip_prefix('=').unwrap_or(directory)))
        .collect()
}

/// Which processor and which word length an object is for.
type Target = (u8, [u8; 2]);

fn target(path: &Path) -> Option<Target> {
    let mut header = [0; 20];
    File::open(path).ok()?.read_exact(&mut header).ok()?;
    (header.starts_with(b"\x7fELF")).then_some((header[4], [header[18], header[19]]))
}

/// The files of one link.
struct Reading<'a> {
    request: &'a Request,
    line: &'a LinkLine,
    standard: &'a [PathBuf],
    target: Option<Target>,
    files: BTreeSet<PathBuf>,
}

impl Look for Reading<'_> {
    fn look(&self, path: &Path) -> Seen {
        let path = self.request.directory.join(path);
        if !path.is_file() {
            return Seen::Nothing;
        }
        match (self.target, target(&path)) {
            (Some(wanted), Some(found)) if wanted != found => Seen::Incompatible,
            _ => Seen::File,
        }
    }
}

impl Reading<'_> {
    fn libraries(&mut self, line: &LinkLine, depth: usize) -> Result<(), Why> {
        let resolution = resolve(line, self.standard, self);
        let resolution = resolution.ok_or_else(|| unknown("the search for libraries is not known here"))?;
        if let Some(missing) = resolution.missing.first() {
            return Err(unknown(&format!("-l{missing} is nowhere")));
        }
        resolution
            .found
            .iter()
            .try_for_each(|path| self.file(path, depth))
    }

    /// Adds a file, and whatever it names where it is a script or an archive of names.
    fn file(&mut self, path: &Path, depth: usize) -> Result<(), Why> {
        if depth > DEPTH_MAX {
            return Err(unknown("scripts name scripts without end"));
        }
        if !self.files.insert(path.to_owned()) {
            return Ok(());
        }
        let opened = self.request.directory.join(path);
        let unreadable = |error: std::io::Error| Why::Unreadable {
            path: opened.clone(),
            why: error.to_string(),
        };
        let mut beginning = [0; 8];
        let mut file = File::open(&opened).map_err(unreadable)?;
        let read = file.read(&mut beginning).map_err(unreadable)?;
        let beginning = &beginning[..read];
        if beginning.starts_with(b"\x7fELF") || beginning.starts_with(b"!<arch>") {
            return Ok(());
        }
        let mut text = beginning.to_vec();
        file.take(TEXT_BYTES_MAX)
            .read_to_end(&mut text)
            .map_err(unreadable)?;
        if beginning.starts_with(b"!<thin>") {
            let Ok(Archive::Thin(members)) = members(&text) else {
                return Err(unknown(&format!("{} is no archive", path.display())));
            };
            let directory = path.parent().unwrap_or(Path::new(""));
            return members
                .iter()
                .try_for_each(|member| self.file(&directory.join(&member.path), depth + 1));
        }
        match references(&text) {
            Ok(references) => references
                .iter()
                .try_for_each(|reference| self.reference(path, reference, depth)),
            // LLVM's own objects, for one.
            Err(ScriptError::NotText) => Ok(()),
            Err(error) => Err(unknown(&format!("{}: {error}", path.display()))),
        }
    }

    /// What a script names: where it is, or where libraries are.
    fn reference(&mut self, script: &Path, reference: &Reference, depth: usize) -> Result<(), Why> {
        match reference {
            Reference::File { name, .. } => {
                let path = below_root(Path::new(name), self.line.sysroot.as_deref());
                if path.is_absolute() || self.look(&path) == Seen::File {
                    return self.file(&path, depth + 1);
                }
                let beside = script.parent().unwrap_or(Path::new("")).join(&path);
                if self.look(&beside) == Seen::File {
                    return self.file(&beside, depth + 1);
                }
                self.library(name, true, depth)
            }
            Reference::Library { name, .. } => self.library(name, false, depth),
            other => Err(unknown(&format!("a script says {other:?}"))),
        }
    }

    fn library(&mut self, name: &str, exact: bool, depth: usize) -> Result<(), Why> {
        let item = LinkItem::Library {
            name: name.to_owned(),
            exact,
            archive_only: self.line.is_static,
        };
        let line = LinkLine {
            items: vec![item],
            ..self.line.clone()
        };
        self.libraries(&line, depth + 1)
    }
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
    fn a_linker_tells_its_own_directories() {
        let script = "SEARCH_DIR(\"=/usr/local/lib\"); SEARCH_DIR(\"/lib\");\nSECTIONS {";
        assert_eq!(
            search_directories(script),
            [Path::new("/usr/local/lib"), Path::new("/lib")]
        );
    }

    #[test]
    fn a_real_link_reads_what_the_linker_says_that_it_reads() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().canonicalize().unwrap();
        std::fs::write(
            directory.join("a.c"),
            "#include <math.h>\nint main(int c, char **v) { return (int)sin(c); }\n",
        )
        .unwrap();
        let gcc = |words: &[&str]| {
            let output = Command::new("gcc")
                .args(words)
                .current_dir(&directory)
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            output
        };
        gcc(&["-c", "a.c", "-o", "a.o"]);
        for more in [&["-lm"][..], &["-lm", "-static"], &["-lm", "-pthread", "-no-pie"]] {
            let words = [&["-o", "a", "a.o"], more].concat();
            let map = gcc(&[&words[..], &["-Wl,--trace"]].concat());
            let request = Request {
                arguments: [&["gcc"], &words[..]]
                    .concat()
                    .into_iter()
                    .map(OsString::from)
                    .collect(),
                directory: directory.clone(),
                environment: vec![("PATH".into(), std::env::var_os("PATH").unwrap())],
                settings: Vec::new(),
                is_terminal: false,
            };
            let env = |_: &str| None;
            let invocation = Invocation {
                argv: &request.arguments,
                cwd: &directory,
                env: &env,
            };
            let Parsed::Step(step) = compiler::parse(&invocation, &ResponseFilesOf(&directory)) else {
                panic!()
            };
            let gcc = crate::tool::find(&request).unwrap();
            let found = Links::default().inputs(&request, &gcc, &step).unwrap();
            let real = |path: &Path| directory.join(path).canonicalize().ok();
            let found: BTreeSet<_> = found.iter().filter_map(|path| real(path)).collect();
            // The plugin reads what the linker reads, and archives are told with a member each.
            let trace = String::from_utf8(map.stdout).unwrap();
            let read = trace
                .lines()
                .map(|line| line.trim_start_matches('(').split(')').next().unwrap_or_default());
            let read: BTreeSet<_> = read.filter_map(|path| real(Path::new(path))).collect();
            assert!(read.len() > 4, "{trace}");
            let missed: Vec<_> = read.difference(&found).collect();
            assert!(missed.is_empty(), "{more:?}: {missed:?}\nfound {found:?}");
        }
    }
}
