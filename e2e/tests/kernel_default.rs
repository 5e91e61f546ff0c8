//! Debian's Linux kernel as most people configure it, through `farrier run`: as without it to the bit, answered from the
//! cache the second time, and it boots. Some three thousand objects, so it takes hours where processors are few:
//!
//!     e2e/sources --fetch linux
//!     cargo test --release -p e2e --test kernel_default -- --ignored --nocapture

use anyhow::Result;
use e2e::kernel::{Configuration, boot, check};

#[test]
#[ignore = "takes hours, and wants the sources of the kernel"]
fn a_default_kernel() -> Result<()> {
    let configuration = Configuration {
        target: "defconfig",
        more: "",
        words: &[],
    };
    let kernel = check("defconfig", configuration)?;
    let said = boot(&kernel.output().join("arch/x86/boot/bzImage"), "Linux version ")?;
    println!("{said}");
    Ok(())
}
