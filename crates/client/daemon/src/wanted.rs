//! What a front end or the environment wants of one command, and what of it is done here.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use daemon_api::Request;
use settings::{Settings, SettingsError, Strategy};

use crate::tool::variable;

/// What is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) settings: Settings,
    pub(crate) strategy: Strategy,
    pub(crate) root: Option<PathBuf>,
    pub(crate) build: String,
    /// What comes on standard input, where the command reads that and all of it is here.
    pub(crate) input: Option<Vec<u8>>,
    /// Results are to be the same in every directory, see `plan/moved.rs`.
    pub(crate) is_path_independent: bool,
}

/// The build of commands that say none.
const NO_BUILD: &str = "unnamed";
/// The longest name of a build.
const BUILD_BYTES_MAX: usize = 128;
/// What is asked of the daemon itself: no setting of a command.
const QUESTION: &str = "question";

/// Settings that are done as they say, or that say nothing about how a command is done.
const DONE: [&str; 25] = [
    "dialect",
    "command_id",
    "invocation_id",
    "correlated_invocations_id",
    // What a command is is found out by its own words.
    "labels",
    "exec_root",
    "project_root",
    "strategy",
    "handle_links",
    "no_execute",
    "exec_timeout",
    "reclient_timeout",
    "platform",
    "platform_compile",
    "platform_link",
    "salt",
    "env_allow",
    "env_unset_is_empty",
    "inputs",
    "output_files",
    "accept_cache",
    "update_cache",
    "uncacheable",
    "compare",
    "remote_reruns",
];

/// What the daemon itself is asked, if this is a question and no command.
pub(crate) fn question(request: &Request) -> Option<String> {
    let question = request.settings.iter().find(|(name, _)| name == QUESTION);
    question.map(|(_, question)| question.to_string_lossy().into_owned())
}

impl Wanted {
    /// From the request: what the front end set, then the environment, then what the daemon was started with.
    pub(crate) fn of(request: &Request, default: Strategy) -> Result<Self, SettingsError> {
        let mut settings = Settings::from_pairs(&request.settings)?;
        let from_environment = |name: &str| variable(request, name).filter(|value| !value.is_empty());
        settings.compare |= from_environment("FARRIER_COMPARE").is_some();
        let strategy = || Strategy::named(from_environment("FARRIER_STRATEGY")?.to_str()?);
        let build = || {
            from_environment("FARRIER_BUILD")
                .and_then(OsStr::to_str)
                .map(str::to_owned)
        };
        let build = settings.invocation_id.clone().or_else(build);
        let root = settings
            .exec_root
            .clone()
            .or_else(|| settings.project_root.clone());
        Ok(Wanted {
            strategy: settings.strategy.or_else(strategy).unwrap_or(default),
            root: root.or_else(|| from_environment("FARRIER_ROOT").map(PathBuf::from)),
            build: build
                .filter(|build| !build.is_empty() && build.len() <= BUILD_BYTES_MAX)
                .unwrap_or_else(|| NO_BUILD.to_owned()),
            input: None,
            is_path_independent: from_environment("FARRIER_PATH_INDEPENDENT").is_some_and(is_yes),
            settings,
        })
    }

