//! The Build Event Service, byte by byte: nobody publishes Rust code to compare it with, so these encodings were
//! worked out by hand from the field numbers that Bazel uses.

use prost::Message;
use prost_reflect::DescriptorPool;
use prost_types::{Any, Duration, Timestamp};
use reapi::build_events::build_event::build_component_stream_finished::FinishType;
use reapi::build_events::build_event::console_output::Output;
use reapi::build_events::build_event::{
    BuildComponentStreamFinished, BuildEnqueued, BuildFinished, ConsoleOutput, Event,
    InvocationAttemptFinished, InvocationAttemptStarted,
};
use reapi::build_events::{
    BuildEvent, BuildStatus, ConsoleOutputStream, OrderedBuildEvent, PublishBuildToolEventStreamRequest,
    PublishBuildToolEventStreamResponse, PublishLifecycleEventRequest, StreamId, build_status,
    publish_lifecycle_event_request::ServiceLevel, stream_id::BuildComponent,
};

/// The message has this encoding, and the encoding is this message.
#[track_caller]
fn check<M: Message + Default + PartialEq + std::fmt::Debug>(message: M, hex: &str) {
    let bytes: Vec<u8> = hex
        .split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).expect("the test writes pairs of hex digits"))
        .collect();
    assert_eq!(
        format!("{:02x?}", message.encode_to_vec()),
        format!("{bytes:02x?}")
    );
    assert_eq!(M::decode(bytes.as_slice()), Ok(message));
}

fn stream_id() -> StreamId {
    StreamId {
        build_id: "b".into(),
        component: BuildComponent::Tool.into(),
        invocation_id: "i".into(),
    }
}

fn any() -> Any {
    Any {
        type_url: "t".into(),
        value: vec![1],
    }
}

fn event(event: Event) -> BuildEvent {
    BuildEvent {
        event_time: None,
        event: Some(event),
    }
}

#[test]
fn a_bazel_event_in_a_stream() {
    check(
        PublishBuildToolEventStreamRequest {
            ordered_build_event: Some(OrderedBuildEvent {
                stream_id: Some(stream_id()),
                sequence_number: 2,
                event: Some(BuildEvent {
                    event_time: Some(Timestamp { seconds: 1, nanos: 0 }),
                    event: Some(Event::BazelEvent(any())),
                }),
            }),
            notification_keywords: vec!["k".into()],
            project_id: "p".into(),
            check_preceding_lifecycle_events_present: true,
        },
        "22 1b  0a 08 0a 01 62 18 03 32 01 69  10 02  1a 0d 0a 02 08 01 e2 03 06 0a 01 74 12 01 01
         2a 01 6b  32 01 70  38 01",
    );
}

#[test]
fn the_acknowledgement_of_an_event() {
    check(
        PublishBuildToolEventStreamResponse {
            stream_id: Some(stream_id()),
            sequence_number: 2,
        },
        "0a 08 0a 01 62 18 03 32 01 69  10 02",
    );
}

#[test]
fn the_end_of_a_build() {
    let status = BuildStatus {
        result: build_status::Result::Cancelled.into(),
        details: Some(any()),
        final_invocation_id: "i".into(),
        build_tool_exit_code: Some(8),
        error_message: "e".into(),
    };
    check(
        PublishLifecycleEventRequest {
            service_level: ServiceLevel::Interactive.into(),
            build_event: Some(OrderedBuildEvent {
                event: Some(event(Event::BuildFinished(BuildFinished {
                    status: Some(status),
                    details: None,
                }))),
                ..Default::default()
            }),
            stream_timeout: Some(Duration { seconds: 5, nanos: 0 }),
            notification_keywords: vec!["k".into()],
            project_id: "p".into(),
            check_preceding_lifecycle_events_present: true,
        },
        "08 01
         12 1b  1a 19  ba 03 16  0a 14  08 07  12 06 0a 01 74 12 01 01  1a 01 69  22 02 08 08  2a 01 65
         1a 02 08 05  22 01 6b  32 01 70  38 01",
    );
}

