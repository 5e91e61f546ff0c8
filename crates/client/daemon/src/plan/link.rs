//! Which files a link reads: the linker's command line says, or the driver what it would tell the linker; the search for
//! libraries is done here.
//!
//! Libraries that only other shared libraries need are not looked for: they decide whether a link fails, and a link that
//! failed is not kept.

mod direct;
mod driver;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use compiler::library_search::{Look, Seen, below_root, resolve};
use compiler::linker_script::{Reference, ScriptError, references};
use compiler::thin_archive::{Archive, members};
use compiler::{LinkItem, LinkLine, Step, Tool};
use daemon_api::Request;
use step_memory::Grounds;

use super::memo::Memo;
use super::toolchains::Toolchain;
use super::why::Why;
use crate::tool::variable;

/// Scripts within scripts, and archives within archives.
const DEPTH_MAX: usize = 16;
/// What a linker script or the table of a thin archive may be long; more is another kind of file.
const TEXT_BYTES_MAX: u64 = 64 << 20;
/// Linkers whose own directories are known.
const LINKERS_MAX: usize = 64;

/// What is known about linkers.
pub(crate) struct Links {
    /// Where each looks for libraries by itself.
    directories: Memo<Linker, Vec<PathBuf>>,
    /// Where each driver looks for what it adds itself.
    driver_directories: Memo<Driver, Vec<PathBuf>>,
}

impl Default for Links {
    fn default() -> Self {
        Links {
            directories: Memo::new(LINKERS_MAX),
            driver_directories: Memo::new(LINKERS_MAX),
        }
    }
}

/// The fingerprint of its toolchain, and where it is: it finds its own directories from there.
type Driver = ([u8; 32], PathBuf);

/// The fingerprint of its toolchain, and the kind of output that it is told to make.
type Linker = ([u8; 32], Option<String>);

impl Links {
    /// Every file that a link reads, beside its sources, and in `grounds` what that rests on.
    pub(crate) fn inputs(
        &self,
        request: &Request,
        program: &Path,
        toolchain: &Toolchain,
        step: &Step,
        grounds: &mut Grounds,
    ) -> Result<Vec<PathBuf>, Why> {
        if step.libraries.as_ref().is_some_and(|line| line.linker.is_some()) {
            return Err(unknown("it names another linker"));
        }
        let told = match step.tool {
            Tool::Ld => direct::told(request, step),
            _ => driver::told(request, program)?,
        };
        let line = told.step.libraries.clone().unwrap_or_default();
        let standard = match step.tool {
            Tool::Ld if line.no_standard_libraries => Vec::new(),
            tool => self.standard(request, program, tool, toolchain, told.emulation)?,
        };
        let below = |directory: &PathBuf| below_root(directory, line.sysroot.as_deref());
        let standard: Vec<PathBuf> = standard.iter().map(below).collect();
        let named = line.items.iter().filter_map(|item| match item {
            LinkItem::File(path) => Some(path),
            LinkItem::Library { .. } => None,
        });
        let mut reading = Reading {
            request,
            line: &line,
            standard: &standard,
            target: named
                .clone()
                .find_map(|path| target(&request.directory.join(path))),
            files: BTreeSet::new(),
            grounds: RefCell::default(),
        };
        // What the driver would make of a source is not there yet, and has the name of no file of the user's.
        let temporary = variable(request, "TMPDIR").map_or(Path::new("/tmp"), Path::new);
        let is_made = |path: &Path| {
            step.tool != Tool::Ld && path.starts_with(temporary) && !request.directory.join(path).exists()
        };
        for path in named
            .clone()
            .chain(&told.step.inputs)
            .filter(|path| !is_made(path))
        {
            reading.file(path, 0)?;
        }
        reading.libraries(&line, 0)?;
        // The driver has looked for what it adds itself in its own directories, in this order.
        for path in named.filter(|path| path.is_absolute()) {
            let (Some(own), Some(name)) = (path.parent(), path.file_name()) else {
                continue;
            };
            if line.directories.iter().any(|directory| directory == own) {
                let earlier = line.directories.iter().take_while(|directory| *directory != own);
                earlier.for_each(|directory| grounds.absent(request.directory.join(directory).join(name)));
            }
        }
        let driver = match step.tool {
            Tool::Ld => Vec::new(),
            _ => self.driver_directories(request, program, toolchain)?,
        };
        driver
            .iter()
            .for_each(|directory| grounds.directory(request.directory.join(directory)));
        grounds.append(reading.grounds.take());
        Ok(reading.files.into_iter().collect())
    }

    /// Where a driver looks for what it adds to a link; also those that are not there, which would be searched if they were.
    fn driver_directories(
        &self,
        request: &Request,
        program: &Path,
        toolchain: &Toolchain,
    ) -> Result<Vec<PathBuf>, Why> {
        let key = (toolchain.fingerprint, program.to_owned());
        let known = &self.driver_directories;
        known.get_or_find(key, |_| driver::own_directories(request, program))
    }

