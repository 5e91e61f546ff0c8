#![allow(deprecated, reason = "results for clients of API 2.0 fill these fields")]

use proptest::prelude::*;
use prost::Message;
use reapi::execution::{OutputDirectory, OutputFile};

use super::*;

const F: DigestFunction = DigestFunction::Sha256;

fn digest_of(content: &str) -> Digest {
    Digest::of(F, content.as_bytes())
}

fn file(path: &str) -> OutputFile {
    OutputFile {
        path: path.to_owned(),
        digest: Some(digest_of(path).to_proto()),
        ..Default::default()
    }
}

fn directory(path: &str, tree: Option<&str>, root: Option<&str>) -> OutputDirectory {
    OutputDirectory {
        path: path.to_owned(),
        tree_digest: tree.map(|tree| digest_of(tree).to_proto()),
        root_directory_digest: root.map(|root| digest_of(root).to_proto()),
        ..Default::default()
    }
}

fn symlink(path: &str, target: &str) -> OutputSymlink {
    OutputSymlink {
        path: path.to_owned(),
        target: target.to_owned(),
        node_properties: None,
    }
}

fn check(result: &ActionResult) -> Result<ResultReferences, ActionResultError> {
    check_action_result(F, result)
}

fn refused(result: &ActionResult) -> ActionResultError {
    check(result).unwrap_err()
}

#[test]
fn everything_referred_to_is_listed_once() {
    let result = ActionResult {
        output_files: vec![
            file("b"),
            file("a"),
            OutputFile {
                path: "copy".to_owned(),
                ..file("a")
            },
        ],
        output_directories: vec![
            directory("d", Some("tree"), Some("root")),
            directory("e", Some("tree"), None),
            directory("", None, Some("other root")),
        ],
        output_symlinks: vec![symlink("l", "/anywhere"), symlink("m", "../b")],
        output_file_symlinks: vec![symlink("l", "/anywhere")],
        output_directory_symlinks: vec![symlink("m", "../b")],
        stdout_digest: Some(digest_of("out").to_proto()),
        stderr_digest: Some(Digest::empty(F).to_proto()),
        ..Default::default()
    };
    let references = check(&result).unwrap();
    let blobs = [digest_of("a"), digest_of("b"), digest_of("out"), Digest::empty(F)];
    assert_eq!(references.blobs, blobs.into_iter().collect());
    assert_eq!(references.trees, [digest_of("tree")]);
    assert_eq!(
        references.root_directories,
        [digest_of("root"), digest_of("other root")]
    );
    assert_eq!(references.direct().len(), 7);
    assert_eq!(check(&ActionResult::default()), Ok(ResultReferences::default()));
}

#[test]
fn bad_digests_are_refused_with_their_place() {
    let bad = Some(reapi::execution::Digest {
        hash: "xyz".to_owned(),
        size_bytes: 1,
    });
    let named = |error: ActionResultError| match error {
        ActionResultError::Digest { field, path, .. } => format!("{field} of {path}"),
        other => panic!("{other}"),
    };
    let result = |file: OutputFile| ActionResult {
        output_files: vec![file],
        ..Default::default()
    };
    assert_eq!(
        named(refused(&result(OutputFile {
            digest: bad.clone(),
            ..file("a")
        }))),
        "digest of a"
    );
    assert_eq!(
        named(refused(&result(OutputFile {
            digest: None,
            ..file("a")
        }))),
        "digest of a"
    );
    let result = |directory| ActionResult {
        output_directories: vec![directory],
        ..Default::default()
    };
    let tree = OutputDirectory {
        tree_digest: bad.clone(),
        ..directory("d", None, None)
    };
    assert_eq!(named(refused(&result(tree))), "tree_digest of d");
    let root = OutputDirectory {
        root_directory_digest: bad.clone(),
        ..directory("d", None, None)
    };
    assert_eq!(named(refused(&result(root))), "root_directory_digest of d");
    let result = ActionResult {
        stderr_digest: bad,
        ..Default::default()
    };
    assert_eq!(named(refused(&result)), "digest of stderr");
}

