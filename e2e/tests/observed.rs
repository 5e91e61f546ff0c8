//! `farrier run --observe`: tools that the client knows nothing of, with real ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::build::{Summary, User};
use e2e::farrier::Farrier;
use tempfile::TempDir;

/// A parser, a scanner, a table that a script makes of data, and a list of what is in a directory.
const FILES: [(&str, &str); 9] = [
    (
        "Makefile",
        "all: out/gram.c out/lex.c out/table.h out/list.h\n\
         out/gram.c: gram.y\n\tmkdir -p out\n\tbison -d -o out/gram.c gram.y\n\
         out/lex.c: lex.l\n\tmkdir -p out\n\tflex -o out/lex.c lex.l\n\
         out/table.h: gen/table.py data.txt\n\tpython3 -I -S gen/table.py > $@\n\
         out/list.h: gen/list.py FORCE\n\tpython3 -I -S gen/list.py\n\
         FORCE:\n\
         .PHONY: FORCE\n",
    ),
    (
        "gram.y",
        "%{\nint yylex(void);\nvoid yyerror(const char *s);\n%}\n%token A\n%%\nx: A x | ;\n%%\n",
    ),
    ("lex.l", "%option noyywrap\n%%\na return 1;\n%%\n"),
    (
        "gen/table.py",
        "import os, sys\nsys.stdout.write('#define SUM %d\\n' % sum(map(int, open('data.txt').read().split())))\n\
         if os.path.exists('more.txt'):\n    sys.stdout.write(open('more.txt').read())\n",
    ),
    (
        "gen/list.py",
        "import os\nos.makedirs('out/deep', exist_ok=True)\nnames = sorted(os.listdir('parts'))\n\
         with open('out/list.tmp', 'w') as f:\n    f.write('// %s\\n' % names)\nos.replace('out/list.tmp', 'out/list.h')\n\
         open('out/deep/mark', 'w').close()\n",
    ),
    ("data.txt", "1 2 3\n"),
    ("parts/one", ""),
    ("parts/two", ""),
    ("notes", "nobody reads this\n"),
];
const OPTIONS: [&str; 2] = ["--observe", "bison,flex,python3"];

/// Files are only believed to be what a command read when they are older than this, before it began.
const SETTLED: Duration = Duration::from_millis(100);

/// Who has the host's own tools and nothing else.
fn user() -> Result<User> {
    let mut user = User::new()?;
    user.environment
        .push(("PATH".to_owned(), "/usr/bin:/bin".to_owned()));
    Ok(user)
}

struct Project {
    _directory: TempDir,
    root: PathBuf,
}

impl Project {
    fn new() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("farrier-project-").tempdir()?;
        let root = directory.path().canonicalize()?;
        for (name, text) in FILES {
            let path = root.join(name);
            fs::create_dir_all(path.parent().context("a parent")?)?;
            fs::write(path, text)?;
        }
        std::thread::sleep(SETTLED);
        Ok(Project {
            _directory: directory,
            root,
        })
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        fs::write(self.root.join(name), text)?;
        std::thread::sleep(SETTLED);
        Ok(())
    }

    fn clean(&self) -> Result<()> {
        fs::remove_dir_all(self.root.join("out")).context("nothing was built")
    }

    fn build(&self, user: &User, options: &[&str]) -> Result<Summary> {
        user.build(&self.root, &[&OPTIONS, options].concat(), &["make", "-s"])
    }

    /// All that was made, by name.
    fn made(&self) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
        let mut made = BTreeMap::new();
        let mut directories = vec![self.root.join("out")];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory)? {
                let path = entry?.path();
                match path.is_dir() {
                    true => directories.push(path),
                    false => _ = made.insert(path.strip_prefix(&self.root)?.to_owned(), fs::read(&path)?),
                }
            }
        }
        Ok(made)
    }

    /// All that the build makes without farrier, from nothing.
    fn plain(&self) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
        self.clean()?;
        let status = Command::new("make")
            .arg("-s")
            .env("PATH", "/usr/bin:/bin")
            .current_dir(&self.root)
            .status()?;
        ensure!(status.success(), "make: {status}");
        self.made()
    }
}

