//! What users of reclient and recc may set about where a command's files are, what is put before it, and what is kept of it: each
//! with a worker, and with what comes of it. What they may set about races is in `racing.rs`.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use anyhow::{Result, ensure};
use e2e::dialects::User;
use e2e::farrier::Farrier;
use e2e::tools::executable;

/// A wrapper that says that it was there.
const WRAPPER: &str = "#!/bin/sh\necho \"before $1\"\nexec \"$@\"\n";

fn of_recc(farrier: &Farrier, variables: &[(&str, &str)]) -> Result<User> {
    let mut user = User::new(&[("RECC_SERVER", farrier.http_url())])?;
    let more = variables.iter();
    user.variables
        .extend(more.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    Ok(user)
}

/// `rewrapper` in a directory of the project, which is its root. What it printed on standard output and error.
fn rewrapped(user: &User, directory: &str, flags: &str, command: &str) -> Result<String> {
    let root = user.at("project");
    let line = format!("rewrapper -exec_root={} {flags} -- {command} >&2", root.display());
    user.build(&root.join(directory), &line)
}

/// `out/Debug` and `out/Release` share what does not hold their names, and nothing else.
#[test]
fn a_working_directory_of_any_name() -> Result<()> {
    let farrier = Farrier::start()?;
    let user = User::of_running_reclient(farrier.address())?;
    let directories = ["out/Debug", "out/Release"];
    for directory in directories {
        let generated = user.at("project").join(directory).join("gen");
        fs::create_dir_all(&generated)?;
        fs::write(generated.join("made.h"), "#define MADE 7\n")?;
    }
    let source = "#include \"made.h\"\nconst char *file = __FILE__; int made = MADE;\n";
    fs::write(user.at("project/b.c"), source)?;
    let compile = |directory: &str, options: &str| -> Result<Vec<u8>> {
        let flags =
            "-labels=type=compile,compiler=gcc,lang=cpp -exec_strategy=remote -canonicalize_working_dir";
        let command = format!("gcc -Igen {options} -MD -MF b.d -c ../../b.c -o b.o");
        rewrapped(&user, directory, flags, &command)?;
        let at = user.at("project").join(directory);
        let rule = fs::read_to_string(at.join("b.d"))?;
        ensure!(
            rule.starts_with("b.o: ../../b.c") && rule.contains(" gen/made.h"),
            "{rule}"
        );
        let plain = Command::new("sh")
            .args(["-c", &format!("gcc -Igen {options} -c ../../b.c -o plain.o")])
            .current_dir(&at)
            .status()?;
        ensure!(plain.success());
        let made = fs::read(at.join("b.o"))?;
        ensure!(
            made == fs::read(at.join("plain.o"))?,
            "{directory} {options}: another object"
        );
        Ok(made)
    };
    let [one, other] = directories.map(|directory| compile(directory, ""));
    ensure!(one? == other?);
    // Debug information has the directory in it; and a way that comes from above needs it.
    let [one, other] = directories.map(|directory| compile(directory, "-g"));
    ensure!(one? != other?, "both have the directory of one");
    for directory in directories {
        compile(directory, &format!("-I../../{directory}"))?;
    }
    assert_eq!(
        user.statuses()?,
        [
            "REMOTE_EXECUTION",
            "CACHE_HIT",
            "REMOTE_EXECUTION",
            "REMOTE_EXECUTION",
            "REMOTE_EXECUTION",
            "REMOTE_EXECUTION"
        ]
    );
    Ok(())
}

#[test]
fn links_are_links_where_that_is_wanted() -> Result<()> {
    let farrier = Farrier::start()?;
    let user = User::of_running_reclient(farrier.address())?;
    fs::create_dir(user.at("project/real"))?;
    fs::write(user.at("project/real/b.h"), "#define B 3\n")?;
    symlink("real", user.at("project/linked"))?;
    symlink("b.h", user.at("project/real/c.h"))?;
    let ask = "sh -c 'if [ -L linked ] && [ -L real/c.h ]; then echo links; else echo files; fi > said'";
    let said = |flags: &str| -> Result<String> {
        rewrapped(
            &user,
            ".",
            &format!("-inputs=linked,real -output_files=said {flags}"),
            ask,
        )?;
        Ok(fs::read_to_string(user.at("project/said"))?)
    };
    ensure!(said("")? == "files\n" && said("-preserve_symlink")? == "links\n");
    // What is found is found through links as well.
    fs::write(user.at("project/b.c"), "#include \"c.h\"\nint b = B;\n")?;
    let flags = "-labels=type=compile,compiler=gcc,lang=c -preserve_symlink";
    rewrapped(&user, ".", flags, "gcc -Ilinked -c b.c -o b.o")?;
    ensure!(user.at("project/b.o").is_file());
    fs::write(user.at("project/real/b.h"), "#define B 4\n")?;
    rewrapped(&user, ".", flags, "gcc -Ilinked -c b.c -o b.o")?;
    assert_eq!(user.statuses()?, ["REMOTE_EXECUTION"; 4]);
    Ok(())
}

#[test]
fn a_wrapper_comes_before_the_command_where_it_runs() -> Result<()> {
    let farrier = Farrier::start()?;
    let user = User::of_running_reclient(farrier.address())?;
    fs::create_dir(user.at("project/tools"))?;
    let wrapper = user.at("project/tools/wrap.sh");
    executable(&wrapper, WRAPPER)?;
    let wrappers = "-remote_wrapper=tools/wrap.sh -local_wrapper=tools/wrap.sh";
    let run = |strategy: &str, wrappers: &str| -> Result<String> {
        let flags = format!("-labels=type=compile,compiler=gcc,lang=c -exec_strategy={strategy} {wrappers}");
        let _ = fs::remove_file(user.at("project/a.o"));
        let said = rewrapped(&user, ".", &flags, "gcc -c a.c -o a.o")?;
        ensure!(user.at("project/a.o").is_file());
        Ok(said)
    };
    // A worker has it, what it prints is a part of the result, and another wrapper is another command.
    ensure!(run("remote", wrappers)? == "before /usr/bin/gcc\n");
    ensure!(run("remote", wrappers)? == "before /usr/bin/gcc\n");
    ensure!(run("remote", "")?.is_empty());
    executable(&wrapper, &WRAPPER.replace("before", "now before"))?;
    ensure!(run("remote", wrappers)? == "now before /usr/bin/gcc\n");
    // Here too, where nobody knows what it reads: nothing is known of that.
    ensure!(run("local", wrappers)? == "now before gcc\n");
    executable(&wrapper, WRAPPER)?;
    ensure!(run("local", wrappers)? == "before gcc\n");
    assert_eq!(
        user.statuses()?,
        [
            "REMOTE_EXECUTION",
            "CACHE_HIT",
            "REMOTE_EXECUTION",
            "REMOTE_EXECUTION",
            "LOCAL_EXECUTION",
            "LOCAL_EXECUTION"
        ]
    );
    Ok(())
}

#[test]
fn failures_are_kept_where_that_is_wanted() -> Result<()> {
    let farrier = Farrier::start()?;
    let user = of_recc(
        &farrier,
        &[
            ("RECC_CACHE_ONLY", "1"),
            ("RECC_CACHE_UPLOAD_LOCAL_BUILD", "1"),
            ("RECC_CACHE_UPLOAD_FAILED_BUILD", "1"),
        ],
    )?;
    fs::write(user.at("project/wrong.c"), "int f(void) { return nothing; }\n")?;
    let compile = |more: &[(&str, &str)]| -> Result<String> {
        let output = user.run(&["recc", "gcc", "-c", "wrong.c", "-o", "wrong.o"], more)?;
        ensure!(output.status.code() == Some(1), "{output:?}");
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let first = compile(&[])?;
    ensure!(first.contains("nothing"), "{first}");
    ensure!(compile(&[])? == first);
    compile(&[("RECC_IGNORE_FAILURE_RESULT", "1")])?;
    // Something is there that a compiler might remove.
    fs::write(user.at("project/wrong.o"), "old")?;
    compile(&[])?;
    // What the machine is at fault for may go well the next time.
    fs::write(user.at("project/wrong.c"), "#include \"none.h\"\n")?;
    compile(&[])?;
    compile(&[])?;
    let steps = user.steps_of_recc()?;
    ensure!(
        steps[..4] == ["local", "hit", "local", "local, not kept"] && !steps[4..].contains(&"hit".to_owned()),
        "{steps:?}"
    );
    Ok(())
}

#[test]
fn each_kind_of_command_runs_where_it_is_to_run() -> Result<()> {
    let farrier = Farrier::start()?;
    let user = of_recc(
        &farrier,
        &[
            ("RECC_COMPILE_CACHE_ONLY", "1"),
            ("RECC_CACHE_UPLOAD_LOCAL_BUILD", "1"),
            ("RECC_LINK", "1"),
        ],
    )?;
    for _ in 0..2 {
        user.compile(&["recc"])?;
        user.succeeds(&["recc", "gcc", "a.o", "-o", "a"])?;
    }
    assert_eq!(user.steps_of_recc()?, ["local", "remote", "hit", "hit"]);
    Ok(())
}

#[test]
fn links_may_be_counted_only() -> Result<()> {
    let farrier = Farrier::start()?;
    let user = of_recc(
        &farrier,
        &[("RECC_CACHE_ONLY", "1"), ("RECC_CACHE_UPLOAD_LOCAL_BUILD", "1")],
    )?;
    user.compile(&["recc"])?;
    let link = |more: &[(&str, &str)]| -> Result<()> {
        let _ = fs::remove_file(user.at("project/a"));
        let output = user.run(&["recc", "gcc", "a.o", "-o", "a"], more)?;
        ensure!(
            output.status.success() && user.at("project/a").is_file(),
            "{output:?}"
        );
        Ok(())
    };
    let counted = [("RECC_LINK_METRICS_ONLY", "1")];
    link(&counted)?;
    link(&[("RECC_LINK", "1")])?;
    link(&counted)?;
    let steps = user.reasons_of_recc()?;
    let why: Vec<_> = steps.iter().map(|(_, why)| why.as_str()).collect();
    assert_eq!(
        why,
        [
            "",
            "its result was not known, and only counted",
            "",
            "its result was known, and only counted"
        ],
        "{steps:?}"
    );
    Ok(())
}

#[test]
fn directories_of_recc() -> Result<()> {
    let farrier = Farrier::start()?;
    let user = of_recc(&farrier, &[])?;
    let absolute = user.at("project/a.c").display().to_string();
    let compile = |source: &str, more: &[(&str, &str)]| -> Result<Vec<u8>> {
        let _ = fs::remove_file(user.at("project/a.o"));
        let output = user.run(&["recc", "gcc", "-g", "-c", source, "-o", "a.o"], more)?;
        ensure!(output.status.success(), "{output:?}");
        Ok(fs::read(user.at("project/a.o"))?)
    };
    let plain = compile("a.c", &[])?;
    ensure!(compile("a.c", &[("RECC_WORKING_DIR_PREFIX", "deep/er")])? == plain);
    ensure!(compile("a.c", &[("RECC_NO_PATH_REWRITE", "1")])? == plain);
    let named = compile(&absolute, &[("RECC_NO_PATH_REWRITE", "1")])?;
    ensure!(
        named
            .windows(absolute.len())
            .any(|window| window == absolute.as_bytes())
    );
    // Without debug information nothing tells where it was, and it is deeper for the worker.
    user.succeeds(&["recc", "gcc", "-c", "a.c", "-o", "a.o"])?;
    let deeper = user.run(
        &["recc", "gcc", "-c", "a.c", "-o", "a.o"],
        &[("RECC_WORKING_DIR_PREFIX", "deep/er")],
    )?;
    ensure!(deeper.status.success(), "{deeper:?}");
    // All that is here is given, and nothing else.
    compile(
        "a.c",
        &[
            ("RECC_DEPS_DIRECTORY_OVERRIDE", "."),
            ("RECC_DEPS_GLOBAL_PATHS", "1"),
        ],
    )?;
    let steps = user.steps_of_recc()?;
    ensure!(
        steps.iter().all(|how| how == "remote" || how == "hit"),
        "{steps:?}"
    );
    ensure!(
        steps.iter().filter(|how| *how == "remote").count() >= 4,
        "{steps:?}"
    );
    Ok(())
}
