//! What actions may have around them, as options of whoever starts a worker.

use std::ffi::OsString;

use clap::{Args, ValueEnum};
use worker::{InputRootAsRoot, SurroundingsOptions};

use crate::byte_size::ByteSize;

/// The options.
#[derive(Args, Clone, Debug)]
pub(super) struct SurroundingsArguments {
    /// Let actions use this machine's network if their platform has `network` = `on`.
    #[arg(long)]
    allow_network: bool,
    /// When an action's input root becomes its root file system: never; when its platform has `root` = `inputs`; or
    /// also when it brings the program that it calls by an absolute path or a bare name, as BuildStream's do.
    #[arg(long, value_enum, default_value_t = InputRoot::Detected, value_name = "WHEN")]
    input_root_as_root: InputRoot,
    /// Most bytes of directory trees that are kept beside cached files: large input roots that come again are laid over
    /// them, and images unpacked. 0 keeps none, and no action has an image.
    #[arg(long, default_value = "16GiB", value_name = "SIZE")]
    tree_cache_size: ByteSize,
    /// Start every action's command through this program (an absolute path), for example an emulator; repeat for its
    /// arguments.
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    through: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum InputRoot {
    Never,
    Asked,
    Detected,
}

impl SurroundingsArguments {
    /// The same for the command line of a worker.
    pub(super) fn to_arguments(&self) -> Vec<OsString> {
        let when = match self.input_root_as_root {
            InputRoot::Never => "never",
            InputRoot::Asked => "asked",
            InputRoot::Detected => "detected",
        };
        let mut arguments = vec![
            OsString::from(format!("--input-root-as-root={when}")),
            format!("--tree-cache-size={}", self.tree_cache_size.0).into(),
        ];
        if self.allow_network {
            arguments.push("--allow-network".into());
        }
        arguments.extend(self.runner_arguments());
        arguments
    }

    /// For the command line of a runner.
    pub(super) fn runner_arguments(&self) -> impl Iterator<Item = OsString> {
        let through = |word: &OsString| [OsString::from("--through"), word.clone()];
        self.through.iter().flat_map(through)
    }

    /// For the worker: how much it may keep of directory trees.
    pub(super) fn tree_cache_bytes_max(&self) -> u64 {
        self.tree_cache_size.0
    }

    /// For the worker.
    pub(super) fn to_options(&self) -> SurroundingsOptions {
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
