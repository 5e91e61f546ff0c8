//! A command line in, a few lines of text out: what tests compare.

#![allow(dead_code, reason = "not every test file uses every helper")]

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use compiler::{Invocation, LinkItem, Macro, Parsed, Processors, ResponseFiles, Shape, Step, parse};

/// Where all tests work.
pub(crate) const CWD: &str = "/work/proj";

/// Response files by name.
pub(crate) struct Held(pub(crate) HashMap<String, String>);

impl ResponseFiles for Held {
    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        self.0.get(path.to_str()?).map(|text| text.clone().into_bytes())
    }
}

/// Words separated by white space; quotes by `'`.
pub(crate) fn words(line: &str) -> Vec<OsString> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for next in line.chars() {
        match next {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            next if next.is_whitespace() && !quoted => words.extend(word.take()),
            next => word.get_or_insert_default().push(next),
        }
    }
    words.extend(word);
    words.into_iter().map(OsString::from).collect()
}

pub(crate) fn parsed(line: &str) -> Parsed {
    parsed_with(line, &[], &[])
}

pub(crate) fn parsed_with(line: &str, variables: &[(&str, &str)], files: &[(&str, &str)]) -> Parsed {
    let files = Held(
        files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect(),
    );
    let env = |name: &str| {
        variables
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| OsString::from(value))
    };
    let argv = words(line);
    let invocation = Invocation {
        argv: &argv,
        cwd: Path::new(CWD),
        env: &env,
    };
    parse(&invocation, &files)
}

/// The step of a command line that is ours.
pub(crate) fn step(line: &str) -> Step {
    match parsed(line) {
        Parsed::Step(step) => *step,
        Parsed::NotOurs(not_ours) => panic!("{line}: {not_ours}"),
    }
}

/// The rendering, on one line, with ` | ` between parts.
pub(crate) fn shown(line: &str) -> String {
    rendered(&parsed(line))
}

/// Fails unless the rendering of the command line is as expected.
#[track_caller]
pub(crate) fn check(line: &str, expected: &str) {
    assert_eq!(shown(line), expected, "\n{line}");
}

/// Fails unless every line `command => rendering` of the table holds; all that do not are shown.
#[track_caller]
pub(crate) fn check_all(table: &str) {
    check_all_by(shown, table);
}

/// As [`check_all`], with another rendering.
#[track_caller]
pub(crate) fn check_all_by(shown: fn(&str) -> String, table: &str) {
    let mut wrong = String::new();
    let mut count = 0;
    for row in table.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let (line, expected) = row.split_once("=>").unwrap_or((row, "no expectation"));
        let line = line.trim();
        let found = shown(line);
        count += 1;
        if found != expected.trim() {
            let _ = writeln!(wrong, "{line} => {found}");
        }
    }
    assert!(count > 0 && wrong.is_empty(), "these are now:\n{wrong}");
}

/// Most of a step in a few words: what is empty or usual is left away.
pub(crate) fn rendered(parsed: &Parsed) -> String {
    let step = match parsed {
        Parsed::NotOurs(not_ours) => return format!("not ours: {not_ours}"),
        Parsed::Step(step) => step,
    };
    let mut parts = vec![format!("{:?}", step.kind)];
    if let Some(language) = step.language {
        parts[0] = format!("{:?} {language:?}", step.kind);
    }
    list(&mut parts, "", &step.sources);
    list(&mut parts, "in ", &step.inputs);
    list(&mut parts, "in/ ", &step.input_directories);
    let outputs: Vec<String> = step
        .outputs
        .iter()
        .map(|output| {
            let doubt = if output.required { "" } else { "?" };
            let slash = if output.shape == Shape::Directory { "/" } else { "" };
            format!("{}{slash}{doubt}", output.path.display())
        })
        .collect();
    if !outputs.is_empty() {
        parts.push(format!("out {}", outputs.join(" ")));
    }
    if let Some(depfile) = &step.depfile {
        parts.push(format!("rule {}", depfile.display()));
    }
    if step.stdin {
        parts.push("stdin".to_owned());
    }
    if step.stdout {
        parts.push("stdout".to_owned());
    }
    if step.embeds_directory {
        parts.push("cwd".to_owned());
    }
    match step.processors {
        Processors::One => {}
        other => parts.push(format!("{other:?}")),
    }
    if !step.caution.is_empty() {
        parts.push(format!("{:?}", step.caution));
    }
    parts.join(" | ")
}

fn list(parts: &mut Vec<String>, title: &str, paths: &[PathBuf]) {
    if !paths.is_empty() {
        let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        parts.push(format!("{title}{}", paths.join(" ")));
    }
}

/// What the preprocessor was told.
pub(crate) fn preprocessing(line: &str) -> String {
    let step = step(line);
    let Some(said) = step.preprocessing else {
        return "none".to_owned();
    };
    let mut parts: Vec<String> = Vec::new();
    for directory in &said.directories {
        parts.push(format!("{:?}:{}", directory.kind, directory.path.display()));
    }
    for each in &said.macros {
        parts.push(match each {
            Macro::Define(text) => format!("+{text}"),
            Macro::Undefine(text) => format!("-{text}"),
            Macro::Assert(text) => format!("#{text}"),
        });
    }
    for forced in &said.forced {
        parts.push(format!("{:?}:{}", forced.how, forced.path.display()));
    }
    if said.no_standard_directories {
        parts.push("nostdinc".to_owned());
    }
    if said.no_standard_cxx_directories {
        parts.push("nostdinc++".to_owned());
    }
    if let Some(root) = &said.sysroot {
        parts.push(format!("root:{}", root.display()));
    }
    for directory in &said.assembler_directories {
        parts.push(format!("as:{}", directory.display()));
    }
    parts.join(" ")
}

/// What the linker was told.
pub(crate) fn link_line(line: &str) -> String {
    let step = step(line);
    let Some(line) = step.libraries else {
        return "none".to_owned();
    };
    let mut parts: Vec<String> = Vec::new();
    for item in &line.items {
        parts.push(match item {
            LinkItem::File(file) => file.display().to_string(),
            LinkItem::Library {
                name,
                exact,
                archive_only,
            } => format!(
                "-l{}{name}{}",
                if *exact { ":" } else { "" },
                if *archive_only { "(a)" } else { "" }
            ),
        });
    }
    list(&mut parts, "L ", &line.directories);
    list(&mut parts, "needed ", &line.needed_directories);
    list(&mut parts, "B ", &line.prefixes);
    for (name, said) in [
        ("c++", line.cxx),
        ("nolibs", line.no_standard_libraries),
        ("nostart", line.no_startup_files),
        ("static", line.is_static),
        ("shared", line.is_shared),
        ("relocatable", line.relocatable),
    ] {
        if said {
            parts.push(name.to_owned());
        }
    }
    if let Some(root) = &line.sysroot {
        parts.push(format!("root {}", root.display()));
    }
    if let Some(linker) = &line.linker {
        parts.push(format!("by {linker}"));
    }
    parts.join(" ")
}

/// The words to ask the compiler with.
pub(crate) fn facts(line: &str) -> String {
    let facts: Vec<String> = step(line)
        .facts_arguments
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    facts.join(" ")
}
