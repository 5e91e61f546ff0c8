//! What a command makes, as its action names it.

use std::path::PathBuf;

use compiler::{Shape, Step};

use super::build::text;
use super::layout::{Layout, Place};
use super::why::Why;

/// A file that the command makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedOutput {
    /// In the action's result.
    pub(crate) name: String,
    /// On this machine.
    pub(crate) path: PathBuf,
    /// Whether the command always makes it when it ends well.
    pub(crate) is_required: bool,
    /// It is a make rule, in which names are as they were given.
    pub(crate) is_rule: bool,
    /// It is a directory, with all that is in it; whatever else is there goes when it is made again.
    pub(crate) is_directory: bool,
}

impl PlannedOutput {
    /// One that a front end declares, by its absolute path. Whether the command makes it is the command's business.
    pub(super) fn declared(layout: &Layout, path: PathBuf, is_directory: bool) -> Result<Self, Why> {
        let name = layout.seen_from_working_directory(&path);
        Ok(PlannedOutput {
            name: text(&name)?.to_owned(),
            path,
            is_required: false,
            is_rule: false,
            is_directory,
        })
    }
}

/// The outputs of a step and `more` that are declared; and whether one of them is outside of the tree. Then no worker can make
/// them, and they are known in the result by their numbers.
pub(super) fn of(layout: &Layout, step: &Step, more: &[PathBuf]) -> Result<(Vec<PlannedOutput>, bool), Why> {
    let mut outputs = Vec::new();
    let mut is_outside = false;
    for output in &step.outputs {
        if output.shape != Shape::File {
            let (path, why) = (output.path.clone(), "nobody has declared it");
            return Err(Why::OutputDirectory { path, why });
        }
        is_outside |= !matches!(layout.place(&output.path), Place::Tree(_));
        let name = layout.seen_from_working_directory(&output.path);
        outputs.push(PlannedOutput {
            name: text(&name)?.to_owned(),
            path: layout.absolute(&output.path),
            is_required: output.required,
            is_rule: step.depfile.as_ref() == Some(&output.path),
            is_directory: false,
        });
    }
    // Perhaps among those that are known already.
    for path in more.iter().cloned() {
        if outputs.iter().all(|output| output.path != path) {
            is_outside |= !matches!(layout.place(&path), Place::Tree(_));
            outputs.push(PlannedOutput::declared(layout, path, false)?);
        }
    }
    if is_outside {
        for (number, output) in outputs.iter_mut().enumerate() {
            output.name = format!("output-{number}");
        }
    }
    Ok((outputs, is_outside))
}

/// As an action names them, in order.
pub(super) fn names_of(outputs: &[PlannedOutput]) -> Vec<String> {
    let mut names: Vec<_> = outputs.iter().map(|output| output.name.clone()).collect();
    names.sort();
    names
}
