//! The program.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use daemon_api::Request;
use wrapper::{Broken, Conversation, Outcome};

use crate::address::Address;
use crate::flags::tables::{LOGGING, REWRAPPER};
use crate::flags::{FlagError, Flags, Parsed, Surroundings, read, usage};
use crate::rewrapper::ask::{Ask, ask};
use crate::rewrapper::lists::with_lists;
use crate::version;

/// What everything that is wrong with the call itself ends with.
const EXIT_WRONG: u8 = 1;
const CALL: &str = "rewrapper [-flags] -- command arguments…";
/// How long to wait before the second try to reach reproxy, and how long at most before any other.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(15);

/// What to do when a reproxy that is not ours is at the address.
pub type Foreign<'a> = &'a dyn Fn(&Address, &Request, &Ask) -> ExitCode;

/// Everything that rewrapper does. `words` are those after the program's name.
pub fn main(words: Vec<OsString>, foreign: Foreign<'_>) -> ExitCode {
    match parse(words) {
        Ok(Parsed::Help) => {
            eprint!("{}", usage(CALL, &[LOGGING, REWRAPPER]));
            ExitCode::SUCCESS
        }
        Ok(Parsed::Flags(flags, command)) => run(&flags, command, foreign),
        Err(error) => wrong_usage(&error.to_string()),
    }
}

fn parse(words: Vec<OsString>) -> Result<Parsed, FlagError> {
    let surroundings = Surroundings {
        variable: &|name| env::var_os(name),
        read_file: &|path| fs::read_to_string(path),
    };
    read(&[LOGGING, REWRAPPER], words, &surroundings)
}

fn run(flags: &Flags, command: Vec<OsString>, foreign: Foreign<'_>) -> ExitCode {
    if flags.bool("version") || flags.bool("version_sdk") {
        println!("{}", version());
        return ExitCode::SUCCESS;
    }
    let Some(tool) = command.first() else {
        return wrong_usage("no command");
    };
    if flags.bool("offline") {
        // In this process's place: so it has its input, its signals and its exit code.
        return wrapper::execute(wrapper::find(tool), &command);
    }
    let directory = match env::current_dir() {
        Ok(directory) => directory,
        Err(error) => return wrong(&format!("cannot tell the working directory: {error}")),
    };
    let resolve = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut ask = match ask(flags, &directory, &resolve) {
        Ok(ask) => ask,
        Err(error) => return wrong_usage(&error.to_string()),
    };
    ask.settings = match with_lists(&ask.settings) {
        Ok(settings) => settings,
        Err(why) => return wrong(&why),
    };
    let (address, socket) = match place(ask.address.as_ref()) {
        Some(place) => place,
        None => return wrong("server_address is empty: say where reproxy is, or use -offline"),
    };
    let request = match wrapper::request(command, ask.settings.to_pairs()) {
        Ok(request) => request,
        Err(error) => return wrong(&format!("cannot tell the working directory: {error}")),
    };
    if socket.exists() {
        return converse(&request, &ask, &socket);
    }
    match &address {
        Some(address) if address.socket_file().is_none_or(Path::exists) => foreign(address, &request, &ask),
        Some(address) => not_running(&address.to_string()),
        None => not_running(&socket.display().to_string()),
    }
}

/// The address and the daemon's socket that belongs to it: those that were named, else the daemon of the environment.
fn place(address: Option<&Address>) -> Option<(Option<Address>, PathBuf)> {
    let variable = |name: &str| env::var_os(name);
    match address {
        Some(address) => {
            // Without a directory for sockets there is no daemon of ours there.
            let socket = address.frames_socket(&variable).unwrap_or_default();
            Some((Some(address.clone()), socket))
        }
        None => {
            let named = env::var_os(daemon_api::SOCKET_VARIABLE).filter(|path| !path.is_empty());
            named.map(|path| (None, path.into()))
        }
    }
}

/// Asks until there is an outcome or the time is over. What has begun is not asked for twice.
fn converse(request: &Request, ask: &Ask, socket: &Path) -> ExitCode {
    let conversation = Conversation {
        socket,
        request,
        local_wrapper: &ask.settings.local_wrapper,
        set: &[],
    };
    let deadline = Instant::now() + ask.dial_timeout;
    let mut wait = RETRY_FIRST;
    loop {
        match conversation.hold() {
            Ok(Outcome::Ended(code)) => return ExitCode::from(code),
            Ok(Outcome::Execute(program)) => return conversation.execute(&program),
            Err(Broken {
                error,
                has_begun: true,
            }) => {
                return wrong(&format!("reproxy has gone during the command: {error}"));
            }
            Err(Broken { error, .. }) if Instant::now() + wait > deadline => {
                return wrong(&format!(
                    "cannot reach reproxy at {} within dial_timeout: {error}",
                    socket.display()
                ));
            }
            Err(_) => thread::sleep(wait),
        }
        wait = (wait * 2).min(RETRY_MAX);
    }
}

fn not_running(place: &str) -> ExitCode {
    // Without a line's end, as reclient has it: what reads it may compare.
    eprint!(
        "Reproxy is not running at {place}, start it or run rewrapper with --offline to run the command on this machine"
    );
    let _ = std::io::stderr().flush();
    ExitCode::from(EXIT_WRONG)
}

fn wrong(message: &str) -> ExitCode {
    eprintln!("rewrapper: {message}");
    ExitCode::from(EXIT_WRONG)
}

fn wrong_usage(message: &str) -> ExitCode {
    eprintln!("rewrapper: {message}");
    eprint!("{}", usage(CALL, &[LOGGING, REWRAPPER]));
    ExitCode::from(EXIT_WRONG)
}