#[test]
fn paths_must_be_relative_and_clean() {
    let result = |path: &str| ActionResult {
        output_files: vec![file(path)],
        ..Default::default()
    };
    for path in ["/abs", "a/", "a//b", "a\0", &"x/".repeat(4000)] {
        assert!(
            matches!(refused(&result(path)), ActionResultError::Path(_)),
            "{path:?}"
        );
    }
    assert_eq!(
        refused(&result("")),
        ActionResultError::EmptyPath { kind: "file" }
    );
    let links = ActionResult {
        output_symlinks: vec![symlink("", "x")],
        ..Default::default()
    };
    assert_eq!(refused(&links), ActionResultError::EmptyPath { kind: "symlink" });
    // Outputs above the working directory are legal.
    assert!(check(&result("../../out/a")).is_ok());
}

#[test]
fn a_path_twice_is_refused_except_for_a_symlink_in_both_generations() {
    let duplicate = |path: &str| ActionResultError::Duplicate {
        path: path.to_owned(),
    };
    let result = ActionResult {
        output_files: vec![file("a"), file("a")],
        ..Default::default()
    };
    assert_eq!(refused(&result), duplicate("a"));
    let result = ActionResult {
        output_files: vec![file("a")],
        output_directories: vec![directory("a", Some("t"), None)],
        ..Default::default()
    };
    assert_eq!(refused(&result), duplicate("a"));
    let result = ActionResult {
        output_symlinks: vec![symlink("l", "x"), symlink("l", "x")],
        ..Default::default()
    };
    assert_eq!(refused(&result), duplicate("l"));
    let result = ActionResult {
        output_file_symlinks: vec![symlink("l", "x")],
        output_directory_symlinks: vec![symlink("l", "x")],
        ..Default::default()
    };
    assert_eq!(refused(&result), duplicate("l"));
    let result = ActionResult {
        output_files: vec![file("l")],
        output_file_symlinks: vec![symlink("l", "x")],
        ..Default::default()
    };
    assert_eq!(refused(&result), duplicate("l"));
}

#[test]
fn symlinks_need_a_possible_target() {
    for target in ["", "a\0", &"x".repeat(5000)] {
        let new = ActionResult {
            output_symlinks: vec![symlink("l", target)],
            ..Default::default()
        };
        let old = ActionResult {
            output_file_symlinks: vec![symlink("l", target)],
            ..Default::default()
        };
        for result in [new, old] {
            assert!(matches!(
                refused(&result),
                ActionResultError::SymlinkTarget { .. }
            ));
        }
    }
}

#[test]
fn a_directory_needs_content() {
    let result = ActionResult {
        output_directories: vec![directory("d", None, None)],
        ..Default::default()
    };
    assert_eq!(
        refused(&result),
        ActionResultError::NoContent { path: "d".to_owned() }
    );
}

#[test]
fn inlined_contents_must_be_what_the_digest_says() {
    let inlined = |contents: &'static str| ActionResult {
        output_files: vec![OutputFile {
            contents: contents.into(),
            ..file("a")
        }],
        ..Default::default()
    };
    assert!(check(&inlined("a")).is_ok());
    assert!(check(&inlined("")).is_ok());
    assert!(matches!(
        refused(&inlined("b")),
        ActionResultError::WrongContents { .. }
    ));
}

#[test]
fn the_number_of_outputs_is_bounded() {
    let result = ActionResult {
        output_symlinks: vec![symlink("l", "x"); OUTPUTS_MAX + 1],
        ..Default::default()
    };
    assert_eq!(
        refused(&result),
        ActionResultError::TooMany {
            count: OUTPUTS_MAX + 1
        }
    );
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(result) = ActionResult::decode(&bytes[..]) {
            let _ = check(&result);
        }
    }
}
