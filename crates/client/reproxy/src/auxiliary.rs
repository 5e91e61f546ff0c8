//! What servers add to results (`ExecutedActionMetadata.auxiliary_metadata`), as lines of a log record.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage as _, Value};
use prost_types::Any;

/// The message that the descriptors must have; whatever the server calls its own.
const NAME: &str = "AuxiliaryMetadata";
/// How deep messages in messages are looked into.
const DEPTH_MAX: usize = 16;
/// Entries of one record.
const ENTRIES_MAX: usize = 1000;

/// The descriptors that `-auxiliary_metadata_path` names.
#[derive(Clone, Debug)]
pub struct Auxiliary {
    pool: DescriptorPool,
    usual: MessageDescriptor,
}

/// There are no such descriptors.
#[derive(Debug)]
pub struct NoDescriptors {
    why: String,
}

impl fmt::Display for NoDescriptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for NoDescriptors {}

impl Auxiliary {
    /// Reads the file: an encoded FileDescriptorSet.
    pub fn read(path: &Path) -> Result<Self, NoDescriptors> {
        let no = |why: String| NoDescriptors {
            why: format!("{}: {why}", path.display()),
        };
        let bytes = fs::read(path).map_err(|error| no(error.to_string()))?;
        Self::decode(&bytes).map_err(no)
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let pool = DescriptorPool::decode(bytes).map_err(|error| error.to_string())?;
        let found = pool.all_messages().find(|message| message.name() == NAME);
        let found = found.ok_or_else(|| format!("has no message {NAME}"))?;
        Ok(Auxiliary { usual: found, pool })
    }

    /// The values of what a server has added, by the names of their fields with points between them. What cannot be read is
    /// left out: it is somebody else's, and only for people to look at.
    pub fn entries(&self, added: &[Any]) -> BTreeMap<String, String> {
        let mut entries = BTreeMap::new();
        for any in added {
            let descriptor = self.named(any).unwrap_or_else(|| self.usual.clone());
            if let Ok(message) = DynamicMessage::decode(descriptor, any.value.as_slice()) {
                flatten(&message, "", DEPTH_MAX, &mut entries);
            }
        }
        entries
    }

    /// What it says that it is, where that is among the descriptors. reclient takes everything for the one message.
    fn named(&self, added: &Any) -> Option<MessageDescriptor> {
        let name = added.type_url.rsplit('/').next()?;
        self.pool.get_message_by_name(name)
    }
}

fn flatten(message: &DynamicMessage, prefix: &str, depth: usize, entries: &mut BTreeMap<String, String>) {
    for field in message
        .descriptor()
        .fields()
        .filter(|field| message.has_field(field))
    {
        // As reclient writes them: by their names in JSON.
        let name = match prefix {
            "" => field.json_name().to_owned(),
            prefix => format!("{prefix}.{}", field.json_name()),
        };
        match &*message.get_field(&field) {
            Value::Message(inner) if depth > 0 => flatten(inner, &name, depth - 1, entries),
            value if entries.len() < ENTRIES_MAX => {
                entries.insert(name, text(value, &field));
            }
            _ => {}
        }
    }
}

fn text(value: &Value, field: &prost_reflect::FieldDescriptor) -> String {
    match (value, field.kind()) {
        (Value::String(text), _) => text.clone(),
        (Value::EnumNumber(number), prost_reflect::Kind::Enum(kind)) => kind
            .get_value(*number)
            .map_or_else(|| number.to_string(), |value| value.name().to_owned()),
        (value, _) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::field_descriptor_proto::{Label, Type};
    use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};

    use super::*;

    fn field(name: &str, number: i32, kind: Type, of: Option<&str>) -> FieldDescriptorProto {
        FieldDescriptorProto {
            name: Some(name.to_owned()),
            number: Some(number),
            label: Some(Label::Optional.into()),
            r#type: Some(kind.into()),
            type_name: of.map(str::to_owned),
            ..FieldDescriptorProto::default()
        }
    }

    fn descriptors(name: &str) -> Vec<u8> {
        let message = |name: &str, field: Vec<FieldDescriptorProto>| DescriptorProto {
            name: Some(name.to_owned()),
            field,
            ..DescriptorProto::default()
        };
        let usage = message("Usage", vec![field("cpu_percent", 1, Type::Double, None)]);
        let top = message(
            name,
            vec![
                field("pool", 1, Type::String, None),
                field("usage", 2, Type::Message, Some(".w.Usage")),
                field("unset", 3, Type::Int64, None),
            ],
        );
        let file = FileDescriptorProto {
            name: Some("w.proto".to_owned()),
            package: Some("w".to_owned()),
            message_type: vec![usage, top],
            syntax: Some("proto3".to_owned()),
            ..FileDescriptorProto::default()
        };
        FileDescriptorSet { file: vec![file] }.encode_to_vec()
    }

    #[test]
    fn fields_become_lines() {
        let auxiliary = Auxiliary::decode(&descriptors(NAME)).unwrap();
        // pool: "big", usage { cpu_percent: 12.5 }
        let mut value = vec![0x0a, 3, b'b', b'i', b'g', 0x12, 9, 0x09];
        value.extend(12.5_f64.to_le_bytes());
        let any = |value: &[u8]| Any {
            type_url: "type.googleapis.com/whatever".to_owned(),
            value: value.to_vec(),
        };
        let entries = auxiliary.entries(&[any(&value), any(b"\xff\xff")]);
        let usage = Any {
            type_url: "type.googleapis.com/w.Usage".to_owned(),
            value: value[7..].to_vec(),
        };
        assert_eq!(
            auxiliary.entries(&[usage]),
            [("cpuPercent".to_owned(), "12.5".to_owned())].into()
        );
        let expected = [("pool", "big"), ("usage.cpuPercent", "12.5")];
        assert_eq!(
            entries,
            expected
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into()
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = Auxiliary::read(Path::new("/there/is/none"))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("/there/is/none: "), "{error}");
        assert_eq!(
            Auxiliary::decode(&descriptors("Other")).unwrap_err(),
            "has no message AuxiliaryMetadata"
        );
        assert!(Auxiliary::decode(b"\xff").is_err());
    }
}
