//! What a daemon should know before it caches a step or sends it elsewhere.

/// One thing about a step that its files do not say. The daemon decides what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Caution {
    /// `-march=native` and the like: the result depends on the processor of the machine that compiles.
    NativeArchitecture,
    /// A plugin is loaded into the tool; what it reads and writes beside the command line is its own affair.
    Plugin,
    /// Profile data is read, by names that are derived from the object's.
    Profile,
    /// Temporary files are kept.
    SaveTemps,
    /// A trace with times is written: no two runs give the same bytes.
    TimeTrace,
    /// A precompiled header is made, or read by name. Beside that, any `-include` may find a `.gch`.
    PrecompiledHeader,
    /// C++ modules or Clang modules: files are read and written that no command line names.
    Modules,
    /// `-flto`: this step may call the compiler itself, in parallel.
    LinkTimeOptimization,
    /// Specs, a configuration file, a tool prefix (`-B`): other tools than usual may be run.
    OtherTools,
    /// What is written to standard error says more than diagnostics: versions, times, temporary names.
    Talkative,
    /// Versions of the compiler disagree about names of side files; all candidates are declared, none is required.
    UncertainNames,
    /// A warning depends on whether include directories exist.
    MissingDirectories,
    /// The preprocessor works by other rules (traditional mode, `-fdirectives-only`, `-undef`): ask the compiler.
    OtherPreprocessing,
    /// Virtual file system overlays or header maps: paths are not what they seem.
    Overlay,
    /// Files are read that only the inputs themselves name: the assembler's `.incbin` of a `.s` file, a linker script
    /// found in place of a library.
    InputsNameInputs,
    /// The result holds the time at which it was made.
    Timestamps,
    /// Input and output is the same file.
    InPlace,
    /// The output also depends on what it held before.
    Updates,
}
