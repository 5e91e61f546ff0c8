//! What actions may have around them, as options of whoever starts a worker.

use std::ffi::OsString;
use std::iter;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use worker::{HostTools, InputRootAsRoot, SurroundingsOptions};

use crate::byte_size::ByteSize;

/// The word for saying nothing of the tools.
const NO_HOST_TOOLS: &str = "none";

/// The options.
#[derive(Args, Clone, Debug)]
pub(super) struct SurroundingsArguments {
    /// Let actions use this machine's network if their platform has `network` = `on`.
    #[arg(long)]
    allow_network: bool,
    /// When an action's input root becomes its root file system: never; when its platform has `root` = `inputs`; or
    /// also when it brings the program that it calls by an absolute path or a bare name, as BuildStream's do. Where that is
    /// not wanted, such an action is refused unless it says `root` = `host`.
    #[arg(long, value_enum, default_value_t = InputRoot::Detected, value_name = "WHEN")]
    input_root_as_root: InputRoot,
    /// Most bytes of directory trees that are kept beside cached files: large input roots that come again are laid over
    /// them, and images unpacked. 0 keeps none, and no action has an image.
    #[arg(long, default_value = "16GiB", value_name = "SIZE")]
    tree_cache_size: ByteSize,
    /// Show actions this file or directory of this machine too, read-only and at the same path, beside /usr, /bin, /sbin, /lib*,
    /// /etc and /opt; repeat for several.
    #[arg(long = "host-path", value_name = "PATH", value_parser = parse_host_path)]
    host_paths: Vec<PathBuf>,
    /// Show actions nothing of this file or directory, even where they see what it is in (/etc, /opt, /nix, /usr); repeat
    /// for several. The worker's own directory and its token file are hidden anyway. For a worker that is not root and whose
    /// user has secrets there.
    #[arg(long, value_name = "PATH")]
    hide: Vec<PathBuf>,
    /// Start every action's command through this program (an absolute path), for example an emulator; repeat for its
    /// arguments.
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    through: Vec<OsString>,
    /// What this machine's tools are called in the property `host-tools`, for actions that rely on them: any name that is the
    /// same where the tools are, or none [default: a fingerprint of the installed packages, where there is a package manager].
    #[arg(long, value_name = "NAME", value_parser = parse_host_tools)]
    host_tools: Option<String>,
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
        if let Some(name) = &self.host_tools {
            arguments.push(format!("--host-tools={name}").into());
        }
        if self.allow_network {
            arguments.push("--allow-network".into());
        }
        arguments.extend(self.runner_arguments(&[]));
        arguments
    }

    /// For the command line of a runner, which hides `secrets` too.
    pub(super) fn runner_arguments(&self, secrets: &[&Path]) -> Vec<OsString> {
        let hidden = self
            .hide
            .iter()
            .map(PathBuf::as_path)
            .chain(secrets.iter().copied());
        let named = |flag: &'static str| {
            move |path: &Path| {
                // It fails for an empty path only, which names nothing as it is.
                let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
                [OsString::from(flag), absolute.into()]
            }
        };
        let show = self
            .host_paths
            .iter()
            .map(PathBuf::as_path)
            .map(named("--host-path"));
        let hide = hidden.map(named("--hide"));
        let through = self
            .through
            .iter()
            .map(|word| [OsString::from("--through"), word.clone()]);
        show.chain(hide).chain(through).flatten().collect()
    }

    /// The same, with this hidden too.
    pub(super) fn hiding(&self, path: PathBuf) -> Self {
        let hide = self.hide.iter().cloned().chain(iter::once(path)).collect();
        SurroundingsArguments { hide, ..self.clone() }
    }

    /// For the worker: how much it may keep of directory trees.
    pub(super) fn tree_cache_bytes_max(&self) -> u64 {
        self.tree_cache_size.0
    }

    /// For the worker: what it says of this machine's tools. `says_otherwise`: it is said as a property already, or the tools
    /// that actions see may be those of another place.
    pub(super) fn host_tools(&self, says_otherwise: bool) -> HostTools {
        match self.host_tools.as_deref() {
            Some(NO_HOST_TOOLS) => HostTools::Unsaid,
            Some(name) => HostTools::Named(name.to_owned()),
            None if says_otherwise => HostTools::Unsaid,
            None => HostTools::Found { root: "/".into() },
        }
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

/// What is not there is refused at once: the runner would not start with it.
fn parse_host_path(text: &str) -> Result<PathBuf, String> {
    let path = std::path::absolute(text).map_err(|error| error.to_string())?;
    match path.symlink_metadata() {
        Ok(_) => Ok(path),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

fn parse_host_tools(text: &str) -> Result<String, String> {
    match text {
        "" => Err(format!(
            "a name is needed; `{NO_HOST_TOOLS}` is for saying nothing of the tools"
        )),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        surroundings: SurroundingsArguments,
    }

    fn parse(words: Vec<OsString>) -> SurroundingsArguments {
        let words = iter::once(OsString::from("program")).chain(words);
        Program::try_parse_from(words).unwrap().surroundings
    }

    #[test]
    fn what_the_runner_decides_reaches_it_also_by_way_of_a_worker() {
        let given = [
            "--hide",
            "/opt/keys",
            "--host-path=/proc",
            "--host-path",
            "src",
            "--through=/bin/env",
        ];
        let given = parse(given.iter().map(OsString::from).collect());
        // Tests run in their package's directory.
        let tools = std::env::current_dir().unwrap().join("src");
        let expected = [
            "--host-path",
            "/proc",
            "--host-path",
            tools.to_str().unwrap(),
            "--hide",
            "/opt/keys",
            "--hide",
            "/secret",
            "--through",
            "/bin/env",
        ];
        let secrets = [Path::new("/secret")];
        assert_eq!(given.runner_arguments(&secrets), expected);
        // As it reaches the worker of `farrier up`, and its runner.
        let passed_on = parse(given.to_arguments());
        assert_eq!(passed_on.runner_arguments(&secrets), expected);
        let absent = Program::try_parse_from(["program", "--host-path=/nonexistent"]);
        assert!(absent.is_err_and(|error| error.to_string().contains("/nonexistent: No such file")));
    }

    fn check(words: &[&str], says_otherwise: bool, expected: HostTools) {
        let given = parse(words.iter().map(OsString::from).collect());
        assert_eq!(given.host_tools(says_otherwise), expected, "{words:?}");
        // As it reaches the worker of `farrier up`.
        let passed_on = parse(given.to_arguments());
        assert_eq!(passed_on.host_tools(says_otherwise), expected, "{words:?}");
    }

    #[test]
    fn tools_are_found_named_or_not_spoken_of() {
        let found = || HostTools::Found { root: "/".into() };
        check(&[], false, found());
        check(&[], true, HostTools::Unsaid);
        for says_otherwise in [false, true] {
            check(&["--host-tools", "none"], says_otherwise, HostTools::Unsaid);
            let named = HostTools::Named("debian-12".to_owned());
            check(&["--host-tools=debian-12"], says_otherwise, named);
        }
        let empty = Program::try_parse_from(["program", "--host-tools="]);
        assert!(empty.is_err_and(|error| error.to_string().contains("a name is needed")));
    }
}
