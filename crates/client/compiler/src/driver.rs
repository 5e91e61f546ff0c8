//! The drivers gcc and clang: from words to what is read and written.

mod command;
mod goal;
mod passed_on;
mod products;
mod read;
mod role;
mod table;
mod table_clang;
mod table_gcc;

use std::ffi::OsString;
use std::path::Path;

use crate::invocation::path;
use crate::linker::Linking;
use crate::tool::ToolName;
use crate::{Caution, Invocation, Kind, Language, NotOurs, Preprocessing, Step, environment, linker};

use self::command::Command;
use self::goal::Goal;
use self::role::Side;

/// Reads a driver's command line.
pub(crate) fn parse(tool: ToolName, arguments: &[String], invocation: &Invocation) -> Result<Step, NotOurs> {
    environment::check_compiler(invocation.env)?;
    let mut command = read(tool, arguments)?;
    if command.asks || command.files.is_empty() && is_bare_version(arguments) {
        return Ok(question(&command));
    }
    command.say_to_clang()?;
    command.say_to_preprocessor()?;
    let goal = command.goal()?;
    let mut step = Step::new(tool.tool, goal.kind());
    command.sources_of(&mut step);
    step.inputs.append(&mut command.inputs);
    step.input_directories.append(&mut command.input_directories);
    step.caution.append(&mut command.caution);
    step.preprocessing = command.preprocessing_for();
    if goal.assembles() && command.sources().next().is_some() {
        command.say_to_assembler(&mut step)?;
    }
    if goal == Goal::Link {
        let linking = linker::read(&command.for_linker)?;
        command.link(linking, &mut step)?;
    } else {
        // Only a link uses more than one processor; files for the linker are looked at and left alone.
        step.inputs.extend(linker_files(&command));
    }
    command.products(goal, &mut step)?;
    step.embeds_directory = command.embeds_directory(goal, invocation);
    step.path_maps = std::mem::take(&mut command.path_maps);
    step.is_instrumented = command.counters;
    step.texts = std::mem::take(&mut command.texts);
    step.facts_arguments = command.facts_arguments(step.language);
    step.environment = environment::names(tool.tool, goal == Goal::Link);
    Ok(step)
}

fn read(tool: ToolName, arguments: &[String]) -> Result<Command, NotOurs> {
    let mut command = Command::new(tool);
    let mut rest = arguments;
    while let Some(first) = rest.first() {
        let mut words = 1;
        if first == "--" && command.is_clang() && !command.only_files {
            command.only_files = true;
        } else if command.only_files || first == "-" || !first.starts_with('-') {
            command.file(first)?;
        } else {
            let found = read::lookup(command.is_clang(), rest)?.ok_or_else(|| NotOurs::UnknownOption {
                option: first.clone(),
            })?;
            words = found.words;
            let taken = rest.get(..words).unwrap_or_default();
            if !found.row.role.is_place() {
                command.texts.extend_from_slice(taken);
            }
            command.option(&found, taken)?;
        }
        rest = rest.get(words..).unwrap_or_default();
    }
    Ok(command)
}

/// `gcc -v` and the like, without a source: the driver's own version.
fn is_bare_version(arguments: &[String]) -> bool {
    arguments
        .iter()
        .any(|argument| matches!(argument.as_str(), "-v" | "--verbose"))
}

fn question(command: &Command) -> Step {
    let mut step = Step::new(command.tool.tool, Kind::Probe);
    step.stdout = true;
    step.inputs.clone_from(&command.inputs);
    step.caution.clone_from(&command.caution);
    step.environment = environment::names(command.tool.tool, true);
    step
}

fn linker_files(command: &Command) -> Vec<std::path::PathBuf> {
    let files = command.files.iter().filter(|file| file.language.is_none());
    files.map(|file| path(&file.name)).collect()
}

