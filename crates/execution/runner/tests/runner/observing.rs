//! `farrier-runner observe`, with real commands.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use observation::{Deeds, Event, decode};
use tempfile::TempDir;

struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Place {
            directory: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(place.path("work")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().canonicalize().unwrap().join(name)
    }

    fn work(&self, name: &str) -> PathBuf {
        self.path("work").join(name)
    }

    fn observing(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farrier-runner"));
        command
            .arg("observe")
            .arg(self.path("notes"))
            .arg(program)
            .args(arguments)
            .current_dir(self.path("work"))
            .stdin(Stdio::null());
        command
    }

    fn shell(&self, script: &str) -> Command {
        self.observing("/bin/sh", &["sh", "-c", script])
    }

    fn events(&self) -> Vec<Event> {
        decode(&fs::read(self.path("notes")).unwrap()).unwrap()
    }

    fn deeds(&self) -> Result<Deeds, String> {
        Deeds::of(self.events()).map_err(|unkept| unkept.to_string())
    }

    /// What a script did, seen from the directory that it ran in.
    fn seen(&self, script: &str) -> Result<Deeds, String> {
        let status = self.shell(script).status().unwrap();
        assert!(status.success(), "{script}: {status}");
        self.deeds()
    }

    /// Those of the paths that are in the directory of the command, by their names.
    fn own<'a>(&self, paths: impl IntoIterator<Item = &'a PathBuf>) -> Vec<String> {
        let work = self.path("work");
        let own = paths.into_iter().filter_map(|path| path.strip_prefix(&work).ok());
        own.map(|path| path.display().to_string())
            .filter(|name| !name.is_empty())
            .collect()
    }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

#[test]
fn what_a_command_reads_and_makes_is_seen_through_all_that_it_starts() {
    let place = Place::new();
    write(&place.work("in"), "text");
    let script = "test -e missing || cat in | tr a-z A-Z > out; cat < in >/dev/null; echo x > tmp; mv tmp made; rm -f no";
    let deeds = place.seen(script).unwrap();
    assert_eq!(place.own(deeds.files.keys()), ["in"]);
    assert_eq!(place.own(&deeds.absent), ["missing", "no"]);
    assert_eq!(place.own(&deeds.products), ["made", "out"]);
    assert_eq!(fs::read_to_string(place.work("out")).unwrap(), "TEXT");
    // The programs, and what they are made of.
    let has = |name: &str| deeds.files.keys().any(|path| path.ends_with(name));
    assert!(has("sh") && has("cat") && has("tr"), "{:?}", deeds.files);
    let is_linked = |path: &PathBuf| path.to_string_lossy().contains("ld-linux");
    assert!(deeds.files.keys().any(is_linked), "{:?}", deeds.files);
}

#[test]
fn directories_links_and_scripts_are_seen() {
    let place = Place::new();
    write(
        &place.work("script"),
        "#!/bin/sh\nls -a listed; readlink link; mkdir -p a/b; : > a/b/out\n",
    );
    fs::create_dir(place.work("listed")).unwrap();
    write(&place.work("listed/one"), "");
    std::os::unix::fs::symlink("listed/one", place.work("link")).unwrap();
    let deeds = place
        .seen("chmod +x script.new 2>/dev/null; sh ./script")
        .unwrap();
    assert_eq!(deeds.listed[&place.work("listed")], ["fone"]);
    assert_eq!(deeds.links[&place.work("link")], Path::new("listed/one"));
    assert_eq!(place.own(&deeds.products), ["a/b/out"]);
    let made: Vec<_> = deeds.made_directories.iter().cloned().collect();
    assert_eq!(made, [place.work("a"), place.work("a/b")]);
    assert!(place.own(deeds.files.keys()).contains(&"script".to_owned()));
}

