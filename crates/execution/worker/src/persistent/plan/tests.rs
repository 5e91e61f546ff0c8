use super::*;

#[test]
fn paths_are_told_from_where_the_process_stands() {
    for (path, working_directory, expected) in [
        ("a/b", "", "a/b"),
        ("a/b", "a", "b"),
        ("a/b/c", "a/b", "c"),
        ("a/b", "a/b", "../b"),
        ("x/y", "a/b", "../../x/y"),
        ("a/x", "a/b", "../x"),
        ("ab/x", "a", "../ab/x"),
    ] {
        assert_eq!(
            relative(path, working_directory),
            expected,
            "{path} from {working_directory}"
        );
    }
}

#[test]
fn whether_an_output_holds_a_tool() {
    let tools: BTreeSet<String> = ["tools/cc", "tools-more/x"].map(str::to_owned).into();
    for (output, expected) in [
        ("", true),
        ("tools", true),
        ("tools/cc", true),
        ("tools/cc/x", false),
        ("tools/c", false),
        ("tool", false),
        ("out", false),
        ("zzz", false),
    ] {
        assert_eq!(is_or_is_above(output, &tools), expected, "{output}");
    }
    assert!(!is_or_is_above("", &BTreeSet::new()));
}
