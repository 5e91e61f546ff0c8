//! What a kernel is made of changes, one thing after another: certificates, an initramfs, firmware, a linker script, an option,
//! the compiler itself. Each time the kernel is what plain make makes of it, nothing stale is in it, and nothing was
//! compiled again that did not have to be.
//!
//!     e2e/sources --fetch linux
//!     cargo test --release -p e2e --test kernel_changes -- --ignored --nocapture

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::build::User;
use e2e::kernel::{Built, Configuration, Kernel, ensure_same};

const MORE: &str = include_str!("../kernel/blobs.config");

/// Changes in the order in which they are made.
const CHANGES: [Change; 6] = [
    Change {
        name: "a certificate",
        make: |place| place.replace("given/trusted.pem", "given/other.pem"),
        makes: Makes::Only(&["certs/system_certificates.o"]),
    },
    Change {
        name: "a file of the initramfs",
        make: |place| place.write("given/hello", b"good bye\n"),
        makes: Makes::Only(&["usr/initramfs_data.o"]),
    },
    Change {
        name: "firmware",
        make: |place| place.write("given/blob.bin", &[8; 3000]),
        makes: Makes::Only(&["drivers/base/firmware_loader/builtin/blob.bin.gen.o"]),
    },
    Change {
        name: "a linker script",
        make: |place| {
            let script = "tree/arch/x86/kernel/vmlinux.lds.S";
            let text = fs::read_to_string(place.0.join(script))?;
            let other = text.replace("_etext = .;", ". += 64; _etext = .;");
            ensure!(other != text, "{script} has no _etext");
            place.write(script, other.as_bytes())
        },
        makes: Makes::Only(&["arch/x86/kernel/vmlinux.lds"]),
    },
    Change {
        name: "an option",
        make: |place| {
            let text = fs::read_to_string(place.0.join("more.config"))?;
            place.write("more.config", format!("{text}CONFIG_PRINTK_TIME=y\n").as_bytes())
        },
        makes: Makes::All(&["kernel/printk/printk.o"]),
    },
    Change {
        name: "the compiler",
        make: |place| {
            let compiler = place.0.join("compiler/bin/gcc");
            let mut program = fs::read(&compiler)?;
            let (version, other) = (b"(Debian ", b"(DEBIAN ");
            let found = program.windows(version.len()).position(|at| at == version);
            let found = found.context("this gcc is not Debian's")?;
            program[found..found + other.len()].copy_from_slice(other);
            place.write("compiler/bin/gcc", &program)
        },
        makes: Makes::All(&["init/main.o", "kernel/printk/printk.o"]),
    },
];

struct Change {
    name: &'static str,
    make: fn(&Place<'_>) -> Result<()>,
    makes: Makes,
}

/// What has to be made again, beside what is linked or packed from it.
enum Makes {
    /// Of objects and linker scripts, nothing else.
    Only(&'static [&'static str]),
    /// Nearly everything, these among it.
    All(&'static [&'static str]),
}

/// Linked, packed or generated from what was made again: `vmlinux` and all before and behind it.
const FOLLOWS: [&str; 3] = ["vmlinux", "arch/x86/boot/", "init/version"];

/// Where changes are made. Files are replaced, so that another name of one stays what it is.
struct Place<'a>(&'a Path);

impl Place<'_> {
    fn write(&self, name: &str, contents: &[u8]) -> Result<()> {
        let file = self.0.join(name);
        let mode = fs::metadata(&file)
            .with_context(|| name.to_owned())?
            .permissions();
        let new = file.with_extension("new");
        fs::write(&new, contents)?;
        fs::set_permissions(&new, mode)?;
        fs::rename(&new, &file)?;
        Ok(())
    }

    fn replace(&self, name: &str, other: &str) -> Result<()> {
        self.write(name, &fs::read(self.0.join(other))?)
    }
}

/// A tree of our own to change: links to the files of the real one.
fn own_tree(kernel: &mut Kernel) -> Result<()> {
    let tree = kernel.place().join("tree");
    let copied = Command::new("cp")
        .args(["--recursive", "--link"])
        .args([&kernel.source, &tree])
        .output()
        .context("cp does not start")?;
    ensure!(
        copied.status.success(),
        "the sources and temporary files must be on one file system (TMPDIR): {}",
        String::from_utf8_lossy(&copied.stderr)
    );
    kernel.source = tree;
    Ok(())
}

/// A gcc of our own to change: its driver, which says what version it is.
fn own_compiler(kernel: &mut Kernel) -> Result<()> {
    let compiler = kernel.place().join("compiler");
    fs::create_dir_all(compiler.join("bin"))?;
    fs::copy(fs::canonicalize("/usr/bin/gcc")?, compiler.join("bin/gcc"))?;
    // Where it looks for what it is made of.
    symlink("/usr/lib", compiler.join("lib"))?;
    kernel.path.push(compiler.join("bin"));
    Ok(())
}

#[test]
#[ignore = "takes minutes, and wants the sources of the kernel"]
fn what_changes_is_made_again_and_nothing_else() -> Result<()> {
    let mut kernel = Kernel::new(Configuration {
        target: "tinyconfig",
        more: MORE,
        words: &[],
    })?;
    own_tree(&mut kernel)?;
    own_compiler(&mut kernel)?;
    kernel.given.certificate("other.pem", None)?;
    let kernel = kernel;
    let user = User::new()?;
    let all = kernel.configure() + &kernel.make("-j2");
    // What plain make has made waits here while farrier makes the same from nothing, in the same place.
    let plain = kernel.place().join("plain");
    let (mut last, mut problems) = (Vec::new(), Vec::new());
    for change in std::iter::once(None).chain(CHANGES.iter().map(Some)) {
        let name = change.map_or("nothing known", |change| change.name);
        if let Some(change) = change {
            (change.make)(&Place(kernel.place())).context(name)?;
            fs::rename(&plain, kernel.output())?;
        }
        kernel.plain(&all).context(name)?;
        let expected = kernel.hashes()?;
        ensure!(expected != last, "{name} changes nothing");
        fs::rename(kernel.output(), &plain)?;

        let built = kernel.farrier(&user, &all).context(name)?;
        built.print("changes", name);
        built.ensure_explained().context(name)?;
        ensure_same(name, &kernel.hashes()?, &expected)?;
        kernel.forget()?;
        if let Some(change) = change {
            let found = change.problems(&built);
            found.iter().for_each(|problem| println!("{problem}"));
            problems.extend(found);
        }
        last = expected;
    }
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

impl Change {
    /// What had to be made again and was not, and what was and had not to be.
    fn problems(&self, built: &Built) -> Vec<String> {
        let again: Vec<&str> = built.again().map(|step| step.name.as_str()).collect();
        let (Makes::Only(due) | Makes::All(due)) = self.makes;
        let missing = due
            .iter()
            .filter(|due| !again.iter().any(|step| step.ends_with(**due)))
            .map(|due| format!("{}: {due} was not made again", self.name));
        let mut problems: Vec<String> = missing.collect();
        if let Makes::Only(due) = self.makes {
            let is_due = |step: &&&str| {
                due.iter().any(|due| step.ends_with(due)) || FOLLOWS.iter().any(|part| step.contains(part))
            };
            let other = again.iter().filter(|step| !is_due(step));
            problems.extend(other.map(|step| format!("{}: {step} was made again", self.name)));
        }
        problems
    }
}
