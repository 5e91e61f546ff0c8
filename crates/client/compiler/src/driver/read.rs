//! What each role of a driver's option does to the command that is read.

use super::command::{Command, File};
use super::role::{Depend, Role, Side};
use super::{table, table_clang, table_gcc};
use crate::invocation::path;
use crate::language::Language;
use crate::linker::names_a_file;
use crate::option::{Found, find};
use crate::step::{Forced, Macro, SearchDirectory};
use crate::{Caution, DirectoryKind, NotOurs, Processors};

/// Extensions of languages that are none of ours, but sources to gcc or clang: they would be compiled.
const OTHER_LANGUAGES: [&str; 42] = [
    "f", "for", "ftn", "fi", "F", "FOR", "fpp", "FPP", "FTN", "f90", "F90", "f95", "F95", "f03", "F03",
    "f08", "F08", "d", "di", "dd", "ads", "adb", "go", "mod", "m2i", "cbl", "cob", "rs", "cu", "cui", "cuh",
    "cl", "hip", "pcm", "ast", "brig", "tbd", "cppm", "ccm", "cxxm", "c++m", "ixx",
];

/// The row for the first of `arguments`: of the tool's own table, or of the one that both share.
pub(super) fn lookup<'a>(clang: bool, arguments: &'a [String]) -> Result<Option<Found<'a, Role>>, NotOurs> {
    let own = find(
        if clang {
            &table_clang::ROWS
        } else {
            &table_gcc::ROWS
        },
        arguments,
    )?;
    let shared = find(&table::ROWS, arguments)?;
    Ok(match (own, shared) {
        (Some(own), Some(shared)) if shared.row.name.len() > own.row.name.len() => Some(shared),
        (None, shared) => shared,
        (own, _) => own,
    })
}

impl Command {
    /// Takes one file among the arguments.
    pub(super) fn file(&mut self, name: &str) -> Result<(), NotOurs> {
        let is_stdin = name == "-";
        let base = name.rsplit('/').next().unwrap_or(name);
        let extension = base
            .rsplit_once('.')
            .map(|(_, extension)| extension)
            .unwrap_or_default();
        let unknown = || NotOurs::UnknownLanguage {
            text: name.to_owned(),
        };
        let language = match self.language {
            Some(language) => Some(language),
            // Only `-E` reads standard input without being told its language; a C++ driver's choice then is unsure.
            None if is_stdin && !self.tool.cxx => Some(Language::C),
            None if is_stdin => return Err(unknown()),
            None if OTHER_LANGUAGES.contains(&extension) => return Err(unknown()),
            None => Language::by_extension(extension, self.is_clang()).map(|language| {
                if self.tool.cxx {
                    language.as_cxx()
                } else {
                    language
                }
            }),
        };
        if name.is_empty() {
            return Err(unknown());
        }
        if language.is_none() {
            self.for_linker.push(name.to_owned());
        }
        self.files.push(File {
            name: name.to_owned(),
            language,
        });
        Ok(())
    }