impl Command {
    fn sources_of(&self, step: &mut Step) {
        let mut languages: Vec<Language> = Vec::new();
        for (file, language) in self.sources() {
            languages.push(language);
            if file.is_stdin() {
                step.stdin = true;
            } else {
                step.sources.push(path(&file.name));
            }
        }
        languages.dedup();
        step.language = match languages.as_slice() {
            [one] => Some(*one),
            _ => None,
        };
        let assembles_text = languages.iter().any(|language| language.is_assembler());
        if assembles_text {
            step.caution.push(Caution::InputsNameInputs);
        }
    }

    /// What the preprocessor is told. Of assembly as it is, only directories count: the assembler includes files too.
    fn preprocessing_for(&mut self) -> Option<Preprocessing> {
        let mut said = std::mem::take(&mut self.preprocessing);
        said.sysroot = self.header_root.take().or(said.sysroot);
        if self
            .sources()
            .any(|(_, language)| language.is_preprocessed_first())
        {
            return Some(said);
        }
        self.sources()
            .any(|(_, language)| language.is_assembler())
            .then(|| Preprocessing {
                directories: said.directories,
                ..Preprocessing::default()
            })
    }

    /// The link's own part: what the driver adds to the words for the linker.
    fn link(&mut self, mut linking: Linking, step: &mut Step) -> Result<(), NotOurs> {
        if linking.output.is_some() {
            return Err(NotOurs::Contradiction {
                because: "the linker is told another product",
            });
        }
        linking.output = self.output.clone();
        if linking.output.as_deref() == Some("-") {
            return Err(NotOurs::Contradiction {
                because: "a program on standard output",
            });
        }
        linking.line.late_directories = std::mem::replace(
            &mut linking.line.directories,
            std::mem::take(&mut self.link_directories),
        );
        linking.line.cxx = self.cxx_library;
        linking.line.no_standard_libraries |= self.no_libraries;
        linking.line.no_startup_files = self.no_startup_files;
        linking.line.prefixes = std::mem::take(&mut self.tool_prefixes);
        linking.line.linker = self.linker.take();
        let is_parallel = |name: &String| name.contains("lld") || name.contains("mold");
        if linking.line.linker.as_ref().is_some_and(is_parallel) {
            step.processors = crate::Processors::Many;
        }
        if self.processors != crate::Processors::One {
            step.processors = self.processors;
        }
        linking.complete(step);
        Ok(())
    }

    /// Whether the absolute working directory is in the product.
    fn embeds_directory(&self, goal: Goal, invocation: &Invocation) -> bool {
        let compiles = self.sources().next().is_some();
        let by_lines = matches!(goal, Goal::Preprocess) && (self.debug || self.working_directory);
        let by_counters = self.counters && compiles && goal.compiles();
        let by_debug = self.debug
            && (goal.compiles() && compiles || goal == Goal::Link && self.link_time_optimization)
            && !self.compilation_directory
            && !self.maps(invocation);
        // gcc writes it into the streams for the linker; with a record of what was optimised, clang writes where that is.
        let by_streams = self.link_time_optimization && !self.is_clang() && compiles && goal.compiles();
        let by_record = self.is_clang() && self.sides.contains(&Side::OptimizationRecord);
        let by_other_means = by_streams || by_record || self.names_directory;
        by_lines || by_counters || by_debug || by_other_means || goal == Goal::Header
    }

    /// Whether a map replaces the whole working directory, by both names that it may have. A map of a directory above
    /// leaves the rest of the path in the product.
    fn maps(&self, invocation: &Invocation) -> bool {
        let mapped = |directory: &Path| {
            self.path_maps
                .iter()
                .any(|(old, _)| Path::new(old) == directory && old.starts_with('/'))
        };
        let shell = (invocation.env)("PWD").map(std::path::PathBuf::from);
        mapped(invocation.cwd) && shell.is_none_or(|shell| !shell.is_absolute() || mapped(&shell))
    }

    fn facts_arguments(&mut self, language: Option<Language>) -> Vec<OsString> {
        let mut facts = std::mem::take(&mut self.facts);
        if let Some(name) = language.and_then(Language::name) {
            facts.extend(["-x".into(), name.into()]);
        }
        facts
    }
}
