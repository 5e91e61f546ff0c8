//! Which program a file name stands for: `gcc`, `aarch64-linux-gnu-gcc-12`, `clang++-15`, `ld.lld`.

/// A tool whose command lines are read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tool {
    /// `gcc`, `g++`, `cc`, `c++` and their cross and versioned names.
    GccDriver,
    /// `clang`, `clang++`.
    ClangDriver,
    /// The GNU assembler.
    As,
    /// `ld` of any make: bfd, gold, lld, mold.
    Ld,
    /// `ar`, `gcc-ar`, `llvm-ar`.
    Ar,
    /// `ranlib` and its kin.
    Ranlib,
    /// `objcopy`, `llvm-objcopy`.
    Objcopy,
    /// `strip`, `llvm-strip`.
    Strip,
    /// `nm`, `llvm-nm`.
    Nm,
    /// `rustc`.
    Rustc,
    /// `javac`.
    Javac,
    /// Android's dexer.
    D8,
    /// Android's shrinker.
    R8,
    /// Android's API extractor.
    Metalava,
    /// The TypeScript compiler.
    Tsc,
    /// `clang-tidy`.
    ClangTidy,
    /// Android's `header-abi-dumper`.
    HeaderAbiDumper,
    /// Any other: somebody else says what it reads and makes. No name stands for it.
    Other,
}

/// A file name taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ToolName {
    pub(crate) tool: Tool,
    /// The driver of C++: `.c` is C++ too, and the C++ library is linked.
    pub(crate) cxx: bool,
}

/// Last part of a name, tool, whether it is a C++ driver, whether a target or a version may be around it.
pub(crate) const NAMES: [(&str, Tool, bool, bool); 32] = [
    ("gcc", Tool::GccDriver, false, true),
    ("g++", Tool::GccDriver, true, true),
    ("cc", Tool::GccDriver, false, true),
    ("c++", Tool::GccDriver, true, true),
    ("c89", Tool::GccDriver, false, false),
    ("c99", Tool::GccDriver, false, false),
    ("clang", Tool::ClangDriver, false, true),
    ("clang++", Tool::ClangDriver, true, true),
    ("as", Tool::As, false, true),
    ("ld", Tool::Ld, false, true),
    ("ld.bfd", Tool::Ld, false, true),
    ("ld.gold", Tool::Ld, false, true),
    ("gold", Tool::Ld, false, true),
    ("ld.lld", Tool::Ld, false, true),
    ("ld.mold", Tool::Ld, false, true),
    ("mold", Tool::Ld, false, true),
    ("ar", Tool::Ar, false, true),
    ("gcc-ar", Tool::Ar, false, true),
    ("ranlib", Tool::Ranlib, false, true),
    ("gcc-ranlib", Tool::Ranlib, false, true),
    ("objcopy", Tool::Objcopy, false, true),
    ("strip", Tool::Strip, false, true),
    ("nm", Tool::Nm, false, true),
    ("rustc", Tool::Rustc, false, false),
    ("javac", Tool::Javac, false, false),
    ("d8", Tool::D8, false, false),
    ("r8", Tool::R8, false, false),
    ("metalava", Tool::Metalava, false, false),
    ("tsc", Tool::Tsc, false, false),
    ("clang-tidy", Tool::ClangTidy, false, true),
    ("header-abi-dumper", Tool::HeaderAbiDumper, false, false),
    ("llvm-ar", Tool::Ar, false, true),
];

/// Ends like the name of a tool, and is another program: it looks for an `nm` itself, and gives it a plugin.
const OTHERS: [&str; 1] = ["gcc-nm"];

/// How the first part of a name begins when it names a target (`x86_64-linux-gnu-…`), or a well-known relative of the
/// plain name. Any other prefix (`ccache-gcc`, `my-gcc`) may be a program with ideas of its own.
const PREFIXES: [&str; 40] = [
    "aarch64",
    "alpha",
    "amdgcn",
    "arc",
    "arm",
    "avr",
    "bpf",
    "c89-",
    "c99-",
    "csky",
    "h8300",
    "hppa",
    "i386",
    "i486",
    "i586",
    "i686",
    "ia64",
    "llvm-",
    "loongarch",
    "m68k",
    "microblaze",
    "mips",
    "msp430",
    "nios2",
    "nvptx",
    "or1k",
    "powerpc",
    "ppc",
    "riscv",
    "rx-",
    "s390",
    "sh2",
    "sh4",
    "sparc",
    "tricore",
    "v850",
    "wasm32",
    "wasm64",
    "x86_64",
    "xtensa",
];

