//! What actions may have around them, as options of whoever starts a worker.

use std::ffi::OsString;

use clap::{Args, ValueEnum};
use worker::{InputRootAsRoot, SurroundingsOptions};

/// The options.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct SurroundingsArguments {
    /// Let actions use this machine's network if their platform has `network` = `on`.
    #[arg(long)]
    allow_network: bool,
    /// When an action's input root becomes its root file system: never; when its platform has `root` = `inputs`; or
    /// also when it brings the program that it calls by an absolute path or a bare name, as BuildStream's do.
    #[arg(long, value_enum, default_value_t = InputRoot::Detected, value_name = "WHEN")]
    input_root_as_root: InputRoot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum InputRoot {
    Never,
    Asked,
    Detected,
}

impl SurroundingsArguments {
    /// The same for the command line of a worker.
    pub(super) fn to_arguments(self) -> Vec<OsString> {
        let when = match self.input_root_as_root {
            InputRoot::Never => "never",
            InputRoot::Asked => "asked",
            InputRoot::Detected => "detected",
        };
        let mut arguments = vec![OsString::from(format!("--input-root-as-root={when}"))];
        if self.allow_network {
            arguments.push("--allow-network".into());
        }
        arguments
    }

    /// For the worker.
    pub(super) fn to_options(self) -> SurroundingsOptions {
        SurroundingsOptions {
            input_root: match self.input_root_as_root {
                InputRoot::Never => InputRootAsRoot::Never,
                InputRoot::Asked => InputRootAsRoot::Asked,
                InputRoot::Detected => InputRootAsRoot::Detected,
            },
            network: self.allow_network,
        }
    }
}
