//! The numbers of a build at its end, from its logs or from reproxy itself.

use std::path::{Path, PathBuf};

use reclient::flags::Flags;
use reclient::log_file::{Format, log_path, read_directories};
use reclient::stats::{Aggregate, machine, stats_line, write_metrics};
use reclient_api::stats::Stats;

use crate::programs::daemon_options::log_directories;

/// From the logs that the flags name. `None` if they name none. What cannot be read is complained about.
pub(crate) fn from_logs(flags: &Flags, complain: &dyn Fn(&str)) -> Option<Stats> {
    let directories = log_directories(flags);
    if directories.is_empty() {
        return None;
    }
    Some(read(&directories, &formats(flags), complain))
}

/// The format that was said; otherwise both: reproxy and bootstrap have different ones when nobody says anything.
fn formats(flags: &Flags) -> Vec<Format> {
    let path = flags.text("log_path");
    let said = match flags.is_said("log_format") {
        true => Format::named(&flags.text("log_format")),
        false => log_path(&path).map(|(format, _)| format),
    };
    said.map_or_else(|| vec![Format::Text, Format::ReducedText], |format| vec![format])
}

fn read(directories: &[PathBuf], formats: &[Format], complain: &dyn Fn(&str)) -> Stats {
    let mut aggregate = Aggregate::default();
    let mut proxies = Vec::new();
    for (index, format) in formats.iter().enumerate() {
        let logs = read_directories(directories, *format, &mut |record| aggregate.add(&record));
        // What is said about reproxies is the same each time.
        if index == 0 {
            proxies = logs.proxies;
            logs.errors.iter().for_each(|error| complain(&error.to_string()));
        }
    }
    aggregate.stats(proxies, machine())
}

/// Says them, and writes both files. Whether that was possible.
pub(crate) fn publish(stats: &Stats, directory: &Path, complain: &dyn Fn(&str)) -> bool {
    eprintln!("{}", stats_line(stats));
    match write_metrics(directory, stats) {
        Ok(()) => true,
        Err(error) => {
            complain(&format!(
                "cannot write metrics into {}: {error}",
                directory.display()
            ));
            false
        }
    }
}

/// Where metrics go: the directory that is named, or the one of temporary files.
pub(crate) fn output_directory(flags: &Flags) -> PathBuf {
    flags.path("output_dir").unwrap_or_else(std::env::temp_dir)
}
