//! The answer: what one command reads and writes.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::PathBuf;

use crate::{Caution, Language, Tool, absolute};

/// A command line, understood. Paths are as written or derived from what is written, so relative ones are relative to
/// the working directory.
///
/// What only the *contents* of inputs name (headers, `.incbin`, members of thin archives, linker scripts found in
/// place of libraries) is not here: that is for those who can read files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Who reads the command line.
    pub tool: Tool,
    /// What it is asked to do.
    pub kind: Kind,
    /// The language of the sources, when all have the same.
    pub language: Option<Language>,
    /// Sources as written, without standard input.
    pub sources: Vec<PathBuf>,
    /// Other files that the command line names and the tool reads, response files among them.
    pub inputs: Vec<PathBuf>,
    /// Directories that are read as a whole.
    pub input_directories: Vec<PathBuf>,
    /// What is written. `/dev/null` and standard output are not listed.
    pub outputs: Vec<Output>,
    /// The make rule that the compiler writes beside its product; it is in `outputs` too.
    pub depfile: Option<PathBuf>,
    /// What the preprocessor was told; of assembly as it is, where the assembler looks for included files. `None` where
    /// nothing is included.
    pub preprocessing: Option<Preprocessing>,
    /// The arguments to ask the compiler with (`-E -dM -v`) for predefined macros and search paths. Without macros of
    /// the command line and without its include directories: those are in `preprocessing`, to be put before what the
    /// compiler says. With every option of which it is not certain that it changes neither.
    pub facts_arguments: Vec<OsString>,
    /// What the linker was told, in order; `None` where nothing is linked.
    pub libraries: Option<LinkLine>,
    /// Standard input is read.
    pub stdin: bool,
    /// The product goes to standard output.
    pub stdout: bool,
    /// The absolute path of the working directory is in the result, or may be: debug information without a map of
    /// exactly that directory, coverage notes, preprocessed text with debug information.
    pub embeds_directory: bool,
    /// What `-ffile-prefix-map` and `-fdebug-prefix-map` say, in order: old beginning, new beginning.
    pub path_maps: Vec<(String, String)>,
    /// Counters are put in, for coverage or a profile: the result names files that a run will write.
    pub is_instrumented: bool,
    /// The words of a driver's options, but for those that only name a header, a directory of headers or libraries, the product,
    /// or a make rule and its targets: what these words say may be in the product as it stands.
    pub texts: Vec<String>,
    /// Absolute paths that the command line names, sorted, each once.
    pub absolute_paths: Vec<PathBuf>,
    /// Names of the environment variables that the tool may read.
    pub environment: Vec<&'static str>,
    /// What else there is to know, sorted, each once.
    pub caution: Vec<Caution>,
    /// How many processors it may keep busy.
    pub processors: Processors,
}

/// What a command is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Source to object (`-c`).
    Compile,
    /// Assembly to object.
    Assemble,
    /// Source to preprocessed text (`-E`).
    Preprocess,
    /// Source to a make rule and nothing else (`-M`, `-MM`).
    Dependencies,
    /// Source to assembly (`-S`).
    CompileToAssembly,
    /// Diagnostics only.
    SyntaxOnly,
    /// A header to a precompiled header.
    PrecompileHeader,
    /// Objects, and sources compiled on the way, to a program or a library.
    Link,
    /// Files to an archive.
    Archive,
    /// An index for an archive.
    Index,
    /// A file to another form of itself (objcopy, strip), or in place: see [`Caution::InPlace`].
    Transform,
    /// Contents of files, on standard output (nm).
    List,
    /// Classes, documents or whatever such a tool makes.
    Generate,
    /// A question about the tool (`--version`, `-print-search-dirs`): answered on standard output, no file written.
    Probe,
}

/// One thing that is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Output {
    /// As written or derived.
    pub path: PathBuf,
    /// A successful run always leaves it. Otherwise it depends on the source (no `.su` without a function), or on the
    /// version of the tool.
    pub required: bool,
    /// What it is.
    pub shape: Shape,
}

/// What an output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shape {
    /// A file.
    File,
    /// A directory with whatever the tool puts in.
    Directory,
}

/// What the preprocessor was told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preprocessing {
    /// Directories to search, in the order of the command line. Which are searched first is decided by kind: quote,
    /// then angle, then system, (standard ones,) then after.
    pub directories: Vec<SearchDirectory>,
    /// `-D` and `-U`, in order. For gcc and clang, all of them come before any forced file.
    pub macros: Vec<Macro>,
    /// `-include` and `-imacros`, in order; all `-imacros` are processed before any `-include`.
    pub forced: Vec<Forced>,
    /// No standard directories at all (`-nostdinc`).
    pub no_standard_directories: bool,
    /// No standard directories of C++ (`-nostdinc++`).
    pub no_standard_cxx_directories: bool,
    /// `-isysroot`, else `--sysroot`: put before standard directories, and in place of a leading `=` or `$SYSROOT`.
    pub sysroot: Option<PathBuf>,
    /// Where the assembler looks for `.include` and `.incbin`, beside the include directories (`-Wa,-I`).
    pub assembler_directories: Vec<PathBuf>,
}

/// One directory that is searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchDirectory {
    /// When it is searched.
    pub kind: DirectoryKind,
    /// As written.
    pub path: PathBuf,
}

