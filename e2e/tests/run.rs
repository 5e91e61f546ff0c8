//! `farrier run`: builds as they are, with their compilers behind the cache.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::build::{User, copy, example, hashes};
use e2e::farrier::Farrier;
use e2e::waiting;
use tempfile::TempDir;

/// What a build of `examples/words` leaves.
const MADE: [&str; 3] = [".o", ".d", "words"];

/// How long something may take on a busy machine.
const AT_MOST: Duration = Duration::from_secs(30);

fn plain(directory: &Path, command: &[&str]) -> Result<()> {
    let status = Command::new(command[0])
        .args(&command[1..])
        .current_dir(directory)
        .status();
    let status = status.with_context(|| format!("{command:?} does not start"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

fn project(files: &[(&str, &str)]) -> Result<TempDir> {
    let directory = tempfile::Builder::new().prefix("farrier-project-").tempdir()?;
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().context("a parent")?)?;
        fs::write(path, text)?;
    }
    Ok(directory)
}

#[test]
fn a_project_is_compiled_once_and_comes_out_as_without_farrier() -> Result<()> {
    let user = User::new()?;
    let by_hand = example("words")?;
    plain(by_hand.path(), &["make", "-j2"])?;
    let expected = hashes(by_hand.path(), &MADE)?;
    assert_eq!(expected.len(), 4 * 2 + 1, "{expected:?}");

    let first = example("words")?;
    let build = user.build(first.path(), &[], &["make", "-j2"])?;
    assert_eq!(build.counts(), (5, 0, 0, 5), "{}", build.text);
    assert_eq!(hashes(first.path(), &MADE)?, expected);

    plain(first.path(), &["make", "clean"])?;
    let build = user.build(first.path(), &[], &["make", "-j2"])?;
    assert_eq!(build.counts(), (5, 5, 0, 0), "{}", build.text);
    assert_eq!(hashes(first.path(), &MADE)?, expected);

    let second = example("words")?;
    let build = user.build(second.path(), &[], &["make", "-j2"])?;
    assert_eq!(
        build.counts(),
        (5, 5, 0, 0),
        "in another directory: {}",
        build.text
    );
    assert_eq!(hashes(second.path(), &MADE)?, expected);

    // Two of the four include it; what they become is the same, so the link is known.
    let header = second.path().join("src/reader.h");
    fs::write(&header, fs::read_to_string(&header)? + "#define MORE 1\n")?;
    let build = user.build(second.path(), &[], &["make", "-j2"])?;
    assert_eq!(
        build.counts(),
        (3, 1, 0, 2),
        "after a change of one header: {}",
        build.text
    );
    Ok(())
}

#[test]
fn the_daemon_may_end_between_builds_and_the_cache_stays() -> Result<()> {
    let user = User::new()?;
    let project = example("words")?;
    user.build(project.path(), &[], &["make"])?;
    user.stop_daemon()?;
    plain(project.path(), &["make", "clean"])?;
    let build = user.build(project.path(), &[], &["make"])?;
    assert_eq!(build.counts(), (5, 5, 0, 0), "{}", build.text);
    Ok(())
}

#[test]
fn workers_compile_what_is_not_known_and_others_get_it() -> Result<()> {
    let farrier = Farrier::start()?;
    let endpoint = farrier.http_url();
    let options = ["--endpoint", endpoint.as_str(), "--strategy", "remote"];
    let by_hand = example("words")?;
    plain(by_hand.path(), &["make", "-j2", "CFLAGS=-O2 -g"])?;
    let expected = hashes(by_hand.path(), &[".d"])?;

    let first = example("words")?;
    let user = User::new()?;
    let build = user.build(first.path(), &options, &["make", "-j2"])?;
    assert_eq!(build.counts(), (5, 0, 5, 0), "{}", build.text);
    plain(by_hand.path(), &["make", "clean"])?;
    plain(by_hand.path(), &["make", "-j2"])?;
    assert_eq!(hashes(first.path(), &MADE)?, hashes(by_hand.path(), &MADE)?);

    let other = User::new()?;
    let second = example("words")?;
    let build = other.build(second.path(), &options, &["make", "-j2"])?;
    assert_eq!(build.counts(), (5, 5, 0, 0), "{}", build.text);

    // Debug information holds the directory: compiled where it says, found again only there.
    plain(first.path(), &["make", "clean"])?;
    let build = user.build(first.path(), &options, &["make", "-j2", "CFLAGS=-O2 -g"])?;
    assert_eq!(build.counts(), (5, 0, 5, 0), "{}", build.text);
    let remote = hashes(first.path(), &[".o"])?;
    plain(first.path(), &["make", "clean"])?;
    plain(first.path(), &["make", "-j2", "CFLAGS=-O2 -g"])?;
    assert_eq!(hashes(first.path(), &[".o"])?, remote);
    assert_eq!(hashes(first.path(), &[".d"])?, expected);
    Ok(())
}

#[test]
fn without_its_server_a_build_is_as_good_as_without_farrier() -> Result<()> {
    let user = User::new()?;
    let project = example("words")?;
    let options = [
        "--endpoint",
        "http://127.0.0.1:9",
        "--strategy",
        "remote_local_fallback",
    ];
    let build = user.build(project.path(), &options, &["make", "-j2"])?;
    ensure!(build.text.contains("the server is down"), "{}", build.text);
    let by_hand = example("words")?;
    plain(by_hand.path(), &["make", "-j2"])?;
    assert_eq!(hashes(project.path(), &MADE)?, hashes(by_hand.path(), &MADE)?);
    Ok(())
}

#[test]
fn what_does_not_come_out_the_same_is_named() -> Result<()> {
    let user = User::new()?;
    // The names of sections for the optimiser of links are chosen at random.
    let project = project(&[
        ("same.c", "int same(void) { return 1; }\n"),
        ("random.c", "int random_one(void) { return 2; }\n"),
        (
            "Makefile",
            "all: same.o random.o\nsame.o: same.c\n\tgcc -c same.c\nrandom.o: random.c\n\tgcc -flto -c random.c\n",
        ),
    ])?;
    let directory = project.path();
    let again = || -> Result<e2e::build::Summary> {
        plain(directory, &["rm", "-f", "same.o", "random.o"])?;
        user.build(directory, &["--compare"], &["make"])
    };
    let first = user.build(directory, &["--compare"], &["make"])?;
    ensure!(!first.text.contains("compared"), "with nothing: {}", first.text);
    for _ in 0..2 {
        let build = again()?;
        let expected = "farrier: compared: 2 steps; outputs that differ: 1 (random.o)";
        ensure!(build.text.contains(expected), "{}", build.text);
        assert_eq!(build.cached, 0, "{}", build.text);
    }
    plain(directory, &["rm", "-f", "same.o", "random.o"])?;
    let build = user.build(directory, &[], &["make"])?;
    assert_eq!(build.counts(), (2, 2, 0, 0), "{}", build.text);
    Ok(())
}

#[test]
fn what_was_built_on_this_machine_before_needs_no_server() -> Result<()> {
    let mut farrier = Farrier::start()?;
    let endpoint = farrier.http_url();
    let user = User::new()?;
    let options = ["--endpoint", endpoint.as_str(), "--strategy", "local"];
    let project = example("words")?;
    let build = user.build(project.path(), &options, &["make", "-j2"])?;
    assert_eq!(build.counts(), (5, 0, 0, 5), "{}", build.text);
    let expected = hashes(project.path(), &MADE)?;
    farrier.kill()?;
    // What a new daemon knows is what the one before has written down.
    for starts_anew in [false, true] {
        if starts_anew {
            user.stop_daemon()?;
        }
        plain(project.path(), &["make", "clean"])?;
        let build = user.build(project.path(), &options, &["make", "-j2"])?;
        assert_eq!(build.counts(), (5, 5, 0, 0), "{}", build.text);
        assert_eq!(hashes(project.path(), &MADE)?, expected);
    }
    Ok(())
}

#[test]
fn a_server_that_is_killed_or_frozen_in_the_middle_stops_no_build() -> Result<()> {
    for kills in [true, false] {
        let mut farrier = Farrier::start()?;
        let endpoint = farrier.http_url();
        let user = User::new()?;
        let project = example("words")?;
        let options = [
            "--endpoint",
            endpoint.as_str(),
            "--strategy",
            "remote_local_fallback",
        ];
        user.build(project.path(), &options, &["make", "build/table.o"])?;
        match kills {
            true => farrier.kill()?,
            false => farrier.freeze(),
        }
        let begun = std::time::Instant::now();
        let build = user.build(project.path(), &options, &["make", "-j2"])?;
        let took = begun.elapsed();
        farrier.thaw();
        ensure!(build.text.contains("the server is down"), "{}", build.text);
        // What a dead server may cost, and a build of a second on a busy machine.
        ensure!(took.as_secs() < 12, "{took:?}");
        let by_hand = example("words")?;
        plain(by_hand.path(), &["make", "-j2"])?;
        assert_eq!(hashes(project.path(), &MADE)?, hashes(by_hand.path(), &MADE)?);
    }
    Ok(())
}

#[test]
fn a_new_header_that_comes_first_is_not_overlooked() -> Result<()> {
    let user = User::new()?;
    let project = project(&[
        ("one/empty.h", ""),
        ("two/config.h", "#define VALUE 2\n"),
        (
            "a.c",
            "#include <config.h>\n#if __has_include(<extra.h>)\n#define EXTRA 100\n#else\n#define EXTRA 0\n#endif\n\
             int main(void) { return VALUE + EXTRA; }\n",
        ),
    ])?;
    let directory = project.path();
    let script = "rm -f a.o && gcc -Ione -Itwo -c a.c -o a.o && gcc -o a a.o && ./a";
    let value = || -> Result<(Option<i32>, String)> {
        let output = user.run(directory, &[], &["sh", "-c", script])?;
        Ok((
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ))
    };
    for (name, text, expected) in [
        ("two/nothing.h", "", 2),
        ("one/config.h", "#define VALUE 1\n", 1),
        ("two/extra.h", "", 101),
        // Of the same length, at once.
        ("one/config.h", "#define VALUE 7\n", 107),
        ("one/config.h", "#define VALUE 5\n", 105),
    ] {
        fs::write(directory.join(name), text)?;
        for _ in 0..2 {
            let (code, text) = value()?;
            assert_eq!(code, Some(expected), "after writing {name}: {text}");
        }
    }
    fs::remove_file(directory.join("one/config.h"))?;
    assert_eq!(value()?.0, Some(102));
    Ok(())
}

#[test]
fn what_a_compiler_says_is_said_and_what_it_refuses_is_refused() -> Result<()> {
    let user = User::new()?;
    let project = project(&[
        ("warns.c", "int f(void) { int x; return 1; }\n"),
        ("fails.c", "int f(void) { return y; }\n"),
    ])?;
    let compile = |source: &str| {
        let mut words = vec!["gcc", "-Wall", "-c", source];
        words.extend(["-o", "out.o"]);
        user.run(project.path(), &["--quiet"], &words)
    };
    let by_hand = |source: &str| {
        Command::new("gcc")
            .args(["-Wall", "-c", source, "-o", "other.o"])
            .current_dir(project.path())
            .output()
    };
    for source in ["warns.c", "fails.c"] {
        let expected = by_hand(source)?;
        for _ in 0..2 {
            let output = compile(source)?;
            assert_eq!(output.status.code(), expected.status.code());
            assert_eq!(
                String::from_utf8_lossy(&output.stderr),
                String::from_utf8_lossy(&expected.stderr)
            );
            assert_eq!(output.stdout, expected.stdout);
        }
    }
    Ok(())
}

/// `script` runs a build on a terminal of its own.
#[test]
fn on_a_terminal_messages_have_their_colours() -> Result<()> {
    const COLOUR: &str = "\u{1b}[";
    for cc in ["gcc", "clang"] {
        let user = User::new()?;
        let warns = project(&[("a.c", "int a(void) { int unused; return 0; }\n")])?;
        let farrier = e2e::tools::farrier()?;
        let build = format!("{} run --quiet -- {cc} -Wall -g -c a.c -o a.o", farrier.display());
        let on_terminal = || -> Result<String> {
            let output = Command::new("script")
                .args(["--quiet", "--return", "--command", &build, "/dev/null"])
                .current_dir(warns.path())
                .env("FARRIER_STATE_DIR", user.state())
                .env("TERM", "xterm")
                .env_remove("FARRIER_SOCKET")
                .env_remove("NO_COLOR")
                .env_remove("GCC_COLORS")
                .output()
                .context("script does not start")?;
            let said = String::from_utf8_lossy(&output.stdout).replace('\r', "");
            ensure!(output.status.success() && said.contains("unused"), "{said}");
            Ok(said)
        };
        let seen = on_terminal()?;
        ensure!(seen.contains(COLOUR), "{cc}: {seen:?}");
        let kept = on_terminal()?;
        let object = fs::read(warns.path().join("a.o"))?;
        let steps = user.steps()?;
        ensure!(steps.iter().all(|(_, how)| how == "hit"), "{steps:?}");
        let by_hand = Command::new(cc)
            .args(["-Wall", "-g", "-c", "a.c", "-o", "a.o"])
            .current_dir(warns.path())
            .output()?;
        assert_eq!(kept, String::from_utf8(by_hand.stderr)?);
        ensure!(fs::read(warns.path().join("a.o"))? == object, "{cc}");
    }
    Ok(())
}

#[test]
fn everything_else_is_as_it_was() -> Result<()> {
    let user = User::new()?;
    let project = project(&[("a b.c", "int main(void) { return 0; }\n")])?;
    for (script, expected) in [
        ("exit 7", 7),
        ("kill -TERM $$", 143),
        ("echo 'int main(void) { return 3; }' | gcc -x c -o a - && ./a", 3),
        ("gcc -dumpmachine | grep -q linux", 0),
        ("gcc -c 'a b.c' -o 'a b.o' && test -s 'a b.o'", 0),
        ("gcc -E 'a b.c' | grep -q main", 0),
        ("echo int x | gcc -x c -c - -o /dev/null; test $? = 1", 0),
        ("gcc 2>/dev/null", 1),
        ("no-such-program", 127),
        (
            "umask 077 && gcc -c 'a b.c' -o m.o && stat -c %a m.o | grep -qx 600",
            0,
        ),
        (
            "umask 077 && rm m.o && gcc -c 'a b.c' -o m.o && stat -c %a m.o | grep -qx 600",
            0,
        ),
        (
            "mkdir -p ro && gcc -c 'a b.c' -o no/such/directory/a.o 2>/dev/null",
            1,
        ),
    ] {
        let output = user.run(project.path(), &["--quiet"], &["sh", "-c", script])?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(expected), "{script}: {said}");
    }
    Ok(())
}

