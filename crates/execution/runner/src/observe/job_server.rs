//! Places among the jobs of a build: what make and cargo hand to what they start, as a pipe that jobs take a byte from and put it
//! back into. Which byte it is says nothing, and how many there are says how much may run at once; so nothing that is made
//! follows from it, and whoever opens such a pipe talks to nobody about what he makes.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Variables that say where it is, and who says so.
const SAID_BY: [&str; 3] = ["MAKEFLAGS", "MFLAGS", "CARGO_MAKEFLAGS"];

/// Pipes of job servers that this process was told of, as device and number.
pub(super) struct JobServers(Vec<(u64, u64)>);

impl JobServers {
    /// Those of this process's environment.
    pub(super) fn of_this_process() -> Self {
        let said = SAID_BY.iter().filter_map(env::var_os);
        let pipes = said.flat_map(|flags| ends(&flags));
        JobServers(pipes.filter_map(|path| pipe(fs::metadata(path).ok()?)).collect())
    }

    /// Whether it is one of these.
    pub(super) fn has(&self, found: &Metadata) -> bool {
        self.0.contains(&(found.dev(), found.ino()))
    }
}

fn pipe(found: Metadata) -> Option<(u64, u64)> {
    found.file_type().is_fifo().then(|| (found.dev(), found.ino()))
}

/// Where the pipe of these flags is: by its name, or by the numbers of both ends. The last word counts, as for make.
fn ends(flags: &OsStr) -> Vec<PathBuf> {
    let last = |name: &[u8]| {
        let words = flags.as_bytes().split(|byte| *byte == b' ');
        words.filter_map(|word| word.strip_prefix(name)).next_back()
    };
    let Some(value) = last(b"--jobserver-auth=").or_else(|| last(b"--jobserver-fds=")) else {
        return Vec::new();
    };
    if let Some(path) = value.strip_prefix(b"fifo:") {
        return vec![OsStr::from_bytes(path).into()];
    }
    let numbers = value.split(|byte| *byte == b',');
    let numbers = numbers.filter(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit));
    numbers
        .map(|number| Path::new("/proc/self/fd").join(OsStr::from_bytes(number)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_says_where_it_is() {
        let check = |flags: &str, expected: &[&str]| {
            let expected: Vec<_> = expected.iter().map(PathBuf::from).collect();
            assert_eq!(ends(OsStr::new(flags)), expected, "{flags}");
        };
        check("", &[]);
        check("-j4 -k", &[]);
        check("-j4 --jobserver-auth=fifo:/tmp/x", &["/tmp/x"]);
        check(
            "-j --jobserver-fds=8,9 --jobserver-auth=8,9",
            &["/proc/self/fd/8", "/proc/self/fd/9"],
        );
        check(
            "--jobserver-auth=3,4 --jobserver-auth=5,6",
            &["/proc/self/fd/5", "/proc/self/fd/6"],
        );
        check("--jobserver-auth=-2,-2", &[]);
        check("--jobserver-auth=../x,1", &["/proc/self/fd/1"]);
    }
}
