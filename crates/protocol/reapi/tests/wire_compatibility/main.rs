//! Our messages mean on the wire what everybody else's mean.
//!
//! The other side of the comparison is generated from the upstream files by people we do not know
//! (`bazel-remote-apis`, and `tonic-types` for the error details), so a field we forgot, renumbered or gave another
//! type shows here. Every message is compared in two ways: random messages of our shape survive a trip through the
//! other side, and hostile bytes of any shape are understood, or refused, alike.

use std::collections::BTreeSet;

use proptest::test_runner::{Config, TestRunner};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};

mod counterparts;
mod probes;
mod random_message;

use counterparts::{Enum, Pair, enums, messages};

/// Nobody else publishes Rust code for this package; `tests/build_events.rs` pins it byte by byte.
const PACKAGE_WITHOUT_COUNTERPART: &str = "google.devtools.build.v1";

/// The other side leaves this enum out. Its numbers are gRPC's, which [`rpc_codes_are_those_of_grpc`] compares.
const ENUM_WITHOUT_COUNTERPART: &str = "google.rpc.Code";

/// Random messages per message type.
const CASES: u32 = 48;

fn descriptors() -> DescriptorPool {
    DescriptorPool::decode(reapi::DESCRIPTORS).expect("the committed descriptors are a valid set")
}

/// Whether the type is one of ours to compare, rather than one that `prost-types` brings.
fn is_compared(package: &str) -> bool {
    package != "google.protobuf" && package != PACKAGE_WITHOUT_COUNTERPART
}

#[test]
fn every_message_has_a_counterpart() {
    let declared: BTreeSet<String> = descriptors()
        .all_messages()
        .filter(|message| is_compared(message.package_name()) && !message.is_map_entry())
        .map(|message| message.full_name().to_owned())
        .collect();
    let compared: BTreeSet<String> = messages().into_iter().map(|pair| pair.name).collect();
    assert_eq!(declared, compared);
}

/// Receivers look into an `Any` only if its type URL is the one they expect.
#[test]
fn type_urls_are_the_usual_ones() {
    for Pair { name, type_url, .. } in messages() {
        assert_eq!(type_url, format!("type.googleapis.com/{name}"));
    }
}

#[test]
fn every_enum_has_a_counterpart() {
    let declared: BTreeSet<String> = descriptors()
        .all_enums()
        .map(|declared| {
            (
                declared.package_name().to_owned(),
                declared.full_name().to_owned(),
            )
        })
        .filter(|(package, name)| is_compared(package) && name != ENUM_WITHOUT_COUNTERPART)
        .map(|(_, name)| name)
        .collect();
    let compared: BTreeSet<String> = enums().into_iter().map(|pair| pair.name.to_owned()).collect();
    assert_eq!(declared, compared);
}

#[test]
fn enum_values_agree() {
    for Enum { name, ours, theirs } in enums() {
        let declared = descriptors()
            .get_enum_by_name(name)
            .expect("the table names declared enums");
        for number in -1..=64 {
            let value = declared.get_value(number).map(|value| value.name().to_owned());
            assert_eq!(
                ours(number).map(str::to_owned),
                value,
                "generated code of {name}, {number}"
            );
            assert_eq!(ours(number), theirs(number), "{name}, {number}");
        }
    }
}

#[test]
fn rpc_codes_are_those_of_grpc() {
    use reapi::rpc::Code;
    for number in 0..=16 {
        let ours = Code::try_from(number).expect("gRPC defines this code");
        // tonic spells the codes in camel case, and OK as if it were a word.
        let name = match format!("{:?}", tonic::Code::from_i32(number)).as_str() {
            "Ok" => "OK".to_owned(),
            camel => snake_case(camel),
        };
        assert_eq!(ours.as_str_name(), name);
    }
    assert_eq!(Code::try_from(17).ok(), None);
}

fn snake_case(camel: &str) -> String {
    let mut snake = String::new();
    for letter in camel.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_uppercase());
    }
    snake
}

#[test]
fn random_messages_survive_the_trip_to_the_other_side_and_back() {
    let descriptors = descriptors();
    for Pair {
        name, ours, theirs, ..
    } in messages()
    {
        let descriptor = descriptors
            .get_message_by_name(&name)
            .expect("the table names declared messages");
        let config = Config {
            cases: CASES,
            failure_persistence: None,
            ..Config::default()
        };
        let outcome = TestRunner::new(config).run(&random_message::any(&descriptor), |message| {
            let bytes = message.encode_to_vec();
            let ours_first = ours(&bytes).expect("our code reads what our descriptor allows");
            let reread = DynamicMessage::decode(descriptor.clone(), ours_first.as_slice());
            let reread = reread.expect("our descriptor reads what our code writes");
            assert_eq!(
                reread.encode_to_vec(),
                bytes,
                "our code and our descriptor disagree"
            );

            let through_theirs = theirs(&ours_first).expect("they read what we write");
            assert_eq!(through_theirs, ours_first, "they understand something else");
            let back = ours(&through_theirs).expect("we read what they write");
            assert_eq!(back, ours_first, "we do not get back what we sent");
            Ok(())
        });
        if let Err(failure) = outcome {
            panic!("{name}: {failure}");
        }
    }
}

/// Random messages show that what *we* have means the same to them. This shows that they have nothing we lack, and
/// that no type of ours is narrower: both sides keep the same bytes, and refuse the same bytes.
#[test]
fn hostile_bytes_are_read_alike() {
    for Pair {
        name, ours, theirs, ..
    } in messages()
    {
        let mut kept = 0;
        for bytes in probes::all() {
            let ours = ours(&bytes).ok();
            let theirs = theirs(&bytes).ok();
            assert_eq!(ours, theirs, "{name} reads {bytes:02x?} differently");
            kept += usize::from(ours.is_some_and(|encoded| !encoded.is_empty()));
        }
        let fields = descriptors()
            .get_message_by_name(&name)
            .map_or(0, |message| message.fields().len());
        assert!(
            kept >= fields,
            "{name} has {fields} fields, but only {kept} probes left a trace"
        );
    }
}
