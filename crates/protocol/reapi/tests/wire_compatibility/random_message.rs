//! Random messages of any type, from its descriptor.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value,
};

/// Levels of messages in messages. The deepest nesting that carries content, ExecuteResponse → ActionResult →
/// OutputFile → NodeProperties → Timestamp, fits in.
const DEPTH_MAX: u32 = 4;

/// How likely a field is set.
const SET: f64 = 0.85;

/// Elements of a repeated field at most.
const ELEMENTS_MAX: usize = 2;

/// A field and its value, if it has one.
type Setting = Option<(FieldDescriptor, Value)>;

/// Messages with most fields set, enums within their known values, one member of each oneof, and at most one entry
/// per map, since the order of more is not fixed.
pub(crate) fn any(descriptor: &MessageDescriptor) -> BoxedStrategy<DynamicMessage> {
    message(descriptor, DEPTH_MAX)
}

fn message(descriptor: &MessageDescriptor, depth: u32) -> BoxedStrategy<DynamicMessage> {
    let alone = descriptor
        .fields()
        .filter(|field| field.containing_oneof().is_none())
        .map(|field| vec![field]);
    let groups = alone.chain(descriptor.oneofs().map(|oneof| oneof.fields().collect()));
    let settings: Vec<BoxedStrategy<Setting>> = groups.filter_map(|group| setting(group, depth)).collect();
    let descriptor = descriptor.clone();
    settings
        .prop_map(move |settings| {
            let mut message = DynamicMessage::new(descriptor.clone());
            for (field, value) in settings.into_iter().flatten() {
                message.set_field(&field, value);
            }
            message
        })
        .boxed()
}

/// One of these fields, or none. `None` if all of them would go too deep.
fn setting(group: Vec<FieldDescriptor>, depth: u32) -> Option<BoxedStrategy<Setting>> {
    let reachable: Vec<_> = group
        .into_iter()
        .filter_map(|field| Some((content(&field, depth)?, field)))
        .collect();
    if reachable.is_empty() {
        return None;
    }
    let members = reachable
        .into_iter()
        .map(|(content, field)| content.prop_map(move |value| (field.clone(), value)));
    let one = proptest::strategy::Union::new(members);
    Some(proptest::option::weighted(SET, one).boxed())
}

/// What a field can hold.
fn content(field: &FieldDescriptor, depth: u32) -> Option<BoxedStrategy<Value>> {
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else {
            panic!("a map's type is its entry")
        };
        let Kind::String = entry.map_entry_key_field().kind() else {
            panic!("all maps here have string keys")
        };
        let values = value(entry.map_entry_value_field().kind(), depth)?;
        let map = (string(), values).prop_map(|(key, value)| HashMap::from([(MapKey::String(key), value)]));
        return Some(map.prop_map(Value::Map).boxed());
    }
    let values = value(field.kind(), depth)?;
    if field.is_list() {
        return Some(vec(values, 1..=ELEMENTS_MAX).prop_map(Value::List).boxed());
    }
    Some(values)
}

fn value(kind: Kind, depth: u32) -> Option<BoxedStrategy<Value>> {
    Some(match kind {
        Kind::Message(_) if depth == 0 => return None,
        Kind::Message(descriptor) => message(&descriptor, depth - 1).prop_map(Value::Message).boxed(),
        Kind::Enum(descriptor) => select(numbers(&descriptor)).prop_map(Value::EnumNumber).boxed(),
        Kind::String => string().prop_map(Value::String).boxed(),
        Kind::Bytes => vec(any_byte(), 0..6)
            .prop_map(|bytes| Value::Bytes(bytes.into()))
            .boxed(),
        Kind::Bool => proptest::bool::ANY.prop_map(Value::Bool).boxed(),
        Kind::Int32 => proptest::num::i32::ANY.prop_map(Value::I32).boxed(),
        Kind::Int64 => proptest::num::i64::ANY.prop_map(Value::I64).boxed(),
        Kind::Uint32 => proptest::num::u32::ANY.prop_map(Value::U32).boxed(),
        Kind::Uint64 => proptest::num::u64::ANY.prop_map(Value::U64).boxed(),
        other => panic!("no message here has used {other:?} so far: extend this match"),
    })
}

fn any_byte() -> impl Strategy<Value = u8> {
    proptest::num::u8::ANY
}

fn string() -> impl Strategy<Value = String> {
    "[a-zé/]{0,5}"
}

fn numbers(descriptor: &EnumDescriptor) -> Vec<i32> {
    descriptor.values().map(|value| value.number()).collect()
}
