//! Scans a command as the client will: facts probed once per set of options, questions asked once, the rest cached.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use anyhow::{Context, Result};
use include_scanner::{Answers, Closure, Language, SearchPath, SourceView, Unit, Unsure, scan};
use toolchain::{Facts, Probe, ask, probe, search_path};

use crate::command::Command;

/// Rounds of questions one scan may need: each answer may lead to new ones.
const ROUNDS_MAX: usize = 8;

type Key = (PathBuf, Vec<OsString>, Language);
type Places = HashMap<PathBuf, Option<(u64, u64)>>;

struct Known {
    facts: Facts,
    answers: RwLock<Arc<Answers>>,
}

/// What is known about the compilers so far.
#[derive(Default)]
pub struct Compilers {
    known: Mutex<HashMap<Key, Arc<Known>>>,
    places: Mutex<Places>,
}

/// A command with everything that its scan needs.
pub struct Prepared<'c> {
    command: &'c Command,
    driver: PathBuf,
    known: Arc<Known>,
    search: SearchPath,
    assembler_search: Vec<PathBuf>,
}

impl Compilers {
    /// Probes the compiler if its facts under these options are not known yet, and merges the search path.
    pub fn prepare<'c>(&self, command: &'c Command, driver: &Path) -> Result<Prepared<'c>> {
        let environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
        let key = (driver.to_owned(), command.for_facts.clone(), command.language);
        let probe_of = |arguments| Probe {
            driver,
            arguments,
            cwd: &command.cwd,
            environment: &environment,
            language: command.language,
        };
        let known = self.known.lock().ok().and_then(|known| known.get(&key).cloned());
        let known = match known {
            Some(known) => known,
            None => {
                let facts = probe(&probe_of(&command.for_facts)).context("cannot probe the compiler")?;
                let known = Arc::new(Known {
                    facts,
                    answers: RwLock::default(),
                });
                if let Ok(mut all) = self.known.lock() {
                    all.insert(key, known.clone());
                }
                known
            }
        };
        let mut identity = |path: &Path| {
            let mut places = self.places.lock().ok()?;
            *places.entry(path.to_owned()).or_insert_with(|| {
                let metadata = fs::metadata(path).ok()?;
                metadata.is_dir().then(|| (metadata.dev(), metadata.ino()))
            })
        };
        let search = search_path(
            &known.facts,
            &command.directories,
            &environment,
            &command.cwd,
            &mut identity,
        )
        .context("the search path has to be probed")?;
        let assembler_search = command
            .directories
            .iter()
            .filter(|directory| matches!(directory, toolchain::UserDirectory::Angle(_)))
            .map(|directory| directory.path().clone())
            .collect();
        Ok(Prepared {
            command,
            driver: driver.to_owned(),
            known,
            search,
            assembler_search,
        })
    }
}

impl Prepared<'_> {
    /// The search path that was merged.
    pub fn search(&self) -> &SearchPath {
        &self.search
    }

    /// Scans, and asks the compiler what the scan wants to know of it.
    pub fn scan(&self, view: &dyn SourceView) -> Result<Result<Closure, Unsure>> {
        let environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
        for _ in 0..ROUNDS_MAX {
            let answers = self
                .known
                .answers
                .read()
                .map(|answers| answers.clone())
                .unwrap_or_default();
            let facts = &self.known.facts;
            let unit = Unit {
                main: &self.command.main,
                cwd: &self.command.cwd,
                language: self.command.language,
                dialect: &facts.dialect,
                predefined: &facts.macros,
                answers: &answers,
                command_line: &self.command.macros,
                imacros: &self.command.imacros,
                implicit: &facts.implicit,
                includes: &self.command.includes,
                search: &self.search,
                assembler_search: &self.assembler_search,
            };
            let questions = match scan(&unit, view) {
                Err(Unsure::Questions(questions)) => questions,
                other => return Ok(other),
            };
            let mut more = (*answers).clone();
            ask(
                &Probe {
                    driver: &self.driver,
                    arguments: &self.command.for_facts,
                    cwd: &self.command.cwd,
                    environment: &environment,
                    language: self.command.language,
                },
                &questions,
                &mut more,
            )?;
            if let Ok(mut kept) = self.known.answers.write() {
                let mut merged = (**kept).clone();
                for (question, value) in more.iter() {
                    merged.insert(question.clone(), value);
                }
                *kept = Arc::new(merged);
            }
        }
        anyhow::bail!("{ROUNDS_MAX} rounds of questions were not enough")
    }
}
