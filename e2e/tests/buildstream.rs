//! Real BuildStream. Its actions carry a whole system, mean its `/`, call its `sh` by name, collect what they put into
//! `/buildstream-install`, and ask for none of that in a property. A server that ran them with its own tools would
//! answer success with nothing in it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::farrier::Farrier;
use e2e::{tools, waiting};
use tempfile::TempDir;

/// How long BuildStream may take; a second or two is usual.
const BUILD_AT_MOST: Duration = Duration::from_secs(180);

/// What the system in the project has. BuildStream's own commands need `sh`; the elements below the rest.
const PROGRAMS: &[&str] = &["sh", "cat", "cp", "id", "ls", "mkdir", "pwd"];

/// A project with a system to build in and one element that is built there.
struct Project {
    directory: TempDir,
}

impl Project {
    fn new(farrier: &Farrier, sandbox: &str) -> Result<Project> {
        let directory = tempfile::Builder::new().prefix("buildstream-e2e-").tempdir()?;
        let at = |path: &str| directory.path().join(path);
        for path in ["elements", "files/source", "files/system/usr/bin"] {
            fs::create_dir_all(at(path))?;
        }
        let project = "name: hello\nmin-version: 2.0\nelement-path: elements\n";
        fs::write(at("project.conf"), format!("{project}{sandbox}"))?;
        let base = "kind: import\nsources:\n- kind: local\n  path: files/system\n";
        fs::write(at("elements/base.bst"), base)?;
        fs::write(at("files/source/hello.txt"), "hello\n")?;
        fill(&at("files/system"))?;
        let url = farrier.http_url();
        let service = |name: &str| format!("  {name}:\n    url: {url}\n");
        let services = ["execution-service", "storage-service", "action-cache-service"].map(service);
        let cache = at("cache");
        // By default its cache leaves 5 % of the disk free, and where less is free it waits for ever, without a word.
        let configuration = format!(
            "cachedir: {0}\nsourcedir: {0}/sources\nlogdir: {0}/logs\ncache:\n  reserved-disk-space: 0\n\
             remote-execution:\n{1}",
            cache.display(),
            services.concat()
        );
        fs::write(at("buildstream.conf"), configuration)?;
        Ok(Project { directory })
    }

    /// An element with these commands.
    fn element(&self, name: &str, build: &str, install: &str) -> Result<()> {
        let element = format!(
            "kind: manual\nbuild-depends:\n- base.bst\nsources:\n- kind: local\n  path: files/source\nconfig:\n  \
             build-commands:\n  - {build}\n  install-commands:\n  - {install}\n"
        );
        fs::write(self.directory.path().join("elements").join(name), element)?;
        Ok(())
    }

    fn bst(&self, arguments: &[&str]) -> Result<Output> {
        let mut bst = Command::new(tools::buildstream()?);
        bst.args(["-c", "buildstream.conf", "--no-colors", "--no-interactive"])
            .args(arguments)
            .current_dir(self.directory.path())
            .env("PYTHONFAULTHANDLER", "1")
            .stdin(Stdio::null());
        waiting::output_of(&mut bst, BUILD_AT_MOST)
    }

    /// What a built element consists of.
    fn checkout(&self, element: &str) -> Result<PathBuf> {
        let out = self.directory.path().join("out");
        succeeded(&self.bst(&["artifact", "checkout", element, "--directory", "out"])?)?;
        Ok(out)
    }
}

/// A small system: programs of this host and what they are linked with.
fn fill(root: &Path) -> Result<()> {
    symlink("usr/bin", root.join("bin"))?;
    for program in PROGRAMS {
        let host = Path::new("/usr/bin").join(program);
        fs::copy(&host, root.join("usr/bin").join(program))?;
        let libraries = String::from_utf8(Command::new("ldd").arg(&host).output()?.stdout)?;
        for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
            let place = root.join(library.trim_start_matches('/'));
            fs::create_dir_all(place.parent().context("a library has a directory")?)?;
            fs::copy(library, place)?;
        }
    }
    Ok(())
}

fn succeeded(output: &Output) -> Result<()> {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(
        output.status.success(),
        "{}\n{}",
        said(&output.stdout),
        said(&output.stderr)
    );
    Ok(())
}

#[test]
fn an_element_is_built_in_the_system_that_it_brings() -> Result<()> {
    let farrier = Farrier::start()?;
    let project = Project::new(&farrier, "")?;
    project.element(
        "hello.bst",
        "cat hello.txt > made; pwd >> made; ls / >> made; id -u >> made",
        "mkdir -p %{install-root}/share; cp made %{install-root}/share",
    )?;
    succeeded(&project.bst(&["build", "hello.bst"])?)?;
    let made = fs::read_to_string(project.checkout("hello.bst")?.join("share/made"))?;
    ensure!(
        made.starts_with("hello\n/buildstream/hello/hello.bst\nbin\nbuildstream\n")
            && made.ends_with("\n1000\n"),
        "{made}"
    );
    ensure!(!made.contains("etc"), "the host's own root: {made}");
    Ok(())
}

#[test]
fn it_is_built_as_the_user_that_the_project_wants() -> Result<()> {
    let farrier = Farrier::start()?;
    let project = Project::new(&farrier, "sandbox:\n  build-uid: 0\n  build-gid: 7\n")?;
    project.element(
        "who.bst",
        "id -u > made; id -g >> made",
        "mkdir -p %{install-root}; cp made %{install-root}",
    )?;
    succeeded(&project.bst(&["build", "who.bst"])?)?;
    let made = fs::read_to_string(project.checkout("who.bst")?.join("made"))?;
    ensure!(made == "0\n7\n", "{made}");
    Ok(())
}

#[test]
fn a_command_that_fails_is_shown_as_such() -> Result<()> {
    let farrier = Farrier::start()?;
    let project = Project::new(&farrier, "")?;
    project.element("broken.bst", "cat /etc/passwd", "gcc --version")?;
    let built = project.bst(&["build", "broken.bst"])?;
    let said = String::from_utf8_lossy(&built.stderr).into_owned() + &String::from_utf8_lossy(&built.stdout);
    ensure!(
        !built.status.success() && said.contains("/etc/passwd: No such file"),
        "{said}"
    );
    Ok(())
}
