//! Which options of a command change a compiler's macros, its search path, or what it takes for what.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Options without effect on facts, as whole words.
const WITHOUT_EFFECT: [&str; 30] = [
    "-c",
    "-S",
    "-E",
    "-v",
    "-w",
    "-P",
    "-C",
    "-CC",
    "-H",
    "-s",
    "-g",
    "-pipe",
    "-M",
    "-MM",
    "-MD",
    "-MMD",
    "-MP",
    "-MG",
    "-MV",
    "-static-libgcc",
    "-static-libstdc++",
    "-shared-libgcc",
    "-rdynamic",
    "-pass-exit-codes",
    "-pedantic",
    "-pedantic-errors",
    "-save-temps",
    "-time",
    "-Q",
    "-ggdb",
];

/// Options without effect, by how they begin. What they take is within the same word.
const WITHOUT_EFFECT_PREFIXES: [&str; 18] = [
    "-W",
    "-D",
    "-U",
    "-g",
    "-l",
    "-L",
    "-MF",
    "-MT",
    "-MQ",
    "-fdiagnostics-",
    "-fdebug-prefix-map=",
    "-fmacro-prefix-map=",
    "-ffile-prefix-map=",
    "-fdump-",
    "-save-temps=",
    "-fmessage-length=",
    "-frandom-seed=",
    "-fno-diagnostics-",
];

/// Of those above, words that have an effect all the same: they pass options on.
const WITH_EFFECT_PREFIXES: [&str; 3] = ["-Wp,", "-Wa,", "-g++"];

/// Whether a whole option, its value included if that is in the same word, may change facts. Unknown options may.
///
/// Options whose value is the next word (`-o x`, `-MF x`, `-D x`, `-I x`) are for the caller to take together; their
/// first word decides. Sources and objects are no options: never pass them on.
pub fn matters_for_facts(option: &OsStr) -> bool {
    let Some(text) = option.to_str() else {
        return true;
    };
    if WITH_EFFECT_PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
        return true;
    }
    if directory_argument(option, None).is_some() {
        return false;
    }
    let is_output = text.starts_with("-o") && !text.starts_with("-objc");
    !(is_output
        || matches!(text, "-include" | "-imacros")
        || WITHOUT_EFFECT.contains(&text)
        || WITHOUT_EFFECT_PREFIXES
            .iter()
            .any(|prefix| text.starts_with(prefix)))
}

/// A directory of the command's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserDirectory {
    /// `-iquote`
    Quote(PathBuf),
    /// `-I`
    Angle(PathBuf),
    /// `-isystem`
    System(PathBuf),
    /// `-idirafter`
    After(PathBuf),
}

impl UserDirectory {
    /// Its path as written.
    pub fn path(&self) -> &PathBuf {
        match self {
            UserDirectory::Quote(path)
            | UserDirectory::Angle(path)
            | UserDirectory::System(path)
            | UserDirectory::After(path) => path,
        }
    }
}

/// The directory that an option names, in its own word or as `next`; the second value says that it took `next`.
/// With `next` absent an option that needs it still counts, with an empty path.
pub fn directory_argument(option: &OsStr, next: Option<&OsString>) -> Option<(UserDirectory, bool)> {
    type Make = fn(PathBuf) -> UserDirectory;
    let kinds: [(&[u8], Make); 4] = [
        (b"-iquote", UserDirectory::Quote),
        (b"-isystem", UserDirectory::System),
        (b"-idirafter", UserDirectory::After),
        (b"-I", UserDirectory::Angle),
    ];
    let bytes = option.as_bytes();
    for (prefix, make) in kinds {
        let Some(rest) = bytes.strip_prefix(prefix) else {
            continue;
        };
        if rest == b"-" && prefix == b"-I" {
            return None;
        }
        if rest.is_empty() {
            let path = next.map(PathBuf::from).unwrap_or_default();
            return Some((make(path), true));
        }
        return Some((make(PathBuf::from(OsStr::from_bytes(rest))), false));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_matter() {
        for option in [
            "-m32",
            "-march=native",
            "-O2",
            "-std=gnu11",
            "-fopenmp",
            "-pthread",
            "--sysroot=/x",
            "-isysroot",
            "-nostdinc",
            "-B/x",
            "-specs=x",
            "-ansi",
            "-undef",
            "-x",
            "-Wp,-DX",
            "-new-option",
            "-I-",
            "-fno-exceptions",
            "-trigraphs",
            "-iprefix",
            "-objc",
        ] {
            assert!(matters_for_facts(OsStr::new(option)), "{option}");
        }
        for option in [
            "-Wall",
            "-c",
            "-o",
            "-ofile",
            "-DX",
            "-UX",
            "-g3",
            "-MD",
            "-MFx.d",
            "-Ifoo",
            "-iquote",
            "-isystem/x",
            "-include",
        ] {
            assert!(!matters_for_facts(OsStr::new(option)), "{option}");
        }
    }

    #[test]
    fn directories_of_the_command() {
        let next = OsString::from("next");
        let cases = [
            ("-Ia", Some((UserDirectory::Angle("a".into()), false))),
            ("-I", Some((UserDirectory::Angle("next".into()), true))),
            ("-isystem", Some((UserDirectory::System("next".into()), true))),
            ("-iquote.", Some((UserDirectory::Quote(".".into()), false))),
            ("-idirafterx", Some((UserDirectory::After("x".into()), false))),
            ("-I-", None),
            ("-include", None),
        ];
        for (option, expected) in cases {
            assert_eq!(
                directory_argument(OsStr::new(option), Some(&next)),
                expected,
                "{option}"
            );
        }
    }
}