#[test]
fn who_waits_for_a_worker_gives_his_place_to_another() -> Result<()> {
    // No worker: whatever is asked of one waits.
    let farrier = Farrier::start_with(&["--slots=0"])?;
    let user = User::new()?;
    let project = example("words")?;
    let endpoint = farrier.http_url();
    let words = [
        "run",
        "--endpoint",
        &endpoint,
        "--strategy",
        "remote",
        "--",
        "make",
        "-j2",
    ];
    let mut build = user.farrier(&words)?.current_dir(project.path()).spawn()?;
    let outcome = waiting::until("four compilations are under way with two places", AT_MOST, || {
        let status = user.farrier(&["status", "--json"])?.output()?;
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
        Ok((status["under_way"] == 4).then_some(()))
    });
    let build_process = rustix::process::Pid::from_child(&build);
    rustix::process::kill_process(build_process, rustix::process::Signal::TERM)?;
    let status = waiting::end_of(&mut build, AT_MOST)?.context("the build does not end")?;
    outcome?;
    ensure!(!status.success(), "{status}");
    // make has told its commands to end, and nobody goes on for them.
    waiting::until("nothing is under way any more", AT_MOST, || {
        let status = user.farrier(&["status", "--json"])?.output()?;
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
        Ok((status["under_way"] == 0).then_some(()))
    })
}

