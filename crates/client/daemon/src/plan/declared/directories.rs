//! Directories that a front end declares as outputs.

use std::path::{Path, PathBuf};

use settings::Settings;

use crate::plan::PlannedOutput;
use crate::plan::build::text;
use crate::plan::layout::{Layout, Place};
use crate::plan::why::Why;

/// Adds the directories that are declared as outputs of a command that has `read` these files. What is in one comes from the command alone, and goes when a known
/// result is put there: so nothing else may live in it.
pub(in crate::plan) fn add(
    asked: &Settings,
    layout: &Layout,
    program: &Path,
    read: &[PathBuf],
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
        let inputs = [&asked.inputs, &asked.toolchain_inputs, &asked.extra_symlinks];
        let mut inputs = inputs
            .into_iter()
            .flatten()
            .map(|input| layout.root().join(input))
            .chain(asked.inputs_override.iter().flatten().chain(read).cloned());
        if program.starts_with(&path) || inputs.any(|input| layout.absolute(&input).starts_with(&path)) {
            return refused("an input is in it");
        }
        // It comes with the directory.
        outputs.retain(|output| !output.path.starts_with(&path));
        let is_within = outputs
            .iter()
            .any(|output| output.is_directory && path.starts_with(&output.path));
        if !is_within {
            let name = layout.seen_from_working_directory(&path);
            outputs.push(PlannedOutput {
                name: text(&name)?.to_owned(),
                path,
                is_required: false,
                is_rule: false,
                is_directory: true,
            });
        }
    }
    Ok(())
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
        let read = [PathBuf::from("../headers/a.h")];
        add(&asked, &layout, Path::new("/src/tools/tool"), &read, &mut outputs)
            .map_err(|why| why.to_string())?;
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
                asked.inputs = vec!["data/in".into()];
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
}
