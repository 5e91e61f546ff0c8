//! Commands of tools that nobody here knows, of which reclient's users say what they read and make (`type=tool`, its default).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::dialects::User;
use e2e::farrier::Farrier;
use e2e::tools::executable;

/// A tool of the project's own: it copies what it reads to two places, and leaves a link and an empty directory.
const TOOL: &str = "#!/bin/sh\nset -e\necho \"making $2\"\nmkdir -p $2/sub $2/empty\ncp $1 $2/copy\ntr a-z A-Z < $1 > $2/sub/loud\n\
                    chmod +x $2/sub/loud\nln -s sub/loud $2/link\n";

fn project(farrier: &Farrier) -> Result<User> {
    let user = User::of_running_reclient(farrier.address())?;
    tool_and_data(&user)?;
    Ok(user)
}

fn tool_and_data(user: &User) -> Result<()> {
    for directory in ["project/tools", "project/data"] {
        fs::create_dir(user.at(directory))?;
    }
    let tool = user.at("project/tools/copy.sh");
    executable(&tool, TOOL)?;
    fs::write(user.at("project/data/in"), "hello\n")?;
    fs::write(user.at("project/data/undeclared"), "secret\n")?;
    Ok(())
}

/// `rewrapper` with the project as its root.
fn rewrapped(user: &User, strategy: &str, flags: &[&str], command: &[&str]) -> Result<Output> {
    let root = format!("-exec_root={}", user.at("project").display());
    let strategy = format!("-exec_strategy={strategy}");
    user.run(
        &[&["rewrapper", &root, &strategy], flags, &["--"], command].concat(),
        &[],
    )
}

fn made_well(user: &User, output: &Output, content: &str) -> Result<()> {
    ensure!(output.status.success(), "{output:?}");
    ensure!(output.stdout == b"making out\n", "{output:?}");
    let out = user.at("project/out");
    let read = |path: &str| fs::read_to_string(out.join(path)).with_context(|| path.to_owned());
    ensure!(read("copy")? == content && read("link")? == content.to_uppercase());
    ensure!(fs::read_link(out.join("link"))? == Path::new("sub/loud"));
    ensure!(fs::metadata(out.join("sub/loud"))?.permissions().mode() & 0o111 != 0);
    let mut there: Vec<_> = fs::read_dir(&out)?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<Result<_>>()?;
    there.sort();
    ensure!(there == ["copy", "empty", "link", "sub"], "{there:?}");
    Ok(())
}

fn count(how: &[String], status: &str) -> usize {
    how.iter().filter(|word| *word == status).count()
}

const FLAGS: [&str; 2] = ["-inputs=data/in", "-output_directories=out"];
const COMMAND: [&str; 3] = ["tools/copy.sh", "data/in", "out"];

#[test]
fn what_is_declared_is_known_elsewhere_and_comes_as_it_was_made() -> Result<()> {
    let farrier = Farrier::start()?;
    let user = project(&farrier)?;
    made_well(&user, &rewrapped(&user, "remote", &FLAGS, &COMMAND)?, "hello\n")?;

    // What is left from another build goes, and what counts is what is declared.
    fs::write(user.at("project/out/old"), "old")?;
    fs::write(user.at("project/out/copy"), "other")?;
    fs::write(user.at("project/data/undeclared"), "changed\n")?;
    made_well(&user, &rewrapped(&user, "remote", &FLAGS, &COMMAND)?, "hello\n")?;

    fs::write(user.at("project/data/in"), "changed\n")?;
    made_well(&user, &rewrapped(&user, "remote", &FLAGS, &COMMAND)?, "changed\n")?;
    // The tool is an input too, though nobody says so.
    fs::write(
        user.at("project/tools/copy.sh"),
        TOOL.replace("$1 $2/copy", "$1 $2/copy # changed"),
    )?;
    made_well(&user, &rewrapped(&user, "remote", &FLAGS, &COMMAND)?, "changed\n")?;

    // A worker has nothing but that.
    let undeclared = rewrapped(
        &user,
        "remote",
        &FLAGS,
        &["tools/copy.sh", "data/undeclared", "out"],
    )?;
    ensure!(!undeclared.status.success(), "{undeclared:?}");
    ensure!(
        String::from_utf8_lossy(&undeclared.stderr).contains("data/undeclared"),
        "{undeclared:?}"
    );
    let how = user.statuses()?;
    ensure!(count(&how, "CACHE_HIT") == 1, "{how:?}");
    ensure!(count(&how, "REMOTE_EXECUTION") == 3, "{how:?}");

    // In another checkout it is the same.
    let other = project(&farrier)?;
    made_well(&other, &rewrapped(&other, "remote", &FLAGS, &COMMAND)?, "hello\n")?;
    let how = other.statuses()?;
    ensure!(count(&how, "CACHE_HIT") == 1, "{how:?}");
    Ok(())
}

