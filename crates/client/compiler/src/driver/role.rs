//! What an option of gcc or clang means for what is read and written.

use crate::{Caution, DirectoryKind, Included, Kind};

/// The meaning of one row of the drivers' tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// No file, no macro, no search path: warnings, names in rules.
    Ignore,
    /// No file, but it may change predefined macros or search paths.
    Facts,
    /// As `Ignore`, and worth a caution.
    Note(Caution),
    /// As `Facts`, and worth a caution.
    Careful(Caution),
    /// Words on standard error.
    Talk,
    /// A question; nothing else is done.
    Ask,
    /// How far to go.
    Stop(Kind),
    /// The product.
    Output,
    /// The language of the sources that follow.
    Language,
    /// `-D`.
    Define,
    /// `-U`.
    Undefine,
    /// `-A`.
    Assert,
    /// A file before the source.
    Forced(Included),
    /// A directory of headers.
    Search(DirectoryKind),
    /// What `WithPrefix` is put behind.
    IncludePrefix,
    /// A directory of headers behind the prefix.
    WithPrefix(DirectoryKind),
    /// The root of standard directories of headers.
    HeaderRoot,
    /// The root of everything standard.
    Root,
    /// `-nostdinc`.
    NoStandard,
    /// `-nostdinc++`.
    NoStandardCxx,
    /// A make rule is written.
    Rule(Depend),
    /// Where to.
    RuleFile,
    /// What it says that is made.
    RuleTarget,
    /// Words separated by commas, for the preprocessor.
    ForPreprocessor,
    /// One word for the preprocessor.
    ForPreprocessorOne,
    /// Words separated by commas, for the assembler.
    ForAssembler,
    /// One word for the assembler.
    ForAssemblerOne,
    /// Words separated by commas, for the linker.
    ForLinker,
    /// One word for the linker.
    ForLinkerOne,
    /// One word for clang's compiler proper.
    ForClang,
    /// `-fdiagnostics-format=`: some forms are files.
    DiagnosticsFormat,
    /// `-march=` and its kin.
    Architecture,
    /// `-g…`.
    Debug,
    /// A file beside the product.
    Beside(Side),
    /// No such file after all.
    NotBeside(Side),
    /// The working directory is written to preprocessed text.
    WorkingDirectory,
    /// `OLD=NEW`.
    MapPath {
        /// Debug information is mapped too, not only macros.
        debug: bool,
    },
    /// The directory that debug information names.
    CompilationDirectory,
    /// Counters are put in; notes about them are a file.
    Coverage {
        /// Whether notes are written.
        notes: bool,
    },
    /// Where notes are written.
    CoverageNote,
    /// A profile is read.
    Profile,
    /// A profile is read; its name is the option's argument.
    ProfileFile,
    /// A file that is read, and changes no macro.
    Input,
    /// A file that is written.
    Written,
    /// A file that is written, with the working directory in it.
    CompilationDatabase,
    /// A file that is written, if one is named.
    MaybeWritten,
    /// A module that was compiled before, with or without its name.
    ModuleFile,
    /// A library that is loaded into the compiler.
    Plugin,
    /// A word for it.
    PluginArgument,
    /// A precompiled header that is read.
    PrecompiledHeader,
    /// Overlays and the like: a file that is read.
    Overlay,
    /// `-save-temps`.
    SaveTemps,
    /// `-flto`.
    LinkTimeOptimization,
    /// `-fno-lto`.
    NoLinkTimeOptimization,
    /// `-fuse-ld=`.
    UseLinker,
    /// A linker by its path.
    LinkerPath,
    /// `-B`.
    ToolPrefix,
    /// Specs or a configuration: a file that is read and changes everything.
    OtherSpecs,
    /// Another target: other tools, other everything.
    OtherTarget,
    /// The product is LLVM's own form.
    EmitLlvm,
    /// A trace with times, beside the product or where it is said.
    TimeTrace,
    /// An index of a distributed ThinLTO link; its `.imports` list names more.
    ThinLtoIndex,
    /// A directory of tools, libraries and headers that changes everything.
    OtherTree,
    /// `-L`.
    LinkDirectory,
    /// `-l`.
    LinkLibrary,
    /// The same for the linker.
    LinkFlag(&'static str),
    /// No shared library, wherever it is said.
    LinkStatic,
    /// The same for the linker, with its argument.
    LinkPair(&'static str),
    /// Only the link is changed, and no file by name.
    LinkIgnored,
    /// As `LinkIgnored`, and macros may change.
    LinkFacts,
    /// No library is added.
    NoLibraries {
        /// No startup file either.
        startup: bool,
    },
    /// No startup file is added.
    NoStartupFiles,
    /// An option for LLVM itself.
    Llvm,
    /// Cannot be described.
    Refuse(&'static str),
}

/// Which make rule is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depend {
    /// `-MD`.
    All,
    /// `-MMD`.
    User,
    /// `-M`: instead of a product.
    OnlyAll,
    /// `-MM`: instead of a product.
    OnlyUser,
}

/// A file beside the product, named after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    /// `.su`
    StackUsage,
    /// `.ci`
    CallGraph,
    /// `.gcno`
    Coverage,
    /// `.dwo`
    SplitDwarf,
    /// `.json`
    TimeTrace,
    /// `.opt-record.json.gz`, `.opt.yaml`
    OptimizationRecord,
}

impl Role {
    /// Whether the option's value is the name of something that is read or written, and nothing of the name gets into the
    /// product but by the maps of paths.
    pub(super) fn is_place(self) -> bool {
        matches!(
            self,
            Self::Output
                | Self::Forced(_)
                | Self::Search(_)
                | Self::RuleFile
                | Self::RuleTarget
                | Self::LinkDirectory
        )
    }

    /// Whether the option must be given when the compiler is asked for its macros and search paths.
    pub(super) fn is_fact(self) -> bool {
        matches!(
            self,
            Self::Facts
                | Self::Careful(_)
                | Self::HeaderRoot
                | Self::Root
                | Self::NoStandard
                | Self::NoStandardCxx
                | Self::Architecture
                | Self::Debug
                | Self::Coverage { .. }
                | Self::Plugin
                | Self::PluginArgument
                | Self::LinkTimeOptimization
                | Self::NoLinkTimeOptimization
                | Self::ToolPrefix
                | Self::OtherSpecs
                | Self::OtherTree
                | Self::OtherTarget
                | Self::LinkFacts
                | Self::Profile
                | Self::Overlay
                | Self::ModuleFile
                | Self::Llvm
                | Self::ForClang
        )
    }
}
