//! The names log streams have on ByteStream.
//!
//! ```text
//! {instance/}logstreams/{uuid}                     a stream made by CreateLogStream, for reading
//! {instance/}logstreams/{uuid}/{uuid}              the same, for writing: the last segment is its secret
//! {instance/}logstreams/{uuid}/{stdout|stderr}     what the action of an operation prints, for reading
//! ```
//!
//! `logstreams` is none of the words that the protocol keeps out of instance names, so these names are read from their
//! end.

use std::fmt;

use super::{LENGTH_BYTES_MAX, ResourceNameError, instance, is_uuid, malformed, split, write_instance};
use crate::InstanceName;

const KEYWORD: &str = "logstreams";
const SHAPE: &str =
    "{instance/}logstreams/{uuid}, the same with a secret behind it, or with stdout or stderr";
/// Any of these makes it the name of a blob.
const BLOB_KEYWORDS: [&str; 3] = ["blobs", "compressed-blobs", "uploads"];

/// What a log stream is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStreamName {
    /// The instance.
    pub instance: InstanceName,
    /// A UUID: the stream's own, or that of an operation.
    pub id: String,
    /// What follows it.
    pub part: LogStreamPart,
}

/// What follows the id in the name of a log stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogStreamPart {
    /// Nothing: the name to read a stream by.
    Read,
    /// A secret: the name to write it by.
    Write {
        /// A UUID.
        secret: String,
    },
    /// What an action prints.
    Output(CommandOutput),
}

/// The two outputs of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommandOutput {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl CommandOutput {
    /// As it stands in names.
    pub fn as_str(self) -> &'static str {
        match self {
            CommandOutput::Stdout => "stdout",
            CommandOutput::Stderr => "stderr",
        }
    }
}

impl LogStreamName {
    /// Whether this is meant to be the name of a log stream, well formed or not, and not that of a blob.
    pub fn is_meant(name: &str) -> bool {
        name.len() <= LENGTH_BYTES_MAX
            && name.split('/').any(|segment| segment == KEYWORD)
            && !name.split('/').any(|segment| BLOB_KEYWORDS.contains(&segment))
    }

    /// Reads a name.
    pub fn parse(name: &str) -> Result<Self, ResourceNameError> {
        let segments = split(name)?;
        let (before, id, part) = match &segments[..] {
            [before @ .., KEYWORD, id] => (before, *id, LogStreamPart::Read),
            [before @ .., KEYWORD, id, last] => (before, *id, part(name, last)?),
            _ => return Err(malformed(name, SHAPE)),
        };
        if !is_uuid(id) {
            return Err(malformed(name, SHAPE));
        }
        Ok(LogStreamName {
            instance: instance(name, before)?,
            id: id.to_owned(),
            part,
        })
    }
}

fn part(name: &str, segment: &str) -> Result<LogStreamPart, ResourceNameError> {
    match segment {
        "stdout" => Ok(LogStreamPart::Output(CommandOutput::Stdout)),
        "stderr" => Ok(LogStreamPart::Output(CommandOutput::Stderr)),
        secret if is_uuid(secret) => Ok(LogStreamPart::Write {
            secret: secret.to_owned(),
        }),
        _ => Err(malformed(name, SHAPE)),
    }
}

impl fmt::Display for LogStreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_instance(f, &self.instance)?;
        write!(f, "{KEYWORD}/{}", self.id)?;
        match &self.part {
            LogStreamPart::Read => Ok(()),
            LogStreamPart::Write { secret } => write!(f, "/{secret}"),
            LogStreamPart::Output(output) => write!(f, "/{}", output.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "0e02b2c3-58cc-4372-a567-0e02b2c3d479";
    const SECRET: &str = "11111111-58cc-4372-a567-0e02b2c3d479";

    #[test]
    fn every_form_round_trips() {
        let secret = LogStreamPart::Write {
            secret: SECRET.to_owned(),
        };
        for (name, instance, part) in [
            (format!("logstreams/{ID}"), "", LogStreamPart::Read),
            (format!("a/b/logstreams/{ID}/{SECRET}"), "a/b", secret),
            (
                format!("logstreams/{ID}/stdout"),
                "",
                LogStreamPart::Output(CommandOutput::Stdout),
            ),
            // No rule keeps the word out of instance names.
            (
                format!("logstreams/logstreams/{ID}/stderr"),
                "logstreams",
                LogStreamPart::Output(CommandOutput::Stderr),
            ),
        ] {
            assert!(LogStreamName::is_meant(&name));
            let parsed = LogStreamName::parse(&name).unwrap();
            assert_eq!((parsed.instance.as_str(), &parsed.part), (instance, &part));
            assert_eq!((parsed.id.as_str(), parsed.to_string()), (ID, name));
        }
    }

    #[test]
    fn malformed_names_of_log_streams() {
        for name in [
            "logstreams".to_owned(),
            "logstreams/x".to_owned(),
            format!("logstreams/{ID}/"),
            format!("logstreams/{ID}/stdin"),
            format!("logstreams/{ID}/stdout/more"),
            format!("/logstreams/{ID}"),
            format!("a//logstreams/{ID}"),
            format!("operations/logstreams/{ID}"),
        ] {
            assert!(LogStreamName::is_meant(&name), "{name}");
            assert!(LogStreamName::parse(&name).is_err(), "{name}");
        }
    }

    #[test]
    fn names_of_blobs_are_not_meant() {
        assert!(!LogStreamName::is_meant("logstreams/blobs/x/5"));
        assert!(!LogStreamName::is_meant("blobs/x/5"));
        assert!(!LogStreamName::is_meant(""));
    }

    proptest! {
        #[test]
        fn any_text_is_answered(name in "(logstreams|stdout|[a-z-]{0,8}|/){0,8}") {
            if let Ok(parsed) = LogStreamName::parse(&name) {
                prop_assert_eq!(parsed.to_string(), name);
            }
        }
    }
}
