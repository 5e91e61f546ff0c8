//! The runner as a program of its own. `farrier runner` is the same thing.

use std::process::ExitCode;

fn main() -> ExitCode {
    runner::main("farrier-runner", std::env::args_os().skip(1))
}
