//! The program.

use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use daemon_start::{NotStarted, Start, wait_for};
use wrapper::{Broken, Conversation, Outcome};

use crate::plan::{Plan, Surroundings, plan};
use crate::said::{Said, read};
use crate::server::daemon_arguments;
use crate::variables::{Effect, VARIABLES};

/// The call or a variable is wrong.
const EXIT_USAGE: u8 = 100;
/// The command cannot be executed here.
const EXIT_EXECUTION: u8 = 101;
/// The daemon has gone during a command that had begun, or is not there where nothing may run without it.
const EXIT_REMOTE: u8 = 102;

const USAGE: &str = "USAGE: recc <command>\n(run \"recc --help\" for details)";
/// How long the first command of a build waits for the daemon. Then it runs here.
const START_MAX: Duration = Duration::from_secs(10);

/// Everything that recc does. `words` are those after the program's name.
pub fn main(words: Vec<OsString>) -> ExitCode {
    let first = words.first().map(|word| word.to_string_lossy().into_owned());
    match first.as_deref() {
        None => usage(None),
        Some("--help" | "-h") => {
            print!("{}", help());
            ExitCode::SUCCESS
        }
        Some("--version" | "-v") => {
            println!("recc version: farrier {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Some(option) if option.starts_with('-') => usage(Some(option)),
        Some(_) => run(words),
    }
}

fn usage(option: Option<&str>) -> ExitCode {
    if let Some(option) = option {
        eprintln!("recc: unrecognized option '{option}'");
    }
    eprintln!("{USAGE}");
    ExitCode::from(EXIT_USAGE)
}

fn help() -> String {
    let mut text = "USAGE: recc <command>\n\nIf the command is a compilation, it runs on a build server, or its result is known \
                    there. Otherwise it runs here.\n\nVariables; in a recc.conf they are without RECC_:\n"
        .to_owned();
    for variable in VARIABLES {
        let _ = match variable.effect {
            Effect::Works => writeln!(text, "\nRECC_{} - {}", variable.name, variable.meaning),
            Effect::None(reason) => writeln!(text, "\nRECC_{} - no effect: {reason}", variable.name),
        };
    }
    text
}

fn run(command: Vec<OsString>) -> ExitCode {
    let environment: Vec<_> = env::vars_os().collect();
    let Ok(directory) = env::current_dir() else {
        // Whoever has no working directory gets no answer from the daemon either.
        return execute(&command);
    };
    let said = read_files_and(&environment);
    let surroundings = Surroundings {
        directory: &directory,
        environment: &environment,
    };
    let plan = match plan(&said, &surroundings) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("recc: {error}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    if plan.is_talkative {
        plan.warnings
            .iter()
            .for_each(|warning| eprintln!("recc: warning: {warning}"));
    }
    match daemon(&plan) {
        Ok(socket) => converse(command, &plan, &socket),
        Err(why) if plan.settings.no_execute => not_here(&why),
        Err(why) => {
            if plan.is_talkative {
                eprintln!("recc: warning: running here: {why}");
            }
            execute(&command)
        }
    }
}

/// From the files, the least important first, and the environment.
fn read_files_and(environment: &[(OsString, OsString)]) -> Said {
    let directory = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let installed = env::current_exe().ok();
    let installed = installed.as_deref().and_then(Path::parent).and_then(Path::parent);
    let files: Vec<String> = [
        installed.map(|prefix| prefix.join("etc/recc")),
        directory("HOME").map(|home| home.join(".recc")),
        directory("RECC_CONFIG_DIRECTORY"),
        Some("recc".into()),
    ]
    .into_iter()
    .flatten()
    // A file that is not there says nothing.
    .filter_map(|directory| fs::read(directory.join("recc.conf")).ok())
    .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    .collect();
    read(&files, environment)
}

/// The socket of a daemon that listens: the one that is named, or one for the plan's servers, which is started.
fn daemon(plan: &Plan) -> Result<PathBuf, String> {
    let variable = |name: &str| env::var_os(name);
    let named = variable(daemon_api::SOCKET_VARIABLE).filter(|path| !path.is_empty());
    if let Some(socket) = named {
        return Ok(socket.into());
    }
    let usual = daemon_api::socket_path(&variable).ok_or("no directory for sockets: set HOME")?;
    let directory = usual.parent().unwrap_or(Path::new("/"));
    let socket = plan.server.socket(directory);
    let is_there = || UnixStream::connect(&socket).is_ok();
    if is_there() {
        return Ok(socket);
    }
    start(plan, &socket, &is_there).map(|()| socket.clone())
}

fn start(plan: &Plan, socket: &Path, is_there: &dyn Fn() -> bool) -> Result<(), String> {
    let arguments = daemon_arguments(&plan.server)?;
    let claim =
        daemon_start::claim(socket, START_MAX).map_err(|error| format!("{}: {error}", socket.display()))?;
    let waited = if claim.is_some() && !is_there() {
        let program = daemon_start::find_program("farrier").ok_or("there is no program farrier")?;
        let start = Start {
            program,
            arguments,
            environment: vec![(daemon_api::SOCKET_VARIABLE.into(), socket.into())],
            output: socket.with_extension("log"),
        };
        // Once for each start of a daemon, where its log is: recc itself says nothing on standard error.
        note(&start.output, &plan.warnings);
        daemon_start::spawn(&start).and_then(|mut child| wait_for(Some(&mut child), is_there, START_MAX))
    } else {
        wait_for(None, is_there, START_MAX)
    };
    waited.map_err(|error: NotStarted| error.to_string())
}

fn note(log: &Path, warnings: &[String]) {
    let lines: String = warnings
        .iter()
        .map(|warning| format!("recc: {warning}\n"))
        .collect();
    let file = fs::OpenOptions::new().create(true).append(true).open(log);
    // The daemon complains itself if its log cannot be written.
    let _ = file.and_then(|mut file| file.write_all(lines.as_bytes()));
}

fn converse(command: Vec<OsString>, plan: &Plan, socket: &Path) -> ExitCode {
    let Ok(request) = wrapper::request(command.clone(), plan.settings.to_pairs()) else {
        return execute(&command);
    };
    let conversation = Conversation {
        socket,
        request: &request,
        local_wrapper: &plan.settings.local_wrapper,
        set: &[],
    };
    match conversation.hold() {
        Ok(Outcome::Ended(code)) => ExitCode::from(code),
        Ok(Outcome::Execute(program)) => {
            conversation.execute(&program);
            ExitCode::from(EXIT_EXECUTION)
        }
        Err(Broken {
            error,
            has_begun: true,
        }) => {
            eprintln!("recc: the daemon has gone during the command: {error}");
            ExitCode::from(EXIT_REMOTE)
        }
        Err(Broken { error, .. }) if plan.settings.no_execute => not_here(&error.to_string()),
        Err(_) => execute(&command),
    }
}

/// Nothing may run, and there is nobody who could say which action it would be.
fn not_here(why: &str) -> ExitCode {
    eprintln!("recc: RECC_NO_EXECUTE: nobody can say which action it would be: {why}");
    ExitCode::from(EXIT_REMOTE)
}

/// Becomes the command, as if recc had not been there.
fn execute(command: &[OsString]) -> ExitCode {
    let program = command.first().and_then(|tool| wrapper::find(tool));
    wrapper::execute(program, command);
    ExitCode::from(EXIT_EXECUTION)
}
