//! The compilers of this machine: GCC always, Clang where it is installed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use include_scanner::{Answers, Family, Language, Question};
use toolchain::{Facts, FileDigests, Probe, ProbeError, UserDirectory, ask, fingerprint, probe, search_path};

fn drivers() -> Vec<(&'static str, Family)> {
    [("/usr/bin/gcc", Family::Gcc), ("/usr/bin/clang", Family::Clang)]
        .into_iter()
        .filter(|(driver, _)| Path::new(driver).exists())
        .collect()
}

fn environment() -> Vec<(OsString, OsString)> {
    vec![("PATH".into(), "/usr/bin:/bin".into())]
}

fn facts(driver: &str, arguments: &[&str], cwd: &Path, language: Language) -> Result<Facts, ProbeError> {
    let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
    probe(&Probe {
        driver: Path::new(driver),
        arguments: &arguments,
        cwd,
        environment: &environment(),
        language,
    })
}

#[test]
fn facts_of_the_compilers() {
    for (driver, family) in drivers() {
        let root = Path::new("/");
        let c = facts(driver, &["-O2"], root, Language::C).unwrap();
        assert_eq!(c.dialect.family, family);
        assert!(c.macros.is_defined("__OPTIMIZE__") && !c.macros.is_defined("__cplusplus"));
        assert!(c.macros.len() > 200 && c.angle.contains(&PathBuf::from("/usr/include")));
        assert!(c.dialect.line_comments && c.dialect.digraphs && !c.dialect.trigraphs);
        assert!(
            c.dialect
                .operators
                .iter()
                .any(|operator| **operator == *"__has_include")
        );
        assert_eq!(c.resource_directory.is_some(), family == Family::Clang);
        assert!(c.compiler_proper.is_absolute() && c.quote.is_empty());
        let strict = facts(driver, &["-std=c89"], root, Language::C).unwrap();
        assert!(
            strict.dialect.trigraphs && !strict.dialect.raw_strings && !strict.macros.is_defined("linux")
        );
        let cxx = facts(driver, &["-std=c++17"], root, Language::Cxx).unwrap();
        assert!(cxx.dialect.raw_strings && !cxx.dialect.modules);
        assert_eq!(cxx.macros.value("__cplusplus").map(str::trim), Some("201703L"));
        let assembly = facts(driver, &[], root, Language::AssemblerWithCpp).unwrap();
        assert!(assembly.macros.is_defined("__ASSEMBLER__"));
        assert!(!c.macros.is_defined("__farrier_probe_raw") && !c.macros.is_defined("_STDC_PREDEF_H"));
    }
    let gcc = facts("/usr/bin/gcc", &[], Path::new("/"), Language::C).unwrap();
    assert_eq!(gcc.implicit, [PathBuf::from("stdc-predef.h")]);
    let alone = facts("/usr/bin/gcc", &["-nostdinc"], Path::new("/"), Language::C).unwrap();
    assert!(alone.implicit.is_empty() && alone.angle.is_empty());
}

#[test]
fn refusals_have_a_reason() {
    let refused = facts("/usr/bin/gcc", &["-no-such-option"], Path::new("/"), Language::C).unwrap_err();
    assert!(matches!(&refused, ProbeError::Refused { message, .. } if message.contains("no-such-option")));
    let absent = facts("/no/such/gcc", &[], Path::new("/"), Language::C).unwrap_err();
    assert!(matches!(absent, ProbeError::Run { .. }));
    let other = facts("/bin/true", &[], Path::new("/"), Language::C).unwrap_err();
    assert!(matches!(other, ProbeError::NotUnderstood { .. }));
}

#[test]
fn questions_are_answered_in_one_run() {
    for (driver, _) in drivers() {
        let question = |operator: &str, argument: &str| Question {
            operator: operator.into(),
            argument: argument.into(),
        };
        let questions = [
            question("__has_attribute", "noreturn"),
            question("__has_attribute", "no_such_attribute"),
            question("__has_builtin", "__builtin_expect"),
            question("__has_cpp_attribute", "nodiscard"),
        ];
        let mut answers = Answers::default();
        let asked = Probe {
            driver: Path::new(driver),
            arguments: &["-std=c++20".into()],
            cwd: Path::new("/"),
            environment: &environment(),
            language: Language::Cxx,
        };
        ask(&asked, &questions, &mut answers).unwrap();
        let values: Vec<_> = questions.iter().map(|question| answers.get(question)).collect();
        assert!(values[0].is_some_and(|value| value >= 1), "{driver}");
        assert_eq!(values[1..3], [Some(0), Some(1)], "{driver}");
        assert!(values[3].is_some_and(|value| value > 201_600), "{driver}");
        let nonsense = [question("__no_such_operator", "x")];
        assert!(ask(&asked, &nonsense, &mut answers).is_err());
    }
}

