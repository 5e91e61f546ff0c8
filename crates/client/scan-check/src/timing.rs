//! How fast scans are: cold (nothing parsed yet), warm (everything parsed, disk checked anew), hot (within one tick).

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use scan_check::command::Command;
use scan_check::scanning::{Compilers, Prepared};
use source_view::{DiskView, Store};

use crate::driver_of;

/// Prints the figures for the commands of one file. All of it is one thread's work.
pub(crate) fn measure(
    file: &Path,
    commands: &[Command],
    driver: Option<&Path>,
    _threads: usize,
) -> Result<()> {
    let compilers = Compilers::default();
    let warm_up = Arc::new(Store::default());
    let view = warm_up.tick();
    let mut prepared: Vec<Prepared<'_>> = Vec::new();
    for command in commands {
        let Ok(one) = compilers.prepare(command, &driver_of(command, driver)) else {
            continue;
        };
        // Questions are asked before the clock runs: once per compiler, not per build.
        if matches!(one.scan(&view), Ok(Ok(_))) {
            prepared.push(one);
        }
    }
    drop(view);
    let store = Arc::new(Store::default());
    let (cold, files, steps) = scan_all(&prepared, &store.tick());
    let counts = store.counts();
    let (warm, ..) = scan_all(&prepared, &store.tick());
    let view = store.tick();
    scan_all(&prepared, &view);
    let (hot, ..) = scan_all(&prepared, &view);
    let units = prepared.len().max(1);
    let per_unit = |time: Duration| time.as_secs_f64() * 1000.0 / units as f64;
    println!(
        "{}: {units} units, {} files each, {} directives each; cold {:.1} ms/unit ({:.0} files parsed/s), new tick {:.3} \
         ms/unit, same tick {:.3} ms/unit; {} sources held in {} KiB",
        file.display(),
        files / units,
        steps / units as u64,
        per_unit(cold),
        counts.parsed as f64 / cold.as_secs_f64(),
        per_unit(warm),
        per_unit(hot),
        counts.files,
        counts.held_bytes >> 10,
    );
    Ok(())
}

fn scan_all(prepared: &[Prepared<'_>], view: &DiskView) -> (Duration, usize, u64) {
    let started = Instant::now();
    let (mut files, mut steps) = (0, 0);
    for one in prepared {
        if let Ok(Ok(closure)) = one.scan(view) {
            files += closure.files.len();
            steps += closure.steps;
        }
    }
    (started.elapsed(), files, steps)
}
