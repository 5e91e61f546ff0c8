//! `javac`: sources and class paths in, directories of classes out.

use std::ffi::OsString;

use crate::environment;
use crate::invocation::path;
use crate::option::Takes::{Equals, EqualsOrNext, Joined, Nothing, Prefix, Separate};
use crate::option::{Table, find, row};
use crate::{Caution, Kind, Language, NotOurs, Step, Tool};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Ignore,
    ClassPath,
    /// As `ClassPath`, beside it.
    OtherPath,
    Processors,
    Classes,
    Sources,
    System,
    Schemas,
    NoProcessing,
    Processor,
    Talk,
    Ask,
    Refuse(&'static str),
}

static ROWS: Table<Role> = Table::new(&[
    row("-classpath", Separate, Role::ClassPath),
    row("-cp", Separate, Role::ClassPath),
    row("--class-path", EqualsOrNext, Role::ClassPath),
    row("-bootclasspath", Separate, Role::OtherPath),
    row("--boot-class-path", EqualsOrNext, Role::OtherPath),
    row("-Xbootclasspath/a:", Joined, Role::OtherPath),
    row("-Xbootclasspath/p:", Joined, Role::OtherPath),
    row("-Xbootclasspath:", Joined, Role::OtherPath),
    row("-sourcepath", Separate, Role::OtherPath),
    row("--source-path", EqualsOrNext, Role::OtherPath),
    row("-p", Separate, Role::OtherPath),
    row("--module-path", EqualsOrNext, Role::OtherPath),
    row("--upgrade-module-path", EqualsOrNext, Role::OtherPath),
    row("-extdirs", Separate, Role::OtherPath),
    row("-endorseddirs", Separate, Role::OtherPath),
    row("-processorpath", Separate, Role::Processors),
    row("--processor-path", EqualsOrNext, Role::Processors),
    row("--processor-module-path", EqualsOrNext, Role::Processors),
    row("-processor", Separate, Role::Processor),
    row("-proc:none", Nothing, Role::NoProcessing),
    row("-proc:only", Nothing, Role::Processor),
    row("-proc:full", Nothing, Role::Processor),
    row("-A", Joined, Role::Ignore),
    row("-Aroom.schemaLocation", Equals, Role::Schemas),
    row("-d", Separate, Role::Classes),
    row("-s", Separate, Role::Sources),
    row("-h", Separate, Role::Sources),
    row("--system", EqualsOrNext, Role::System),
    row("-m", Separate, Role::Refuse("sources are found by name and time")),
    row(
        "--module",
        EqualsOrNext,
        Role::Refuse("sources are found by name and time"),
    ),
    row(
        "--module-source-path",
        EqualsOrNext,
        Role::Refuse("sources are found by name"),
    ),
    row("-Xplugin:", Joined, Role::Processor),
    row("-XDaddTypeAnnotationsToSymbol", Prefix, Role::Ignore),
    row(
        "-Xstdout",
        Separate,
        Role::Refuse("messages are written to a file"),
    ),
    row("-J", Joined, Role::Refuse("an option of the virtual machine")),
    row("--add-modules", EqualsOrNext, Role::Ignore),
    row("--limit-modules", EqualsOrNext, Role::Ignore),
    row("--module-version", EqualsOrNext, Role::Ignore),
    row("--add-exports", EqualsOrNext, Role::Ignore),
    row("--add-opens", EqualsOrNext, Role::Ignore),
    row("--add-reads", EqualsOrNext, Role::Ignore),
    row(
        "--patch-module",
        EqualsOrNext,
        Role::Refuse("a module's parts are elsewhere"),
    ),
    row("--enable-preview", Nothing, Role::Ignore),
    row("--release", EqualsOrNext, Role::Ignore),
    row("-source", Separate, Role::Ignore),
    row("--source", EqualsOrNext, Role::Ignore),
    row("-target", Separate, Role::Ignore),
    row("--target", EqualsOrNext, Role::Ignore),
    row("-profile", Separate, Role::Ignore),
    row("-encoding", Separate, Role::Ignore),
    row("-implicit:none", Nothing, Role::Ignore),
    row("-implicit:class", Nothing, Role::Ignore),
    row("-deprecation", Nothing, Role::Ignore),
    row("-nowarn", Nothing, Role::Ignore),
    row("-parameters", Nothing, Role::Ignore),
    row("-g", Nothing, Role::Ignore),
    row("-g:", Joined, Role::Ignore),
    row("-Werror", Nothing, Role::Ignore),
    row("-Xlint", Prefix, Role::Ignore),
    row("-Xdoclint", Prefix, Role::Ignore),
    row("-Xmaxerrs", Separate, Role::Ignore),
    row("-Xmaxwarns", Separate, Role::Ignore),
    row("-Xpkginfo:", Joined, Role::Ignore),
    row("-Xprefer:", Joined, Role::Ignore),
    row("-verbose", Nothing, Role::Talk),
    row("-Xdiags:", Joined, Role::Ignore),
    row("-version", Nothing, Role::Ask),
    row("--version", Nothing, Role::Ask),
    row("-fullversion", Nothing, Role::Ask),
    row("--full-version", Nothing, Role::Ask),
    row("-help", Nothing, Role::Ask),
    row("--help", Nothing, Role::Ask),
    row("-X", Nothing, Role::Ask),
    row("--help-extra", Nothing, Role::Ask),
    row("-?", Nothing, Role::Ask),
]);