#[test]
fn threads_and_relative_descriptors_are_seen() {
    let place = Place::new();
    fs::create_dir(place.work("d")).unwrap();
    for number in 0..8 {
        write(&place.work("d").join(number.to_string()), "x");
    }
    let script = "
import os, threading
d = os.open('d', os.O_RDONLY | os.O_DIRECTORY)
def copy(i):
    f = os.open(str(i), os.O_RDONLY, dir_fd=d)
    g = os.open('../o%d' % i, os.O_WRONLY | os.O_CREAT, dir_fd=d)
    os.write(g, os.read(f, 10))
threads = [threading.Thread(target=copy, args=(i,)) for i in range(8)]
[t.start() for t in threads]
[t.join() for t in threads]
";
    let python = "/usr/bin/python3";
    let status = place
        .observing(python, &["python3", "-I", "-c", script])
        .status()
        .unwrap();
    assert!(status.success());
    let deeds = place.deeds().unwrap();
    let names = |prefix: &str| -> Vec<String> { (0..8).map(|i| format!("{prefix}{i}")).collect() };
    assert_eq!(place.own(deeds.files.keys()), names("d/"));
    // Named through the directory, and known by where they are.
    assert_eq!(place.own(&deeds.products), names("o"));
}

/// What ran, and then the reason why it is not kept.
#[test]
fn what_cannot_be_looked_at_again_is_told() {
    let check = |script: &str, expected: &str| {
        let place = Place::new();
        write(&place.work("file"), "text\n");
        let told = place.seen(script).unwrap_err();
        let told = told.replace(&format!("{}/", place.path("work").display()), "");
        assert_eq!(told, expected, "{script}");
    };
    check("echo more >> file", "it changes a file in place file");
    check(
        "x=$(cat file); echo $x > file",
        "it reads what it then writes file",
    );
    check("sort -o file file", "it reads what it then writes file");
    check(
        "dd if=/dev/null of=file bs=1 seek=1 conv=notrunc 2>/dev/null",
        "it reads what it then writes file",
    );
    check("rm file", "it removes file");
    check("mv file other", "it moves what it has not made file");
    check("touch -d @1 file", "it changes a file in place file");
    check("chmod 600 file", "it changes mode, owner or time of file");
    check("mv -n file other", "it moves what it has not made file");
    check("ln -s file link", "it makes a symlink");
    check("mkfifo pipe", "it makes a special file");
    check("mkdir empty", "it makes a directory with nothing in it empty");
    check("sleep 1000 >/dev/null 2>&1 & :", "it leaves a process behind");
    let connect = "/usr/bin/python3 -c 'import socket; socket.socket().connect_ex((\"127.0.0.1\", 9))'";
    check(connect, "it talks to others");
    Command::new("pkill")
        .args(["-f", "^sleep 1000$"])
        .status()
        .unwrap();
}

#[test]
fn standard_input_counts_only_if_it_is_read() {
    let place = Place::new();
    let with = |script: &str, input: Stdio| {
        let mut child = place.shell(script).stdin(input).spawn().unwrap();
        if let Some(mut input) = child.stdin.take() {
            // A command that does not read it has gone.
            let _ = input.write_all(b"text");
        }
        assert!(child.wait().unwrap().success());
        place.deeds().map(|_| ())
    };
    let reads = Err("it reads standard input".to_owned());
    assert_eq!(with("cat > out", Stdio::piped()), reads);
    assert_eq!(with("cat /dev/stdin > out", Stdio::piped()), reads);
    assert_eq!(with("exec 3<&0; cat <&3 > out", Stdio::piped()), reads);
    write(&place.work("in"), "text");
    let file = || Stdio::from(File::open(place.work("in")).unwrap());
    assert_eq!(with("cat > out", file()), reads);
    write(&place.work("sorted"), "as it was");
    for quiet in [
        "sort -o sorted in",
        "echo x > out",
        "echo x | cat > out",
        "cat < in > out",
    ] {
        assert_eq!(with(quiet, Stdio::piped()), Ok(()), "{quiet}");
        assert_eq!(with(quiet, Stdio::null()), Ok(()), "{quiet}");
    }
    assert_eq!(with("cat > out", Stdio::null()), Ok(()));
}

