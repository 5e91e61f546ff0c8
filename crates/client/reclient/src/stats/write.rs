//! `rbe_metrics.txt` and `rbe_metrics.pb`.

use std::fs;
use std::io;
use std::path::Path;

use prost::Message as _;
use reclient_api::stats::{MachineInfo, Stats};

use crate::text_proto::to_text;

/// Writes both files into a directory, which is made.
pub fn write_metrics(directory: &Path, stats: &Stats) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    fs::write(
        directory.join("rbe_metrics.txt"),
        to_text(stats).map_err(io::Error::other)?,
    )?;
    fs::write(directory.join("rbe_metrics.pb"), stats.encode_to_vec())
}

/// This machine, in Go's words.
pub fn machine() -> MachineInfo {
    let processors = std::thread::available_parallelism().map_or(0, |number| number.get());
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    MachineInfo {
        num_cpu: i64::try_from(processors).unwrap_or(i64::MAX),
        ram_mbs: memory_mb(&memory).unwrap_or_default(),
        os_family: std::env::consts::OS.to_owned(),
        arch: match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        }
        .to_owned(),
    }
}

/// From `MemTotal:  16309404 kB`.
fn memory_mb(text: &str) -> Option<i64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text_proto::from_text;

    #[test]
    fn both_files_say_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("made");
        let stats = Stats {
            num_records: 3,
            machine_info: Some(machine()),
            ..Stats::default()
        };
        write_metrics(&directory, &stats).unwrap();
        let text = fs::read_to_string(directory.join("rbe_metrics.txt")).unwrap();
        assert_eq!(from_text::<Stats>(&text).unwrap(), stats);
        let bytes = fs::read(directory.join("rbe_metrics.pb")).unwrap();
        assert_eq!(Stats::decode(bytes.as_slice()).unwrap(), stats);
    }

    #[test]
    fn memory_is_found() {
        assert_eq!(
            memory_mb("MemTotal:       16309404 kB\nMemFree: 1 kB"),
            Some(15927)
        );
        assert_eq!(memory_mb(""), None);
        assert!(machine().num_cpu > 0);
    }
}