#[test]
fn each_kind_of_event() {
    let status = BuildStatus {
        result: build_status::Result::CommandSucceeded.into(),
        ..Default::default()
    };
    let started = InvocationAttemptStarted {
        attempt_number: 1,
        details: Some(any()),
    };
    check(
        event(Event::InvocationAttemptStarted(started)),
        "9a 03 0a  08 01  12 06 0a 01 74 12 01 01",
    );
    let finished = InvocationAttemptFinished {
        invocation_status: Some(status),
        details: Some(any()),
    };
    check(
        event(Event::InvocationAttemptFinished(finished)),
        "a2 03 0c  1a 02 08 01  22 06 0a 01 74 12 01 01",
    );
    check(
        event(Event::BuildEnqueued(BuildEnqueued { details: Some(any()) })),
        "aa 03 08  0a 06 0a 01 74 12 01 01",
    );
    check(
        event(Event::BuildFinished(BuildFinished {
            status: None,
            details: Some(any()),
        })),
        "ba 03 08  12 06 0a 01 74 12 01 01",
    );
    let stderr = ConsoleOutputStream::Stderr.into();
    check(
        event(Event::ConsoleOutput(ConsoleOutput {
            r#type: stderr,
            output: Some(Output::TextOutput("x".into())),
        })),
        "c2 03 05  08 02  12 01 78",
    );
    check(
        event(Event::ConsoleOutput(ConsoleOutput {
            r#type: 1,
            output: Some(Output::BinaryOutput(vec![0xff])),
        })),
        "c2 03 05  08 01  1a 01 ff",
    );
    check(
        event(Event::ComponentStreamFinished(BuildComponentStreamFinished {
            r#type: FinishType::Expired.into(),
        })),
        "da 03 02  08 02",
    );
    check(event(Event::BazelEvent(Any::default())), "e2 03 00");
    check(event(Event::BuildExecutionEvent(Any::default())), "ea 03 00");
    check(event(Event::SourceFetchEvent(Any::default())), "f2 03 00");
    check(event(Event::BuckEvent(Any::default())), "fa 03 00");
}

#[test]
fn the_numbers_of_enums() {
    use build_status::Result;
    let results = (0..=9).map(|number| Result::try_from(number).map_or("", |result| result.as_str_name()));
    assert_eq!(
        results.collect::<Vec<_>>(),
        [
            "UNKNOWN_STATUS",
            "COMMAND_SUCCEEDED",
            "COMMAND_FAILED",
            "USER_ERROR",
            "SYSTEM_ERROR",
            "RESOURCE_EXHAUSTED",
            "INVOCATION_DEADLINE_EXCEEDED",
            "CANCELLED",
            "REQUEST_DEADLINE_EXCEEDED",
            ""
        ]
    );
    let components =
        (0..=4).map(|number| BuildComponent::try_from(number).map_or("", |known| known.as_str_name()));
    assert_eq!(
        components.collect::<Vec<_>>(),
        ["UNKNOWN_COMPONENT", "CONTROLLER", "WORKER", "TOOL", ""]
    );
}

#[test]
fn the_service_as_bazel_calls_it() {
    let descriptors =
        DescriptorPool::decode(reapi::DESCRIPTORS).expect("the committed descriptors are a valid set");
    let service = descriptors
        .get_service_by_name("google.devtools.build.v1.PublishBuildEvent")
        .expect("the service is declared");
    let methods: Vec<_> = service
        .methods()
        .map(|method| {
            let names = (
                method.name().to_owned(),
                method.input().name().to_owned(),
                method.output().name().to_owned(),
            );
            (names, method.is_client_streaming(), method.is_server_streaming())
        })
        .collect();
    let names =
        |method: &str, input: &str, output: &str| (method.to_owned(), input.to_owned(), output.to_owned());
    assert_eq!(
        methods,
        [
            (
                names("PublishLifecycleEvent", "PublishLifecycleEventRequest", "Empty"),
                false,
                false
            ),
            (
                names(
                    "PublishBuildToolEventStream",
                    "PublishBuildToolEventStreamRequest",
                    "PublishBuildToolEventStreamResponse"
                ),
                true,
                true
            ),
        ]
    );
}
