//! A command line, understood; or taken as a front end declares it.

use std::ffi::OsString;

use compiler::{Invocation, Parsed, Step};
use daemon_api::Request;
use settings::{Kind, Strategy};

use super::discover::ResponseFilesOf;
use super::why::Why;
use super::{declared, permitted};
use crate::tool::variable;
use crate::wanted::Wanted;

/// Whether a command may read standard input, though nobody can say: it is declared, and runs here to be kept.
pub(crate) fn may_read_input(request: &Request, wanted: &Wanted) -> bool {
    wanted.strategy == Strategy::Local && wanted.declares_all() && is_declared(&parsed(request), wanted)
}

/// Whether a command is one that could be kept if its standard input were known.
pub(crate) fn reads_input(request: &Request) -> bool {
    // Every name of standard input has one of these in it; most commands have none, and are read only once.
    let may_name_input = |word: &OsString| {
        word == "-" || word.to_string_lossy().contains("/dev/") || word.to_string_lossy().contains("/fd/")
    };
    request.arguments.iter().any(may_name_input)
        && parsed(request).is_ok_and(|step| step.stdin && permitted::check(&step, true).is_ok())
}

/// Which kind of command it is for front ends, if they know that kind.
pub(crate) fn kind_of(request: &Request) -> Option<Kind> {
    use compiler::Kind::{Assemble, Compile, CompileToAssembly, Link, PrecompileHeader};
    match parsed(request).ok()?.kind {
        Link => Some(Kind::Link),
        Compile | Assemble | CompileToAssembly | PrecompileHeader => Some(Kind::Compile),
        _ => None,
    }
}

/// Where a command is to run, which a front end may say of each kind of command.
pub(crate) fn strategy(request: &Request, wanted: &Wanted) -> Strategy {
    let here = &wanted.settings.cache_only;
    // As a rule nobody says, and then nothing has to be looked at.
    let is_for_here = !here.is_empty() && kind_of(request).is_some_and(|kind| here.contains(&kind));
    match is_for_here {
        true => Strategy::Local,
        false => wanted.strategy,
    }
}

/// A command as it is understood.
pub(super) struct Understood {
    pub(super) step: Step,
    /// A front end has declared what it reads.
    pub(super) is_declared: bool,
}

/// The command as it is understood.
pub(super) fn command(request: &Request, wanted: &Wanted) -> Result<Understood, Why> {
    let mut parsed = parsed(request);
    let asked = &wanted.settings;
    let overrides = [&asked.output_files_override, &asked.output_directories_override];
    if let Ok(step) = &mut parsed
        && overrides.into_iter().any(Option::is_some)
    {
        step.outputs.clear();
        step.depfile = None;
    }
    if is_declared(&parsed, wanted) {
        let words = request.arguments.get(1..).unwrap_or_default();
        let mut step = Step::declared(words);
        step.stdin = wanted.strategy == Strategy::Local;
        if step.stdin && wanted.input.is_none() {
            return Err(Why::Input);
        }
        return Ok(Understood {
            step,
            is_declared: true,
        });
    }
    let step = parsed?;
    permitted::check(&step, wanted.input.is_some())?;
    Ok(Understood {
        step,
        is_declared: asked.inputs_override.is_some(),
    })
}

/// Whether a front end says all that a command reads and makes. Not where it forgets what the command is known to make.
fn is_declared(parsed: &Result<Step, Why>, wanted: &Wanted) -> bool {
    let asked = &wanted.settings;
    let makes_something = !asked.output_files.is_empty()
        || asked.output_files_override.is_some()
        || declared::makes_directories(asked);
    let is_forgotten = |step: &Step| !step.outputs.is_empty() && !makes_something;
    wanted.declares_all() && permitted::may_be_declared(parsed) && !parsed.as_ref().is_ok_and(is_forgotten)
}

/// The command line alone.
pub(super) fn parsed(request: &Request) -> Result<Step, Why> {
    let env = |name: &str| variable(request, name).map(OsString::from);
    let invocation = Invocation {
        argv: &request.arguments,
        cwd: &request.directory,
        env: &env,
    };
    let files = ResponseFilesOf(&request.directory);
    match compiler::parse(&invocation, &files) {
        Parsed::Step(step) => Ok(*step),
        Parsed::NotOurs(not_ours) => Err(Why::NotOurs(not_ours)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_command_may_be_for_this_machine_alone() {
        let check = |line: &str, here: &[Kind], expected: Strategy| {
            let settings = settings::Settings {
                cache_only: here.iter().copied().collect(),
                strategy: Some(Strategy::Remote),
                ..settings::Settings::default()
            };
            let request = Request {
                arguments: line.split(' ').map(OsString::from).collect(),
                directory: "/p".into(),
                environment: Vec::new(),
                settings: settings.to_pairs(),
                is_terminal: false,
            };
            let wanted = Wanted::of(&request, Strategy::Racing).unwrap();
            assert_eq!(strategy(&request, &wanted), expected, "{line} {here:?}");
        };
        let (compile, link) = ("gcc -c a.c", "gcc a.o -o a");
        check(compile, &[], Strategy::Remote);
        check(compile, &[Kind::Link], Strategy::Remote);
        check(compile, &[Kind::Compile], Strategy::Local);
        check(link, &[Kind::Compile], Strategy::Remote);
        check(link, &[Kind::Compile, Kind::Link], Strategy::Local);
        check("ar rcs a.a a.o", &[Kind::Compile, Kind::Link], Strategy::Remote);
        check("python3 a.py", &[Kind::Compile, Kind::Link], Strategy::Remote);
    }
}