#[test]
fn merged_search_paths_are_those_that_the_compilers_print() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = fs::canonicalize(temporary.path()).unwrap();
    for name in ["a", "b", "c", "d"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    std::os::unix::fs::symlink("a", folder.join("same")).unwrap();
    fs::write(folder.join("file"), "").unwrap();
    type Make = fn(PathBuf) -> UserDirectory;
    let kinds: [(&str, Make); 4] = [
        ("-iquote", UserDirectory::Quote),
        ("-I", UserDirectory::Angle),
        ("-isystem", UserDirectory::System),
        ("-idirafter", UserDirectory::After),
    ];
    let names = [
        "a",
        "b",
        "c",
        "./d",
        "same",
        "gone",
        "file",
        "/usr/include",
        "a/../b",
        ".",
    ];
    let mut seed = 3u32;
    let mut random = |bound: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) as usize % bound
    };
    for (driver, family) in drivers() {
        let base = facts(driver, &[], &folder, Language::C).unwrap();
        for _ in 0..25 {
            let mut user = Vec::new();
            let mut arguments = Vec::new();
            for _ in 0..random(8) {
                let (option, make) = kinds[random(4)];
                let name = names[random(names.len())];
                user.push(make(PathBuf::from(name)));
                arguments.extend([option, name]);
            }
            let printed = facts(driver, &arguments, &folder, Language::C).unwrap();
            let mut identity = |path: &Path| {
                let metadata = fs::metadata(path).ok()?;
                metadata.is_dir().then(|| (metadata.dev(), metadata.ino()))
            };
            let merged = search_path(&base, &user, &environment(), &folder, &mut identity).unwrap();
            let expected = include_scanner::SearchPath::new(&folder, family, &printed.quote, &printed.angle);
            assert_eq!(
                merged.chain.paths(),
                expected.chain.paths(),
                "{driver} {arguments:?}"
            );
            assert_eq!(merged.quote_only, expected.quote_only, "{driver} {arguments:?}");
        }
    }
}

#[test]
fn a_search_path_that_cannot_be_merged_is_probed() {
    let base = facts("/usr/bin/gcc", &[], Path::new("/"), Language::C).unwrap();
    let mut identity = |_: &Path| Some((1, 1));
    let mut merged = |user: &[UserDirectory], variable: Option<&str>| {
        let environment: Vec<(OsString, OsString)> = variable
            .into_iter()
            .map(|value| ("CPATH".into(), value.into()))
            .collect();
        search_path(&base, user, &environment, Path::new("/"), &mut identity).is_some()
    };
    assert!(merged(&[UserDirectory::Angle("x".into())], None));
    assert!(!merged(&[UserDirectory::Angle("=x".into())], None));
    assert!(!merged(&[], Some("/x")));
}

#[test]
fn fingerprints_name_every_part_and_hash_it_once() {
    for (driver, _) in drivers() {
        let mut digests = FileDigests::default();
        let first = fingerprint(Path::new(driver), &[], &environment(), "v", &mut digests).unwrap();
        let hashed = digests.hashed();
        assert!(hashed > 5, "{:?}", first.parts);
        assert!(
            first.parts.keys().any(|name| name.starts_with("libc.so")),
            "{:?}",
            first.parts
        );
        assert!(first.parts.contains_key("as") && first.parts.contains_key("ld"));
        let second = fingerprint(Path::new(driver), &[], &environment(), "v", &mut digests).unwrap();
        assert_eq!(first, second);
        assert_eq!(digests.hashed(), hashed);
        let other = fingerprint(Path::new(driver), &[], &environment(), "w", &mut digests).unwrap();
        assert_ne!(first.digest, other.digest);
    }
}
