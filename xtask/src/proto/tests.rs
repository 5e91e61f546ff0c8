use super::*;

fn name(file: &str) -> PathBuf {
    Path::new("crates/words/src/generated").join(file)
}

fn wanted() -> Files {
    Files::from([(name("a.rs"), b"a".to_vec()), (name("b.rs"), b"b".to_vec())])
}

/// A workspace whose generated folder holds these files.
fn workspace(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join(name(""))).unwrap();
    for (file, content) in files {
        std::fs::write(root.path().join(name(file)), content).unwrap();
    }
    root
}

#[test]
fn nothing_differs() {
    let root = workspace(&[("a.rs", "a"), ("b.rs", "b")]);
    assert_eq!(differences(root.path(), &wanted()).unwrap(), []);
}

#[test]
fn edited_missing_and_left_over_files_are_named() {
    let root = workspace(&[("a.rs", "edited by hand"), ("old.rs", "")]);
    let found = differences(root.path(), &wanted()).unwrap();
    assert_eq!(
        found,
        [
            Difference::Changed(name("a.rs")),
            Difference::Missing(name("b.rs")),
            Difference::Superfluous(name("old.rs"))
        ]
    );
    assert_eq!(found[0].to_string(), "crates/words/src/generated/a.rs: changed");
}

#[test]
fn a_folder_that_does_not_exist_yet() {
    let root = tempfile::tempdir().unwrap();
    let found = differences(root.path(), &wanted()).unwrap();
    assert_eq!(
        found,
        [
            Difference::Missing(name("a.rs")),
            Difference::Missing(name("b.rs"))
        ]
    );
}

#[test]
fn generating_twice_gives_the_same_bytes() {
    let root = workspace_root().unwrap();
    assert!(generate(&root).unwrap() == generate(&root).unwrap());
}

#[test]
fn a_wrong_source_is_named_with_its_place() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(
        root.path().join("wrong.proto"),
        "syntax = \"proto3\";\nmessage A { Missing b = 1; }\n",
    )
    .unwrap();
    let error = format!("{:#}", compile(root.path(), &["wrong.proto"]).unwrap_err());
    assert!(
        error.contains("compiling wrong.proto") && error.contains("Missing"),
        "{error}"
    );
}
