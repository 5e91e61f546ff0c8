//! `ld`: its own command line, and what a driver passes on to it.

pub(crate) mod table;

use std::path::PathBuf;

use crate::environment;
use crate::invocation::path;
use crate::option::find_spelled;
use crate::step::{LinkItem, LinkLine};
use crate::{Caution, Kind, NotOurs, Processors, Step, Tool};

use self::table::{LONG, Role, SHORT};

/// A linker's arguments, understood.
#[derive(Debug, Default)]
pub(crate) struct Linking {
    pub(crate) line: LinkLine,
    /// Scripts, lists, plugins: what is read beside [`LinkLine::items`].
    pub(crate) inputs: Vec<PathBuf>,
    /// Maps and the like.
    pub(crate) written: Vec<PathBuf>,
    pub(crate) output: Option<String>,
    pub(crate) stdout: bool,
    pub(crate) caution: Vec<Caution>,
    pub(crate) processors: Processors,
    /// Nothing is linked, the tool only says something.
    pub(crate) probes: bool,
    /// Without input the tool only says something.
    pub(crate) probes_without_input: bool,
}

/// A command line of the linker itself.
pub(crate) fn parse(file_name: &str, arguments: &[String]) -> Result<Step, NotOurs> {
    let linking = read(arguments)?;
    if linking.probes || (linking.probes_without_input && linking.line.items.is_empty()) {
        let mut step = Step::new(Tool::Ld, Kind::Probe);
        step.stdout = true;
        step.inputs = linking.inputs;
        return Ok(step);
    }
    if linking.line.items.is_empty() {
        return Err(NotOurs::NoInput);
    }
    let mut step = Step::new(Tool::Ld, Kind::Link);
    if file_name.contains("lld") || file_name.contains("mold") {
        step.processors = Processors::Many;
    }
    linking.complete(&mut step);
    step.environment = environment::names(Tool::Ld, true);
    Ok(step)
}

/// What a linker reads and writes by these arguments.
pub(crate) fn read(arguments: &[String]) -> Result<Linking, NotOurs> {
    let mut reader = Reader::default();
    let mut rest = arguments;
    while let Some(first) = rest.first() {
        let words = if first.len() < 2 || !first.starts_with('-') {
            reader.file(first)?;
            1
        } else {
            reader.option(first, rest.get(1))?
        };
        rest = rest.get(words..).unwrap_or_default();
    }
    Ok(reader.linking)
}

#[derive(Default)]
struct Reader {
    linking: Linking,
    archives_only: bool,
    states: Vec<bool>,
}

impl Reader {
    fn file(&mut self, name: &str) -> Result<(), NotOurs> {
        if name.is_empty() || name == "-" {
            return Err(NotOurs::unsupported(name, "an input without a name"));
        }
        // Response files of the tool's own are in their place already; this one would be read by the linker.
        if name.starts_with('@') {
            return Err(NotOurs::unsupported(name, "a response file that is passed on"));
        }
        self.linking.line.items.push(LinkItem::File(path(name)));
        Ok(())
    }

    /// How many words the option took.
    fn option(&mut self, first: &str, next: Option<&String>) -> Result<usize, NotOurs> {
        // ld(1): a word option may begin with one dash or two, but one that begins with `o` needs two.
        let found = match first.strip_prefix('-') {
            Some(long) if long.starts_with('-') => find_spelled(&LONG, long, next)?,
            Some(short) if short.starts_with('o') => find_spelled(&SHORT, first, next)?,
            _ => match find_spelled(&LONG, first, next)? {
                Some(found) => Some(found),
                None => find_spelled(&SHORT, first, next)?,
            },
        };
        let Some(found) = found else {
            return Err(NotOurs::UnknownOption {
                option: first.to_owned(),
            });
        };
        self.act(first, found.row.role, found.text())?;
        Ok(found.words)
    }

