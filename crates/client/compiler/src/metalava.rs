//! Android's `metalava`: sources in, descriptions of an API and stubs out.
//!
//! Its options change with every version; those of AOSP's builds are here, everything else is not ours.

use crate::environment;
use crate::invocation::path;
use crate::javac::class_path;
use crate::option::Takes::{EqualsOrNext, Joined, Nothing};
use crate::option::{Table, find, row};
use crate::{Caution, Kind, Language, NotOurs, Step, Tool};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Ignore,
    Word,
    Input,
    Paths,
    Written,
    Filled,
    /// What it read: the depfile.
    Rule,
    Tree,
    Ask,
}

static ROWS: Table<Role> = Table::new(&[
    row("--classpath", EqualsOrNext, Role::Paths),
    row("--source-path", EqualsOrNext, Role::Paths),
    row("--source-files", EqualsOrNext, Role::Paths),
    row("--merge-qualifier-annotations", EqualsOrNext, Role::Paths),
    row("--merge-inclusion-annotations", EqualsOrNext, Role::Paths),
    row("--check-compatibility:api:released", EqualsOrNext, Role::Input),
    row(
        "--check-compatibility:removed:released",
        EqualsOrNext,
        Role::Input,
    ),
    row("--baseline", EqualsOrNext, Role::Input),
    row("--baseline:api-lint", EqualsOrNext, Role::Input),
    row("--baseline:compatibility:released", EqualsOrNext, Role::Input),
    row("--migrate-nullness", EqualsOrNext, Role::Input),
    row("--validate-nullability-from-list", EqualsOrNext, Role::Input),
    row("--apply-api-levels", EqualsOrNext, Role::Input),
    row("--current-jar", EqualsOrNext, Role::Input),
    row("--manifest", EqualsOrNext, Role::Input),
    row("--subtract-api", EqualsOrNext, Role::Input),
    row("--jdk-home", EqualsOrNext, Role::Tree),
    row("--sdk-home", EqualsOrNext, Role::Tree),
    row("--api", EqualsOrNext, Role::Written),
    row("--removed-api", EqualsOrNext, Role::Written),
    row("--dex-api", EqualsOrNext, Role::Written),
    row("--removed-dex-api", EqualsOrNext, Role::Written),
    row("--proguard", EqualsOrNext, Role::Written),
    row("--extract-annotations", EqualsOrNext, Role::Written),
    row("--update-baseline", EqualsOrNext, Role::Written),
    row("--update-baseline:api-lint", EqualsOrNext, Role::Written),
    row(
        "--update-baseline:compatibility:released",
        EqualsOrNext,
        Role::Written,
    ),
    row("--report-even-if-suppressed", EqualsOrNext, Role::Written),
    row("--nullability-warnings-txt", EqualsOrNext, Role::Written),
    row("--generate-api-levels", EqualsOrNext, Role::Written),
    row("--write-stubs-source-list", EqualsOrNext, Role::Written),
    row("--write-doc-stubs-source-list", EqualsOrNext, Role::Written),
    row("--strict-input-files", EqualsOrNext, Role::Rule),
    row("--strict-input-files:warn", EqualsOrNext, Role::Rule),
    row("--stubs", EqualsOrNext, Role::Filled),
    row("--doc-stubs", EqualsOrNext, Role::Filled),
    row("--sdk-values", EqualsOrNext, Role::Filled),
    row("--hide", EqualsOrNext, Role::Word),
    row("--error", EqualsOrNext, Role::Word),
    row("--warning", EqualsOrNext, Role::Word),
    row("--lint", EqualsOrNext, Role::Word),
    row("--hide-package", EqualsOrNext, Role::Word),
    row("--hide-annotation", EqualsOrNext, Role::Word),
    row("--show-annotation", EqualsOrNext, Role::Word),
    row("--show-single-annotation", EqualsOrNext, Role::Word),
    row("--show-for-stub-purposes-annotation", EqualsOrNext, Role::Word),
    row("--current-version", EqualsOrNext, Role::Word),
    row("--current-codename", EqualsOrNext, Role::Word),
    row("--java-source", EqualsOrNext, Role::Word),
    row("--kotlin-source", EqualsOrNext, Role::Word),
    row("--encoding", EqualsOrNext, Role::Word),
    row("--pass-through-annotation", EqualsOrNext, Role::Word),
    row("--format=", Joined, Role::Ignore),
    row("--quiet", Nothing, Role::Ignore),
    row("--no-banner", Nothing, Role::Ignore),
    row("--color", Nothing, Role::Ignore),
    row("--no-color", Nothing, Role::Ignore),
    row("--exclude-documentation-from-stubs", Nothing, Role::Ignore),
    row("--include-annotations", Nothing, Role::Ignore),
    row("--exclude-all-annotations", Nothing, Role::Ignore),
    row("--warnings-as-errors", Nothing, Role::Ignore),
    row("--lints-as-errors", Nothing, Role::Ignore),
    row(
        "--force-convert-to-warning-nullability-annotations",
        EqualsOrNext,
        Role::Word,
    ),
    row("--ignore-classes-on-classpath", Nothing, Role::Ignore),
    row("--repeat-errors-max", EqualsOrNext, Role::Word),
    row("--version", Nothing, Role::Ask),
    row("--help", Nothing, Role::Ask),
]);

/// A command line of `metalava`.
pub(crate) fn parse(arguments: &[String]) -> Result<Step, NotOurs> {
    let mut step = Step::new(Tool::Metalava, Kind::Generate);
    step.language = Some(Language::Java);
    step.environment = environment::names(Tool::Metalava, false);
    let mut asks = false;
    let mut rest = arguments;
    while let Some(first) = rest.first() {
        let mut words = 1;
        if first.starts_with('@') {
            return Err(NotOurs::Unsupported {
                option: first.clone(),
                because: "a list within another",
            });
        } else if !first.starts_with('-') {
            step.sources.push(path(first));
        } else {
            let found = find(&ROWS, rest)?.ok_or_else(|| NotOurs::UnknownOption {
                option: first.clone(),
            })?;
            words = found.words;
            let value = found.text();
            match found.row.role {
                Role::Ignore | Role::Word => {}
                Role::Input => step.inputs.push(path(value)),
                Role::Paths => class_path(value, &mut step),
                Role::Written => step.writes(value, true),
                Role::Filled => step.fills(value),
                Role::Rule => {
                    step.writes(value, true);
                    step.depfile = Some(path(value))
                        .filter(|file| step.outputs.iter().any(|output| output.path == *file));
                }
                Role::Tree => {
                    step.input_directories.push(path(value));
                    step.caution.push(Caution::OtherTools);
                }
                Role::Ask => asks = true,
            }
        }
        rest = rest.get(words..).unwrap_or_default();
    }
    if asks {
        step.kind = Kind::Probe;
        step.stdout = true;
        step.outputs.clear();
        step.depfile = None;
    } else if step.outputs.is_empty() {
        return Err(NotOurs::NoInput);
    }
    Ok(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spelling_once() {
        crate::option::assert_no_duplicates(&ROWS);
    }
}
