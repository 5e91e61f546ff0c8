//! What is printed, and in whose words.

use std::io::{self, Write};

/// The shell that everything is left to which is not done here.
pub(crate) const REAL_SHELL: &str = "/bin/sh";

/// Writes to standard output, at once. std would take a descriptor that cannot be written for one that nobody reads.
pub(crate) fn put_out(mut text: &[u8]) -> io::Result<()> {
    while !text.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(rustix::stdio::stdout(), text))?;
        text = &text[written..];
    }
    Ok(())
}

/// Says something on standard error. Nobody is left to tell that it cannot be said.
pub(crate) fn say(what: &str) {
    let _ = io::stderr().write_all(format!("{what}\n").as_bytes());
}

/// An error in the system's words alone.
pub(crate) fn plainly(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// As the shell says it.
pub(crate) fn complain(line: usize, what: &[u8]) {
    let said = [format!("{REAL_SHELL}: {line}: ").as_bytes(), what, b"\n"].concat();
    // Nobody is left to tell that it cannot be told.
    let _ = io::stderr().write_all(&said);
}

/// What a shell says of a command that a signal ended. It says nothing of an interrupt and of a broken pipe.
pub(crate) fn of_signal(signal: i32) -> Option<String> {
    let known = SIGNALS.iter().find(|(number, _)| *number == signal);
    match (known, signal) {
        (Some((_, name)), _) => Some((*name).to_owned()),
        (None, REAL_TIME_FIRST..) => Some(format!("Real-time signal {}", signal - REAL_TIME_FIRST)),
        (None, _) => None,
    }
}

/// The first that has no name; the C library keeps two before it to itself.
const REAL_TIME_FIRST: i32 = 34;

const SIGNALS: [(i32, &str); 21] = [
    (1, "Hangup"),
    (3, "Quit"),
    (4, "Illegal instruction"),
    (5, "Trace/breakpoint trap"),
    (6, "Aborted"),
    (7, "Bus error"),
    (8, "Floating point exception"),
    (9, "Killed"),
    (10, "User defined signal 1"),
    (11, "Segmentation fault"),
    (12, "User defined signal 2"),
    (14, "Alarm clock"),
    (15, "Terminated"),
    (16, "Stack fault"),
    (24, "CPU time limit exceeded"),
    (25, "File size limit exceeded"),
    (26, "Virtual timer expired"),
    (27, "Profiling timer expired"),
    (29, "I/O possible"),
    (30, "Power failure"),
    (31, "Bad system call"),
];
