//! Logs of commands: `.rpl` with everything, `.rrpl` without inputs and arguments, `.rpi` about reproxy itself.
//!
//! A record is a text proto and three line ends. In a text proto line ends of values are escaped, so no record holds them.

mod reader;
mod writer;

pub use reader::{LogError, Logs, read_directories};
pub use writer::{LogFile, remove_older, write_proxy_info};

/// What goes between two records.
const SEPARATOR: &str = "\n\n\n";
/// The longest record that is read: a command with a million inputs is far below.
const RECORD_BYTES_MAX: usize = 256 << 20;
/// The most records that are read from all logs of a build together.
const RECORDS_MAX: usize = 10_000_000;

/// How much of a record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Everything.
    Text,
    /// All but inputs and arguments.
    ReducedText,
}

impl Format {
    /// The format of this name: `text`, `reducedtext`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "text" => Some(Format::Text),
            "reducedtext" => Some(Format::ReducedText),
            _ => None,
        }
    }

    /// The end of the names of its files, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Text => "rpl",
            Format::ReducedText => "rrpl",
        }
    }
}

/// The file and its format that a `-log_path=text://FILE` names.
pub fn log_path(text: &str) -> Option<(Format, &std::path::Path)> {
    let (format, path) = text.split_once("://")?;
    let format = Format::named(format)?;
    (!path.is_empty()).then(|| (format, std::path::Path::new(path)))
}

#[cfg(test)]
mod tests;
