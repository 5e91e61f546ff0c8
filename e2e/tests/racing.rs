//! A worker and this machine, whichever is first: what comes of it, and what is left of the other one.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::dialects::User;
use e2e::farrier::Farrier;
use e2e::waiting;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// `rewrapper` for compilations that race, with the project as its root.
fn racing(project: &Path) -> String {
    format!(
        "rewrapper -exec_root={} -labels=type=compile,compiler=gcc,lang=c -exec_strategy=racing --",
        project.display()
    )
}

/// A source that takes a compiler some seconds.
fn long_source(name: &str) -> String {
    let function = |number: usize| {
        let steps = (0..40).map(|step| {
            format!(
                "x = x * {} ^ y >> {}; y += x % {};",
                number + step,
                step % 31,
                step + 3
            )
        });
        let steps: String = steps.collect();
        format!(
            "unsigned {name}_{number}(unsigned x, unsigned y) {{ for (int i = 0; i < 100; i++) {{ {steps} }} return x; }}\n"
        )
    };
    (0..150).map(function).collect()
}

/// The compiler proper that works on this source, here or at a worker, as soon as there is one.
fn compiler_of(source: &str, is_here: bool, project: &Path) -> Result<Pid> {
    let what = format!(
        "a compiler of {source}, {}",
        if is_here { "here" } else { "at a worker" }
    );
    waiting::until(&what, Duration::from_secs(30), || {
        let found = Command::new("pgrep")
            .args(["-f", &format!("cc1 .*{source}")])
            .output()?;
        let processes = String::from_utf8(found.stdout)?;
        let is_meant = |process: &&str| {
            let directory = fs::read_link(format!("/proc/{process}/cwd"));
            directory.is_ok_and(|directory| (directory == project) == is_here)
        };
        let process = processes.lines().find(is_meant);
        Ok(process.and_then(|process| Pid::from_raw(process.parse().ok()?)))
    })
}

/// Whoever is first makes the object, and of the other nothing is left: neither a process, though it stands still, nor a
/// temporary file.
#[test]
fn a_worker_and_this_machine_race() -> Result<()> {
    let farrier = Farrier::start()?;
    let user = User::of_running_reclient(farrier.address())?;
    let project = user.at("project").canonicalize()?;
    let temporary = user.at("tmp");
    fs::create_dir(&temporary)?;
    for (source, is_here) in [("stopped_here.c", true), ("stopped_there.c", false)] {
        fs::write(project.join(source), long_source(source.trim_end_matches(".c")))?;
        user.build(&project, &format!("gcc -O2 -c {source} -o plain.o"))?;
        let temporary = temporary.display();
        let line = format!(
            "TMPDIR={temporary} {} gcc -O2 -c {source} -o a.o",
            racing(&project)
        );
        let stopped = thread::scope(|scope| {
            let building = scope.spawn(|| user.build(&project, &line));
            let stopped = compiler_of(source, is_here, &project)?;
            kill_process(stopped, Signal::STOP)?;
            building.join().expect("it does not panic")?;
            anyhow::Ok(stopped)
        })?;
        ensure!(
            fs::read(project.join("a.o"))? == fs::read(project.join("plain.o"))?,
            "{source}: another object"
        );
        fs::remove_file(project.join("a.o"))?;
        waiting::until("the end of the loser", Duration::from_secs(20), || {
            Ok(test_kill_process(stopped).is_err().then_some(()))
        })?;
    }
    ensure!(!project.join("a.o").exists(), "the loser has gone on");
    // What is wrong is said once, by whoever knows it.
    fs::write(project.join("wrong.c"), "int f(void) { return nothing; }\n")?;
    let line = format!(
        "{} gcc -c wrong.c -o wrong.o 2>said; test $? = 1 && test $(grep -c 'error:' said) = 1 && test ! -e wrong.o",
        racing(&project)
    );
    user.build(&project, &line)?;
    let statuses = user.statuses()?;
    assert_eq!(statuses, ["RACING_REMOTE", "RACING_LOCAL", "NON_ZERO_EXIT"]);
    Ok(())
}

/// Many at once, under make, which counts its jobs.
#[test]
fn a_build_of_races_makes_what_it_makes_without() -> Result<()> {
    let farrier = Farrier::start()?;
    let user = User::of_running_reclient(farrier.address())?;
    let project = user.at("project");
    for number in 0..40 {
        let source = format!("#include <stdio.h>\nint f{number}(int n) {{ return n * {number}; }}\n");
        fs::write(project.join(format!("f{number}.c")), source)?;
    }
    let makefile = "OBJECTS := $(patsubst %.c,%.o,$(wildcard f*.c))\nall: $(OBJECTS)\n%.o: %.c\n\t+$(CC) -O1 -c $< -o $@\n";
    fs::write(project.join("Makefile"), makefile)?;
    let objects = || -> Result<Vec<Vec<u8>>> {
        (0..40)
            .map(|number| Ok(fs::read(project.join(format!("f{number}.o")))?))
            .collect()
    };
    user.build(&project, "make -j4 >/dev/null CC=gcc")?;
    let plain = objects()?;
    let compiler = format!("{} gcc", racing(&project));
    user.build(&project, &format!("rm f*.o; make -j8 >/dev/null CC='{compiler}'"))?;
    ensure!(objects()? == plain, "other objects");
    let statuses = user.statuses()?;
    ensure!(
        statuses.len() == 40 && statuses.iter().all(|status| status.starts_with("RACING_")),
        "{statuses:?}"
    );
    Ok(())
}