    /// Takes one option, as written in `words`.
    pub(super) fn option(&mut self, found: &Found<'_, Role>, words: &[String]) -> Result<(), NotOurs> {
        let value = found.text();
        let written = words.first().map(String::as_str).unwrap_or_default();
        if found.row.role.is_fact() && found.row.role != Role::ForClang {
            self.facts.extend(words.iter().map(Into::into));
        }
        // `-fxray-modes= x`: clang takes the next word where nothing follows the `=`; gcc knows no such option.
        let is_general = matches!(found.row.name, "-f" | "-m");
        if (is_general && value.ends_with('=')) || (found.value == Some("") && written.ends_with('=')) {
            return Err(NotOurs::UnknownOption {
                option: written.to_owned(),
            });
        }
        match found.row.role {
            Role::Ignore
            | Role::Facts
            | Role::LinkIgnored
            | Role::LinkFacts
            | Role::PluginArgument
            | Role::RuleTarget => {}
            Role::Note(caution) | Role::Careful(caution) => self.caution.push(caution),
            Role::Talk => self.caution.push(Caution::Talkative),
            Role::Ask => self.asks = true,
            Role::Stop(kind) => self.stop_at(kind),
            Role::Output => self.output = Some(value.to_owned()),
            Role::Language => self.language_named(value)?,
            Role::Define => self.preprocessing.macros.push(Macro::Define(value.to_owned())),
            Role::Undefine => self.preprocessing.macros.push(Macro::Undefine(value.to_owned())),
            Role::Assert => self.preprocessing.macros.push(Macro::Assert(value.to_owned())),
            Role::Forced(how) => self.preprocessing.forced.push(Forced {
                how,
                path: path(value),
            }),
            Role::Search(kind) => self.search(kind, value)?,
            Role::IncludePrefix => self.include_prefix = Some(value.to_owned()),
            Role::WithPrefix(kind) => {
                let Some(prefix) = &self.include_prefix else {
                    return Err(NotOurs::unsupported(written, "the prefix is the compiler's own"));
                };
                let whole = format!("{prefix}{value}");
                self.search(kind, &whole)?;
            }
            Role::HeaderRoot => self.header_root = Some(path(value)),
            Role::Root => {
                self.preprocessing.sysroot = Some(path(value));
                self.for_linker.push(format!("--sysroot={value}"));
            }
            Role::NoStandard => self.preprocessing.no_standard_directories = true,
            Role::NoStandardCxx => self.preprocessing.no_standard_cxx_directories = true,
            Role::Rule(wanted) => self.rule(wanted)?,
            Role::RuleFile => self.rules.file = Some(value.to_owned()),
            Role::ForPreprocessor => self.for_preprocessor.extend(value.split(',').map(str::to_owned)),
            Role::ForPreprocessorOne => self.for_preprocessor.push(value.to_owned()),
            Role::ForAssembler => self.for_assembler.extend(value.split(',').map(str::to_owned)),
            Role::ForAssemblerOne => self.for_assembler.push(value.to_owned()),
            Role::ForLinker => self.for_linker.extend(value.split(',').map(str::to_owned)),
            Role::ForLinkerOne => self.for_linker.push(value.to_owned()),
            Role::ForClang => self.for_clang.push(value.to_owned()),
            Role::DiagnosticsFormat if value.ends_with("-file") => {
                return Err(NotOurs::unsupported(written, "diagnostics are written to files"));
            }
            Role::DiagnosticsFormat => {}
            // `native+nofp` as well.
            Role::Architecture if value.starts_with("native") => {
                self.caution.push(Caution::NativeArchitecture)
            }
            Role::Architecture => {}
            Role::Debug => self.debug = !matches!(value, "0" | "gdb0" | "dwarf0"),
            Role::Beside(side) => self.beside(side, value),
            Role::NotBeside(side) => {
                self.sides.remove(&side);
            }
            Role::WorkingDirectory => self.working_directory = true,
            Role::MapPath { debug } => {
                let Some((old, new)) = value.split_once('=') else {
                    return Err(NotOurs::unsupported(written, "no `=` in what is mapped"));
                };
                if debug {
                    self.path_maps.push((old.to_owned(), new.to_owned()));
                }
            }
            Role::CompilationDirectory => self.compilation_directory = true,
            Role::Coverage { notes } => {
                self.counters = true;
                if notes {
                    self.sides.insert(Side::Coverage);
                }
            }
            Role::CoverageNote => self.profile_note = Some(value.to_owned()),
            Role::Profile | Role::ProfileFile => {
                self.inputs.extend(found.value.map(path));
                self.caution.push(Caution::Profile);
            }
            Role::Input => self.inputs.push(path(value)),
            Role::ThinLtoIndex => {
                self.inputs.push(path(value));
                self.inputs.push(path(&format!("{value}.imports")));
            }
            Role::Written => self.written.push((value.to_owned(), true)),
            Role::CompilationDatabase => {
                self.written.push((value.to_owned(), true));
                self.names_directory = true;
            }
            Role::MaybeWritten => {
                // `-fopt-info`, `-fopt-info-vec`: standard error; `-fopt-info-vec=x`: the file.
                match written.split_once('=') {
                    Some((_, name)) if !matches!(name, "stderr" | "stdout") => {
                        self.written.push((name.to_owned(), true));
                    }
                    _ => self.caution.push(Caution::Talkative),
                }
            }
            Role::Plugin => {
                // A bare name is looked for in the compiler's own directory of plugins, or where libraries are.
                if value.contains('/') {
                    self.inputs.push(path(value));
                }
                self.caution.push(Caution::Plugin);
            }
            Role::PrecompiledHeader => {
                self.inputs.push(path(value));
                self.caution.push(Caution::PrecompiledHeader);
            }
            Role::ModuleFile => {
                let file = value.rsplit_once('=').map_or(value, |(_, file)| file);
                self.inputs.push(path(file));
                self.caution.push(Caution::Modules);
            }
            Role::Overlay => {
                self.inputs.push(path(value));
                self.caution.push(Caution::Overlay);
            }
            Role::SaveTemps => {
                self.save_temps = true;
                self.caution.push(Caution::SaveTemps);
            }
            Role::LinkTimeOptimization => self.optimizes_links(value),
            Role::NoLinkTimeOptimization => self.link_time_optimization = false,
            Role::UseLinker => self.linker = Some(value.to_owned()),
            Role::LinkerPath => {
                self.linker = Some(value.to_owned());
                self.caution.push(Caution::OtherTools);
            }
            Role::ToolPrefix => {
                self.tool_prefixes.push(path(value));
                self.caution.push(Caution::OtherTools);
            }
            Role::OtherSpecs => {
                self.inputs.push(path(value));
                self.caution.push(Caution::OtherTools);
            }
            Role::OtherTree => self.caution.push(Caution::OtherTools),
            Role::OtherTarget => {}
            Role::LinkDirectory => self.link_directories.push(path(value)),
            Role::LinkLibrary => self.for_linker.push(format!("-l{value}")),
            // The driver puts it before everything.
            Role::LinkStatic => self.for_linker.insert(0, "-static".to_owned()),
            Role::LinkFlag(flag) => self.for_linker.push(flag.to_owned()),
            Role::LinkPair(flag) => self.for_linker.extend([flag.to_owned(), value.to_owned()]),
            Role::NoLibraries { startup } => {
                self.no_libraries = true;
                self.no_startup_files |= startup;
            }
            Role::NoStartupFiles => self.no_startup_files = true,
            Role::Llvm if names_a_file(value) => {
                return Err(NotOurs::unsupported(value, "it may name a file"));
            }
            Role::Llvm => {}
            Role::TimeTrace => {
                self.time_trace = found.value.map(str::to_owned);
                self.sides.insert(Side::TimeTrace);
                self.caution.push(Caution::TimeTrace);
            }
            Role::EmitLlvm => self.emit_llvm = true,
            Role::Refuse(because) => return Err(NotOurs::unsupported(written, because)),
        }
        Ok(())
    }

