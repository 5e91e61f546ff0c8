//! Every field.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::choices::{Dialect, Kind, Strategy};
use crate::value::Value;
use crate::virtual_input::VirtualInput;

/// The struct, and both directions from the same list: no field can be forgotten in one of them.
macro_rules! fields {
    ($($(#[$doc:meta])* $field:ident: $kind:ty,)*) => {
        /// What is asked for one command. `Settings::default()` asks for nothing in particular.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Settings {
            $($(#[$doc])* pub $field: $kind,)*
        }

        impl Settings {
            /// The names of all fields, as they travel.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($field)),*];

            /// The first field that asks for something and is not among those that somebody knows how to do. Who runs a
            /// command without what was asked for has another result than was asked for.
            pub fn first_beyond(&self, known: &[&str]) -> Option<&'static str> {
                $(
                    if !Value::values(&self.$field).is_empty() && !known.contains(&stringify!($field)) {
                        return Some(stringify!($field));
                    }
                )*
                None
            }

            /// As they travel: what is unset does not.
            pub fn to_pairs(&self) -> Vec<(OsString, OsString)> {
                let mut pairs = Vec::new();
                $(
                    let values = Value::values(&self.$field).into_iter();
                    pairs.extend(values.map(|value| (stringify!($field).into(), value)));
                )*
                pairs
            }

            /// What has travelled. Fails at the first name that is not known and at the first value that cannot be.
            pub fn from_pairs(pairs: &[(OsString, OsString)]) -> Result<Self, SettingsError> {
                let mut settings = Settings::default();
                for (name, value) in pairs {
                    let is_taken = match name.to_str() {
                        $(Some(stringify!($field)) => Value::add(&mut settings.$field, value),)*
                        _ => return Err(SettingsError::UnknownName { name: name.clone() }),
                    };
                    if !is_taken {
                        let (name, value) = (name.clone(), value.clone());
                        return Err(SettingsError::BadValue { name, value });
                    }
                }
                Ok(settings)
            }
        }
    };
}

fields! {
    /// Who speaks.
    dialect: Dialect,

    /// Names the command in logs; reclient puts the label digest before it.
    command_id: Option<String>,
    /// Groups the commands of one build: `tool_invocation_id` of REAPI's RequestMetadata.
    invocation_id: Option<String>,
    /// Groups builds: `correlated_invocations_id` there.
    correlated_invocations_id: Option<String>,
    /// What kind of command a reclient user says it is, see `reclient::labels`. Empty: it is found out.
    labels: BTreeMap<String, String>,

    /// The top of the input tree, absolute. Every relative path below is relative to it, unless it says otherwise.
    exec_root: Option<PathBuf>,
    /// Absolute paths below it, in the command and in what is found, become relative to the working directory.
    project_root: Option<PathBuf>,
    /// Absolute prefixes that become others before anything else is done with a path; the first that fits counts.
    prefix_map: Vec<(PathBuf, PathBuf)>,
    /// Directories that are put above the working directory in the input tree.
    working_dir_prefix: Option<PathBuf>,
    /// Absolute paths stay as they are: the input tree is the root of the file system.
    keep_absolute_paths: bool,
    /// The working directory has a fixed name of equal depth elsewhere, so that two build directories share results.
    canonicalize_working_dir: bool,

    /// Where the command runs.
    strategy: Option<Strategy>,
    /// Kinds of commands that run here whatever `strategy` says: they only take and give results.
    cache_only: BTreeSet<Kind>,
    /// Commands that are not understood run elsewhere too, with the inputs and outputs that are declared here.
    force_remote: bool,
    /// Whether links are taken at all; `Some(false)`: they are run here, as if nobody had been asked.
    handle_links: Option<bool>,
    /// Links run here, and it is only counted which results are known.
    count_link_hits: bool,
    /// Say on standard error which action it would be (`hash/size`), and do nothing.
    no_execute: bool,
    /// How long the command may run. Whole seconds: `Action.timeout`.
    exec_timeout: Option<Duration>,
    /// How long everything but a run here may take together: inputs, waiting, running, results.
    reclient_timeout: Option<Duration>,

    /// Platform properties of the action.
    platform: BTreeMap<String, String>,
    /// Those of compilations; they win over `platform`.
    platform_compile: BTreeMap<String, String>,
    /// Those of links; they win over `platform`.
    platform_link: BTreeMap<String, String>,
    /// Part of the action's name and of nothing else (`Action.salt`).
    salt: Option<String>,

    /// Variables that the action has from the environment of the request. `None` leaves the choice to the daemon.
    env_allow: Option<Vec<OsString>>,
    /// Variables of `env_allow` that are not set are empty ones in the action; otherwise they are not there.
    env_unset_is_empty: bool,
    /// Variables that the action has besides, with these values.
    env_set: Vec<(OsString, OsString)>,
    /// Variables that whatever looks for inputs has besides.
    env_scan: Vec<(OsString, OsString)>,

    /// Files and directories that are inputs, besides those that are found.
    inputs: Vec<PathBuf>,
    /// What is no input although it is declared or found: whatever these regular expressions match.
    inputs_excluded: Vec<String>,
    /// Inputs that are in the remote store and not here.
    virtual_inputs: Vec<VirtualInput>,
    /// Directories that are there, and empty.
    empty_directories: Vec<PathBuf>,
    /// Programs that are inputs together with what their side-car file lists.
    toolchain_inputs: Vec<PathBuf>,
    /// Files that list more inputs, see `reclient::rsp`.
    input_list_paths: Vec<PathBuf>,
    /// Output files, besides those that the command is known to write.
    output_files: Vec<PathBuf>,
    /// Output directories, as above.
    output_directories: Vec<PathBuf>,
    /// Files that list more output files.
    output_list_paths: Vec<PathBuf>,
    /// Links are inputs as links; otherwise as what they lead to.
    preserve_symlink: bool,
    /// Input files that are looked for outside of the project (system headers) are part of the input tree.
    global_inputs: bool,

    /// Exactly these are the inputs, relative to the working directory: nothing is looked for.
    inputs_override: Option<Vec<PathBuf>>,
    /// All of this directory is the input tree: nothing is looked for.
    inputs_directory_override: Option<PathBuf>,
    /// Exactly these are the output files, relative to the working directory.
    output_files_override: Option<Vec<PathBuf>>,
    /// Exactly these are the output directories, relative to the working directory.
    output_directories_override: Option<Vec<PathBuf>>,
    /// Directories below which nothing is an input, whatever is found.
    deps_exclude_paths: Vec<PathBuf>,
    /// Links that are inputs besides, as links.
    extra_symlinks: Vec<PathBuf>,

    /// Whether a known result is taken. `None`: yes.
    accept_cache: Option<bool>,
    /// A known result that is a failure is not taken.
    ignore_failures: bool,
    /// Whether the result of a run here is stored. `None`: the daemon's choice.
    update_cache: Option<bool>,
    /// It is stored even when the command failed.
    store_failures: bool,
    /// `Action.do_not_cache`: a part of the action's name, and nobody stores its result.
    uncacheable: bool,

    /// Whether outputs are fetched. `None`: yes.
    download_outputs: Option<bool>,
    /// Which outputs are fetched: a regular expression over their paths; a `-` before it inverts. It wins over
    /// `download_outputs`, unless it is no regular expression.
    download_regex: Option<String>,
    /// Whether outputs come under another name and are then renamed. `None`: yes.
    atomic_downloads: Option<bool>,
    /// An output that is what was there before keeps its modification time.
    preserve_unchanged_output_mtime: bool,

    /// Words that are put before the command when it runs here; the first is relative to the working directory.
    local_wrapper: Vec<OsString>,
    /// The same elsewhere; the first is a toolchain input.
    remote_wrapper: Vec<OsString>,

    /// Run it more than once, and say whether all outputs are equal.
    compare: bool,
    /// How often it runs here for that.
    local_reruns: u32,
    /// How often it runs elsewhere for that.
    remote_reruns: u32,
    /// Outputs that are not equal are a failure: exit code 1, and nothing is printed.
    fail_on_mismatch: bool,

    /// The whole environment is part of the log record.
    log_env: bool,
    /// Where the log record of this command is written, as a text proto. Relative to the working directory.
    action_log: Option<PathBuf>,
}

/// These are no settings that this version knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingsError {
    /// No field has this name.
    UnknownName {
        /// The name.
        name: OsString,
    },
    /// The field does not take this value, or not a second one.
    BadValue {
        /// The field.
        name: OsString,
        /// The value.
        value: OsString,
    },
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingsError::UnknownName { name } => {
                write!(f, "the setting `{}` is not known to this version", name.display())
            }
            SettingsError::BadValue { name, value } => write!(
                f,
                "the setting `{}` cannot be `{}`, or was given twice",
                name.display(),
                value.display()
            ),
        }
    }
}

impl std::error::Error for SettingsError {}

#[cfg(test)]
mod tests;
