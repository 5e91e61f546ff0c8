//! Writing logs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use reclient_api::log::{LogRecord, ProxyInfo};
use time::OffsetDateTime;

use crate::log_file::{Format, SEPARATOR};
use crate::text_proto::to_text;

/// The log of one life of reproxy.
#[derive(Debug)]
pub struct LogFile {
    file: File,
    path: PathBuf,
    format: Format,
}

impl LogFile {
    /// A new log in a directory, which is made.
    pub fn create(directory: &Path, format: Format, now: SystemTime) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let path = directory.join(format!("{}.{}", stem(now), format.extension()));
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        Ok(LogFile { file, path, format })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a record, in one write: what is cut off by a crash is the last record at most.
    pub fn append(&mut self, record: &LogRecord) -> io::Result<()> {
        let text = match self.format {
            Format::Text => to_text(record),
            Format::ReducedText => to_text(&reduced(record.clone())),
        };
        let text = text.map_err(io::Error::other)?;
        self.file
            .write_all(format!("{}{SEPARATOR}", text.trim_end()).as_bytes())
    }
}

/// `reproxy_<YYYY-MM-DD_HH_MM_SS>`, in UTC.
fn stem(now: SystemTime) -> String {
    let at = OffsetDateTime::from(now);
    format!(
        "reproxy_{:04}-{:02}-{:02}_{:02}_{:02}_{:02}",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

fn reduced(mut record: LogRecord) -> LogRecord {
    if let Some(command) = &mut record.command {
        command.input = None;
        command.args.clear();
    }
    record
}

/// Writes what there is to say about one life of reproxy, beside its log.
pub fn write_proxy_info(directory: &Path, started: SystemTime, info: &ProxyInfo) -> io::Result<PathBuf> {
    fs::create_dir_all(directory)?;
    let path = directory.join(format!("{}.rpi", stem(started)));
    fs::write(&path, to_text(info).map_err(io::Error::other)?)?;
    Ok(path)
}

/// Removes logs that have not changed for so long. What cannot be removed stays; the number of those that went is returned.
pub fn remove_older(directory: &Path, keep: Duration, now: SystemTime) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let is_log = path
            .extension()
            .is_some_and(|end| end == "rpl" || end == "rrpl" || end == "rpi");
        let changed = fs::metadata(&path).and_then(|found| found.modified());
        let age = changed.ok().and_then(|changed| now.duration_since(changed).ok());
        if is_log && age.is_some_and(|age| age > keep) && fs::remove_file(&path).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}
