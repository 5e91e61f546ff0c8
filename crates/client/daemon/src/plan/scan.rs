//! Which headers a source includes, by the scanner: what it has to know of the compiler is asked once.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use compiler::{DirectoryKind, Included, Macro, Preprocessing, Step};
use daemon_api::Request;
use include_scanner::{Answers, Closure, CommandLineMacro, Family, Language, SourceView, Unit, Unsure, scan};
use parking_lot::Mutex;
use source_view::Store;
use step_memory::Grounds;
use toolchain::{ENVIRONMENT, Facts, Probe, UserDirectory, ask, probe, search_path};

use super::given::GivenSource;
use super::memo::Memo;
use super::toolchains::Toolchain;
use super::why::Why;
use crate::limits::FACTS_MAX;
use crate::tool::environment_of;

/// Rounds of questions that one scan may need: each answer may lead to new ones.
const ROUNDS_MAX: usize = 8;

/// What scans know of files and compilers.
pub(crate) struct Scans {
    store: Arc<Store>,
    known: Memo<Key, Arc<Known>>,
}

impl Default for Scans {
    fn default() -> Self {
        Scans {
            store: Arc::default(),
            known: Memo::new(FACTS_MAX),
        }
    }
}

/// Everything that facts depend on.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    program: PathBuf,
    /// Of the toolchain: another one in the same place has other facts.
    fingerprint: [u8; 32],
    arguments: Vec<OsString>,
    language: Language,
    directory: PathBuf,
    environment: Vec<(OsString, OsString)>,
}

struct Known {
    facts: Facts,
    answers: Mutex<Arc<Answers>>,
}

impl Scans {
    /// Everything that `source` includes, itself first, and in `grounds` what that rests on. The inner error says why that
    /// is not sure. `text` is what the source holds where it is not on disk; then it is not among the answers.
    #[expect(
        clippy::too_many_arguments,
        reason = "one command, one of its sources, and where to write down what it rests on"
    )]
    pub(crate) fn scan(
        &self,
        request: &Request,
        program: &Path,
        toolchain: &Toolchain,
        step: &Step,
        source: &Path,
        text: Option<&[u8]>,
        language: Language,
        grounds: &mut Grounds,
    ) -> Result<Result<Vec<PathBuf>, String>, Why> {
        let unsure = |why: &str| Ok(Err(why.to_owned()));
        let nothing = Preprocessing::default();
        let preprocessing = step.preprocessing.as_ref().unwrap_or(&nothing);
        if step.caution.contains(&compiler::Caution::OtherPreprocessing) {
            return unsure("other preprocessing");
        }
        let (Some(directories), Some(macros)) = (directories(preprocessing), macros(preprocessing)) else {
            return unsure("frameworks or assertions");
        };
        let environment = environment_of(request);
        let known = match self.known(request, program, toolchain, step, language, &environment) {
            Ok(known) => known,
            Err(error) => return Ok(Err(format!("probe: {error}"))),
        };
        for absent in &known.facts.absent_directories {
            grounds.directory(request.directory.join(absent));
        }
        let mut identity = |path: &Path| {
            grounds.directory(path);
            let metadata = fs::metadata(path).ok()?;
            metadata.is_dir().then(|| (metadata.dev(), metadata.ino()))
        };
        let directory = &request.directory;
        let merged = search_path(
            &known.facts,
            &directories,
            &request.environment,
            directory,
            &mut identity,
        );
        let Some(search) = merged else {
            return unsure("search path");
        };
        let forced = |how| {
            let forced = preprocessing
                .forced
                .iter()
                .filter(move |forced| forced.how == how);
            forced.map(|forced| forced.path.clone()).collect::<Vec<_>>()
        };
        let (imacros, includes) = (forced(Included::Macros), forced(Included::Whole));
        let angle = preprocessing
            .directories
            .iter()
            .filter(|directory| directory.kind == DirectoryKind::Angle);
        let angle = angle.map(|directory| &directory.path);
        let assembler_search: Vec<_> = angle
            .chain(&preprocessing.assembler_directories)
            .cloned()
            .collect();
        // A look at the disk as it is now: what an earlier step has made is there.
        let disk = self.store.tick();
        let given = text.map(|text| GivenSource::new(&disk, directory.join(source), text));
        let view: &dyn SourceView = match &given {
            Some(given) => given,
            None => &disk,
        };
        for _ in 0..ROUNDS_MAX {
            let answers = known.answers.lock().clone();
            let unit = Unit {
                main: source,
                cwd: directory,
                language,
                dialect: &known.facts.dialect,
                predefined: &known.facts.macros,
                answers: &answers,
                command_line: &macros,
                imacros: &imacros,
                implicit: &known.facts.implicit,
                includes: &includes,
                search: &search,
                assembler_search: &assembler_search,
            };
            let questions = match scan(&unit, view) {
                Ok(closure) if closure.time_macros => return Err(Why::Time),
                Ok(closure) => {
                    note(&closure, &unit, grounds);
                    let mut files = files(closure);
                    if text.is_some() {
                        files.retain(|path| *path != directory.join(source));
                    }
                    return Ok(Ok(files));
                }
                Err(Unsure::Questions(questions)) => questions,
                Err(Unsure::Precompiled(path)) => {
                    return Err(Why::Inputs(format!("{} is precompiled", path.display())));
                }
                Err(unsure) => return Ok(Err(label(&unsure))),
            };
            let mut more = (*answers).clone();
            let asked = Probe {
                driver: program,
                arguments: &step.facts_arguments,
                cwd: directory,
                environment: &environment,
                language,
            };
            if let Err(error) = ask(&asked, &questions, &mut more) {
                return Ok(Err(format!("question: {error}")));
            }
            let mut kept = known.answers.lock();
            let mut merged = (**kept).clone();
            for (question, value) in more.iter() {
                merged.insert(question.clone(), value);
            }
            *kept = Arc::new(merged);
        }
        unsure("too many questions")
    }

    fn known(
        &self,
        request: &Request,
        program: &Path,
        toolchain: &Toolchain,
        step: &Step,
        language: Language,
        environment: &[(OsString, OsString)],
    ) -> Result<Arc<Known>, String> {
        let matters = |name: &OsString| ENVIRONMENT.iter().any(|known| *known == name.as_os_str());
        let key = Key {
            program: program.to_owned(),
            fingerprint: toolchain.fingerprint,
            arguments: step.facts_arguments.clone(),
            language,
            directory: request.directory.clone(),
            environment: environment
                .iter()
                .filter(|(name, _)| matters(name))
                .cloned()
                .collect(),
        };
        let known = self.known.get(&key);
        // A directory that was not there when the compiler was asked would be searched now.
        let holds = |known: &Arc<Known>| {
            known
                .facts
                .absent_directories
                .iter()
                .all(|path| !request.directory.join(path).exists())
        };
        if let Some(known) = known.filter(holds) {
            return Ok(known);
        }
        let asked = Probe {
            driver: program,
            arguments: &step.facts_arguments,
            cwd: &request.directory,
            environment,
            language,
        };
        let facts = probe(&asked).map_err(|error| error.to_string())?;
        let found = Arc::new(Known {
            facts,
            answers: Mutex::default(),
        });
        self.known.insert(key, found.clone());
        Ok(found)
    }
}

