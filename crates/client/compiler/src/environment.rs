//! Names of the environment variables that tools read, and those that make a step indescribable.

use std::ffi::OsString;

use crate::{NotOurs, Tool};

/// Messages are translated and coloured by these.
const MESSAGES: [&str; 6] = ["LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "NLSPATH"];

/// Both compilers: search paths, time, tools, the name of the working directory in debug information (gcc takes `PWD`
/// when it is another name of the same directory).
const COMPILER: [&str; 9] = [
    "CPATH",
    "C_INCLUDE_PATH",
    "CPLUS_INCLUDE_PATH",
    "OBJC_INCLUDE_PATH",
    "OBJCPLUS_INCLUDE_PATH",
    "COMPILER_PATH",
    "LIBRARY_PATH",
    "SOURCE_DATE_EPOCH",
    "PWD",
];
const GCC: [&str; 7] = [
    "GCC_EXEC_PREFIX",
    "GCC_COLORS",
    "GCC_URLS",
    "TERM_URLS",
    "GCC_EXTRA_DIAGNOSTIC_OUTPUT",
    "GCC_COMPARE_DEBUG",
    "TERM",
];
const CLANG: [&str; 7] = [
    "OBJCPLUS_INCLUDE_PATH",
    "GCC_INSTALL_PREFIX",
    "CLANG_CONFIG_FILE_USER_DIR",
    "CLANG_CONFIG_FILE_SYSTEM_DIR",
    "CLANG_NO_DEFAULT_CONFIG",
    "CLANG_FORCE_COLOR_DIAGNOSTICS",
    "TERM",
];
const LINKER: [&str; 6] = [
    "LD_RUN_PATH",
    "LD_LIBRARY_PATH",
    "GNUTARGET",
    "LDEMULATION",
    "COLLECT_NO_DEMANGLE",
    "LTO_JOBS",
];
const BINUTILS: [&str; 2] = ["GNUTARGET", "SOURCE_DATE_EPOCH"];
/// How symbols are sorted, and where options may stand.
const NM: [&str; 3] = ["GNUTARGET", "LC_COLLATE", "POSIXLY_CORRECT"];
const AR: [&str; 4] = ["GNUTARGET", "SOURCE_DATE_EPOCH", "ZERO_AR_DATE", "AR_OPTIONS"];
const RUSTC: [&str; 6] = [
    "RUSTC_BOOTSTRAP",
    "RUST_TARGET_PATH",
    "RUSTC_LOG",
    "RUST_BACKTRACE",
    "SOURCE_DATE_EPOCH",
    "PATH",
];
const JAVA: [&str; 6] = [
    "CLASSPATH",
    "JAVA_HOME",
    "JDK_JAVAC_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
];
const NODE: [&str; 2] = ["NODE_OPTIONS", "NODE_PATH"];

/// Names of the variables that a step of this tool may read. A driver that links reads those of the linker too.
pub(crate) fn names(tool: Tool, links: bool) -> Vec<&'static str> {
    let own: &[&[&'static str]] = match tool {
        Tool::GccDriver if links => &[&MESSAGES, &COMPILER, &GCC, &LINKER],
        Tool::GccDriver => &[&MESSAGES, &COMPILER, &GCC],
        Tool::ClangDriver if links => &[&MESSAGES, &COMPILER, &CLANG, &LINKER],
        Tool::ClangDriver | Tool::ClangTidy | Tool::HeaderAbiDumper => &[&MESSAGES, &COMPILER, &CLANG],
        Tool::As => &[&MESSAGES, &["PWD", "SOURCE_DATE_EPOCH"]],
        Tool::Ld => &[
            &MESSAGES,
            &LINKER,
            &["SOURCE_DATE_EPOCH", "MOLD_JOBS", "MOLD_DEBUG"],
        ],
        Tool::Ar | Tool::Ranlib => &[&MESSAGES, &AR],
        Tool::Objcopy | Tool::Strip => &[&MESSAGES, &BINUTILS],
        Tool::Nm => &[&MESSAGES, &NM],
        Tool::Rustc => &[&MESSAGES, &RUSTC],
        Tool::Javac | Tool::D8 | Tool::R8 | Tool::Metalava => &[&MESSAGES, &JAVA],
        Tool::Tsc => &[&MESSAGES, &NODE],
        Tool::Other => &[],
    };
    let mut names: Vec<&'static str> = own.iter().flat_map(|list| list.iter().copied()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Every variable that a step of any tool may read, or that makes a compiler's step indescribable; some more than once.
pub fn environment_names() -> impl Iterator<Item = &'static str> {
    let lists: [&[&'static str]; 12] = [
        &MESSAGES,
        &COMPILER,
        &GCC,
        &CLANG,
        &LINKER,
        &["MOLD_JOBS", "MOLD_DEBUG"],
        &BINUTILS,
        &NM,
        &AR,
        &RUSTC,
        &JAVA,
        &NODE,
    ];
    lists.into_iter().flatten().chain(&INDESCRIBABLE).copied()
}

/// Set to anything, these make a compiler write or read what no command line says.
const INDESCRIBABLE: [&str; 12] = [
    // Rules are appended to a file that other steps append to as well.
    "DEPENDENCIES_OUTPUT",
    "SUNPRO_DEPENDENCIES",
    // Options are edited behind everyone's back.
    "CCC_OVERRIDE_OPTIONS",
    "QA_OVERRIDE_GCC3_OPTIONS",
    // Logs are appended to.
    "CC_PRINT_OPTIONS",
    "CC_PRINT_HEADERS",
    "CC_PRINT_PROC_STAT",
    "CC_LOG_DIAGNOSTICS",
    "RC_DEBUG_OPTIONS",
    "COLLECT_GCC_OPTIONS",
    "AS_SECURE_LOG_FILE",
    "GCC_COMPARE_DEBUG",
];

/// Fails when a variable is set that makes a compiler's step indescribable.
pub(crate) fn check_compiler(env: &dyn Fn(&str) -> Option<OsString>) -> Result<(), NotOurs> {
    match INDESCRIBABLE
        .iter()
        .find(|name| env(name).is_some_and(|value| !value.is_empty()))
    {
        Some(variable) => Err(NotOurs::Environment { variable }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_tool_reads_a_variable_that_is_not_among_all() {
        let all: BTreeSet<_> = environment_names().collect();
        for (_, tool, ..) in crate::tool::NAMES {
            for links in [false, true] {
                let read: BTreeSet<_> = names(tool, links).into_iter().collect();
                assert!(read.is_subset(&all), "{tool:?}: {:?}", read.difference(&all));
            }
        }
    }
}
