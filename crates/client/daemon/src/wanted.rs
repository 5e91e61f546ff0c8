//! What a front end or the environment wants of one command, and what of it is done here.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use compiler::environment_names;
use daemon_api::Request;
use settings::{Dialect, Settings, SettingsError, Strategy};

use crate::manner::Manner;
use crate::plan::normal;
use crate::service::Caller;
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
    /// Names of tools that nobody knows and that are to be watched, so that their results can be kept.
    pub(crate) observed: Vec<OsString>,
    /// What differs between the variables that are set for elsewhere and those that are here.
    pub(crate) unlike_here: Unlike,
    /// What is read is to be looked for with other variables than those that are here.
    pub(crate) scans_otherwise: bool,
}

/// How variables that are set for elsewhere differ from those of this machine, the gravest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unlike {
    /// Not at all.
    No,
    /// What runs here has other variables, so what it makes is not what the action names.
    Unread,
    /// The same of a variable by which tools find what they read: what is looked for here is not what would be read there.
    Read,
}

/// The build of commands that say none.
const NO_BUILD: &str = "unnamed";
/// The longest name of a build.
const BUILD_BYTES_MAX: usize = 128;
/// What is asked of the daemon itself: no setting of a command.
const QUESTION: &str = "question";

/// Settings that are done as they say, or that say nothing about how a command is done.
const DONE: [&str; 54] = [
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
    "count_link_hits",
    "force_remote",
    "no_execute",
    "exec_timeout",
    "reclient_timeout",
    "platform",
    "platform_compile",
    "platform_link",
    "salt",
    "env_allow",
    "env_unset_is_empty",
    "env_set",
    "inputs",
    "virtual_inputs",
    "empty_directories",
    "toolchain_inputs",
    "extra_symlinks",
    "inputs_override",
    "deps_exclude_paths",
    "output_files",
    "output_directories",
    "output_files_override",
    "output_directories_override",
    "accept_cache",
    "update_cache",
    "store_failures",
    "uncacheable",
    "compare",
    "local_reruns",
    "remote_reruns",
    "fail_on_mismatch",
    "ignore_failures",
    "download_outputs",
    "download_regex",
    // Outputs come as a whole or not at all, also where somebody does not insist on it.
    "atomic_downloads",
    "preserve_unchanged_output_mtime",
    "preserve_symlink",
    "canonicalize_working_dir",
    "working_dir_prefix",
    "keep_absolute_paths",
    // What a command reads of the system counts always, and a worker has the same.
    "global_inputs",
    "local_wrapper",
    "remote_wrapper",
    "cache_only",
    "env_scan",
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
        // All of the directory where it runs, and nothing else.
        let is_here = |path: &mut PathBuf| normal(&request.directory.join(path)) == request.directory;
        if settings.inputs_directory_override.take_if(is_here).is_some() {
            settings.inputs_override = Some(vec![".".into()]);
            settings.project_root = Some(request.directory.clone());
        }
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
            observed: from_environment("FARRIER_OBSERVE").map(names).unwrap_or_default(),
            unlike_here: unlike(&settings.env_set, request),
            scans_otherwise: unlike(&settings.env_scan, request) == Unlike::Read,
            settings,
        })
    }

    /// The first setting that is not done as it says. Such a command is for the real tool.
    pub(crate) fn first_not_done(&self) -> Option<&'static str> {
        let mut rest = self.settings.clone();
        if self.unlike_here == Unlike::Read {
            return Some("env_set");
        }
        // What it reads nobody knows, and nothing else is to make the result.
        if self.strategy == Strategy::Local && !self.settings.local_wrapper.is_empty() {
            return Some("local_wrapper");
        }
        if self.scans_otherwise {
            return Some("env_scan");
        }
        // Words of a record that only a front end writes.
        rest.log_env = false;
        rest.first_beyond(&DONE)
    }

    /// What is put before the command where a worker runs it.
    pub(crate) fn wrapper_elsewhere(&self) -> &[OsString] {
        match self.strategy {
            Strategy::Local => &[],
            _ => &self.settings.remote_wrapper,
        }
    }

    /// Whether something is put before the command, here or elsewhere.
    pub(crate) fn is_wrapped(&self) -> bool {
        !self.settings.local_wrapper.is_empty() || !self.settings.remote_wrapper.is_empty()
    }

    /// Whether the front end says all that the command reads and makes.
    pub(crate) fn declares_all(&self) -> bool {
        let label = |name: &str| self.settings.labels.get(name).map(String::as_str);
        match label("type") {
            Some("tool") => true,
            Some("apksigning") => label("compiler") == Some("signapkjar"),
            // Without these, what the command makes is not known.
            _ => {
                let asked = &self.settings;
                let overrides = [&asked.output_files_override, &asked.output_directories_override];
                asked.force_remote && overrides.into_iter().any(Option::is_some)
            }
        }
    }

    /// Whether commands of this program are to be watched. Front ends of others have settings that are not done then.
    pub(crate) fn is_observed(&self, program: &Path) -> bool {
        if self.settings.dialect != Dialect::Farrier {
            return false;
        }
        let name = program.file_name();
        self.observed
            .iter()
            .any(|observed| Some(observed.as_os_str()) == name)
    }

    /// Whether it runs here without being seen, to be compared.
    pub(crate) fn reruns_here(&self) -> bool {
        self.settings.compare && (self.settings.local_reruns > 1 || self.settings.fail_on_mismatch)
    }

    /// Whether a known result is taken.
    pub(crate) fn takes_known(&self) -> bool {
        self.settings.accept_cache != Some(false) && !self.settings.uncacheable
    }

    /// Whether a known failure is taken as well. Whoever keeps none has no use for those of others either: it may have been
    /// the machine's.
    pub(crate) fn takes_failures(&self) -> bool {
        let is_declared = self.declares_all() || self.settings.inputs_override.is_some();
        self.settings.store_failures && !self.settings.ignore_failures && !is_declared
    }

    /// Whether what this machine makes is kept. What a worker makes is, unless the command is uncacheable.
    pub(crate) fn keeps_own(&self) -> bool {
        self.settings.update_cache != Some(false)
            && !self.settings.uncacheable
            && self.unlike_here == Unlike::No
            // What runs here has not what only the server has.
            && self.settings.virtual_inputs.is_empty()
    }

    /// Variables that the front end names, as the action has them.
    pub(crate) fn variables(&self, request: &Request) -> Vec<(OsString, OsString)> {
        let names = self.settings.env_allow.iter().flatten();
        let value = |name: &OsString| {
            let set = request.environment.iter().find(|(n, _)| n == name);
            let set = set.map(|(_, value)| value.clone());
            set.or_else(|| self.settings.env_unset_is_empty.then(OsString::new))
        };
        let set = &self.settings.env_set;
        let is_set = |name: &OsString| set.iter().any(|(n, _)| n == name);
        names
            .filter(|name| !is_set(name))
            .filter_map(|name| Some((name.clone(), value(name)?)))
            .chain(set.iter().cloned())
            .collect()
    }

    /// How outputs come into the tree.
    pub(crate) fn manner(&self) -> Manner {
        Manner::of(&self.settings, self.root.as_deref())
    }

    /// Whether its end is to be known even where the real tool runs: there are books in which every command stands, or it may
    /// have to be ended.
    pub(crate) fn is_watched(&self) -> bool {
        self.settings.dialect == Dialect::Reclient || self.exec_timeout().is_some()
    }

    /// How long it may run, wherever that is.
    pub(crate) fn exec_timeout(&self) -> Option<Duration> {
        self.settings.exec_timeout.filter(|limit| !limit.is_zero())
    }

    /// On whose behalf the server is asked.
    pub(crate) fn caller(&self) -> Caller {
        Caller {
            build: self.build.clone(),
            correlated: self
                .settings
                .correlated_invocations_id
                .clone()
                .unwrap_or_default(),
        }
    }
}

