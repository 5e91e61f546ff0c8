//! What a command has read of its inputs, for people.

use worker_api::v1::ObservedInputs;

/// What a platform says to have it told.
pub(super) const OBSERVE: &str = "observe-inputs";

/// Line by line. Lists that are empty are left out.
pub(super) fn lines(observed: Option<&ObservedInputs>) -> Vec<String> {
    let Some(observed) = observed else {
        return vec!["inputs were not observed: the worker does not say why".to_owned()];
    };
    let ObservedInputs {
        files_read,
        symlinks_read,
        directories_listed,
        lookups_failed,
        undeclared_writes,
        undeclared_removals,
        truncated,
        unobserved_reason,
    } = observed;
    if !unobserved_reason.is_empty() {
        return vec![format!("inputs were not observed: {unobserved_reason}")];
    }
    let lists = [
        ("files read", files_read),
        ("symlinks followed", symlinks_read),
        ("directories listed", directories_listed),
        ("looked for and not there", lookups_failed),
        ("written beside the outputs", undeclared_writes),
        ("removed", undeclared_removals),
    ];
    let mut lines = vec![format!("{} input files were read", files_read.len())];
    for (what, paths) in lists.into_iter().filter(|(_, paths)| !paths.is_empty()) {
        lines.push(format!("{what}:"));
        let shown = |path: &String| match path.as_str() {
            "" => "  .".to_owned(),
            path => format!("  {path}"),
        };
        lines.extend(paths.iter().map(shown));
    }
    if *truncated {
        lines.push("and more, which is not named".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(observed: Option<ObservedInputs>, expected: &[&str]) {
        assert_eq!(lines(observed.as_ref()), expected);
    }

    #[test]
    fn a_list_for_everything_that_happened() {
        let some = ObservedInputs {
            files_read: vec!["a.h".into(), "main.c".into()],
            directories_listed: vec![String::new()],
            lookups_failed: vec!["b.h".into()],
            truncated: true,
            ..Default::default()
        };
        let expected = [
            "2 input files were read",
            "files read:",
            "  a.h",
            "  main.c",
            "directories listed:",
            "  .",
            "looked for and not there:",
            "  b.h",
            "and more, which is not named",
        ];
        check(Some(some), &expected);
        check(Some(ObservedInputs::default()), &["0 input files were read"]);
    }

    #[test]
    fn nothing_observed_is_not_nothing_read() {
        let unobserved = ObservedInputs {
            unobserved_reason: "no FUSE".into(),
            ..Default::default()
        };
        check(Some(unobserved), &["inputs were not observed: no FUSE"]);
        check(None, &["inputs were not observed: the worker does not say why"]);
    }
}
