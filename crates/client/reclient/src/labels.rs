//! Labels: how a reclient user says what kind of command it is.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

/// Labels of a command.
pub type Labels = BTreeMap<String, String>;

/// What a command does, as its labels say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionKind {
    /// Anything: its inputs and outputs are those that are declared.
    Tool,
    /// C or C++ by clang.
    CppClang,
    /// C or C++ by clang as cl.exe.
    CppClangCl,
    /// C or C++ for Native Client.
    CppNacl,
    /// clang-tidy.
    Lint,
    /// header-abi-dumper.
    AbiDump,
    /// A link by clang.
    Link,
    /// A link for Native Client.
    LinkNacl,
    /// llvm-ar.
    Archive,
    /// javac.
    Javac,
    /// r8.
    R8,
    /// d8.
    D8,
    /// metalava.
    Metalava,
    /// tsc.
    TypeScript,
}

/// The labels that tell kinds apart.
const TELLING: [&str; 4] = ["type", "compiler", "lang", "tool"];

/// What each kind has in [`TELLING`]; empty is "not there".
const KINDS: &[([&str; 4], ActionKind)] = &[
    (["tool", "", "", ""], ActionKind::Tool),
    (["apksigning", "signapkjar", "", ""], ActionKind::Tool),
    (["compile", "clang", "cpp", ""], ActionKind::CppClang),
    (["compile", "clang-cl", "cpp", ""], ActionKind::CppClangCl),
    (["compile", "nacl", "cpp", ""], ActionKind::CppNacl),
    (["lint", "", "cpp", "clang-tidy"], ActionKind::Lint),
    (["abi-dump", "", "", "header-abi-dumper"], ActionKind::AbiDump),
    (["link", "", "", "clang"], ActionKind::Link),
    (["link", "", "", "nacl"], ActionKind::LinkNacl),
    (["archive", "", "", "llvm"], ActionKind::Archive),
    (["compile", "javac", "java", ""], ActionKind::Javac),
    (["compile", "r8", "", ""], ActionKind::R8),
    (["compile", "d8", "", ""], ActionKind::D8),
    (["compile", "metalava", "java", ""], ActionKind::Metalava),
    (["compile", "tsc", "typescript", ""], ActionKind::TypeScript),
];

/// The kind that these labels name, exactly. `None`: no kind of reclient's; what the command is, it says itself.
pub fn action_kind(labels: &Labels) -> Option<ActionKind> {
    let found = TELLING.map(|name| labels.get(name).map_or("", String::as_str));
    KINDS
        .iter()
        .find(|(wanted, _)| *wanted == found)
        .map(|(_, kind)| *kind)
}

/// Whether nothing is to be looked for: the inputs are those that are declared.
pub fn is_shallow(labels: &Labels) -> bool {
    labels.get("shallow").is_some_and(|value| value == "true")
}

/// `[key=value,…]`, sorted: how labels are written in logs.
pub fn label_key(labels: &Labels) -> String {
    let mut pairs: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.sort();
    format!("[{}]", pairs.join(","))
}

/// The short name of labels: the first eight digits of the SHA-256 of [`label_key`].
pub fn label_digest(labels: &Labels) -> String {
    let hash = Sha256::digest(label_key(labels).as_bytes());
    hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Labels {
        text.split(',')
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn digests_are_reclient_s() {
        let cases = [
            ("type=compile,compiler=clang,lang=cpp", "1c2a12e4"),
            ("type=compile,compiler=clang-cl,lang=cpp", "f1d5b747"),
            ("type=link,tool=clang", "c8d5e900"),
            ("type=tool", "8ea55c85"),
            ("type=compile,compiler=javac,lang=java", "2c59b32a"),
            ("type=compile,compiler=r8", "fc0915a4"),
            ("type=compile,compiler=d8", "4be622a4"),
            ("type=compile,compiler=metalava,lang=java", "44779548"),
        ];
        for (text, expected) in cases {
            assert_eq!(label_digest(&labels(text)), expected, "{text}");
        }
    }

    #[test]
    fn kinds_are_exact() {
        let cases = [
            ("type=tool", Some(ActionKind::Tool)),
            ("type=apksigning,compiler=signapkjar", Some(ActionKind::Tool)),
            ("type=compile,compiler=clang,lang=cpp", Some(ActionKind::CppClang)),
            (
                "type=compile,compiler=clang,lang=cpp,shallow=true,name=x",
                Some(ActionKind::CppClang),
            ),
            ("type=compile,compiler=clang", None),
            ("type=compile,compiler=clang,lang=cpp,tool=clang", None),
            ("type=compile,compiler=gcc,lang=cpp", None),
            ("type=lint,lang=cpp,tool=clang-tidy", Some(ActionKind::Lint)),
            ("type=abi-dump,tool=header-abi-dumper", Some(ActionKind::AbiDump)),
            ("type=link,tool=clang", Some(ActionKind::Link)),
            ("type=link,tool=nacl", Some(ActionKind::LinkNacl)),
            ("type=link,tool=ld", None),
            ("type=archive,tool=llvm", Some(ActionKind::Archive)),
            ("type=compile,compiler=nacl,lang=cpp", Some(ActionKind::CppNacl)),
            (
                "type=compile,compiler=clang-cl,lang=cpp",
                Some(ActionKind::CppClangCl),
            ),
            ("type=compile,compiler=javac,lang=java", Some(ActionKind::Javac)),
            ("type=compile,compiler=r8", Some(ActionKind::R8)),
            ("type=compile,compiler=d8", Some(ActionKind::D8)),
            (
                "type=compile,compiler=metalava,lang=java",
                Some(ActionKind::Metalava),
            ),
            (
                "type=compile,compiler=tsc,lang=typescript",
                Some(ActionKind::TypeScript),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(action_kind(&labels(text)), expected, "{text}");
        }
        assert_eq!(action_kind(&Labels::new()), None);
        assert!(is_shallow(&labels("shallow=true")) && !is_shallow(&labels("shallow=1")));
    }
}
