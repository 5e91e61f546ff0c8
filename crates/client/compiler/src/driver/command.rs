//! A driver's command line while it is read: what each option said, before anything follows from it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use super::role::{Depend, Side};
use crate::tool::ToolName;
use crate::{Caution, Kind, Language, Preprocessing, Processors, Tool};

/// One file among the arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) name: String,
    /// What it is compiled as; `None` is for the linker.
    pub(super) language: Option<Language>,
}

impl File {
    pub(super) fn is_stdin(&self) -> bool {
        matches!(
            self.name.as_str(),
            "-" | "/dev/stdin" | "/dev/fd/0" | "/proc/self/fd/0"
        )
    }
}

/// What is written about files read, as the driver's own options say it.
#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) wanted: Option<Depend>,
    pub(super) file: Option<String>,
    /// Said directly to the preprocessor, with its file: this one wins.
    pub(super) direct: Option<String>,
}

/// Everything that the options said.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) tool: ToolName,
    pub(super) stop: Option<Kind>,
    pub(super) asks: bool,
    pub(super) output: Option<String>,
    pub(super) files: Vec<File>,
    /// clang's `--` was there: no options follow.
    pub(super) only_files: bool,
    /// `-x`, for files that follow.
    pub(super) language: Option<Language>,
    pub(super) preprocessing: Preprocessing,
    pub(super) include_prefix: Option<String>,
    pub(super) header_root: Option<PathBuf>,
    pub(super) rules: Rules,
    pub(super) sides: BTreeSet<Side>,
    /// What is written whatever the product is called: name, and whether always.
    pub(super) written: Vec<(String, bool)>,
    pub(super) inputs: Vec<PathBuf>,
    pub(super) input_directories: Vec<PathBuf>,
    pub(super) for_preprocessor: Vec<String>,
    pub(super) for_assembler: Vec<String>,
    pub(super) for_clang: Vec<String>,
    /// Words for the linker, files and libraries among them, in order.
    pub(super) for_linker: Vec<String>,
    /// The driver's own `-L`, which it puts before its own directories.
    pub(super) link_directories: Vec<PathBuf>,
    pub(super) cxx_library: bool,
    pub(super) no_libraries: bool,
    pub(super) no_startup_files: bool,
    pub(super) tool_prefixes: Vec<PathBuf>,
    pub(super) linker: Option<String>,
    pub(super) debug: bool,
    pub(super) counters: bool,
    pub(super) working_directory: bool,
    pub(super) compilation_directory: bool,
    /// A file beside the product has the working directory in it.
    pub(super) names_directory: bool,
    pub(super) path_maps: Vec<(String, String)>,
    /// Words of options that say more than a place.
    pub(super) texts: Vec<String>,
    pub(super) link_time_optimization: bool,
    pub(super) save_temps: bool,
    pub(super) time_trace: Option<String>,
    /// Where gcc's coverage notes go instead.
    pub(super) profile_note: Option<String>,
    pub(super) emit_llvm: bool,
    pub(super) emit_pch: bool,
    pub(super) facts: Vec<OsString>,
    pub(super) caution: Vec<Caution>,
    pub(super) processors: Processors,
}

impl Command {
    pub(super) fn new(tool: ToolName) -> Self {
        Self {
            tool,
            stop: None,
            asks: false,
            output: None,
            files: Vec::new(),
            only_files: false,
            language: None,
            preprocessing: Preprocessing::default(),
            include_prefix: None,
            header_root: None,
            rules: Rules::default(),
            sides: BTreeSet::new(),
            written: Vec::new(),
            inputs: Vec::new(),
            input_directories: Vec::new(),
            for_preprocessor: Vec::new(),
            for_assembler: Vec::new(),
            for_clang: Vec::new(),
            for_linker: Vec::new(),
            link_directories: Vec::new(),
            cxx_library: tool.cxx,
            no_libraries: false,
            no_startup_files: false,
            tool_prefixes: Vec::new(),
            linker: None,
            debug: false,
            counters: false,
            working_directory: false,
            compilation_directory: false,
            names_directory: false,
            path_maps: Vec::new(),
            texts: Vec::new(),
            link_time_optimization: false,
            save_temps: false,
            time_trace: None,
            profile_note: None,
            emit_llvm: false,
            emit_pch: false,
            facts: Vec::new(),
            caution: Vec::new(),
            processors: Processors::One,
        }
    }

    pub(super) fn is_clang(&self) -> bool {
        self.tool.tool == Tool::ClangDriver
    }

    /// How far the driver goes. The furthest-back stop wins, whatever the order: `-E`, then syntax, `-S`, `-c`.
    pub(super) fn stop_at(&mut self, kind: Kind) {
        let rank = |kind: Kind| match kind {
            Kind::Preprocess => 4,
            Kind::SyntaxOnly => 3,
            Kind::CompileToAssembly => 2,
            _ => 1,
        };
        if self.stop.is_none_or(|known| rank(kind) > rank(known)) {
            self.stop = Some(kind);
        }
    }

    /// Files that are compiled, or assembled, or preprocessed.
    pub(super) fn sources(&self) -> impl Iterator<Item = (&File, Language)> {
        self.files.iter().filter_map(|file| Some((file, file.language?)))
    }
}
