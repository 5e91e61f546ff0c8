//! The worker protocol, byte by byte. Servers and workers of different versions meet during an upgrade, so a number
//! here may be added but never changed; these encodings were worked out by hand from `worker.proto`.

use prost::Message;
use prost_types::{Duration, FileDescriptorSet, Timestamp};
use reapi::execution::{
    Action, Command, Digest, ExecuteResponse, ExecutedActionMetadata, RequestMetadata, digest_function,
};
use worker_api::v1::{
    Assignment, Completed, DesiredState, FollowedOutput, Lease, LeaseState, Property, Resource,
    ResourceUsage, Running, WorkerState, followed_output::Output, lease_state::State, running::Phase,
};

/// The message has this encoding, and the encoding is this message.
#[track_caller]
fn check<M: Message + Default + PartialEq + std::fmt::Debug>(message: M, hex: &str) {
    let bytes: Vec<u8> = hex
        .split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).expect("pairs of hex digits"))
        .collect();
    assert_eq!(
        format!("{:02x?}", message.encode_to_vec()),
        format!("{bytes:02x?}")
    );
    assert_eq!(M::decode(bytes.as_slice()), Ok(message));
}

#[test]
fn a_worker_that_runs_one_action_and_has_finished_another() {
    let metadata = ExecutedActionMetadata {
        worker: "w".into(),
        ..Default::default()
    };
    let response = ExecuteResponse {
        cached_result: true,
        ..Default::default()
    };
    check(
        WorkerState {
            worker_id: "i".into(),
            name: "n".into(),
            properties: vec![Property {
                name: "p".into(),
                value: "v".into(),
            }],
            slots: 4,
            draining: true,
            leaves_in: Some(prost_types::Duration {
                seconds: 115,
                nanos: 0,
            }),
            leases: vec![
                LeaseState {
                    lease_id: 1,
                    state: Some(State::Running(Running {
                        phase: Phase::Executing.into(),
                        partial_metadata: Some(metadata),
                    })),
                },
                LeaseState {
                    lease_id: 2,
                    state: Some(State::Completed(Completed {
                        response: Some(response),
                    })),
                },
            ],
            sequence: 7,
            memory_bytes: 6,
            resources: vec![Resource {
                name: "g".into(),
                amount: 7,
            }],
        },
        "0a 01 69  12 01 6e  1a 06 0a 01 70 12 01 76  20 04  28 01
         32 0b  08 01  12 07  08 02  12 03 0a 01 77
         32 08  08 02  1a 04  0a 02 10 01
         38 07  40 06  4a 05 0a 01 67 10 07  52 02 08 73",
    );
}

#[test]
fn the_desired_state_with_one_lease() {
    let assignment = Assignment {
        operation_name: "o".into(),
        instance_name: "i".into(),
        digest_function: digest_function::Value::Sha256.into(),
        action_digest: Some(Digest {
            hash: "h".into(),
            size_bytes: 1,
        }),
        action: Some(Action {
            do_not_cache: true,
            ..Default::default()
        }),
        command: Some(Command {
            arguments: vec!["a".into()],
            ..Default::default()
        }),
        timeout: Some(Duration { seconds: 2, nanos: 0 }),
        queued_timestamp: Some(Timestamp { seconds: 3, nanos: 0 }),
        request_metadata: Some(RequestMetadata {
            action_id: "x".into(),
            ..Default::default()
        }),
        user: "ann".into(),
    };
    check(
        DesiredState {
            leases: vec![Lease {
                lease_id: 1,
                assignment: Some(assignment),
                followed_outputs: vec![FollowedOutput {
                    output: Output::Stderr.into(),
                    offset: 7,
                    write_resource_name: "w".into(),
                }],
            }],
            lease_duration: Some(Duration { seconds: 4, nanos: 0 }),
            heartbeat: Some(Duration { seconds: 5, nanos: 0 }),
            acknowledged_sequence: 6,
        },
        "0a 37  08 01  12 2a
           0a 01 6f  12 01 69  18 01  22 05 0a 01 68 10 01  2a 02 38 01  32 03 0a 01 61
           3a 02 08 02  42 02 08 03  4a 03 12 01 78  52 03 61 6e 6e
           1a 07  08 02  10 07  1a 01 77
         12 02 08 04  1a 02 08 05  20 06",
    );
}

#[test]
fn what_a_command_used() {
    check(
        ResourceUsage {
            user_time: Some(Duration { seconds: 1, nanos: 0 }),
            system_time: Some(Duration { seconds: 2, nanos: 0 }),
            max_rss_bytes: 3,
            minor_faults: 4,
            major_faults: 5,
            in_blocks: 6,
            out_blocks: 7,
            voluntary_switches: 8,
            involuntary_switches: 9,
            memory_peak_bytes: 10,
            crowded_out: true,
        },
        "0a 02 08 01  12 02 08 02  18 03  20 04  28 05  30 06  38 07  40 08  48 09  50 0a  58 01",
    );
    let packed = prost_types::Any::from_msg(&ResourceUsage::default()).expect("a message can be packed");
    assert_eq!(
        packed.type_url,
        "type.googleapis.com/farrier.worker.v1.ResourceUsage"
    );
}

#[test]
fn phases_keep_their_numbers() {
    let names = (0..=4).map(|number| Phase::try_from(number).map_or("", |phase| phase.as_str_name()));
    assert_eq!(
        names.collect::<Vec<_>>(),
        [
            "PHASE_UNSPECIFIED",
            "FETCHING_INPUTS",
            "EXECUTING",
            "UPLOADING_OUTPUTS",
            ""
        ]
    );
}

#[test]
fn the_descriptors_hold_the_service() {
    let descriptors = FileDescriptorSet::decode(worker_api::DESCRIPTORS).expect("a valid set is committed");
    let service = descriptors
        .file
        .iter()
        .filter(|file| file.package() == "farrier.worker.v1")
        .flat_map(|file| &file.service)
        .find(|service| service.name() == "Workers")
        .expect("the service is declared");
    let method = &service.method[0];
    assert_eq!(method.name(), "Synchronize");
    assert!(method.client_streaming() && method.server_streaming());
}
