//! The runner as a program of its own. `farrier runner` is the same thing.

use std::process::ExitCode;

fn main() -> ExitCode {
    let options = match runner::parse_args(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprint!("farrier-runner: {error}\n\n{}", runner::USAGE);
            return ExitCode::from(2);
        }
    };
    match runner::serve(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("farrier-runner: {error}");
            ExitCode::FAILURE
        }
    }
}