/// Which of the four steps are made again after `change`, and that all is as without farrier.
fn check(project: &Project, user: &User, hits: u64, what: &str) -> Result<()> {
    project.clean()?;
    let build = project.build(user, &[])?;
    assert_eq!(build.counts(), (4, hits, 0, 4 - hits), "{what}: {}", build.text);
    let made = project.made()?;
    assert_eq!(made, project.plain()?, "{what}");
    Ok(())
}

#[test]
fn results_of_unknown_tools_are_taken_as_long_as_all_they_looked_at_is_the_same() -> Result<()> {
    let project = Project::new()?;
    let user = user()?;
    let cold = project.build(&user, &[])?;
    assert_eq!(cold.counts(), (4, 0, 0, 4), "{}", cold.text);
    check(&project, &user, 4, "nothing has changed")?;
    project.write("notes", "nobody has read it")?;
    check(&project, &user, 4, "what nobody reads")?;
    project.write("gram.y", &FILES[1].1.replace("A x", "x A"))?;
    check(&project, &user, 3, "a source")?;
    project.write("data.txt", "4\n")?;
    check(&project, &user, 3, "what a script reads")?;
    project.write("data.txt", "1 2 3\n")?;
    check(&project, &user, 4, "as it was before")?;
    project.write("more.txt", "// more\n")?;
    check(&project, &user, 3, "a file where none was")?;
    project.write("more.txt", "// other\n")?;
    check(&project, &user, 3, "that file")?;
    fs::remove_file(project.root.join("more.txt"))?;
    check(&project, &user, 4, "no file again")?;
    project.write("parts/three", "")?;
    check(&project, &user, 3, "a name in a directory that is listed")?;
    fs::remove_file(project.root.join("parts/three"))?;
    check(&project, &user, 4, "not that name again")?;
    project.write(
        "gen/list.py",
        &FILES[4]
            .1
            .replace("sorted", "list(sorted")
            .replace("'parts'))", "'parts')))"),
    )?;
    check(&project, &user, 3, "the script")?;
    // What was found out outlives the daemon.
    user.stop_daemon()?;
    check(&project, &user, 4, "another daemon")?;
    // Also over what is there.
    let again = project.build(&user, &[])?;
    assert_eq!(again.counts(), (1, 1, 0, 0), "{}", again.text);
    Ok(())
}

#[test]
fn others_find_them_through_the_server() -> Result<()> {
    let farrier = Farrier::start()?;
    let endpoint = farrier.http_url();
    let options = ["--endpoint", endpoint.as_str()];
    let project = Project::new()?;
    let first = user()?;
    let cold = project.build(&first, &options)?;
    assert_eq!(cold.counts(), (4, 0, 0, 4), "{}", cold.text);
    let made = project.made()?;

    project.clean()?;
    let other = user()?;
    let warm = project.build(&other, &options)?;
    assert_eq!(warm.counts(), (4, 4, 0, 0), "{}", warm.text);
    assert_eq!(project.made()?, made);
    Ok(())
}

