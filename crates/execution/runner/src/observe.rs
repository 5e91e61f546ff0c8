//! `farrier-runner observe`: runs a command of this machine as it is, and writes down what it does with files.
//!
//! Nothing is confined or changed. A filter (`filter.rs`) has the kernel ask before every system call that names a file;
//! what the call is about to do is looked up (`calls.rs`), noted, and the call let happen. So the command sees nothing of it
//! but a little time, may be debugged and traced, and needs no rights. (Programs that gain rights when they are executed do
//! not, unless this runs as root: the kernel wants that of whoever filters.)
//!
//! Where the kernel does not do this, or somebody is already being asked about this process, the command runs unobserved and
//! there are no notes, which says so.

mod arguments;
mod calls;
mod filter;
mod interpreter;
mod job_server;
mod notes;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use observation::Event;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{
    Resource, Rlimit, Signal, set_child_subreaper, set_parent_process_death_signal, setrlimit,
};

use self::job_server::JobServers;
use self::notes::Notes;
use crate::descriptors;
use crate::sys::{self, Fork};

/// How `farrier-runner observe` is called.
pub const OBSERVE_USAGE: &str = "\
usage: observe NOTES PROGRAM NAME [ARGUMENT]...

  Runs PROGRAM under NAME with its arguments, and writes to the file NOTES what it and whatever it starts does with
  files. Ends as the program does.
";

/// What to observe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObserveOptions {
    /// Where the notes go; made anew, for its owner alone.
    pub notes: PathBuf,
    /// The program.
    pub program: PathBuf,
    /// Its arguments, with its name first.
    pub arguments: Vec<OsString>,
}

/// What a shell says of a program that cannot be found, and of one that cannot be executed.
const EXIT_NOT_FOUND: u8 = 127;
const EXIT_NOT_EXECUTABLE: u8 = 126;
/// Signals that are for the command. A terminal sends the first two to it by itself.
const OF_THE_TERMINAL: [i32; 2] = [libc::SIGINT, libc::SIGQUIT];
const PASSED_ON: [i32; 4] = [libc::SIGTERM, libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2];

impl ObserveOptions {
    /// Reads the arguments that follow the word `observe`.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let mut arguments = arguments.into_iter();
        let (notes, program) = (arguments.next()?.into(), arguments.next()?.into());
        let arguments: Vec<_> = arguments.collect();
        (!arguments.is_empty()).then_some(ObserveOptions {
            notes,
            program,
            arguments,
        })
    }
}

/// Runs the command, and ends as it does: with its exit code, or by its signal.
pub fn observe(options: &ObserveOptions) -> ExitCode {
    match start(options) {
        Ok((child, listener)) => {
            let mut notes = Notes::new(JobServers::of_this_process());
            if has_open_files() {
                notes.add(Event::Unknown("it has been given files that are open".to_owned()));
            }
            let (status, is_left) = attend(child, &listener, &mut notes);
            if is_left {
                notes.add(Event::Unknown("it leaves a process behind".to_owned()));
            }
            // Without notes nothing is kept; the command has ended well all the same.
            let _ = write(&options.notes, &notes);
            if is_left {
                keep_answering(&listener);
            }
            end_like(status)
        }
        Err(_) => unobserved(options),
    }
}

fn unobserved(options: &ObserveOptions) -> ExitCode {
    let error = command(options).exec();
    let name = options.arguments.first().map(|name| name.display().to_string());
    eprintln!(
        "{}: cannot execute {}: {error}",
        name.unwrap_or_default(),
        options.program.display()
    );
    ExitCode::from(match error.kind() {
        io::ErrorKind::NotFound => EXIT_NOT_FOUND,
        _ => EXIT_NOT_EXECUTABLE,
    })
}

fn command(options: &ObserveOptions) -> Command {
    let mut command = Command::new(&options.program);
    if let Some((name, rest)) = options.arguments.split_first() {
        command.arg0(name).args(rest);
    }
    command
}

/// Whether this process was given files beside its standard ones, as the command has been too: what becomes of them, and what
/// is read of them, nobody would see.
fn has_open_files() -> bool {
    let Ok(descriptors) = fs::read_dir("/proc/self/fd") else {
        return true;
    };
    let numbers = descriptors.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let is_file =
        |number: i32| fs::metadata(format!("/proc/self/fd/{number}")).is_ok_and(|found| found.is_file());
    numbers.filter(|number| *number > 2).any(is_file)
}

/// Starts the command; where it is told what that does. An error means that nothing has been started.
fn start(options: &ObserveOptions) -> Result<(libc::pid_t, OwnedFd), Errno> {
    let (ours, theirs) = descriptors::pair()?;
    set_child_subreaper(Some(rustix::process::getpid()))?;
    // Who ignores the ends of his children is not told of them.
    sys::do_not_ignore(libc::SIGCHLD);
    let child = match sys::fork()? {
        Fork::Parent(child) => child,
        Fork::Child => {
            drop(ours);
            become_command(options, &theirs)
        }
    };
    drop(theirs);
    match descriptors::receive(&ours, &mut [0]) {
        Ok((_, mut passed)) if passed.len() == 1 => Ok((child, passed.remove(0))),
        // It has said no, and ended.
        _ => {
            let _ = sys::wait4(child, 0);
            Err(Errno::NOSYS)
        }
    }
}