#[test]
fn it_ends_as_the_command_does() {
    let place = Place::new();
    let run = |script: &str| -> ExitStatus { place.shell(script).status().unwrap() };
    assert_eq!(run("exit 7").code(), Some(7));
    assert_eq!(run("kill -TERM $$").signal(), Some(libc::SIGTERM));
    assert_eq!(run("kill -KILL $$").signal(), Some(libc::SIGKILL));
    let absent = place
        .observing("/no/such/program", &["program"])
        .output()
        .unwrap();
    assert_eq!(absent.status.code(), Some(127));
    assert!(String::from_utf8_lossy(&absent.stderr).contains("/no/such/program"));
    let closed = place.observing("/etc/passwd", &["passwd"]).output().unwrap();
    assert_eq!(closed.status.code(), Some(126));
    // Whoever tells it to end means the command.
    let mut told = place
        .shell("trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    std::io::Read::read_exact(told.stdout.as_mut().unwrap(), &mut ready).unwrap();
    let process = libc::pid_t::try_from(told.id()).unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(process).unwrap(),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    assert_eq!(told.wait().unwrap().code(), Some(9));
}

#[test]
fn what_is_left_behind_goes_on_unharmed() {
    let place = Place::new();
    let script =
        "(while ! test -e go; do sleep 0.05; done; cat /etc/passwd > copy; mv copy late) >/dev/null 2>&1 & :";
    assert_eq!(place.seen(script).unwrap_err(), "it leaves a process behind");
    write(&place.work("go"), "");
    let late = place.work("late");
    for _ in 0..600 {
        if late.exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(fs::read(late).unwrap(), fs::read("/etc/passwd").unwrap());
}

#[test]
fn a_command_within_one_that_is_watched_runs_all_the_same() {
    let place = Place::new();
    write(&place.work("in"), "text");
    let inner = format!(
        "{} observe inner /bin/cat cat in > out",
        env!("CARGO_BIN_EXE_farrier-runner")
    );
    let deeds = place.seen(&inner).unwrap();
    assert_eq!(place.own(&deeds.products), ["out"]);
    assert!(place.own(deeds.files.keys()).contains(&"in".to_owned()));
}

/// A place among the jobs of a build is nothing that a product follows from; any other pipe may be.
#[test]
fn a_job_server_is_nobody_to_talk_to() {
    let place = Place::new();
    for name in ["jobs", "other"] {
        let made = Command::new("mkfifo").arg(place.path(name)).status();
        assert!(made.unwrap().success());
    }
    let flags = |name: &str| format!("-j4 --jobserver-auth=fifo:{}", place.path(name).display());
    let seen = |variable: &str, pipe: &str| {
        let script = format!("exec 7<>'{}'; echo made > out", place.path(pipe).display());
        let mut shell = place.shell(&script);
        let status = shell.env(variable, flags("jobs")).status().unwrap();
        assert!(status.success());
        place.deeds().map(|deeds| place.own(&deeds.products))
    };
    let pipe = Err("it talks to others through a named pipe".to_owned());
    for variable in ["MAKEFLAGS", "CARGO_MAKEFLAGS"] {
        assert_eq!(seen(variable, "jobs"), Ok(vec!["out".to_owned()]));
        assert_eq!(seen(variable, "other"), pipe);
    }
    assert_eq!(seen("OTHERFLAGS", "jobs"), pipe);
}

#[test]
fn files_that_are_open_already_are_told() {
    let place = Place::new();
    let script = format!(
        "exec 5> other; exec {} observe {} /bin/true true",
        env!("CARGO_BIN_EXE_farrier-runner"),
        place.path("notes").display()
    );
    let status = Command::new("sh")
        .args(["-c", &script])
        .current_dir(place.path("work"))
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(
        place.deeds().unwrap_err(),
        "it has been given files that are open"
    );
}
