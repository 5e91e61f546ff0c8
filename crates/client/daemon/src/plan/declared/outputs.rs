//! Files and directories that a front end declares as outputs.

use std::fs;
use std::path::{Path, PathBuf};

use settings::Settings;

use crate::plan::PlannedOutput;
use crate::plan::layout::{Layout, Place};
use crate::plan::why::Why;

/// Files that are declared as outputs, absolute: some relative to the root of the tree, some to the working directory.
pub(in crate::plan) fn files_made(asked: &Settings, layout: &Layout) -> Vec<PathBuf> {
    let below_root = asked.output_files.iter().map(|path| layout.root().join(path));
    let others = asked.output_files_override.iter().flatten().cloned();
    below_root
        .chain(others)
        .map(|path| layout.absolute(&path))
        .collect()
}

/// Whether directories are declared as outputs.
pub(in crate::plan) fn makes_directories(asked: &Settings) -> bool {
    !asked.output_directories.is_empty() || asked.output_directories_override.is_some()
}

/// Adds the directories that are declared as outputs of a command with these `inputs`, absolute. What is in one comes from
/// the command alone, and goes when a known result is put there: so nothing else may live in it, and it is where it seems
/// to be.
pub(in crate::plan) fn add_directories(
    asked: &Settings,
    layout: &Layout,
    inputs: &[PathBuf],
    outputs: &mut Vec<PlannedOutput>,
) -> Result<(), Why> {
    let below_root = asked.output_directories.iter();
    let below_root = below_root.map(|path| layout.root().join(path));
    let others = asked.output_directories_override.iter().flatten().cloned();
    for declared in below_root.chain(others) {
        let path = layout.absolute(&declared);
        let refused = |why: &'static str| {
            let path = path.clone();
            Err(Why::OutputDirectory { path, why })
        };
        if !matches!(layout.place(&path), Place::Tree(_)) {
            return refused("it is outside of the tree");
        }
        let working_directory = layout.root().join(layout.working_directory());
        if working_directory.starts_with(&path) {
            return refused("the command runs in it");
        }
        if is_through_a_link(&path) {
            return refused("a link leads there");
        }
        let is_within = |input: &PathBuf| {
            input.starts_with(&path) || input.canonicalize().is_ok_and(|input| input.starts_with(&path))
        };
        if inputs.iter().any(is_within) {
            return refused("an input is in it");
        }
        // It comes with the directory.
        outputs.retain(|output| !output.path.starts_with(&path));
        let is_within = outputs
            .iter()
            .any(|output| output.is_directory && path.starts_with(&output.path));
        if !is_within {
            outputs.push(PlannedOutput::declared(layout, path, true)?);
        }
    }
    Ok(())
}

/// Whether something on the way to `path`, as far as it is there, or what is there itself is a link.
fn is_through_a_link(path: &Path) -> bool {
    let there = path.ancestors().find(|path| fs::symlink_metadata(path).is_ok());
    there.is_some_and(|there| !there.canonicalize().is_ok_and(|real| real == there))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names and kinds of what is made, by a tool in `tools` that runs in `build`.
    fn outputs(files: &[&str], change: impl FnOnce(&mut Settings)) -> Result<Vec<String>, String> {
        let layout = Layout::new(Some(Path::new("/src")), Path::new("/src/build"));
        let mut asked = Settings::default();
        change(&mut asked);
        let file = |path: &&str| PlannedOutput {
            name: (*path).to_owned(),
            path: Path::new("/src").join(path),
            is_required: false,
            is_rule: false,
            is_directory: false,
        };
        let mut outputs = files.iter().map(file).collect();
        let inputs = ["/src/headers/a.h", "/src/tools/tool", "/src/data/in"].map(PathBuf::from);
        add_directories(&asked, &layout, &inputs, &mut outputs).map_err(|why| why.to_string())?;
        let named = outputs.into_iter().map(|output| match output.is_directory {
            true => format!("{}/", output.name),
            false => output.name,
        });
        Ok(named.collect())
    }

    #[test]
    fn directories_are_outputs_as_the_working_directory_sees_them() {
        let check = |files: &[&str], directories: &[&str], expected: &[&str]| {
            let found = outputs(files, |asked| {
                asked.output_directories = directories.iter().map(PathBuf::from).collect();
            });
            assert_eq!(found.unwrap(), expected, "{files:?} {directories:?}");
        };
        check(&["a"], &["build/out"], &["a", "out/"]);
        check(&["a"], &["build/out", "gen"], &["a", "out/", "../gen/"]);
        check(
            &["a"],
            &["build/out", "build/out/sub", "build/out"],
            &["a", "out/"],
        );
        check(&["a", "build/out/b"], &["build/out"], &["a", "out/"]);
        check(&[], &["build/./out/../gen/"], &["gen/"]);
        check(&[], &["/src/build/out"], &["out/"]);
        let overridden = outputs(&[], |asked| {
            asked.output_directories_override = Some(vec!["out".into(), "../gen".into()]);
        });
        assert_eq!(overridden.unwrap(), ["out/", "../gen/"]);
    }

    #[test]
    fn a_directory_in_which_something_else_lives_is_none() {
        let check = |directory: &str, why: &str| {
            let found = outputs(&[], |asked| {
                asked.output_directories = vec![directory.into()];
            });
            let error = found.unwrap_err();
            assert!(error.contains(why), "{directory}: {error}");
        };
        check("", "the command runs in it");
        check("build", "the command runs in it");
        check("build/..", "the command runs in it");
        check("data", "an input is in it");
        check("data/in", "an input is in it");
        check("tools", "an input is in it");
        check("headers", "an input is in it");
        check("../out", "outside of the tree");
        check("/out", "outside of the tree");
    }

    #[test]
    fn what_a_link_leads_to_is_somebody_elses() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().canonicalize().unwrap();
        let layout = Layout::new(Some(&root), &root);
        fs::create_dir_all(root.join("real/in")).unwrap();
        std::os::unix::fs::symlink("real", root.join("link")).unwrap();
        std::os::unix::fs::symlink("/no/such", root.join("dangling")).unwrap();
        let check = |directory: &str, input: &str, expected: Option<&str>| {
            let asked = Settings {
                output_directories: vec![directory.into()],
                ..Settings::default()
            };
            let found = add_directories(&asked, &layout, &[root.join(input)], &mut Vec::new());
            let said = found.err().map(|why| why.to_string());
            assert_eq!(said.is_some(), expected.is_some(), "{directory}: {said:?}");
            assert!(
                said.unwrap_or_default().contains(expected.unwrap_or_default()),
                "{directory}"
            );
        };
        check("out", "real/in", None);
        check("real/out", "real/in", None);
        check("link", "a", Some("a link leads there"));
        check("link/out/sub", "a", Some("a link leads there"));
        check("dangling", "a", Some("a link leads there"));
        check("real", "link/in", Some("an input is in it"));
    }
}
