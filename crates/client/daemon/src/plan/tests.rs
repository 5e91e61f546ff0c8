//! Commands of a real gcc, as actions.

use std::fs;

use settings::Strategy;
use tempfile::TempDir;

use super::*;
use crate::service::FUNCTION;
use crate::volume::Inputs;

/// Plans commands in a directory of its own.
pub(crate) struct Place {
    directory: TempDir,
    knowledge: Knowledge,
}

impl Place {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        let digests = Arc::new(FileDigests::new(FUNCTION));
        let memory = Memory::new(digests.clone());
        Place {
            directory,
            knowledge: Knowledge::new(digests, memory, Vec::new()),
        }
    }

    pub(crate) fn plan(&self, words: &str) -> Result<Plan, Why> {
        let request = Request {
            arguments: words.split(' ').map(OsString::from).collect(),
            directory: self.directory.path().canonicalize().unwrap(),
            environment: vec![("PATH".into(), std::env::var_os("PATH").unwrap())],
            settings: Vec::new(),
            is_terminal: false,
        };
        let wanted = Wanted::of(&request, Strategy::Local).unwrap();
        let program = crate::tool::find(&request).unwrap();
        plan(&self.knowledge, &request, &program, &wanted)
    }
}

#[test]
fn what_the_time_is_compiled_into_is_no_action() {
    let expands = [
        ("a.c", "const char *when = __DATE__;\n"),
        ("a.c", "const char *when = __TIME__;\n"),
        ("a.c", "const char *when = __TIMESTAMP__;\n"),
        ("a.h", "#define WHEN __DATE__ \" \" __TIME__\n"),
    ];
    for (name, text) in expands {
        let place = Place::new(&[("a.h", ""), ("a.c", "#include \"a.h\"\n"), (name, text)]);
        for words in [
            "gcc -c a.c -o a.o",
            // Of preprocessed text it is there to be seen, and of questions as well.
            "gcc -E a.c -o a.i",
            // The scanner does not know of assertions, so the compiler is asked for the headers and their text looked through.
            "gcc -Aone(two) -c a.c -o a.o",
        ] {
            let planned = place.plan(words);
            let why = planned.err();
            assert!(matches!(why, Some(Why::Time)), "{words} {text}: {why:?}");
        }
    }
    let place = Place::new(&[("a.c", "/* not of __DATE__ or __TIME__ */ int a;\n")]);
    assert!(place.plan("gcc -c a.c -o a.o").is_ok());
}

#[test]
fn whether_a_directory_of_headers_is_there_counts_where_its_absence_is_told() {
    let place = Place::new(&[("a.c", "int a;\n")]);
    let action = |words| place.plan(words).unwrap().subject.action_digest;
    let words = "gcc -Wmissing-include-dirs -Inone -c a.c -o a.o";
    let without = action(words);
    assert_eq!(action(words), without);
    fs::create_dir(place.directory.path().join("none")).unwrap();
    let with = action(words);
    assert_ne!(with, without);
    fs::remove_dir(place.directory.path().join("none")).unwrap();
    assert_eq!(action(words), without);
}

#[test]
fn what_a_command_reads_is_counted() {
    let place = Place::new(&[("a.h", "int a;\n"), ("a.c", "#include \"a.h\"\n")]);
    let volume = place.plan("gcc -c a.c -o a.o").unwrap().volume;
    let expected = Inputs {
        files: 2,
        directories: 1,
        bytes: 22,
    };
    assert_eq!(volume.inputs, expected);
    assert!(volume.command.is_some());
}
