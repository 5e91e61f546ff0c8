//! Debian's Linux kernel through `farrier run`: as without it to the bit, answered from the cache the second time, and it
//! boots.
//!
//! Takes some minutes each and wants the sources, so it has a command of its own:
//!
//!     e2e/sources --fetch linux
//!     cargo test --release -p e2e --test kernel -- --ignored --nocapture --test-threads=1

use anyhow::{Result, ensure};
use e2e::kernel::{Configuration, Kernel, boot, check};

/// With a serial console, to see that it boots.
const CONSOLE: &str = include_str!("../kernel/console.config");

/// Some hundred objects with most of what is peculiar to kernels: modules that are signed and have versions, blobs of five
/// kinds, coverage.
const MEDIUM: &str = include_str!("../kernel/medium.config");

fn boots(kernel: &Kernel) -> Result<()> {
    let image = kernel.output().join("arch/x86/boot/bzImage");
    let said = boot(&image, "Linux version ")?;
    println!("{said}");
    ensure!(said.contains("(user@host)"), "another kernel: {said}");
    Ok(())
}

#[test]
#[ignore = "takes minutes, and wants the sources of the kernel"]
fn a_tiny_kernel() -> Result<()> {
    let kernel = check(
        "tinyconfig",
        Configuration {
            target: "tinyconfig",
            more: CONSOLE,
            words: &[],
        },
    )?;
    boots(&kernel)
}

#[test]
#[ignore = "takes minutes, and wants the sources of the kernel"]
fn a_tiny_kernel_by_clang() -> Result<()> {
    let kernel = check(
        "tinyconfig by clang",
        Configuration {
            target: "tinyconfig",
            more: CONSOLE,
            words: &["LLVM=1"],
        },
    )?;
    boots(&kernel)
}

#[test]
#[ignore = "takes minutes, and wants the sources of the kernel"]
fn a_tiny_kernel_for_another_processor() -> Result<()> {
    check(
        "tinyconfig for arm64",
        Configuration {
            target: "tinyconfig",
            more: "",
            words: &["ARCH=arm64", "CROSS_COMPILE=aarch64-linux-gnu-"],
        },
    )?;
    Ok(())
}

#[test]
#[ignore = "takes minutes, and wants the sources of the kernel"]
fn a_medium_kernel() -> Result<()> {
    let kernel = check(
        "medium",
        Configuration {
            target: "tinyconfig",
            more: MEDIUM,
            words: &[],
        },
    )?;
    boots(&kernel)
}
