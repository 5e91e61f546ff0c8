//! The programs of reclient and recc, in one.
//!
//! Which one it is says the name that it is called by, or its first word when it is called by its own name. `rewrapper` and
//! `recc` are called for every command of a build: they start no runtime.

mod link;

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use reproxy::programs;

/// The name of this program itself.
const NAME: &str = "farrier-dialects";
const USAGE: &str = "usage: farrier-dialects PROGRAM ARGUMENTS…   as PROGRAM
       farrier-dialects link DIRECTORY       makes a link for each program there
programs:";
/// What a wrong call of this program itself ends with.
const EXIT_USAGE: u8 = 2;

/// A program: what comes after its name is given to it.
type Program = fn(Vec<OsString>) -> ExitCode;

/// Those that have one name.
const PROGRAMS: &[(&str, Program)] = &[
    ("recc", recc::main),
    ("rewrapper", rewrapper),
    ("reproxy", programs::reproxy),
    ("bootstrap", programs::bootstrap),
    ("reproxystatus", programs::reproxystatus),
    ("dumpstats", programs::dumpstats),
    ("reproxytool", programs::reproxytool),
    ("scandeps_server", programs::scandeps_server),
];

fn main() -> ExitCode {
    let argv: Vec<OsString> = env::args_os().collect();
    match run(argv) {
        Some(code) => code,
        None => {
            let names: Vec<_> = PROGRAMS.iter().map(|(name, _)| *name).collect();
            eprintln!("{USAGE} {}", names.join(" "));
            ExitCode::from(EXIT_USAGE)
        }
    }
}

/// Runs the program that was meant, if any was.
fn run(mut argv: Vec<OsString>) -> Option<ExitCode> {
    let name = Path::new(argv.first()?).file_name()?.to_owned();
    if name == NAME {
        argv.remove(0);
        if argv.first()? == "link" {
            let [_, directory] = argv.as_slice() else {
                return None;
            };
            let names: Vec<_> = PROGRAMS.iter().map(|(name, _)| *name).collect();
            return Some(link::link(Path::new(directory), &names));
        }
        return program(argv);
    }
    program(argv)
}

fn program(mut argv: Vec<OsString>) -> Option<ExitCode> {
    let name = Path::new(argv.first()?).file_name()?.to_owned();
    if recc::is_recc_name(&name) {
        return Some(recc::main(recc::words(argv)));
    }
    let (_, program) = PROGRAMS.iter().find(|(known, _)| OsStr::new(known) == name)?;
    argv.remove(0);
    Some(program(argv))
}

fn rewrapper(words: Vec<OsString>) -> ExitCode {
    reclient::rewrapper::main(words, &programs::foreign)
}
