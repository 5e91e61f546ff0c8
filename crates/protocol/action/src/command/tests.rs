#![allow(deprecated, reason = "clients of API 2.0 and 2.1 still fill these fields")]

use blob::{Digest, DigestFunction};
use proptest::prelude::*;

use super::*;
use crate::limits::OUTPUTS_MAX;

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn proto() -> proto::Command {
    proto::Command {
        arguments: texts(&["cc"]),
        ..Default::default()
    }
}

fn variable(name: &str, value: &str) -> proto::command::EnvironmentVariable {
    proto::command::EnvironmentVariable {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

fn refused(proto: proto::Command) -> CommandError {
    Command::from_proto(&proto).unwrap_err()
}

fn outputs(
    working_directory: &str,
    paths: &[&str],
    files: &[&str],
    directories: &[&str],
) -> Result<Command, CommandError> {
    Command::from_proto(&proto::Command {
        working_directory: working_directory.to_owned(),
        output_paths: texts(paths),
        output_files: texts(files),
        output_directories: texts(directories),
        ..proto()
    })
}

fn refused_outputs(paths: &[&str], files: &[&str], directories: &[&str]) -> OutputPathsError {
    match outputs("w", paths, files, directories) {
        Err(CommandError::Outputs(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn golden_vector_compile_hello_cpp() {
    let proto = proto::Command {
        arguments: texts(&["g++", "-c", "hello.cpp", "-o", "hello.o"]),
        output_files: texts(&["hello.o"]),
        ..Default::default()
    };
    assert_eq!(
        Digest::of(DigestFunction::Sha256, &proto.encode_to_vec()).to_string(),
        "22c2f5014459c3f9c262b5ddc5f7acac40929eca4f9438d6c2f2331c5d8e108b/42"
    );
    let command = Command::decode(&proto.encode_to_vec()).unwrap();
    assert_eq!(command.arguments(), proto.arguments);
    let OutputPaths::FilesAndDirectories { files, directories } = command.outputs() else {
        panic!("old lists")
    };
    assert_eq!((files.len(), directories.len()), (1, 0));
    assert_eq!(
        (files[0].text.as_str(), files[0].path.as_str()),
        ("hello.o", "hello.o")
    );
}

#[test]
fn e17_there_must_be_something_to_run() {
    assert_eq!(refused(proto::Command::default()), CommandError::NoArguments);
    assert_eq!(
        refused(proto::Command {
            arguments: texts(&["", "a"]),
            ..proto()
        }),
        CommandError::EmptyProgram
    );
    assert_eq!(
        refused(proto::Command {
            arguments: texts(&["a", "b\0"]),
            ..proto()
        }),
        CommandError::NulInArgument { position: 1 }
    );
    assert!(
        Command::from_proto(&proto::Command {
            arguments: texts(&["a", "", "-x"]),
            ..proto()
        })
        .is_ok()
    );
    assert!(matches!(
        Command::decode(b"\x0a\x02\xff\xff"),
        Err(CommandError::Encoding { .. })
    ));
}

#[test]
fn what_no_system_call_takes_is_refused() {
    let long = "x".repeat(ARGUMENT_BYTES_MAX + 1);
    assert!(matches!(
        refused(proto::Command {
            arguments: texts(&["a", &long]),
            ..proto()
        }),
        CommandError::LongArgument { position: 1, .. }
    ));
    let fits = "x".repeat(ARGUMENT_BYTES_MAX);
    assert!(
        Command::from_proto(&proto::Command {
            arguments: texts(&["a", &fits]),
            ..proto()
        })
        .is_ok()
    );
    assert!(matches!(
        refused(proto::Command {
            arguments: texts(&[fits.as_str(); 48]),
            environment_variables: vec![variable("A", "")],
            ..proto()
        }),
        CommandError::TooLong { .. }
    ));
    assert!(matches!(
        refused(proto::Command {
            arguments: vec!["a".to_owned(); ARGUMENTS_MAX + 1],
            ..proto()
        }),
        CommandError::TooManyArguments { .. }
    ));
    assert!(matches!(
        refused(proto::Command {
            environment_variables: vec![variable("A", &fits)],
            ..proto()
        }),
        CommandError::LongVariable { .. }
    ));
    let many = (0..=ENVIRONMENT_VARIABLES_MAX)
        .map(|at| variable(&at.to_string(), ""))
        .collect();
    assert!(matches!(
        refused(proto::Command {
            environment_variables: many,
            ..proto()
        }),
        CommandError::TooManyVariables { .. }
    ));
}

#[test]
fn e18_environment_names_are_unique_and_possible() {
    let with = |variables: Vec<proto::command::EnvironmentVariable>| {
        Command::from_proto(&proto::Command {
            environment_variables: variables,
            ..proto()
        })
    };
    let command = with(vec![
        variable("Z", "1"),
        variable("A", "=b=\n"),
        variable("EMPTY", ""),
    ])
    .unwrap();
    let expected =
        [("Z", "1"), ("A", "=b=\n"), ("EMPTY", "")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(command.environment(), expected);
    let duplicate = with(vec![variable("A", "1"), variable("B", ""), variable("A", "1")]);
    assert_eq!(
        duplicate,
        Err(CommandError::DuplicateVariable { name: "A".to_owned() })
    );
    for name in ["", "A=B", "A\0"] {
        assert!(
            matches!(
                with(vec![variable(name, "x")]),
                Err(CommandError::VariableName { .. })
            ),
            "{name:?}"
        );
    }
    assert!(matches!(
        with(vec![variable("A", "a\0")]),
        Err(CommandError::NulInVariable { .. })
    ));
}

#[test]
fn e19_the_working_directory_lies_inside_the_root() {
    for (text, expected) in [("", ""), ("a/b", "a/b"), (".", ""), ("a/../b", "b")] {
        let command = Command::from_proto(&proto::Command {
            working_directory: text.to_owned(),
            ..proto()
        })
        .unwrap();
        assert_eq!(command.working_directory().as_str(), expected);
    }
    for text in ["/a", "..", "a/../..", "a/", "a//b", "a\0"] {
        let error = refused(proto::Command {
            working_directory: text.to_owned(),
            ..proto()
        });
        assert!(
            matches!(error, CommandError::WorkingDirectory(_)),
            "{text:?}: {error}"
        );
    }
}

#[test]
fn e20_output_paths_win_over_the_old_lists() {
    // The old lists are not even looked at.
    let command = outputs("w", &["z", "a", "../up", ""], &["/absolute"], &["../../.."]).unwrap();
    let OutputPaths::Paths(paths) = command.outputs() else {
        panic!("new list")
    };
    let found: Vec<(&str, &str)> = paths
        .iter()
        .map(|output| (output.text.as_str(), output.path.as_str()))
        .collect();
    assert_eq!(found, [("z", "w/z"), ("a", "w/a"), ("../up", "up"), ("", "w")]);
    assert!(outputs("", &[], &[], &[]).unwrap().outputs().is_empty());
}

#[test]
fn e20_impossible_outputs_are_refused() {
    for path in ["/abs", "a/", "a//b", "../..", "a\0"] {
        assert!(
            matches!(refused_outputs(&[path], &[], &[]), OutputPathsError::Path(_)),
            "{path:?}"
        );
        assert!(
            matches!(refused_outputs(&[], &[path], &[]), OutputPathsError::Path(_)),
            "{path:?}"
        );
        assert!(
            matches!(refused_outputs(&[], &[], &[path]), OutputPathsError::Path(_)),
            "{path:?}"
        );
    }
    let duplicate = |text: &str, other: &str| OutputPathsError::Duplicate {
        text: text.to_owned(),
        other: other.to_owned(),
    };
    assert_eq!(refused_outputs(&["a", "b", "a"], &[], &[]), duplicate("a", "a"));
    assert_eq!(
        refused_outputs(&["a", "../w/a"], &[], &[]),
        duplicate("../w/a", "a")
    );
    assert_eq!(refused_outputs(&[], &["a"], &["a"]), duplicate("a", "a"));
    let below = |text: &str| OutputPathsError::BelowFile {
        text: text.to_owned(),
        file: "a".to_owned(),
    };
    assert_eq!(refused_outputs(&[], &["a", "a/b/c"], &[]), below("a/b/c"));
    assert_eq!(refused_outputs(&[], &["a"], &["a/d"]), below("a/d"));
    assert_eq!(
        refused_outputs(&[], &[".."], &[]),
        OutputPathsError::FileAtRoot {
            text: "..".to_owned()
        }
    );
    // A file may lie in an output directory, a directory in another, and anything in an output path.
    assert!(outputs("w", &[], &["d/f", "ab"], &["d", "d/e", ""]).is_ok());
    assert!(outputs("w", &["d", "d/f"], &[], &[]).is_ok());
    let many: Vec<String> = (0..=OUTPUTS_MAX).map(|at| at.to_string()).collect();
    let error = refused(proto::Command {
        output_paths: many,
        ..proto()
    });
    assert!(matches!(
        error,
        CommandError::Outputs(OutputPathsError::TooMany { count: 200_001 })
    ));
}

#[test]
fn e21_parents_of_outputs_but_not_the_outputs() {
    let parents = |command: Command| -> Vec<String> {
        command
            .output_parents()
            .iter()
            .map(|path| path.as_str().to_owned())
            .collect()
    };
    assert_eq!(
        parents(outputs("w", &["x/y/o", "x/p", "q", "../top"], &[], &[]).unwrap()),
        ["w", "w/x", "w/x/y"]
    );
    assert_eq!(
        parents(outputs("", &[], &["o", "b/o"], &["c/d", "e"]).unwrap()),
        ["b", "c"]
    );
    assert_eq!(parents(outputs("", &[""], &[], &[]).unwrap()), [""; 0]);
}

#[test]
fn e23_an_unknown_directory_format_is_tree_only() {
    let format = |number| {
        let proto = proto::Command {
            output_directory_format: number,
            ..proto()
        };
        Command::from_proto(&proto).unwrap().output_directory_format()
    };
    assert_eq!(format(0), OutputDirectoryFormat::TreeOnly);
    assert_eq!(format(1), OutputDirectoryFormat::DirectoryOnly);
    assert_eq!(format(2), OutputDirectoryFormat::TreeAndDirectory);
    for unknown in [3, -1, i32::MAX] {
        assert_eq!(format(unknown), OutputDirectoryFormat::TreeOnly);
    }
}

#[test]
fn e25_unknown_node_properties_are_refused() {
    let with = |names: &[&str]| {
        Command::from_proto(&proto::Command {
            output_node_properties: texts(names),
            ..proto()
        })
        .map(|command| command.output_node_properties())
    };
    assert_eq!(with(&[]), Ok(OutputNodeProperties::default()));
    assert_eq!(
        with(&["unix_mode"]),
        Ok(OutputNodeProperties {
            mtime: false,
            unix_mode: true
        })
    );
    assert!(with(&["mtime", "unix_mode"]).is_ok_and(|properties| properties.any() && properties.mtime));
    assert_eq!(
        with(&["mtime", "acl"]),
        Err(CommandError::OutputNodeProperty {
            name: "acl".to_owned()
        })
    );
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Command::decode(&bytes);
    }

    #[test]
    fn outputs_never_leave_the_root_nor_collide(
        working_directory in "(a(/b)?)?",
        paths in prop::collection::vec("(\\.\\./){0,2}[ab]?(/[ab]){0,2}", 0..6),
    ) {
        let proto = proto::Command { working_directory, output_paths: paths, ..proto() };
        if let Ok(command) = Command::from_proto(&proto) {
            let mut resolved: Vec<&str> = command.outputs().iter().map(|output| output.path.as_str()).collect();
            prop_assert!(resolved.iter().all(|path| !path.starts_with('/') && !path.contains("..")));
            let texts: Vec<&String> = command.outputs().iter().map(|output| &output.text).collect();
            prop_assert_eq!(texts, proto.output_paths.iter().collect::<Vec<_>>());
            resolved.sort();
            let count = resolved.len();
            resolved.dedup();
            prop_assert_eq!(resolved.len(), count);
        }
    }
}