#[test]
fn here_a_result_is_kept_where_nothing_was_before() -> Result<()> {
    let farrier = Farrier::start()?;
    let user = project(&farrier)?;
    fs::create_dir(user.at("project/out"))?;
    fs::write(user.at("project/out/copy"), "old")?;
    // Runs here and adds to what is there: whoever takes this result would not have that.
    for _ in 0..2 {
        let output = rewrapped(&user, "local", &FLAGS, &COMMAND)?;
        made_well(&user, &output, "hello\n")?;
        fs::remove_file(user.at("project/out/link"))?;
    }
    fs::remove_dir_all(user.at("project/out"))?;
    for _ in 0..2 {
        made_well(&user, &rewrapped(&user, "local", &FLAGS, &COMMAND)?, "hello\n")?;
    }
    let how = user.statuses()?;
    ensure!(count(&how, "LOCAL_EXECUTION") == 3, "{how:?}");
    ensure!(count(&how, "CACHE_HIT") == 1, "{how:?}");
    Ok(())
}

#[test]
fn here_what_has_standard_input_or_is_not_made_anew_is_not_kept() -> Result<()> {
    let farrier = Farrier::start()?;
    let user = project(&farrier)?;
    let root = format!("-exec_root={}", user.at("project").display());
    let rewrapper = format!("rewrapper {root} -exec_strategy=local");
    for line in ["b", "a", "b"] {
        let script = format!("echo {line} | {rewrapper} -output_files=sorted -- sort -o sorted");
        user.build(&user.at("project"), &script)?;
        ensure!(fs::read_to_string(user.at("project/sorted"))?.trim() == line);
    }
    // A generator that leaves its product alone where it is right already.
    let generate = "cmp -s data/in made || cp data/in made";
    let script = format!("{rewrapper} -inputs=data/in -output_files=made -- sh -c '{generate}' </dev/null");
    fs::copy(user.at("project/data/in"), user.at("project/made"))?;
    std::thread::sleep(Duration::from_millis(100));
    user.build(&user.at("project"), &script)?;
    fs::remove_file(user.at("project/made"))?;
    for _ in 0..2 {
        user.build(&user.at("project"), &script)?;
        ensure!(fs::read_to_string(user.at("project/made"))? == "hello\n");
        fs::remove_file(user.at("project/made"))?;
    }
    let how = user.statuses()?;
    ensure!(count(&how, "CACHE_HIT") == 1, "{how:?}");
    Ok(())
}

#[test]
fn a_directory_that_is_not_the_commands_alone_is_left_alone() -> Result<()> {
    let farrier = Farrier::start()?;
    let user = project(&farrier)?;
    for directories in [".", "data", "tools", "..", "/tmp"] {
        let flags = ["-inputs=data/in", &format!("-output_directories={directories}")];
        for _ in 0..2 {
            let output = rewrapped(&user, "remote_local_fallback", &flags, &COMMAND)?;
            made_well(&user, &output, "hello\n")?;
            fs::remove_dir_all(user.at("project/out"))?;
        }
    }
    for kept in ["a.c", "data/in", "data/undeclared", "tools/copy.sh"] {
        ensure!(user.at("project").join(kept).is_file(), "{kept} has gone");
    }
    let how = user.statuses()?;
    ensure!(count(&how, "CACHE_HIT") == 0, "{how:?}");
    Ok(())
}