    fn standard(
        &self,
        request: &Request,
        program: &Path,
        tool: Tool,
        toolchain: &Toolchain,
        emulation: Option<String>,
    ) -> Result<Vec<PathBuf>, Why> {
        let key = (toolchain.fingerprint, emulation);
        self.directories.get_or_find(key, |(_, emulation)| {
            let linker = match tool {
                Tool::Ld => program.to_owned(),
                _ => driver::linker_of(request, program)?,
            };
            direct::standard_directories(request, &linker, emulation.as_deref())
        })
    }
}

fn unknown(why: &str) -> Why {
    Why::Inputs(format!("link: {why}"))
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
    /// What was looked at on the way and is not read.
    grounds: RefCell<Grounds>,
}

impl Look for Reading<'_> {
    fn look(&self, path: &Path) -> Seen {
        let path = self.request.directory.join(path);
        if !path.is_file() {
            self.grounds.borrow_mut().absent(path);
            return Seen::Nothing;
        }
        match (self.target, target(&path)) {
            (Some(wanted), Some(found)) if wanted != found => {
                self.grounds.borrow_mut().file(path);
                Seen::Incompatible
            }
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
            Reference::Include(name) => {
                let here = std::iter::once(PathBuf::from(name));
                let beside = self.line.directories.iter().map(|directory| directory.join(name));
                let mut places = here.chain(beside);
                let found = places.find(|path| self.look(path) == Seen::File);
                let found = found.ok_or_else(|| unknown(&format!("the script {name} is nowhere")))?;
                self.file(&found, depth + 1)
            }
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
    use std::ffi::OsString;
    use std::process::Command;
    use std::sync::Arc;

    use compiler::{Invocation, Parsed};
    use file_digests::FileDigests;

    use super::*;
    use crate::plan::discover::ResponseFilesOf;
    use crate::plan::toolchains::Toolchains;

    fn request(directory: &Path, words: &[&str]) -> Request {
        Request {
            arguments: words.iter().map(OsString::from).collect(),
            directory: directory.to_owned(),
            environment: vec![("PATH".into(), std::env::var_os("PATH").unwrap())],
            settings: Vec::new(),
            is_terminal: false,
        }
    }

    /// What a link reads by what is known here, links resolved.
    fn found(request: &Request) -> BTreeSet<PathBuf> {
        let invocation = Invocation {
            argv: &request.arguments,
            cwd: &request.directory,
            env: &|_| None,
        };
        let Parsed::Step(step) = compiler::parse(&invocation, &ResponseFilesOf(&request.directory)) else {
            panic!()
        };
        let program = crate::tool::find(request).unwrap();
        let toolchains = Toolchains::new(Arc::new(FileDigests::new(crate::service::FUNCTION)));
        let toolchain = toolchains.of(request, &program).unwrap();
        let found = Links::default().inputs(request, &program, &toolchain, &step, &mut Grounds::default());
        let real = |path: &PathBuf| request.directory.join(path).canonicalize().ok();
        found.unwrap().iter().filter_map(real).collect()
    }

    #[test]
    fn a_linker_of_its_own_reads_scripts_their_inputs_and_members_of_thin_archives() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().canonicalize().unwrap();
        let run = |words: &[&str]| {
            let mut command = Command::new(words[0]);
            let status = command.args(&words[1..]).current_dir(&directory).status();
            assert!(status.unwrap().success(), "{words:?}");
        };
        for name in ["a", "b", "c"] {
            std::fs::write(
                directory.join(format!("{name}.s")),
                format!(".globl {name}\n{name}:\n"),
            )
            .unwrap();
            run(&["as", &format!("{name}.s"), "-o", &format!("{name}.o")]);
        }
        run(&["ar", "rcT", "thin.a", "a.o", "b.o"]);
        run(&["ar", "mPiT", "a.o", "thin.a", "b.o"]);
        std::fs::write(directory.join("more.ld"), "INPUT(c.o)\n").unwrap();
        std::fs::write(
            directory.join("a.ld"),
            "INCLUDE more.ld\nSECTIONS { .text : { *(.text) } }\n",
        )
        .unwrap();
        let words = ["ld", "-T", "a.ld", "-o", "out", "--whole-archive", "thin.a"];
        run(&words);
        let expected = ["a.ld", "a.o", "b.o", "c.o", "more.ld", "thin.a"].map(|name| directory.join(name));
        assert_eq!(found(&request(&directory, &words)), BTreeSet::from(expected));
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
            let found = found(&request(&directory, &[&["gcc"], &words[..]].concat()));
            let real = |path: &Path| directory.join(path).canonicalize().ok();
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