/// A command line of `javac`.
pub(crate) fn parse(arguments: &[String], env: &dyn Fn(&str) -> Option<OsString>) -> Result<Step, NotOurs> {
    for variable in ["JDK_JAVAC_OPTIONS", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS"] {
        if env(variable).is_some_and(|value| !value.is_empty()) {
            return Err(NotOurs::Environment { variable });
        }
    }
    let mut step = Step::new(Tool::Javac, Kind::Generate);
    step.language = Some(Language::Java);
    step.environment = environment::names(Tool::Javac, false);
    let (mut has_class_path, mut has_classes, mut processes, mut asks) = (false, false, true, false);
    let mut rest = arguments;
    while let Some(first) = rest.first() {
        let mut words = 1;
        if first.starts_with('@') {
            return Err(NotOurs::unsupported(first, "a response file within another"));
        } else if !first.starts_with('-') {
            if !first.ends_with(".java") {
                return Err(NotOurs::unsupported(first, "a class by its name"));
            }
            step.sources.push(path(first));
        } else {
            let found = find(&ROWS, rest)?.ok_or_else(|| NotOurs::UnknownOption {
                option: first.clone(),
            })?;
            words = found.words;
            let value = found.text();
            match found.row.role {
                Role::Ignore => {}
                Role::ClassPath => {
                    has_class_path = true;
                    class_path(value, &mut step);
                }
                Role::OtherPath => class_path(value, &mut step),
                Role::Processors => {
                    class_path(value, &mut step);
                    step.caution.push(Caution::Plugin);
                }
                Role::Processor => step.caution.push(Caution::Plugin),
                Role::Classes => {
                    has_classes = true;
                    step.fills(value);
                }
                Role::Sources => step.fills(value),
                Role::System if value == "none" => {}
                Role::System => {
                    step.input_directories.push(path(value));
                    step.caution.push(Caution::OtherTools);
                }
                // Room reads the schemas of earlier versions and writes the newest.
                Role::Schemas => {
                    step.input_directories.push(path(value));
                    step.fills(value);
                    step.caution.push(Caution::Updates);
                }
                Role::NoProcessing => processes = false,
                Role::Talk => step.caution.push(Caution::Talkative),
                Role::Ask => asks = true,
                Role::Refuse(because) => return Err(NotOurs::unsupported(first, because)),
            }
        }
        rest = rest.get(words..).unwrap_or_default();
    }
    if asks {
        step.kind = Kind::Probe;
        step.stdout = true;
        step.outputs.clear();
        return Ok(step);
    }
    if step.sources.is_empty() {
        return Err(NotOurs::NoInput);
    }
    if !has_classes {
        return Err(NotOurs::unsupported(
            "javac",
            "without `-d`, classes are put beside their sources",
        ));
    }
    if !has_class_path {
        if env("CLASSPATH").is_some_and(|value| !value.is_empty()) {
            return Err(NotOurs::Environment {
                variable: "CLASSPATH",
            });
        }
        step.input_directories.push(path("."));
    }
    if processes {
        // Processors on the class path are found and run without being asked for.
        step.caution.push(Caution::Plugin);
    }
    Ok(step)
}

/// A list of archives and directories. What it names may be absent; javac does not mind.
pub(crate) fn class_path(list: &str, step: &mut Step) {
    for entry in list.split(':').filter(|entry| !entry.is_empty()) {
        let is_archive = [".jar", ".zip", ".srcjar", ".jmod", ".aar"]
            .iter()
            .any(|ending| entry.ends_with(ending));
        if is_archive {
            step.inputs.push(path(entry));
        } else {
            step.input_directories
                .push(path(entry.strip_suffix("/*").unwrap_or(entry)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spelling_once() {
        crate::option::assert_no_duplicates(&ROWS);
    }
}