    /// The first setting that is not done as it says. Such a command is for the real tool.
    pub(crate) fn first_not_done(&self) -> Option<&'static str> {
        let mut rest = self.settings.clone();
        // These say what is done anyway.
        for (said, usual) in [
            (&mut rest.download_outputs, true),
            (&mut rest.atomic_downloads, true),
        ] {
            if *said == Some(usual) {
                *said = None;
            }
        }
        // Every comparison has a run here.
        if rest.compare && rest.local_reruns == 1 {
            rest.local_reruns = 0;
        }
        // Words of a record that only a front end writes.
        rest.log_env = false;
        rest.first_beyond(&DONE)
    }

    /// Whether a known result is taken.
    pub(crate) fn takes_known(&self) -> bool {
        self.settings.accept_cache != Some(false) && !self.settings.uncacheable
    }

    /// Whether what this machine makes is kept. What a worker makes is, unless the command is uncacheable.
    pub(crate) fn keeps_own(&self) -> bool {
        self.settings.update_cache != Some(false) && !self.settings.uncacheable
    }

    /// Variables that the front end names, as the action has them.
    pub(crate) fn variables(&self, request: &Request) -> Vec<(OsString, OsString)> {
        let names = self.settings.env_allow.iter().flatten();
        let value = |name: &OsString| {
            let set = request.environment.iter().find(|(n, _)| n == name);
            let set = set.map(|(_, value)| value.clone());
            set.or_else(|| self.settings.env_unset_is_empty.then(OsString::new))
        };
        names
            .filter_map(|name| Some((name.clone(), value(name)?)))
            .collect()
    }
}

/// What switches something on; `farrier run` refuses what is neither this nor its opposite.
fn is_yes(value: &OsStr) -> bool {
    ["1", "true", "yes", "on", "y", "t"]
        .iter()
        .any(|yes| value.eq_ignore_ascii_case(yes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(change: impl FnOnce(&mut Settings)) -> Wanted {
        let mut settings = Settings::default();
        change(&mut settings);
        let request = Request {
            arguments: vec!["gcc".into()],
            directory: "/p".into(),
            environment: vec![
                ("FARRIER_ROOT".into(), "/root".into()),
                ("FARRIER_STRATEGY".into(), "remote".into()),
                ("FARRIER_BUILD".into(), "build".into()),
                ("FARRIER_PATH_INDEPENDENT".into(), "1".into()),
            ],
            settings: settings.to_pairs(),
            is_terminal: false,
        };
        Wanted::of(&request, Strategy::Local).unwrap()
    }

    #[test]
    fn what_the_front_end_says_counts_before_the_environment() {
        let plain = wanted(|_| {});
        assert_eq!(
            (plain.strategy, plain.build.as_str()),
            (Strategy::Remote, "build")
        );
        assert_eq!(plain.root, Some("/root".into()));
        assert!(plain.is_path_independent && is_yes("Yes".as_ref()) && !is_yes("0".as_ref()));
        let said = wanted(|settings| {
            settings.strategy = Some(Strategy::Racing);
            settings.exec_root = Some("/here".into());
            settings.invocation_id = Some("other".into());
        });
        assert_eq!((said.strategy, said.build.as_str()), (Strategy::Racing, "other"));
        assert_eq!(said.root, Some("/here".into()));
    }

    #[test]
    fn what_is_not_done_is_named() {
        assert_eq!(wanted(|_| {}).first_not_done(), None);
        let usual = wanted(|settings| {
            settings.download_outputs = Some(true);
            settings.accept_cache = Some(false);
            settings.log_env = true;
        });
        assert_eq!(usual.first_not_done(), None);
        for (reruns, expected) in [(0, None), (1, None), (2, Some("local_reruns"))] {
            let compares = wanted(|settings| {
                settings.compare = true;
                settings.local_reruns = reruns;
            });
            assert_eq!(compares.first_not_done(), expected);
        }
        let fetches_nothing = wanted(|settings| settings.download_outputs = Some(false));
        assert_eq!(fetches_nothing.first_not_done(), Some("download_outputs"));
        let known: Vec<_> = DONE
            .iter()
            .filter(|name| !Settings::NAMES.contains(name))
            .collect();
        assert!(known.is_empty(), "no such settings: {known:?}");
    }

    #[test]
    fn an_uncacheable_command_neither_takes_nor_gives() {
        let check = |change: fn(&mut Settings), expected| {
            let wanted = wanted(change);
            assert_eq!((wanted.takes_known(), wanted.keeps_own()), expected);
        };
        check(|_| {}, (true, true));
        check(|settings| settings.accept_cache = Some(false), (false, true));
        check(|settings| settings.update_cache = Some(false), (true, false));
        check(|settings| settings.uncacheable = true, (false, false));
    }
}
