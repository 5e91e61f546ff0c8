use proptest::prelude::*;

use super::*;

fn resolve(working_directory: &str, text: &str) -> Result<String, InputPathError> {
    let working_directory = InputPath::new(working_directory).unwrap();
    InputPath::resolve(&working_directory, text).map(|path| path.as_str().to_owned())
}

#[test]
fn e20_dots_are_followed_inside_the_root() {
    for (working_directory, text, expected) in [
        ("", "a/b", "a/b"),
        ("", "", ""),
        ("w", "", "w"),
        ("w", "out", "w/out"),
        ("w/x", "../out", "w/out"),
        ("w/x", "../../out/o", "out/o"),
        ("w/x", "../..", ""),
        ("w", "./a/./b", "w/a/b"),
        ("w", ".", "w"),
        ("", "a/../b", "b"),
        ("", "...", "..."),
    ] {
        assert_eq!(
            resolve(working_directory, text).as_deref(),
            Ok(expected),
            "{working_directory:?} {text:?}"
        );
    }
}

#[test]
fn e20_what_leads_out_is_refused() {
    for (working_directory, text) in [
        ("", ".."),
        ("", "a/../.."),
        ("w", "../.."),
        ("w", "../../w"),
        ("w/x", "../../../x"),
    ] {
        let refused = resolve(working_directory, text);
        assert!(
            matches!(refused, Err(InputPathError::Escapes { .. })),
            "{working_directory:?} {text:?}: {refused:?}"
        );
    }
    assert_eq!(
        resolve("w", "../..").unwrap_err().to_string(),
        "path `../..`, seen from `w`, leads out of the input root"
    );
}

#[test]
fn malformed_paths_are_refused() {
    assert!(matches!(resolve("", "/a"), Err(InputPathError::Absolute { .. })));
    assert!(matches!(resolve("", "/"), Err(InputPathError::Absolute { .. })));
    assert!(matches!(
        resolve("", "a/"),
        Err(InputPathError::TrailingSlash { .. })
    ));
    assert!(matches!(
        resolve("w", "../"),
        Err(InputPathError::TrailingSlash { .. })
    ));
    assert!(matches!(
        resolve("", "a//b"),
        Err(InputPathError::Name {
            source: NodeNameError::Empty,
            ..
        })
    ));
    assert!(matches!(resolve("", "a\0"), Err(InputPathError::Name { .. })));
    assert!(matches!(
        resolve("", &"x".repeat(256)),
        Err(InputPathError::Name { .. })
    ));
    assert!(matches!(
        resolve("", &"x/".repeat(3000)),
        Err(InputPathError::TooLong {
            length_bytes: 6000,
            ..
        })
    ));
    let long = ["x".repeat(250).as_str(); 16].join("/");
    assert!(matches!(
        resolve(&long, &long),
        Err(InputPathError::TooLong { .. })
    ));
}

#[test]
fn parents_and_names() {
    let path = InputPath::new("a/b/c").unwrap();
    assert_eq!(path.components().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(path.file_name(), Some("c"));
    let parents: Vec<InputPath> = std::iter::successors(path.parent(), InputPath::parent).collect();
    assert_eq!(
        parents.iter().map(InputPath::as_str).collect::<Vec<_>>(),
        ["a/b", "a", ""]
    );
    let root = InputPath::root();
    assert_eq!(
        (root.parent(), root.file_name(), root.components().count()),
        (None, None, 0)
    );
    let within = |path: &str, other: &str| {
        InputPath::new(path)
            .unwrap()
            .is_within(&InputPath::new(other).unwrap())
    };
    assert!(within("a/b", "a") && within("a", "a") && within("a", "") && within("", ""));
    assert!(!within("ab", "a") && !within("a", "a/b") && !within("", "a"));
}

proptest! {
    #[test]
    fn what_resolves_is_a_path_of_names(working_directory in "(a(/b){0,2})?", text in "[ab./\0]{0,12}") {
        if let Ok(path) = resolve(&working_directory, &text) {
            let path = InputPath::new(&path).unwrap();
            prop_assert!(path.components().all(|name| NodeName::check(name).is_ok()));
            prop_assert!(check_text(&text).is_ok());
        }
    }
}