fn unlike(set: &[(OsString, OsString)], request: &Request) -> Unlike {
    let differs = |(name, value): &&(OsString, OsString)| {
        let here = request.environment.iter().find(|(n, _)| n == name);
        here.is_none_or(|(_, here)| here != value)
    };
    // A tool that is found by `PATH` is part of the toolchain, whose fingerprint is part of the action.
    let is_read =
        |(name, _): &(OsString, OsString)| name != "PATH" && environment_names().any(|read| name == read);
    let how = |pair| match is_read(pair) {
        true => Unlike::Read,
        false => Unlike::Unread,
    };
    let different = set.iter().filter(differs);
    different.map(how).max().unwrap_or(Unlike::No)
}

/// Names, with commas between them.
fn names(list: &OsStr) -> Vec<OsString> {
    let names = list.as_bytes().split(|byte| *byte == b',');
    let names = names.map(<[u8]>::trim_ascii).filter(|name| !name.is_empty());
    names.map(|name| OsStr::from_bytes(name).to_owned()).collect()
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
                ("FARRIER_OBSERVE".into(), "bison, protoc,,".into()),
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
        let is_observed = ["/usr/bin/bison", "/opt/protoc", "/usr/bin/flex", "/"]
            .map(|program| plain.is_observed(Path::new(program)));
        assert_eq!(is_observed, [true, true, false, false]);
        assert!(plain.is_path_independent && is_yes("Yes".as_ref()) && !is_yes("0".as_ref()));
        let of_others = wanted(|settings| settings.dialect = Dialect::Recc);
        assert!(!of_others.is_observed(Path::new("/usr/bin/bison")));
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
        let compares = |reruns, fails| {
            let compares = wanted(|settings| {
                settings.compare = true;
                settings.local_reruns = reruns;
                settings.fail_on_mismatch = fails;
            });
            assert_eq!(compares.first_not_done(), None);
            compares.reruns_here()
        };
        let found = [
            compares(0, false),
            compares(1, false),
            compares(2, false),
            compares(1, true),
        ];
        assert_eq!(found, [false, false, true, true]);
        let mapped = wanted(|settings| settings.prefix_map = vec![("/a".into(), "/b".into())]);
        assert_eq!(mapped.first_not_done(), Some("prefix_map"));
        let known: Vec<_> = DONE
            .iter()
            .filter(|name| !Settings::NAMES.contains(name))
            .collect();
        assert!(known.is_empty(), "no such settings: {known:?}");
    }

    /// `FARRIER_BUILD` stands for any variable that no tool reads.
    #[test]
    fn variables_that_are_set_for_elsewhere() {
        let check =
            |pairs: &[(&str, &str)], not_done: Option<&str>, keeps_own: bool, expected: &[(&str, &str)]| {
                let set: Vec<(OsString, OsString)> = pairs
                    .iter()
                    .map(|(name, value)| (name.into(), value.into()))
                    .collect();
                let wanted = wanted(|settings| {
                    settings.env_allow = Some(vec!["FARRIER_BUILD".into()]);
                    settings.env_set = set;
                });
                assert_eq!(wanted.first_not_done(), not_done, "{expected:?}");
                assert_eq!(wanted.keeps_own(), keeps_own, "{expected:?}");
                let request = Request {
                    environment: vec![("FARRIER_BUILD".into(), "build".into())],
                    arguments: Vec::new(),
                    directory: "/p".into(),
                    settings: Vec::new(),
                    is_terminal: false,
                };
                let found = wanted.variables(&request);
                let found: Vec<_> = found
                    .iter()
                    .map(|(name, value)| (name.to_str().unwrap(), value.to_str().unwrap()))
                    .collect();
                assert_eq!(found, expected);
            };
        check(&[], None, true, &[("FARRIER_BUILD", "build")]);
        check(
            &[("FARRIER_BUILD", "build")],
            None,
            true,
            &[("FARRIER_BUILD", "build")],
        );
        check(
            &[("FARRIER_BUILD", "other")],
            None,
            false,
            &[("FARRIER_BUILD", "other")],
        );
        check(
            &[("PATH", "/bin")],
            None,
            false,
            &[("FARRIER_BUILD", "build"), ("PATH", "/bin")],
        );
        check(
            &[("CPATH", "/x"), ("A", "b")],
            Some("env_set"),
            false,
            &[("FARRIER_BUILD", "build"), ("CPATH", "/x"), ("A", "b")],
        );
    }

    #[test]
    fn headers_are_looked_for_with_the_variables_that_are_here() {
        let check = |pair: (&str, &str), expected| {
            let (name, value) = pair;
            let wanted = wanted(|settings| settings.env_scan = vec![(name.into(), value.into())]);
            assert_eq!(wanted.first_not_done(), expected, "{pair:?}");
        };
        check(("CPATH", "/x"), Some("env_scan"));
        check(("FARRIER_BUILD", "other"), None);
        check(("PATH", "/bin"), None);
    }

    #[test]
    fn the_directory_where_a_command_runs_may_be_all_that_it_reads() {
        let whole = |directory: &str| {
            wanted(|settings| {
                settings.inputs_directory_override = Some(directory.into());
                settings.project_root = Some("/".into());
            })
        };
        for here in [".", "/p", "../p/", "x/.."] {
            let wanted = whole(here);
            assert_eq!(wanted.first_not_done(), None, "{here}");
            assert_eq!(wanted.settings.inputs_override, Some(vec![".".into()]), "{here}");
            assert_eq!(wanted.root, Some("/p".into()), "{here}");
        }
        for elsewhere in ["..", "sub", "/q"] {
            assert_eq!(
                whole(elsewhere).first_not_done(),
                Some("inputs_directory_override")
            );
        }
    }

    #[test]
    fn failures_are_taken_where_they_are_kept() {
        let takes = |stores, ignores| {
            let wanted = wanted(|settings| {
                settings.store_failures = stores;
                settings.ignore_failures = ignores;
            });
            wanted.takes_failures()
        };
        let found = [takes(false, false), takes(true, false), takes(true, true)];
        assert_eq!(found, [false, true, false]);
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
        check(
            |settings| {
                settings.virtual_inputs = vec![settings::VirtualInput {
                    path: "x".into(),
                    digest: "abc/3".to_owned(),
                    ..settings::VirtualInput::default()
                }];
            },
            (true, false),
        );
    }
}