/// `None` where there is no preprocessor.
pub(crate) fn language(language: compiler::Language) -> Option<Language> {
    Some(match language {
        compiler::Language::C => Language::C,
        compiler::Language::Cxx => Language::Cxx,
        compiler::Language::ObjC => Language::ObjC,
        compiler::Language::ObjCxx => Language::ObjCxx,
        compiler::Language::AssemblerWithCpp => Language::AssemblerWithCpp,
        _ => return None,
    })
}

/// `None` if there is one whose place in the search is not known here.
fn directories(preprocessing: &Preprocessing) -> Option<Vec<UserDirectory>> {
    let directories = preprocessing.directories.iter().map(|directory| {
        let path = directory.path.clone();
        Some(match directory.kind {
            DirectoryKind::Quote => UserDirectory::Quote(path),
            DirectoryKind::Angle => UserDirectory::Angle(path),
            DirectoryKind::System => UserDirectory::System(path),
            DirectoryKind::After => UserDirectory::After(path),
            DirectoryKind::Framework
            | DirectoryKind::SystemFramework
            | DirectoryKind::CxxSystem
            | DirectoryKind::CSystem => return None,
        })
    });
    directories.collect()
}

fn macros(preprocessing: &Preprocessing) -> Option<Vec<CommandLineMacro>> {
    let macros = preprocessing.macros.iter().map(|change| match change {
        Macro::Define(text) => Some(CommandLineMacro::Define(text.clone().into_bytes())),
        Macro::Undefine(name) => Some(CommandLineMacro::Undefine(name.clone().into_bytes())),
        Macro::Assert(_) => None,
    });
    macros.collect()
}

/// What a closure rests on beside the files that it names.
fn note(closure: &Closure, unit: &Unit<'_>, grounds: &mut Grounds) {
    let with = |path: &Path, suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    // Where GCC looks for a header, it looks for its precompiled form first.
    let is_gcc = unit.dialect.family == Family::Gcc;
    for absent in closure.absent(&unit.search.chain) {
        if is_gcc {
            grounds.absent(with(&absent, ".gch"));
        }
        grounds.absent(absent);
    }
    for file in closure.files.iter().chain(&closure.asked).filter(|_| is_gcc) {
        grounds.absent(with(&file.path, ".gch"));
    }
    for forced in unit.imacros.iter().chain(unit.includes) {
        let path = unit.cwd.join(forced);
        for suffix in [".gch", ".pch"] {
            grounds.absent(with(&path, suffix));
        }
    }
}

fn files(closure: Closure) -> Vec<PathBuf> {
    let read = closure
        .files
        .iter()
        .chain(&closure.asked)
        .map(|file| file.path.clone());
    read.chain(closure.embedded).collect()
}

/// A word for tables.
fn label(unsure: &Unsure) -> String {
    let debug = format!("{unsure:?}");
    let end = debug.find([' ', '(', '{']).unwrap_or(debug.len());
    debug[..end].to_owned()
}
