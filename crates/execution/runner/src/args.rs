//! The runner's command line, parsed by hand: the process stays small.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::masks::to_hide;
use crate::{RunnerOptions, Sandbox};

/// What the runner's command line looks like.
pub const USAGE: &str = "\
usage: --socket PATH [--client-uid N]... [--sandbox require|best-effort|off] [--action-uid N] [--action-gid N]
       [--host-path PATH]... [--hide PATH]... [--through WORD]...
       [--memory BYTES] [--death-timeout SECONDS]
       [--exit-with-stdin]

  --socket PATH       listen here (mode 0600; only the same user and root may connect)
  --client-uid N      as root: let this user connect too, a worker that somebody else started
  --sandbox require   refuse to serve unless every mechanism works (default)
            best-effort   serve with what the kernel gives
            off       confine nothing; for machines that are sandboxes themselves
  --action-uid N      as root: the host uid that commands run as (default 62000)
  --action-gid N      as root: the host gid that commands run as (default 62000)
  --host-path PATH    one more host path that commands see read-only
  --hide PATH         show nothing of this host path to commands, wherever it lies
  --through WORD      start every command through this program (an absolute path); further ones are its arguments
  --memory BYTES      let all commands together use this much, where the kernel can bound it
  --death-timeout SECONDS   how long killed processes may take to die before that is reported (default 60)
  --exit-with-stdin   end when standard input ends
";

/// Why a command line is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError {
    message: String,
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for UsageError {}

/// Reads the arguments that follow the program's name. See [`USAGE`].
pub fn parse_args(args: impl IntoIterator<Item = OsString>) -> Result<RunnerOptions, UsageError> {
    let mut args = args.into_iter();
    let mut options = RunnerOptions::new(PathBuf::new());
    while let Some(flag) = args.next() {
        let name = flag
            .to_str()
            .ok_or_else(|| error(format!("unknown argument {flag:?}")))?;
        let mut value = || args.next().ok_or_else(|| error(format!("{name} needs a value")));
        match name {
            "--socket" => options.socket_path = value()?.into(),
            "--client-uid" => options.client_uids.push(id(name, &value()?)?),
            "--sandbox" => options.sandbox = sandbox(&value()?)?,
            "--action-uid" => options.action_uid = id(name, &value()?)?,
            "--action-gid" => options.action_gid = id(name, &value()?)?,
            "--host-path" => options.host_paths.push(host_path(value()?)?),
            "--hide" => options.hidden_paths.extend(to_hide(absolute(name, value()?)?)),
            "--through" => options
                .through
                .push(through(value()?, options.through.is_empty())?),
            "--memory" => options.memory_bytes_max = Some(bytes(name, &value()?)?),
            "--death-timeout" => options.death_timeout = seconds(name, &value()?)?,
            "--exit-with-stdin" => options.exit_with_stdin = true,
            _ => return Err(error(format!("unknown argument {name:?}"))),
        }
    }
    if options.socket_path.as_os_str().is_empty() {
        return Err(error("--socket PATH is missing".to_owned()));
    }
    Ok(options)
}

fn error(message: String) -> UsageError {
    UsageError { message }
}

fn sandbox(value: &OsStr) -> Result<Sandbox, UsageError> {
    match value.to_str() {
        Some("require") => Ok(Sandbox::Require),
        Some("best-effort") => Ok(Sandbox::BestEffort),
        Some("off") => Ok(Sandbox::Off),
        _ => Err(error(format!(
            "--sandbox takes require, best-effort or off, not {value:?}"
        ))),
    }
}

/// Root is refused: a command that is root on the host is not confined, whatever else surrounds it.
fn id(flag: &str, value: &OsStr) -> Result<u32, UsageError> {
    match value.to_str().and_then(|value| value.parse().ok()) {
        Some(id) if id != 0 && id != u32::MAX => Ok(id),
        _ => Err(error(format!(
            "{flag} takes a number from 1 to {}, not {value:?}",
            u32::MAX - 1
        ))),
    }
}

