//! The project's chores, as a program: `cargo xtask <chore>`. One file per chore.

use std::process::ExitCode;

mod ci;
mod nightly;
mod proto;
mod tidy;

/// What a wrong command line is answered with.
const USAGE: &str = "usage: cargo xtask <chore>

chores:
  proto [--check]   generate the protocol code from proto/; with --check, fail where the committed code differs
  tidy              check the shape of the project: layers, file sizes, documents
  ci [step...]      install what the tests need and run every check, or only the steps named
  nightly [part...] run the long versions of the fault tests, or only the parts named; with --list, say what there is";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["proto"] => proto::write(),
        ["proto", "--check"] => proto::check(),
        ["ci", steps @ ..] => ci::run(steps),
        ["nightly", parts @ ..] => nightly::run(parts),
        ["tidy"] => tidy::check(),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("xtask: no such chore: `{}`\n\n{USAGE}", words.join(" "));
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