/// When a directory of the command line is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DirectoryKind {
    /// Only for `#include "…"` (`-iquote`).
    Quote,
    /// For everything (`-I`).
    Angle,
    /// After those, before standard ones; headers in it are system headers (`-isystem`).
    System,
    /// After standard ones (`-idirafter`).
    After,
    /// As `Angle`, for frameworks (`-F`).
    Framework,
    /// As `System`, for frameworks (`-iframework`).
    SystemFramework,
    /// As `System`, for C++ only (`-cxx-isystem`, `-stdlib++-isystem`).
    CxxSystem,
    /// As `System`, for C only (`-c-isystem`).
    CSystem,
}

/// One change of a macro on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Macro {
    /// `-DNAME`, `-DNAME=text`, `-D'F(x)=text'`: what follows `-D`.
    Define(String),
    /// What follows `-U`.
    Undefine(String),
    /// What follows `-A`.
    Assert(String),
}

/// A file that is processed before the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forced {
    /// How.
    pub how: Included,
    /// As written: looked for in the working directory first, then as by `#include "…"`.
    pub path: PathBuf,
}

/// How a forced file is processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Included {
    /// As if the source began with `#include` (`-include`).
    Whole,
    /// Only its macros are kept (`-imacros`).
    Macros,
}

/// What the linker was told about libraries, for [`Step::libraries`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkLine {
    /// Files and libraries in the order of the command line.
    pub items: Vec<LinkItem>,
    /// `-L`, in order; each holds for every library, wherever it stands. A driver searches `LIBRARY_PATH` and its own
    /// directories after them.
    pub directories: Vec<PathBuf>,
    /// What a driver was told to tell the linker (`-Wl,-L`): searched after the driver's own directories, before the
    /// linker's.
    pub late_directories: Vec<PathBuf>,
    /// Where libraries that shared libraries need are looked for (`-rpath-link`, then `-rpath`).
    pub needed_directories: Vec<PathBuf>,
    /// Tool prefixes (`-B`), in order: startup files and linkers are looked for there first.
    pub prefixes: Vec<PathBuf>,
    /// `--sysroot`.
    pub sysroot: Option<PathBuf>,
    /// `-fuse-ld=` or `--ld-path=`.
    pub linker: Option<String>,
    /// A driver adds the C++ library.
    pub cxx: bool,
    /// `-nostdlib` or `-nodefaultlibs`: the driver adds no library. For a linker: only `-L` is searched.
    pub no_standard_libraries: bool,
    /// `-nostdlib` or `-nostartfiles`: the driver adds no startup file.
    pub no_startup_files: bool,
    /// `-static`: no shared library is searched for.
    pub is_static: bool,
    /// `-shared`.
    pub is_shared: bool,
    /// `-r`: nothing is searched for but what is named.
    pub relocatable: bool,
}

/// One thing to link, in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkItem {
    /// A file: object, archive, shared library or linker script.
    File(PathBuf),
    /// A library to search for.
    Library {
        /// What follows `-l`, without a `:`.
        name: String,
        /// `-l:name`: a file name as it is, not `libname.so`.
        exact: bool,
        /// `-Bstatic` or `-static` holds here: only `libname.a`.
        archive_only: bool,
    },
}

/// How many processors a step may keep busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Processors {
    /// One.
    #[default]
    One,
    /// As many as written (`-flto=8`).
    Count(u32),
    /// As many as there are, or as a job server gives (`-flto=auto`, `-flto=jobserver`, lld).
    Many,
}

impl Step {
    pub(crate) fn new(tool: Tool, kind: Kind) -> Self {
        Self {
            tool,
            kind,
            language: None,
            sources: Vec::new(),
            inputs: Vec::new(),
            input_directories: Vec::new(),
            outputs: Vec::new(),
            depfile: None,
            preprocessing: None,
            facts_arguments: Vec::new(),
            libraries: None,
            stdin: false,
            stdout: false,
            embeds_directory: false,
            path_maps: Vec::new(),
            is_instrumented: false,
            texts: Vec::new(),
            absolute_paths: Vec::new(),
            environment: Vec::new(),
            caution: Vec::new(),
            processors: Processors::One,
        }
    }

    /// A step of which somebody else says what it reads and makes. `words` are the command's, without the tool.
    pub fn declared(words: &[OsString]) -> Self {
        let words: Vec<String> = words
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        let mut step = Self::new(Tool::Other, Kind::Generate);
        step.absolute_paths = absolute::paths(&words);
        step.finish();
        step
    }

    /// A file that is written, unless it is a device.
    pub(crate) fn writes(&mut self, path: impl Into<PathBuf>, required: bool) {
        self.writes_as(path.into(), required, Shape::File);
    }

    /// A directory that is filled.
    pub(crate) fn fills(&mut self, path: impl Into<PathBuf>) {
        self.writes_as(path.into(), true, Shape::Directory);
    }

    fn writes_as(&mut self, path: PathBuf, required: bool, shape: Shape) {
        if path.as_os_str().is_empty() || path.starts_with("/dev") {
            return;
        }
        self.outputs.push(Output {
            path,
            required,
            shape,
        });
    }

    /// Puts what has no order in order, and each once.
    pub(crate) fn finish(&mut self) {
        self.caution.sort_unstable();
        self.caution.dedup();
        self.absolute_paths.sort_unstable();
        self.absolute_paths.dedup();
        let mut seen = HashSet::new();
        self.inputs.retain(|input| seen.insert(input.clone()));
        let mut required: HashMap<PathBuf, bool> = HashMap::new();
        for output in &self.outputs {
            *required.entry(output.path.clone()).or_default() |= output.required;
        }
        self.outputs
            .retain_mut(|output| match required.remove(&output.path) {
                Some(required) => {
                    output.required = required;
                    true
                }
                None => false,
            });
    }
}
