//! One run of the driver that tells everything at once: `-E -dM -v` on a small source made for it.

use std::ffi::OsString;
use std::path::Path;

use include_scanner::Language;

use crate::facts::{Facts, parse_answer};
use crate::run::{ProbeError, Run, run_well, words};

/// Which compiler is asked, and how.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'a> {
    /// The driver: `/usr/bin/gcc`.
    pub driver: &'a Path,
    /// Options for which [`crate::matters_for_facts`] holds, in the order of the command, and directories of the
    /// command's own where [`crate::search_path()`] cannot merge them.
    pub arguments: &'a [OsString],
    /// The command's working directory.
    pub cwd: &'a Path,
    /// The command's environment, all of it.
    pub environment: &'a [(OsString, OsString)],
    /// What its sources are taken for.
    pub language: Language,
}

/// What the operators of conditions are called in any compiler known.
pub(crate) const OPERATORS: [&str; 22] = [
    "__has_include",
    "__has_include_next",
    "__has_embed",
    "__has_attribute",
    "__has_cpp_attribute",
    "__has_c_attribute",
    "__has_declspec_attribute",
    "__has_builtin",
    "__has_constexpr_builtin",
    "__has_feature",
    "__has_extension",
    "__has_warning",
    "__is_identifier",
    "__building_module",
    "__is_target_arch",
    "__is_target_vendor",
    "__is_target_os",
    "__is_target_environment",
    "__is_target_variant_os",
    "__is_target_variant_environment",
    "__is_deprecated",
    "__has_objc_feature",
];

/// Begins the names of the macros that the probe's own source defines.
pub(crate) const MARK: &str = "__farrier_probe_";

/// The source whose macros tell what the compiler takes for what.
pub(crate) fn source() -> String {
    let mut text = String::new();
    for operator in OPERATORS {
        text.push_str(&format!("#ifdef {operator}\n#define {MARK}{operator}\n#endif\n"));
    }
    // Each of these leaves another trace if the feature is on. The raw string comes last, as it swallows what follows.
    text.push_str(&format!("#define {MARK}comments 1//\n"));
    text.push_str(&format!("#define {MARK}trigraphs \"??=\"\n"));
    text.push_str(&format!("%:define {MARK}digraphs\n"));
    text.push_str(&format!("#define {MARK}raw\nR\"x(\n#undef {MARK}raw\n)x\"\n"));
    text
}

/// The value of `-x` for a language.
pub(crate) fn language_name(language: Language) -> &'static str {
    match language {
        Language::C => "c",
        Language::Cxx => "c++",
        Language::ObjC => "objective-c",
        Language::ObjCxx => "objective-c++",
        Language::AssemblerWithCpp => "assembler-with-cpp",
    }
}

/// Asks the compiler.
pub fn probe(probe: &Probe<'_>) -> Result<Facts, ProbeError> {
    let mut arguments = probe.arguments.to_vec();
    arguments.extend(words(&[
        "-E",
        "-dM",
        "-v",
        "-H",
        "-w",
        "-x",
        language_name(probe.language),
        "-",
    ]));
    let answer = run_well(&Run {
        driver: probe.driver,
        arguments: &arguments,
        cwd: probe.cwd,
        environment: probe.environment,
        stdin: source().as_bytes(),
    })?;
    parse_answer(&answer.stdout, &answer.stderr).map_err(|missing| ProbeError::NotUnderstood {
        driver: probe.driver.to_owned(),
        missing,
    })
}
