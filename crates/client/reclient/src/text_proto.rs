//! Protocol messages as text, as reclient's logs and metrics have them.

use std::fmt;
use std::sync::LazyLock;

use prost::{Message, Name};
use prost_reflect::text_format::FormatOptions;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

/// The descriptors of all messages. They are generated with the code, and a test decodes them.
static POOL: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(reclient_api::DESCRIPTORS).ok());

/// This is not the text of such a message.
#[derive(Debug)]
pub struct NotText {
    message: String,
    why: String,
}

impl fmt::Display for NotText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not the text of a {}: {}", self.message, self.why)
    }
}

impl std::error::Error for NotText {}

fn not_text<M: Name>(why: impl fmt::Display) -> NotText {
    NotText {
        message: M::full_name(),
        why: why.to_string(),
    }
}

fn descriptor<M: Name>() -> Result<MessageDescriptor, NotText> {
    let pool = POOL.as_ref().ok_or_else(|| not_text::<M>("no descriptors"))?;
    pool.get_message_by_name(&M::full_name())
        .ok_or_else(|| not_text::<M>("no such message"))
}

/// With names and values to look at by reflection.
pub(crate) fn dynamic<M: Message + Name>(message: &M) -> Result<DynamicMessage, NotText> {
    DynamicMessage::decode(descriptor::<M>()?, message.encode_to_vec().as_slice()).map_err(not_text::<M>)
}

/// As text, with a line for each field.
pub fn to_text<M: Message + Name>(message: &M) -> Result<String, NotText> {
    let options = FormatOptions::new()
        .pretty(true)
        .print_message_fields_in_index_order(true);
    Ok(dynamic(message)?.to_text_format_with_options(&options))
}

/// From text. A field that is not known is a mistake.
pub fn from_text<M: Message + Name + Default>(text: &str) -> Result<M, NotText> {
    let message = DynamicMessage::parse_text_format(descriptor::<M>()?, text).map_err(not_text::<M>)?;
    M::decode(message.encode_to_vec().as_slice()).map_err(not_text::<M>)
}

#[cfg(test)]
mod tests {
    use reclient_api::cmd::{Command, Identifiers};
    use reclient_api::log::{CompletionStatus, LogRecord};

    use super::*;

    #[test]
    fn there_and_back() {
        let record = LogRecord {
            command: Some(Command {
                identifiers: Some(Identifiers {
                    command_id: "a \"b\"\n\n\n\nü".to_owned(),
                    ..Identifiers::default()
                }),
                args: vec!["cc".to_owned(), "-c".to_owned()],
                ..Command::default()
            }),
            completion_status: CompletionStatus::StatusCacheHit.into(),
            ..LogRecord::default()
        };
        let text = to_text(&record).unwrap();
        assert!(text.contains("completion_status: STATUS_CACHE_HIT"), "{text}");
        assert!(!text.contains("\n\n"), "a record has no empty line");
        assert_eq!(from_text::<LogRecord>(&text).unwrap(), record);
        let error = from_text::<LogRecord>("speed: 9").unwrap_err().to_string();
        assert!(error.contains("log.LogRecord"), "{error}");
    }
}