/// Somebody has seen once what the tools look at; from then on workers run them.
#[test]
fn workers_run_what_has_been_seen_once_and_say_what_was_missing() -> Result<()> {
    let farrier = Farrier::start()?;
    let endpoint = farrier.http_url();
    let project = Project::new()?;
    let first = user()?;
    let cold = project.build(&first, &["--endpoint", &endpoint, "--strategy", "local"])?;
    assert_eq!(cold.counts(), (4, 0, 0, 4), "{}", cold.text);

    let user = user()?;
    let options = [
        "--endpoint",
        endpoint.as_str(),
        "--strategy",
        "remote_local_fallback",
    ];
    let check = |remote: u64, what: &str| -> Result<()> {
        project.clean()?;
        let build = project.build(&user, &options)?;
        assert_eq!(
            build.counts(),
            (4, 4 - remote, remote, 0),
            "{what}: {}",
            build.text
        );
        let made = project.made()?;
        assert_eq!(made, project.plain()?, "{what}");
        project.clean()?;
        let again = project.build(&user, &options)?;
        assert_eq!(again.counts(), (4, 4, 0, 0), "{what}, again: {}", again.text);
        Ok(())
    };
    check(0, "nothing has changed")?;
    project.write("gram.y", &FILES[1].1.replace("A x", "x A"))?;
    check(1, "a source")?;
    project.write("data.txt", "4\n")?;
    check(1, "what a script reads")?;
    // No worker was given it until one said that it was looked for.
    project.write("more.txt", "// more\n")?;
    check(1, "a file where none was")?;
    project.write("data.txt", "5\n")?;
    check(1, "what is read beside it")?;
    fs::remove_file(project.root.join("more.txt"))?;
    check(1, "no file again")?;
    project.write("parts/three", "")?;
    check(1, "a name in a directory that is listed")?;
    Ok(())
}

fn script(user: &User, root: &Path, observed: &str, script: &str) -> Result<Summary> {
    user.build(root, &["--observe", observed], &["sh", "-c", script])
}

#[test]
fn what_cannot_be_kept_runs_each_time_and_is_told() -> Result<()> {
    let project = Project::new()?;
    let user = user()?;
    let check = |command: &str, reason: &str| -> Result<()> {
        for _ in 0..2 {
            project.write("log", "a line\n")?;
            let summary = script(&user, &project.root, "python3,sed", command)?;
            assert_eq!(summary.counts(), (1, 0, 0, 1), "{}", summary.text);
            ensure!(summary.text.contains(reason), "{reason}: {}", summary.text);
        }
        Ok(())
    };
    check(
        "python3 -I -S -c 'open(\"log\", \"a\").write(\"one more\\n\")'",
        "it changes a file in place",
    )?;
    check("echo text | sed s/t/T/", "it reads standard input")?;
    check("python3 -I -S -c 'import os; os.remove(\"log\")'", "it removes")?;
    Ok(())
}

#[test]
fn what_is_compared_runs_again_and_is_told_if_it_differs() -> Result<()> {
    let project = Project::new()?;
    let user = user()?;
    let compared = |command: &str| -> Result<Summary> {
        script(&user, &project.root, "python3", command)?;
        let options = ["--observe", "python3", "--compare"];
        let summary = user.build(&project.root, &options, &["sh", "-c", command])?;
        assert_eq!(summary.counts(), (1, 0, 0, 1), "{}", summary.text);
        Ok(summary)
    };
    let same = compared("python3 -I -S gen/table.py > table")?;
    ensure!(same.text.contains("outputs that differ: none"), "{}", same.text);
    let random = "python3 -I -S -c 'import os; open(\"output\", \"w\").write(str(os.urandom(8)))'";
    let differs = compared(random)?;
    ensure!(
        differs.text.contains("outputs that differ: 1 (output)"),
        "{}",
        differs.text
    );
    Ok(())
}

#[test]
fn a_failure_is_shown_each_time_and_a_later_success_is_kept() -> Result<()> {
    let project = Project::new()?;
    let user = user()?;
    let command = "python3 -I -S -c 'import sys; sys.stdout.write(open(\"input\").read()); sys.stderr.write(\"said\\n\")' > output";
    for _ in 0..2 {
        let output = user.run(&project.root, &["--observe", "python3"], &["sh", "-c", command])?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            !output.status.success() && said.contains("FileNotFoundError"),
            "{said}"
        );
    }
    project.write("input", "text\n")?;
    for hits in [0, 1] {
        let summary = script(&user, &project.root, "python3", command)?;
        assert_eq!(summary.counts(), (1, hits, 0, 1 - hits), "{}", summary.text);
        ensure!(summary.text.contains("said\n"), "{}", summary.text);
        assert_eq!(fs::read_to_string(project.root.join("output"))?, "text\n");
    }
    Ok(())
}