    fn act(&mut self, option: &str, role: Role, value: &str) -> Result<(), NotOurs> {
        let linking = &mut self.linking;
        match role {
            Role::Ignore => {}
            Role::Output => linking.output = Some(value.to_owned()),
            Role::Library => {
                let (name, exact) = match value.strip_prefix(':') {
                    Some(name) => (name, true),
                    None => (value, false),
                };
                linking.line.items.push(LinkItem::Library {
                    name: name.to_owned(),
                    exact,
                    archive_only: self.archives_only,
                });
            }
            Role::Directory => linking.line.directories.push(path(value)),
            Role::Input => linking.inputs.push(path(value)),
            Role::Script => {
                linking.inputs.push(path(value));
                linking.caution.push(Caution::InputsNameInputs);
            }
            Role::JustSymbols => linking.inputs.push(path(value)),
            Role::Written if value == "-" => linking.caution.push(Caution::Talkative),
            Role::Written => linking.written.push(path(value)),
            // lld and bfd write to standard output by `-`; bfd knows a directory and `%` too.
            Role::Map if value == "-" => linking.caution.push(Caution::Talkative),
            Role::Map if value.ends_with('/') || value.contains('%') => {
                return Err(NotOurs::unsupported(
                    option,
                    "the linker derives the name of the map",
                ));
            }
            Role::Map => linking.written.push(path(value)),
            Role::Plugin => {
                linking.inputs.push(path(value));
                linking.caution.push(Caution::Plugin);
            }
            Role::PluginOption => {
                if !is_known_plugin_option(value) {
                    return Err(NotOurs::unsupported(option, "it may name a file"));
                }
                if value.starts_with("mcpu=native") {
                    linking.caution.push(Caution::NativeArchitecture);
                }
                if value.starts_with('/') {
                    linking.inputs.push(path(value));
                }
                linking.caution.push(Caution::LinkTimeOptimization);
            }
            Role::Llvm => {
                if names_a_file(value) {
                    return Err(NotOurs::unsupported(value, "it may name a file"));
                }
            }
            Role::ArchivesOnly => {
                self.archives_only = true;
                linking.line.is_static |= option.ends_with("-static");
            }
            Role::SharedToo => self.archives_only = false,
            Role::PushState => self.states.push(self.archives_only),
            Role::PopState => {
                self.archives_only = self.states.pop().ok_or(NotOurs::Contradiction {
                    because: "a state is taken that was not put",
                })?;
            }
            Role::Shared => linking.line.is_shared = true,
            Role::Relocatable => linking.line.relocatable = true,
            Role::Sysroot => linking.line.sysroot = Some(path(value)),
            Role::NoStandardDirectories => linking.line.no_standard_libraries = true,
            Role::NeededDirectory => linking
                .line
                .needed_directories
                .extend(value.split(':').filter(|each| !each.is_empty()).map(path)),
            Role::Threads => linking.processors = threads(value),
            Role::LinkTimeOptimization => linking.caution.push(Caution::LinkTimeOptimization),
            Role::Talkative => linking.caution.push(Caution::Talkative),
            Role::Version => {
                linking.caution.push(Caution::Talkative);
                linking.probes_without_input = true;
            }
            Role::Probe => linking.probes = true,
            Role::Refuse(because) => return Err(NotOurs::unsupported(option, because)),
        }
        Ok(())
    }
}

impl Linking {
    /// Adds what is read and written to a step that links.
    pub(crate) fn complete(self, step: &mut Step) {
        match self.output.as_deref() {
            // Only lld writes a program to standard output, and nobody asks it to.
            None => step.writes("a.out", true),
            Some(output) => step.writes(output, true),
        }
        for written in self.written {
            step.writes(written, true);
        }
        step.inputs
            .extend(self.line.items.iter().filter_map(|item| match item {
                LinkItem::File(file) => Some(file.clone()),
                LinkItem::Library { .. } => None,
            }));
        step.inputs.extend(self.inputs);
        step.stdout |= self.stdout;
        step.caution.extend(self.caution);
        if self.processors != Processors::One {
            step.processors = self.processors;
        }
        step.libraries = Some(self.line);
    }
}

/// Words for the LTO plugin that name no file but an absolute one that is read (lto-wrapper).
fn is_known_plugin_option(value: &str) -> bool {
    const BEGINNINGS: [&str; 12] = [
        "-pass-through=",
        "-function-sections=",
        "-data-sections=",
        "-tls-size=",
        "-float-abi=",
        "-import-instr-limit=",
        "mcpu=",
        "jobs=",
        "O0",
        "O1",
        "O2",
        "O3",
    ];
    value.starts_with('/') || BEGINNINGS.iter().any(|known| value.starts_with(known))
}

/// Whether an option for LLVM itself may read or write a file.
pub(crate) fn names_a_file(option: &str) -> bool {
    const WORDS: [&str; 14] = [
        "file", "dump", "view", "dot", "path", "trace", "output", "plugin", "profile", "remarks", "stats",
        "print", "dir", "load",
    ];
    WORDS.iter().any(|word| option.contains(word))
}

fn threads(value: &str) -> Processors {
    match value.parse() {
        Ok(1) => Processors::One,
        Ok(count) => Processors::Count(count),
        Err(_) => Processors::Many,
    }
}
