//! Actions of another processor's programs: a worker that starts each command through QEMU's user mode.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::farrier::Farrier;
use e2e::joined::Joined;
use e2e::tools;

const HELLO: &str = "#include <stdio.h>\n#include <sys/utsname.h>\nint main(void) {\n  struct utsname name;\n  \
                     uname(&name);\n  printf(\"hello from %s\\n\", name.machine);\n}\n";

#[test]
fn an_aarch64_program_runs_on_a_worker_that_emulates() -> Result<()> {
    let qemu = "/usr/bin/qemu-aarch64";
    ensure!(
        Path::new(qemu).exists(),
        "{qemu} is not installed; run `e2e/install`"
    );
    let farrier = Farrier::start_with(&["--slots", "0"])?;
    let options = [
        "--through",
        qemu,
        "--through",
        "-L",
        "--through",
        "/usr/aarch64-linux-gnu",
        "--property",
        "ISA=arm-a64",
    ];
    let _emulating = Joined::start_with(&farrier, "emulating", 1, &options)?;
    let scratch = tempfile::tempdir()?;
    std::fs::write(scratch.path().join("hello.c"), HELLO)?;
    let compiled = Command::new("aarch64-linux-gnu-gcc")
        .args(["hello.c", "-o", "hello"])
        .current_dir(scratch.path())
        .status()
        .context("aarch64-linux-gnu-gcc is not installed; run `e2e/install`")?;
    ensure!(compiled.success());
    let run = |isa: &str| {
        Command::new(tools::farrier()?)
            .args(["exec", "--endpoint", &farrier.http_url(), "--platform", isa])
            .args(["--input", "hello", "--", "./hello"])
            .current_dir(scratch.path())
            .output()
            .context("farrier exec does not start")
    };
    let emulated = run("ISA=arm-a64")?;
    let said = String::from_utf8_lossy(&emulated.stdout).into_owned();
    let erred = String::from_utf8_lossy(&emulated.stderr).into_owned();
    ensure!(said == "hello from aarch64\n", "{said}\n{erred}");
    // It does not say that it can do what it cannot.
    let native = run("ISA=x86-64")?;
    let erred = String::from_utf8_lossy(&native.stderr).into_owned();
    ensure!(!native.status.success() && erred.contains("ISA"), "{erred}");
    Ok(())
}