#[test]
fn what_was_built_is_told_step_by_step() -> Result<()> {
    let user = User::new()?;
    let project = copy(example("words")?.path())?;
    user.build(project.path(), &[], &["make"])?;
    let ask = |words: &[&str]| -> Result<String> {
        let output = user.farrier(words)?.output()?;
        ensure!(
            output.status.success(),
            "{words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    };
    let steps = ask(&["steps", "table"])?;
    ensure!(
        steps.lines().count() == 1 && steps.contains("local") && steps.contains("build/table.o"),
        "{steps}"
    );
    let text = ask(&["trace"])?;
    assert_eq!(text, ask(&["steps", "--trace"])?);
    let trace: serde_json::Value = serde_json::from_str(&text)?;
    let events = trace["traceEvents"].as_array().into_iter().flatten();
    let (phases, steps): (Vec<_>, Vec<_>) = events.partition(|event| event["cat"] == "phase");
    assert_eq!(steps.len(), 5, "four compilations and a link: {trace}");
    ensure!(phases.iter().any(|phase| phase["name"] == "here"), "{trace}");
    let header = project.path().join("src/reader.h");
    fs::write(&header, fs::read_to_string(&header)? + "#define MORE 1\n")?;
    user.build(project.path(), &[], &["make"])?;
    let why = ask(&["why", "main.o"])?;
    ensure!(
        why.contains("input src/reader.h has changed") && why.lines().count() == 3,
        "{why}"
    );
    let why = ask(&["why", "build/table.o"])?;
    ensure!(why.contains("not done before"), "{why}");
    let status = ask(&["status"])?;
    ensure!(status.contains("(up)"), "{status}");
    Ok(())
}