    fn language_named(&mut self, name: &str) -> Result<(), NotOurs> {
        self.language = match name {
            "none" => None,
            name => Some(Language::by_name(name).ok_or_else(|| NotOurs::UnknownLanguage {
                text: name.to_owned(),
            })?),
        };
        Ok(())
    }

    fn search(&mut self, kind: DirectoryKind, directory: &str) -> Result<(), NotOurs> {
        // `-I-` splits the list of directories in two; gcc removed it, clang never had it.
        if directory == "-" {
            return Err(NotOurs::unsupported("-I-", "the list of directories is split"));
        }
        self.preprocessing.directories.push(SearchDirectory {
            kind,
            path: path(directory),
        });
        if directory.ends_with(".hmap") {
            self.inputs.push(path(directory));
            self.caution.push(Caution::Overlay);
        }
        Ok(())
    }

    fn rule(&mut self, wanted: Depend) -> Result<(), NotOurs> {
        let instead = |rule: Depend| matches!(rule, Depend::OnlyAll | Depend::OnlyUser);
        if self
            .rules
            .wanted
            .is_some_and(|known| instead(known) != instead(wanted))
        {
            return Err(NotOurs::Contradiction {
                because: "a rule beside the product, and instead of it",
            });
        }
        if instead(wanted) {
            self.stop_at(crate::Kind::Preprocess);
        }
        self.rules.wanted = Some(wanted);
        Ok(())
    }

    fn beside(&mut self, side: Side, value: &str) {
        if side == Side::SplitDwarf {
            self.debug = true;
            // clang only: debug information stays in the object, but apart.
            if value == "single" {
                self.sides.remove(&side);
                return;
            }
        }
        self.sides.insert(side);
    }

    fn optimizes_links(&mut self, how: &str) {
        self.link_time_optimization = true;
        self.caution.push(Caution::LinkTimeOptimization);
        self.processors = match how {
            "" | "full" | "1" => Processors::One,
            "auto" | "jobserver" => Processors::Many,
            count => count.parse().map_or(Processors::Many, Processors::Count),
        };
    }
}