/// The tool that a program of this file name is, if we read its command lines: what a directory of wrappers should
/// hold, and what a wrapper may be called.
pub fn is_tool_name(file_name: &str) -> Option<Tool> {
    ToolName::parse(file_name).map(|name| name.tool)
}

/// The plain names of all tools, without targets and versions: what a directory of wrappers begins with.
pub fn plain_tool_names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(name, ..)| *name)
}

impl ToolName {
    pub(crate) fn parse(file_name: &str) -> Option<Self> {
        let plain = without_version(file_name);
        if OTHERS.iter().any(|other| plain.ends_with(other)) {
            return None;
        }
        NAMES
            .iter()
            .filter(|(_, _, _, varies)| *varies || plain == file_name)
            .find(|(name, _, _, varies)| plain == *name || (*varies && is_prefixed(plain, name)))
            .map(|(_, tool, cxx, _)| Self {
                tool: *tool,
                cxx: *cxx,
            })
    }
}

/// `gcc-12`, `clang-15.0.7` without the version.
fn without_version(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((plain, version))
            if version.starts_with(|first: char| first.is_ascii_digit())
                && version.chars().all(|next| next.is_ascii_digit() || next == '.') =>
        {
            plain
        }
        _ => name,
    }
}

fn is_prefixed(name: &str, last: &str) -> bool {
    name.strip_suffix(last)
        .is_some_and(|prefix| prefix.ends_with('-') && PREFIXES.iter().any(|known| prefix.starts_with(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tools() {
        for (name, expected) in [
            ("gcc", Some(Tool::GccDriver)),
            ("cc", Some(Tool::GccDriver)),
            ("c99-gcc", Some(Tool::GccDriver)),
            ("c99", Some(Tool::GccDriver)),
            ("gcc-12", Some(Tool::GccDriver)),
            ("x86_64-linux-gnu-g++-12", Some(Tool::GccDriver)),
            ("aarch64-linux-gnu-gcc", Some(Tool::GccDriver)),
            ("arm-none-eabi-ld.bfd", Some(Tool::Ld)),
            ("clang-15", Some(Tool::ClangDriver)),
            ("clang++-15.0.7", Some(Tool::ClangDriver)),
            ("aarch64-linux-android21-clang", Some(Tool::ClangDriver)),
            ("ld.lld-15", Some(Tool::Ld)),
            ("llvm-ar", Some(Tool::Ar)),
            ("llvm-strip-14", Some(Tool::Strip)),
            ("aarch64-linux-gnu-gcc-ar-12", Some(Tool::Ar)),
            ("nm", Some(Tool::Nm)),
            ("aarch64-linux-gnu-nm", Some(Tool::Nm)),
            ("llvm-nm-14", Some(Tool::Nm)),
            ("gcc-nm", None),
            ("aarch64-linux-gnu-gcc-nm-12", None),
            ("gcc-ranlib", Some(Tool::Ranlib)),
            ("header-abi-dumper", Some(Tool::HeaderAbiDumper)),
            ("ccache-gcc", None),
            ("my-gcc", None),
            ("gcc-wrapper", None),
            ("clang-format", None),
            ("clang-cl", None),
            ("rustc-12", None),
            ("ld.so", None),
            ("", None),
            ("-12", None),
        ] {
            assert_eq!(is_tool_name(name), expected, "{name}");
        }
    }

    #[test]
    fn every_plain_name_is_a_name() {
        assert!(plain_tool_names().all(|name| is_tool_name(name).is_some()));
    }

    #[test]
    fn c_plus_plus_drivers() {
        for (name, expected) in [
            ("g++-12", true),
            ("clang++", true),
            ("c++", true),
            ("gcc", false),
            ("cc", false),
        ] {
            assert_eq!(
                ToolName::parse(name).map(|name| name.cxx),
                Some(expected),
                "{name}"
            );
        }
    }
}
