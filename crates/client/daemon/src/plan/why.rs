//! Why a command is not an action.

use std::path::PathBuf;

use compiler::{Caution, Kind, NotOurs};
use thiserror::Error;

/// Why the real tool runs as if nobody had asked. Never an error: the tool itself finds whatever is wrong.
#[derive(Clone, Debug, Error)]
pub(crate) enum Why {
    /// It is no command that is known here.
    #[error("{}", not_ours(.0))]
    NotOurs(NotOurs),
    /// A front end wants something that is not done here.
    #[error("`{0}` is asked for, which is not done here")]
    Setting(String),
    /// It is known, but such steps are not kept.
    #[error("steps of the kind {0:?} are not cached")]
    Kind(Kind),
    /// Its result depends on more than its inputs.
    #[error("{}", caution(*.0))]
    Caution(Caution),
    /// It reads standard input, and that was not all there.
    #[error("it reads a terminal, or standard input that is long or does not end")]
    Input,
    /// It makes a directory that cannot be anybody's alone.
    #[error("{} cannot be an output directory: {why}", .path.display())]
    OutputDirectory {
        /// Which.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// The time is compiled in.
    #[error("the time of the compilation is compiled in (__DATE__, __TIME__)")]
    Time,
    /// Something is no text.
    #[error("`{0}` is not UTF-8, as everything in an action must be")]
    NotText(String),
    /// An input cannot be read.
    #[error("cannot read {}: {why}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// What it reads could not be found out.
    #[error("what it reads could not be found out: {0}")]
    Inputs(String),
    /// Nobody knows which tools it is made with.
    #[error("the toolchain could not be looked at: {0}")]
    Toolchain(String),
    /// It makes no action.
    #[error("it makes no action: {0}")]
    Action(String),
}

impl Why {
    /// A word for tables, few enough to be counted.
    pub(crate) fn label(&self) -> String {
        match self {
            Why::NotOurs(not_ours) => {
                let debug = format!("{not_ours:?}");
                let end = debug.find([' ', '(', '{']).unwrap_or(debug.len());
                format!("not ours: {}", &debug[..end])
            }
            Why::Setting(name) => format!("setting: {name}"),
            Why::Kind(kind) => format!("kind: {kind:?}"),
            Why::Caution(caution) => format!("caution: {caution:?}"),
            Why::Input => "standard input".to_owned(),
            Why::OutputDirectory { .. } => "output directory".to_owned(),
            Why::Time => "time macros".to_owned(),
            Why::NotText(_) => "not UTF-8".to_owned(),
            Why::Unreadable { .. } => "unreadable input".to_owned(),
            Why::Inputs(_) => "unknown inputs".to_owned(),
            Why::Toolchain(_) => "unknown toolchain".to_owned(),
            Why::Action(_) => "no action".to_owned(),
        }
    }
}

fn not_ours(not_ours: &NotOurs) -> String {
    format!("the command line is not understood: {not_ours:?}")
}

fn caution(caution: Caution) -> String {
    format!("the result depends on more than the inputs: {caution:?}")
}
