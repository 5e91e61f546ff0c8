//! Languages of sources: by extension and by `-x`.

/// What a source is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    /// C.
    C,
    /// C++.
    Cxx,
    /// Objective-C.
    ObjC,
    /// Objective-C++.
    ObjCxx,
    /// Assembly as it is.
    Assembler,
    /// Assembly that the C preprocessor sees first.
    AssemblerWithCpp,
    /// C, preprocessed already.
    PreprocessedC,
    /// C++, preprocessed already.
    PreprocessedCxx,
    /// Objective-C, preprocessed already.
    PreprocessedObjC,
    /// Objective-C++, preprocessed already.
    PreprocessedObjCxx,
    /// A C header: a precompiled header is made of it.
    CHeader,
    /// A C++ header: a precompiled header is made of it.
    CxxHeader,
    /// An Objective-C header: a precompiled header is made of it.
    ObjCHeader,
    /// An Objective-C++ header: a precompiled header is made of it.
    ObjCxxHeader,
    /// LLVM's own: `.bc` and `.ll` that Clang compiles.
    LlvmIr,
    /// Rust.
    Rust,
    /// Java.
    Java,
    /// TypeScript.
    TypeScript,
}

/// Extension, language for gcc and clang. Case matters. gcc(1), "Options Controlling the Kind of Output".
const EXTENSIONS: [(&str, Language); 28] = [
    ("c", Language::C),
    ("i", Language::PreprocessedC),
    ("ii", Language::PreprocessedCxx),
    ("m", Language::ObjC),
    ("mi", Language::PreprocessedObjC),
    ("mm", Language::ObjCxx),
    ("M", Language::ObjCxx),
    ("mii", Language::PreprocessedObjCxx),
    ("h", Language::CHeader),
    ("cc", Language::Cxx),
    ("cp", Language::Cxx),
    ("cxx", Language::Cxx),
    ("cpp", Language::Cxx),
    ("CPP", Language::Cxx),
    ("c++", Language::Cxx),
    ("C", Language::Cxx),
    ("hh", Language::CxxHeader),
    ("H", Language::CxxHeader),
    ("hp", Language::CxxHeader),
    ("hxx", Language::CxxHeader),
    ("hpp", Language::CxxHeader),
    ("HPP", Language::CxxHeader),
    ("h++", Language::CxxHeader),
    ("tcc", Language::CxxHeader),
    ("s", Language::Assembler),
    ("S", Language::AssemblerWithCpp),
    ("sx", Language::AssemblerWithCpp),
    ("asm", Language::Assembler),
];

/// Argument of `-x`, language.
const NAMES: [(&str, Language); 16] = [
    ("c", Language::C),
    ("c-header", Language::CHeader),
    ("cpp-output", Language::PreprocessedC),
    ("c++", Language::Cxx),
    ("c++-header", Language::CxxHeader),
    ("c++-cpp-output", Language::PreprocessedCxx),
    ("objective-c", Language::ObjC),
    ("objective-c-header", Language::ObjCHeader),
    ("objective-c-cpp-output", Language::PreprocessedObjC),
    ("objective-c++", Language::ObjCxx),
    ("objective-c++-header", Language::ObjCxxHeader),
    ("objective-c++-cpp-output", Language::PreprocessedObjCxx),
    ("assembler", Language::Assembler),
    ("assembler-with-cpp", Language::AssemblerWithCpp),
    ("ir", Language::LlvmIr),
    ("c-cpp-output", Language::PreprocessedC),
];

impl Language {
    /// By extension, as gcc and clang see it. `None` is a file for the linker.
    pub(crate) fn by_extension(extension: &str, clang: bool) -> Option<Self> {
        let found = EXTENSIONS.iter().find(|(known, _)| *known == extension);
        match found.map(|(_, language)| *language) {
            // gcc gives `.asm` to the linker, clang assembles it.
            Some(Self::Assembler) if extension == "asm" && !clang => None,
            // Not among clang's.
            Some(_) if clang && matches!(extension, "sx" | "tcc" | "HPP" | "hp") => None,
            None if clang && matches!(extension, "bc" | "ll") => Some(Self::LlvmIr),
            found => found,
        }
    }

    /// By the argument of `-x`.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, language)| *language)
    }

    /// The argument of `-x` that names it; `None` for what no driver of C compiles.
    pub fn name(self) -> Option<&'static str> {
        NAMES
            .iter()
            .find(|(_, language)| *language == self)
            .map(|(name, _)| *name)
    }

    /// What a C++ driver (`g++`, `clang++`) makes of a source that its extension calls C.
    pub(crate) fn as_cxx(self) -> Self {
        match self {
            Self::C => Self::Cxx,
            Self::PreprocessedC => Self::PreprocessedCxx,
            Self::CHeader => Self::CxxHeader,
            other => other,
        }
    }

    /// Whether the C preprocessor's directives are followed.
    pub fn is_preprocessed_first(self) -> bool {
        matches!(
            self,
            Self::C | Self::Cxx | Self::ObjC | Self::ObjCxx | Self::AssemblerWithCpp
        ) || self.is_header()
    }

    /// Whether a precompiled header is what comes out.
    pub fn is_header(self) -> bool {
        matches!(
            self,
            Self::CHeader | Self::CxxHeader | Self::ObjCHeader | Self::ObjCxxHeader
        )
    }

    /// Whether it goes to the assembler without a compiler proper.
    pub fn is_assembler(self) -> bool {
        matches!(self, Self::Assembler | Self::AssemblerWithCpp)
    }
}
