//! Power cuts of a whole machine: User-Mode Linux with a real file system on a virtual disk, killed in the middle of
//! everything. What its kernel had not yet written is gone, as in a real cut; what was acknowledged has to be there
//! after the next boot, and whatever is reported present has to be readable.
//!
//! ```sh
//! apt-get install user-mode-linux e2fsprogs          # xfsprogs, btrfs-progs for the others
//! cargo run --release -p cas-disk --example power_cut -- [ext4|xfs|btrfs] [ROUNDS]
//! ```
//!
//! Needs root, because the guest sees the host's files as its own. First the same is done with a store that does not
//! wait for the disk: it has to lose something, or the rig proves nothing.
//!
//! The virtual disk itself keeps what it was handed, in order: disks that lie or reorder are `src/simulated.rs`'s.

mod guest;
mod host;

use std::process::ExitCode;

/// How the host tells the guest what to do: the kernel hands such words to its first process as environment.
const SCRATCH: &str = "FARRIER_POWER_CUT_SCRATCH";
const FILE_SYSTEM: &str = "FARRIER_POWER_CUT_FILE_SYSTEM";
const ROUND: &str = "FARRIER_POWER_CUT_ROUND";
/// Set to anything: the store does not wait for the disk.
const CARELESS: &str = "FARRIER_POWER_CUT_CARELESS";

/// Below the scratch directory: seeds of blobs that were acknowledged, a line each.
const ACKNOWLEDGED: &str = "acknowledged";
/// Before every line that the guest says; its kernel says more.
const PREFIX: &str = "power-cut: ";

fn main() -> ExitCode {
    if let Some(scratch) = std::env::var_os(SCRATCH) {
        guest::run(scratch.as_ref());
    }
    match host::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("power_cut: {error}");
            ExitCode::FAILURE
        }
    }
}
