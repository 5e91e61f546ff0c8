//! What every compilation of a plain build reads, said by the compiler itself.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::project::{Compilers, normal};
use crate::tools::executable;

/// Stands before each compiler: asks it with `-M`, then lets it do what it was called for.
const SCRIPT: &str = r#"#!/bin/bash
driver=/usr/bin/${0##*/}
compiles= output= object= asks= words=()
for ((i = 1; i <= $#; i++)); do
  word=${!i}
  case $word in
  -c) compiles=yes ;;
  *.o | *.lo | *.a) object=yes words+=("$word") ;;
  -o) i=$((i + 1)); output=${!i} ;;
  -MF | -MT | -MQ) i=$((i + 1)) ;;
  -M | -MM) asks=yes ;;
  -MD | -MMD | -MP) ;;
  *) words+=("$word") ;;
  esac
done
if [ "$compiles" ] && [ "$RECORD" ]; then
  record=$(mktemp "$RECORD/XXXXXXXX")
  printf '%s\n' "$PWD" >"$record"
  "$driver" "${words[@]}" -w -M ${output:+-MT "$output"} >>"$record" || rm "$record"
elif [ "$object" ] && [ "$RECORD" ]; then
  mktemp "$LINKS/XXXXXXXX" >/dev/null
elif [ "$asks" ] && [ "$RECORD" ]; then
  mktemp "$QUESTIONS/XXXXXXXX" >/dev/null
fi
exec "$driver" "$@"
"#;

/// A program that does nothing but run the command in its arguments: in its place others may stand.
pub const THROUGH: &str = "through";

/// A directory for the `PATH` that has the recorder under the names of compilers, and what was recorded.
pub struct Recorder {
    directory: TempDir,
}

/// One compilation.
#[derive(Debug, PartialEq, Eq)]
pub struct Compilation {
    /// As the command names it.
    pub output: String,
    /// Absolute, without `..`.
    pub inputs: Vec<PathBuf>,
}

impl Recorder {
    /// Before these compilers.
    pub fn new(compilers: Compilers) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("farrier-recorder-").tempdir()?;
        let script = directory.path().join("recorder");
        executable(&script, SCRIPT)?;
        for folder in ["bin", "record", "links", "questions"] {
            fs::create_dir(directory.path().join(folder))?;
        }
        executable(
            &directory.path().join("bin").join(THROUGH),
            "#!/bin/sh\nexec \"$@\"\n",
        )?;
        for name in [compilers.c, compilers.cxx] {
            symlink(&script, directory.path().join("bin").join(name))?;
        }
        Ok(Recorder { directory })
    }

    /// Runs a script with the compilers that record before all others, and records if asked to.
    pub fn run(&self, directory: &Path, script: &str, records: bool) -> Result<()> {
        let path = std::env::var("PATH").context("there is no PATH")?;
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(directory);
        command.env(
            "PATH",
            format!("{}:{path}", self.directory.path().join("bin").display()),
        );
        if records {
            command.env("RECORD", self.directory.path().join("record"));
            command.env("LINKS", self.directory.path().join("links"));
            command.env("QUESTIONS", self.directory.path().join("questions"));
        }
        let output = command.output().context("sh does not start")?;
        ensure!(
            output.status.success(),
            "{script}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// How many commands of a compiler had objects to link.
    pub fn links(&self) -> Result<usize> {
        Ok(fs::read_dir(self.directory.path().join("links"))?.count())
    }

    /// How often a compiler was asked what it reads, by somebody else than this.
    pub fn questions(&self) -> Result<usize> {
        Ok(fs::read_dir(self.directory.path().join("questions"))?.count())
    }

    /// Everything recorded.
    pub fn compilations(&self) -> Result<Vec<Compilation>> {
        let records = fs::read_dir(self.directory.path().join("record"))?;
        records
            .map(|entry| {
                let path = entry?.path();
                let text = fs::read_to_string(&path)?;
                parse(&text).with_context(|| format!("no make rule: {text:?}"))
            })
            .collect()
    }
}

/// A working directory on a line of its own, then a make rule.
fn parse(text: &str) -> Option<Compilation> {
    let (directory, rule) = text.split_once('\n')?;
    let (output, inputs) = rule.split_once(": ")?;
    let words = inputs.split_whitespace().filter(|word| *word != "\\");
    Some(Compilation {
        output: output.to_owned(),
        inputs: words
            .map(|word| normal(&Path::new(directory).join(word)))
            .collect(),
    })
}