fn bytes(flag: &str, value: &OsStr) -> Result<u64, UsageError> {
    match value.to_str().and_then(|value| value.parse().ok()) {
        Some(bytes) if bytes > 0 => Ok(bytes),
        _ => Err(error(format!("{flag} takes a number of bytes, not {value:?}"))),
    }
}

fn seconds(flag: &str, value: &OsStr) -> Result<Duration, UsageError> {
    match value.to_str().and_then(|value| value.parse::<u32>().ok()) {
        Some(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds.into())),
        _ => Err(error(format!("{flag} takes a number of seconds, not {value:?}"))),
    }
}

fn through(word: OsString, is_program: bool) -> Result<OsString, UsageError> {
    match is_program && !(Path::new(&word).is_absolute() && Path::new(&word).is_file()) {
        true => Err(error(format!(
            "--through takes the absolute path of a program first, not {word:?}"
        ))),
        false => Ok(word),
    }
}

/// What is not there is refused here, although absent default paths are not: this one was asked for by name.
fn host_path(value: OsString) -> Result<PathBuf, UsageError> {
    let path = absolute("--host-path", value)?;
    match path.symlink_metadata() {
        Ok(_) => Ok(path),
        Err(cause) => Err(error(format!("--host-path {path:?}: {cause}"))),
    }
}

fn absolute(flag: &str, value: OsString) -> Result<PathBuf, UsageError> {
    let path = PathBuf::from(value);
    match path.is_absolute() {
        true => Ok(path),
        false => Err(error(format!("{flag} takes an absolute path, not {path:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<RunnerOptions, String> {
        parse_args(args.iter().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn every_flag_is_understood() {
        let options = parse(&[
            "--socket",
            "/s",
            "--client-uid",
            "1000",
            "--sandbox",
            "best-effort",
            "--action-uid",
            "70000",
            "--action-gid",
            "70001",
            "--host-path",
            "/proc/version",
            "--memory",
            "1048576",
            "--death-timeout",
            "5",
            "--hide",
            "/nowhere/secret",
            "--through",
            "/bin/sh",
            "--through",
            "-e",
            "--exit-with-stdin",
        ])
        .unwrap();
        assert_eq!(options.socket_path, PathBuf::from("/s"));
        assert_eq!(options.client_uids, [1000]);
        assert_eq!(options.sandbox, Sandbox::BestEffort);
        assert_eq!((options.action_uid, options.action_gid), (70_000, 70_001));
        assert_eq!(options.host_paths.last(), Some(&PathBuf::from("/proc/version")));
        assert!(options.exit_with_stdin);
        assert_eq!(options.hidden_paths, [PathBuf::from("/nowhere/secret")]);
        assert_eq!(options.through, ["/bin/sh", "-e"]);
        assert_eq!(options.memory_bytes_max, Some(1 << 20));
        assert_eq!(options.death_timeout, Duration::from_secs(5));
    }

    #[test]
    fn every_mistake_is_named() {
        let check = |args: &[&str], expected: &str| assert_eq!(parse(args).unwrap_err(), expected);
        check(&[], "--socket PATH is missing");
        check(&["--socket"], "--socket needs a value");
        check(
            &["--sandbox", "maybe"],
            "--sandbox takes require, best-effort or off, not \"maybe\"",
        );
        check(
            &["--action-uid", "0"],
            "--action-uid takes a number from 1 to 4294967294, not \"0\"",
        );
        check(
            &["--action-gid", "-1"],
            "--action-gid takes a number from 1 to 4294967294, not \"-1\"",
        );
        check(
            &["--death-timeout", "soon"],
            "--death-timeout takes a number of seconds, not \"soon\"",
        );
        check(&["--memory", "0"], "--memory takes a number of bytes, not \"0\"");
        check(&["--hide", "opt"], "--hide takes an absolute path, not \"opt\"");
        check(
            &["--host-path", "opt"],
            "--host-path takes an absolute path, not \"opt\"",
        );
        check(
            &["--host-path", "/nonexistent"],
            "--host-path \"/nonexistent\": No such file or directory (os error 2)",
        );
        check(
            &["--through", "sh"],
            "--through takes the absolute path of a program first, not \"sh\"",
        );
        check(&["serve"], "unknown argument \"serve\"");
    }
}
