//! Reading logs.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use reclient_api::log::{LogRecord, ProxyInfo};

use crate::log_file::{Format, RECORD_BYTES_MAX, RECORDS_MAX};
use crate::text_proto::{NotText, from_text};

/// What is in logs. What could not be read is named, and the rest is there all the same.
#[derive(Debug, Default)]
pub struct Logs {
    /// Lives of reproxy.
    pub proxies: Vec<ProxyInfo>,
    /// What went wrong.
    pub errors: Vec<LogError>,
}

/// Something in a log is wrong.
#[derive(Debug)]
#[allow(missing_docs, reason = "each is what its message says")]
pub enum LogError {
    Read {
        path: PathBuf,
        error: io::Error,
    },
    Record {
        path: PathBuf,
        line: usize,
        error: NotText,
    },
    TooLong {
        path: PathBuf,
        line: usize,
    },
    TooMany {
        path: PathBuf,
    },
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogError::Read { path, error } => write!(f, "cannot read {}: {error}", path.display()),
            LogError::Record { path, line, error } => {
                write!(f, "{}: the record before line {line} is {error}", path.display())
            }
            LogError::TooLong { path, line } => write!(
                f,
                "{}: the record before line {line} is longer than {RECORD_BYTES_MAX} bytes",
                path.display()
            ),
            LogError::TooMany { path } => write!(f, "{}: more than {RECORDS_MAX} records", path.display()),
        }
    }
}

/// Reads all logs of a format in these directories, and what there is about reproxy; each record is given to `take`.
pub fn read_directories(directories: &[PathBuf], format: Format, take: &mut dyn FnMut(LogRecord)) -> Logs {
    let mut logs = Logs::default();
    let mut records = 0;
    let mut paths = Vec::new();
    for directory in directories {
        paths.extend(files(directory, &mut logs.errors));
    }
    for path in paths {
        let end = path.extension().unwrap_or_default();
        if end == format.extension() {
            read_records(&path, &mut records, take, &mut logs.errors);
        } else if end == "rpi" {
            match fs::read_to_string(&path) {
                Err(error) => logs.errors.push(LogError::Read { path, error }),
                Ok(text) => match from_text(&text) {
                    Ok(info) => logs.proxies.push(info),
                    Err(error) => logs.errors.push(LogError::Record { path, line: 1, error }),
                },
            }
        }
    }
    logs
}

fn files(directory: &Path, errors: &mut Vec<LogError>) -> Vec<PathBuf> {
    let list = || -> io::Result<Vec<PathBuf>> {
        let mut files: Vec<PathBuf> = fs::read_dir(directory)?
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<_>>()?;
        files.sort();
        Ok(files)
    };
    list().unwrap_or_else(|error| {
        let path = directory.to_owned();
        errors.push(LogError::Read { path, error });
        Vec::new()
    })
}

/// Reads one log. Two empty lines end a record. A record that is wrong is passed over, for example one that a crash has cut
/// off.
fn read_records(
    path: &Path,
    records: &mut usize,
    take: &mut dyn FnMut(LogRecord),
    errors: &mut Vec<LogError>,
) {
    if let Err(error) = try_to_read(path, records, take, errors) {
        let path = path.to_owned();
        errors.push(LogError::Read { path, error });
    }
}

fn try_to_read(
    path: &Path,
    records: &mut usize,
    take: &mut dyn FnMut(LogRecord),
    errors: &mut Vec<LogError>,
) -> io::Result<()> {
    let mut file = BufReader::new(File::open(path)?);
    let mut record = String::new();
    let mut empty_lines = 0;
    for line in 1.. {
        let before = record.len();
        let space = RECORD_BYTES_MAX.saturating_sub(before) + 1;
        let read = file.by_ref().take(space as u64).read_line(&mut record)?;
        if record.len() > RECORD_BYTES_MAX {
            let path = path.to_owned();
            errors.push(LogError::TooLong { path, line });
            return Ok(());
        }
        let is_empty = read > 0 && record[before..].trim().is_empty();
        empty_lines = if is_empty { empty_lines + 1 } else { 0 };
        if empty_lines < 2 && read > 0 {
            continue;
        }
        if !record.trim().is_empty() {
            *records += 1;
            if *records > RECORDS_MAX {
                let path = path.to_owned();
                errors.push(LogError::TooMany { path });
                return Ok(());
            }
            match from_text(&record) {
                Ok(record) => take(record),
                Err(error) => {
                    let path = path.to_owned();
                    errors.push(LogError::Record { path, line, error });
                }
            }
        }
        record.clear();
        if read == 0 {
            break;
        }
    }
    Ok(())
}
