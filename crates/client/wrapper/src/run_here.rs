//! The real tool as a child: what it prints is shown at once and kept for the cache.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use daemon_api::{CAPTURED_BYTES_MAX, End, PIECE_BYTES_MAX, Report};

use crate::input::Input;
use crate::real_tool;

/// What came of a command.
pub(crate) struct Ran {
    pub(crate) end: End,
    output: Option<Vec<u8>>,
    error_output: Option<Vec<u8>>,
}

impl Ran {
    /// As the daemon is told.
    pub(crate) fn report(self) -> Report {
        let Ran {
            end,
            output,
            error_output,
        } = self;
        Report::Ran {
            end,
            output,
            error_output,
        }
    }
}

/// Who sees it run.
pub(crate) enum Stage {
    /// Whoever sees this process; it reads what is left of its input, where some of that was read already.
    Shown {
        input: Option<Input>,
        /// It leads a process group of its own.
        apart: bool,
    },
    /// Nobody, and there is nothing to read.
    Rehearsal,
}

/// Runs it to its end. `started` is told its process number.
pub(crate) fn run(
    program: &Path,
    arguments: &[OsString],
    set: &[(OsString, OsString)],
    stage: Stage,
    started: impl FnOnce(u32),
) -> io::Result<Ran> {
    let mut command = real_tool::command(program, arguments, set);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let is_shown = matches!(stage, Stage::Shown { .. });
    let mut child = match stage {
        Stage::Shown { input, apart: false } => spawn(command, input)?,
        // The daemon may end it, with all that it starts.
        Stage::Shown { input, apart: true } => {
            command.process_group(0);
            if io::stdin().is_terminal() {
                // A group in the background that reads from a terminal is stopped.
                command.stdin(Stdio::null());
            }
            spawn(command, input)?
        }
        Stage::Rehearsal => command.stdin(Stdio::null()).process_group(0).spawn()?,
    };
    started(child.id());
    let (output, error_output) = (child.stdout.take(), child.stderr.take());
    let (output, error_output) = thread::scope(|scope| {
        let error_output = scope.spawn(|| match is_shown {
            true => tee(error_output, io::stderr()),
            false => tee(error_output, io::sink()),
        });
        let output = match is_shown {
            true => tee(output, io::stdout()),
            false => tee(output, io::sink()),
        };
        (output, error_output.join().unwrap_or(None))
    });
    let end = end_of(child.wait()?);
    Ok(Ran {
        end,
        output,
        error_output,
    })
}

/// Runs it to its end in this process's place, where that cannot become it any more: its input has been read.
pub(crate) fn replace(
    program: &Path,
    arguments: &[OsString],
    set: &[(OsString, OsString)],
    input: Input,
) -> io::Result<End> {
    let mut child = spawn(real_tool::command(program, arguments, set), Some(input))?;
    Ok(end_of(child.wait()?))
}

fn spawn(mut command: Command, input: Option<Input>) -> io::Result<Child> {
    let Some(input) = input.filter(|input| !input.is_untouched()) else {
        return command.spawn();
    };
    let mut child = command.stdin(Stdio::piped()).spawn()?;
    if let Some(stdin) = child.stdin.take() {
        // Not waited for: a tool that has ended wants no more, and what still comes may never end.
        thread::spawn(move || input.feed(stdin));
    }
    Ok(child)
}

/// Shows what comes, until its end. `None` if it was more than is kept.
fn tee(from: Option<impl Read>, mut to: impl Write) -> Option<Vec<u8>> {
    let mut from = from?;
    let mut kept = Some(Vec::new());
    let mut piece = [0; PIECE_BYTES_MAX / 8];
    loop {
        let read = match from.read(&mut piece) {
            Ok(0) => return kept,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return None,
        };
        // Who does not want to read any more does not stop the command.
        let _ = to.write_all(&piece[..read]).and_then(|()| to.flush());
        kept = kept.filter(|kept| kept.len() + read <= CAPTURED_BYTES_MAX);
        if let Some(kept) = &mut kept {
            kept.extend_from_slice(&piece[..read]);
        }
    }
}

/// How a process ended.
pub fn end_of(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Exited(code),
        (None, Some(signal)) => End::Killed(signal),
        (None, None) => End::Exited(i32::from(u8::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_kept_up_to_its_bound() {
        let mut shown = Vec::new();
        assert_eq!(
            tee(Some(&b"some text"[..]), &mut shown),
            Some(b"some text".to_vec())
        );
        assert_eq!(shown, b"some text");

        let much = vec![b'x'; CAPTURED_BYTES_MAX + 1];
        let mut shown = Vec::new();
        assert_eq!(tee(Some(&much[..]), &mut shown), None);
        assert_eq!(shown.len(), much.len());
    }

    #[test]
    fn ends_are_told_as_they_were() {
        let run = |script: &str| {
            let arguments = ["sh", "-c", script].map(OsString::from);
            let stage = Stage::Shown {
                input: None,
                apart: false,
            };
            run(Path::new("/bin/sh"), &arguments, &[], stage, |_| {}).unwrap()
        };
        assert_eq!(run("exit 3").end, End::Exited(3));
        assert_eq!(run("kill -9 $$").end, End::Killed(9));
        let ran = run("printf out; printf err >&2");
        assert_eq!(
            (ran.output, ran.error_output),
            (Some(b"out".to_vec()), Some(b"err".to_vec()))
        );
    }
}