fn become_command(options: &ObserveOptions, watcher: &OwnedFd) -> ! {
    let filtered = || {
        // Without the one who answers, every call would fail.
        set_parent_process_death_signal(Some(Signal::KILL))?;
        let program = filter::program()?;
        let listener = match sys::filter_with_listener(&program) {
            Err(Errno::ACCESS) => {
                rustix::thread::set_no_new_privs(true)?;
                sys::filter_with_listener(&program)?
            }
            listener => listener?,
        };
        descriptors::send(watcher, &[0], &[listener.as_fd()])
    };
    if filtered().is_err() {
        sys::exit(0);
    }
    let code = unobserved(options);
    sys::exit(if code == ExitCode::from(EXIT_NOT_FOUND) {
        EXIT_NOT_FOUND.into()
    } else {
        EXIT_NOT_EXECUTABLE.into()
    })
}

/// Lets every call happen and notes it, until the command has ended. Its status, and whether anything of it goes on.
fn attend(child: libc::pid_t, listener: &OwnedFd, notes: &mut Notes) -> (i32, bool) {
    let signals = [&[libc::SIGCHLD][..], &OF_THE_TERMINAL, &PASSED_ON].concat();
    let signals = sys::signal_descriptor(&signals).ok();
    let mut status = None;
    loop {
        let mut waits = vec![PollFd::new(listener, PollFlags::IN)];
        waits.extend(
            signals
                .as_ref()
                .map(|signals| PollFd::new(signals, PollFlags::IN)),
        );
        match poll(&mut waits, None) {
            Ok(_) | Err(Errno::INTR) => {}
            // Out of memory, at worst; the command must not wait for us.
            Err(_) => notes.add(Event::Unknown("it could not be observed".to_owned())),
        }
        if waits[0].revents().contains(PollFlags::IN) {
            answer(listener, Some(notes));
        }
        while let Some(signal) = signals.as_ref().and_then(sys::next_signal) {
            if PASSED_ON.contains(&signal) {
                // It may have ended.
                let _ = sys::kill(child, signal);
            }
        }
        // What has lost its parent is ours to wait for, as it would be init's.
        let is_left = loop {
            match sys::wait4(-1, libc::WNOHANG) {
                Ok(Some((ended, of_child, _))) if ended == child => status = Some(of_child),
                Ok(Some(_)) => {}
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        match status {
            Some(status) => return (status, is_left),
            // Nobody is there any more, and nobody has said how it ended.
            None if !is_left => return (0xff << 8, false),
            None => {}
        }
    }
}

fn answer(listener: &OwnedFd, notes: Option<&mut Notes>) {
    if let Ok(Some(notice)) = sys::next_notice(listener) {
        if let Some(notes) = notes {
            calls::note(&notice, notes, &|| sys::is_waiting(listener, &notice));
        }
        // Whoever has been killed meanwhile waits no more.
        let _ = sys::let_happen(listener, &notice);
    }
}

/// A process of its own that answers for as long as anything of the command goes on.
fn keep_answering(listener: &OwnedFd) {
    if !matches!(sys::fork(), Ok(Fork::Child)) {
        return;
    }
    // Whoever waits for the end of what this prints must not wait for us.
    if let Ok(nothing) = File::options().read(true).write(true).open("/dev/null") {
        for descriptor in 0..=2 {
            let _ = sys::duplicate_to(&nothing, descriptor);
        }
    }
    loop {
        let mut waits = [PollFd::new(listener, PollFlags::IN)];
        let polled = poll(&mut waits, None);
        let happened = waits[0].revents();
        if happened.contains(PollFlags::IN) {
            answer(listener, None);
        } else if happened.intersects(PollFlags::HUP | PollFlags::ERR)
            || polled.is_err_and(|errno| errno != Errno::INTR)
        {
            sys::exit(0);
        }
    }
}

fn write(path: &Path, notes: &Notes) -> io::Result<()> {
    let Some(bytes) = notes.bytes() else {
        return Ok(());
    };
    // In one step: whoever reads it finds all of it or nothing.
    let unfinished = path.with_extension("part");
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(bytes)?;
    fs::rename(unfinished, path)
}

fn end_like(status: i32) -> ExitCode {
    if libc::WIFSIGNALED(status) {
        let signal = libc::WTERMSIG(status);
        // The command has left its core already, if anybody wants one.
        let none = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        let _ = setrlimit(Resource::Core, none);
        sys::die_by(signal);
    }
    ExitCode::from(u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(u8::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_has_notes_a_program_and_a_name() {
        let parse = |words: &[&str]| ObserveOptions::parse(words.iter().map(OsString::from));
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&["/notes", "/bin/sh"]), None);
        let options = parse(&["/notes", "/bin/sh", "sh", "-c", "true"]).unwrap();
        assert_eq!(options.program, Path::new("/bin/sh"));
        assert_eq!(options.arguments, ["sh", "-c", "true"]);
    }
}