#[test]
fn files_and_what_is_printed_of_a_tool_of_the_host() -> Result<()> {
    let farrier = Farrier::start()?;
    let user = project(&farrier)?;
    let flags = ["-inputs=data/in", "-output_files=sorted"];
    for _ in 0..2 {
        let output = rewrapped(&user, "remote", &flags, &["sort", "-o", "sorted", "data/in"])?;
        ensure!(output.status.success(), "{output:?}");
        ensure!(fs::read_to_string(user.at("project/sorted"))? == "hello\n");
        fs::remove_file(user.at("project/sorted"))?;
        // An archive of one's own, by a tool that is known, and not kept where nobody declares.
        let archive = ["-inputs=data/in", "-output_files=all.tar"];
        let output = rewrapped(&user, "remote", &archive, &["tar", "-cf", "all.tar", "data/in"])?;
        ensure!(
            output.status.success() && user.at("project/all.tar").is_file(),
            "{output:?}"
        );
    }
    let how = user.statuses()?;
    ensure!(count(&how, "REMOTE_EXECUTION") == 2, "{how:?}");
    ensure!(count(&how, "CACHE_HIT") == 2, "{how:?}");
    Ok(())
}

#[test]
fn users_of_recc_say_what_is_read_and_made() -> Result<()> {
    let farrier = Farrier::start()?;
    let user = User::new(&[
        ("RECC_SERVER", farrier.http_url()),
        ("RECC_FORCE_REMOTE", "1".to_owned()),
        ("RECC_DEPS_OVERRIDE", "data/in".to_owned()),
        ("RECC_OUTPUT_DIRECTORIES_OVERRIDE", "out".to_owned()),
    ])?;
    tool_and_data(&user)?;
    for content in ["hello\n", "hello\n", "changed\n"] {
        fs::write(user.at("project/data/in"), content)?;
        let output = user.run(&[&["recc"], &COMMAND[..]].concat(), &[])?;
        made_well(&user, &output, content)?;
    }
    assert_eq!(user.steps_of_recc()?, ["remote", "hit", "remote"]);
    Ok(())
}

/// Of a compilation too: a header that is not among the inputs is not there.
#[test]
fn users_of_recc_may_say_what_a_compiler_reads() -> Result<()> {
    let farrier = Farrier::start()?;
    let user = User::new(&[("RECC_SERVER", farrier.http_url())])?;
    let compile = ["recc", "gcc", "-c", "a.c", "-o", "a.o"];
    let with = |inputs: &str| user.run(&compile, &[("RECC_DEPS_OVERRIDE", inputs)]);
    let without_header = with("a.c")?;
    ensure!(!without_header.status.success(), "{without_header:?}");
    let with_header = with("a.c,a.h")?;
    ensure!(
        with_header.status.success() && user.at("project/a.o").is_file(),
        "{with_header:?}"
    );
    Ok(())
}

/// What a compiler reads on standard input counts beside what is declared.
#[test]
fn what_a_compiler_is_given_counts_where_its_files_are_declared() -> Result<()> {
    let farrier = Farrier::start()?;
    let user = User::new(&[
        ("RECC_SERVER", farrier.http_url()),
        ("RECC_CACHE_ONLY", "1".to_owned()),
        ("RECC_CACHE_UPLOAD_LOCAL_BUILD", "1".to_owned()),
        ("RECC_DEPS_OVERRIDE", "a.h".to_owned()),
    ])?;
    let mut objects = Vec::new();
    for value in ["1", "2", "1"] {
        let source = format!("int f(void) {{ return {value}; }}");
        let script = format!("rm -f f.o; echo '{source}' | recc gcc -O2 -c -x c - -o f.o");
        user.build(&user.at("project"), &script)?;
        objects.push(fs::read(user.at("project/f.o"))?);
    }
    ensure!(objects[0] != objects[1] && objects[0] == objects[2]);
    assert_eq!(user.steps_of_recc()?, ["local", "local", "hit"]);
    Ok(())
}
