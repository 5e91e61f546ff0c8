//! Commands that a front end puts other words before: some where they run here, others where a worker runs them.
//!
//! A wrapper may change what comes out, and nobody sees how. Elsewhere it is a part of the action, with words and as an input, and a
//! worker has no more than that. Here it may read anything: nothing is kept of a run behind one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use daemon_api::Request;
use settings::Strategy;
use step_memory::Grounds;

use super::build::{ActionBuilder, text};
use super::declared;
use super::layout::{Layout, Place};
use super::why::Why;
use crate::tool;
use crate::wanted::Wanted;

/// What a wrapper makes of an action.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wrapped {
    /// What a worker's command begins with.
    pub(super) words: Vec<String>,
    /// The program, where a worker has to be given it with what lies beside it.
    pub(super) program: Option<PathBuf>,
}

/// Why nothing of a run here is kept, though a worker's result is.
pub(super) fn not_kept_here(wanted: &Wanted) -> Option<&'static str> {
    (wanted.is_wrapped() && wanted.strategy != Strategy::Local)
        .then_some("a wrapper makes it another command here")
}

/// What is put before the command where a worker runs it.
pub(super) fn of(
    wanted: &Wanted,
    request: &Request,
    layout: &Layout,
    builder: &mut ActionBuilder<'_>,
    grounds: &mut Grounds,
) -> Result<Wrapped, Why> {
    let words = wanted.wrapper_elsewhere();
    let Some(program) = found(words, request)? else {
        return Ok(Wrapped::default());
    };
    let is_in_tree = matches!(layout.place(&program), Place::Tree(_));
    if !is_in_tree {
        let holds = builder.file(&program)?;
        grounds.known_file(&program, holds);
    }
    let name = declared::own_program(layout, &program).unwrap_or_else(|| program.clone());
    let first = text(&name)?.to_owned();
    let rest = words
        .iter()
        .skip(1)
        .map(|word| text(Path::new(word)).map(str::to_owned));
    Ok(Wrapped {
        words: std::iter::once(Ok(first))
            .chain(rest)
            .collect::<Result<_, Why>>()?,
        program: is_in_tree.then_some(program),
    })
}

/// Where the wrapper is, if there is to be one.
fn found(words: &[OsString], request: &Request) -> Result<Option<PathBuf>, Why> {
    let Some(first) = words.first() else {
        return Ok(None);
    };
    let found = tool::find_named(request, first);
    let found = found.ok_or_else(|| Why::Inputs(format!("there is no wrapper {}", first.display())))?;
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use file_digests::FileDigests;
    use settings::Settings;

    use super::*;
    use crate::service::FUNCTION;

    /// What `env` in the working directory makes of an action; and whether a run here is kept.
    fn wrapped(
        root: &Path,
        strategy: Strategy,
        change: impl FnOnce(&mut Settings),
    ) -> Result<(Wrapped, bool), Why> {
        let mut settings = Settings {
            strategy: Some(strategy),
            exec_root: Some(root.to_owned()),
            ..Settings::default()
        };
        change(&mut settings);
        let request = Request {
            arguments: vec!["gcc".into()],
            directory: root.join("out"),
            environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
            settings: settings.to_pairs(),
            is_terminal: false,
        };
        let wanted = Wanted::of(&request, Strategy::Racing).unwrap();
        let layout = Layout::new(wanted.root.as_deref(), &request.directory);
        let digests = FileDigests::new(FUNCTION);
        let mut builder = ActionBuilder::new(&layout, &digests);
        let found = of(&wanted, &request, &layout, &mut builder, &mut Grounds::default())?;
        Ok((found, not_kept_here(&wanted).is_none()))
    }

    #[test]
    fn a_wrapper_counts_where_it_is_put_before_a_command() {
        let directory = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(directory.path()).unwrap();
        fs::create_dir(root.join("out")).unwrap();
        let script = |content: &str| {
            for name in ["w.sh", "out/w.sh"] {
                fs::write(root.join(name), content).unwrap();
                fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o755)).unwrap();
            }
        };
        script("#!/bin/sh\n");
        let elsewhere = |words: &'static [&'static str]| {
            move |asked: &mut Settings| asked.remote_wrapper = words.iter().map(OsString::from).collect()
        };
        let here = |words: &'static [&'static str]| {
            move |asked: &mut Settings| asked.local_wrapper = words.iter().map(OsString::from).collect()
        };
        let nothing = Wrapped::default();
        for strategy in [Strategy::Local, Strategy::RemoteLocalFallback] {
            let found = wrapped(&root, strategy, |_| {}).unwrap();
            assert_eq!(found, (Wrapped::default(), true));
        }
        let check = |change: Box<dyn FnOnce(&mut Settings)>, words: &[&str], program: Option<&str>| {
            let (found, is_kept) = wrapped(&root, Strategy::Remote, change).unwrap();
            assert_eq!(found.words, words);
            assert_eq!(
                found.program,
                program.map(|program| root.join("out").join(program))
            );
            assert!(!is_kept, "{words:?}");
        };
        check(
            Box::new(elsewhere(&["./w.sh", "-x"])),
            &["./w.sh", "-x"],
            Some("./w.sh"),
        );
        check(Box::new(elsewhere(&["../w.sh"])), &["../w.sh"], Some("../w.sh"));
        check(Box::new(elsewhere(&["env"])), &["/usr/bin/env"], None);
        // What is put before it here is nothing to a worker, and the other way round.
        check(Box::new(here(&["env"])), &[], None);
        let (found, is_kept) = wrapped(&root, Strategy::Local, elsewhere(&["./w.sh"])).unwrap();
        assert!(found == nothing && is_kept);

        let why = wrapped(&root, Strategy::Remote, elsewhere(&["./none"])).unwrap_err();
        assert!(why.to_string().contains("./none"), "{why}");
    }
}
