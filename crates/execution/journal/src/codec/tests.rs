use proptest::prelude::*;
use reapi::execution as reapi_proto;
use reapi::execution::{ActionResult, RequestMetadata};

use super::*;

fn work_of(name: &str, do_not_cache: bool, properties: &[(&str, &str)]) -> Arc<Work> {
    let digest = |text: &str| Some(Digest::of(DigestFunction::Sha256, text.as_bytes()).to_proto());
    let properties = properties
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let platform = Platform::new(properties).unwrap();
    let action = reapi_proto::Action {
        command_digest: digest("command"),
        input_root_digest: digest("root"),
        do_not_cache,
        platform: Some(platform.to_proto()),
        ..Default::default()
    };
    let command = reapi_proto::Command {
        arguments: vec![name.to_owned()],
        output_paths: vec!["out".to_owned()],
        ..Default::default()
    };
    Arc::new(Work {
        instance: InstanceName::new("team/a").unwrap(),
        action_digest: ActionDigest::new(Digest::of(DigestFunction::Sha256, name.as_bytes())),
        action,
        command,
        platform,
        timeout: Duration::from_millis(1_500),
        do_not_cache,
        request_metadata: Some(RequestMetadata {
            tool_invocation_id: "build".to_owned(),
            ..Default::default()
        }),
        user: "ann".to_owned(),
        queued_at: prost_types::Timestamp { seconds: 5, nanos: 6 },
    })
}

fn exit(exit_code: i32) -> Arc<ExecuteResponse> {
    Arc::new(ExecuteResponse {
        result: Some(ActionResult {
            exit_code,
            ..Default::default()
        }),
        ..Default::default()
    })
}

#[test]
fn every_entry_comes_back_as_it_went() {
    let task = TaskId::new(3);
    let operation = OperationName::new("team/a/operations/x");
    let entries = [
        Entry::Began {
            task,
            operation: operation.clone(),
            priority: -5,
            work: work_of("cc", true, &[("OSFamily", "linux"), ("OSFamily", "unix")]),
        },
        Entry::Joined {
            task,
            operation: operation.clone(),
            priority: 7,
        },
        Entry::Granted(Grant {
            task,
            lease: LeaseId::new(u64::MAX),
            operation: operation.clone(),
            worker: WorkerId::new("w"),
            worker_name: "host".to_owned(),
        }),
        Entry::Hedged(Grant {
            task,
            lease: LeaseId::new(4),
            operation: operation.clone(),
            worker: WorkerId::new("v"),
            worker_name: "other".to_owned(),
        }),
        Entry::Ended {
            task,
            lease: LeaseId::new(4),
            worker_name: "other".to_owned(),
            what: String::new(),
            avoided: None,
        },
        Entry::Failed {
            task,
            worker_name: "host".to_owned(),
            what: "lost".to_owned(),
            avoided: None,
        },
        Entry::Failed {
            task,
            worker_name: "host".to_owned(),
            what: "no space".to_owned(),
            avoided: Some(WorkerId::new("w")),
        },
        Entry::Completed {
            task,
            response: exit(1),
        },
        Entry::Finished {
            operations: vec![operation.clone(), OperationName::new("y")],
            response: exit(0),
        },
        Entry::Forgotten(operation.clone()),
        Entry::Past {
            operation,
            work: work_of("ld", false, &[]),
            response: exit(2),
        },
        Entry::Away {
            worker: WorkerId::new("w"),
            since: Time::from_micros(1_800_000_000_000_000),
        },
        Entry::Back(WorkerId::new("w")),
        Entry::Learned {
            shape: Shape(u64::MAX),
            expected: Expected {
                wall: Duration::from_micros(1),
                cpus: 1.5,
                memory_bytes: 7,
            },
        },
        Entry::Bigger { task },
        Entry::HandedBack { task },
        Entry::Drain {
            pattern: "host-*".to_owned(),
            on: true,
        },
        Entry::LeasesBelow(LeaseId::new(9)),
    ];
    for entry in entries {
        let mut bytes = Vec::new();
        encode(&entry, &mut bytes);
        assert_eq!(decode(&bytes).unwrap(), entry);
    }
}

#[test]
fn what_is_not_whole_is_refused_with_a_reason() {
    let refusal = |what| decode(&proto::Entry { what }.encode_to_vec()).unwrap_err();
    assert!(refusal(None).contains("does not know"));
    assert!(refusal(Some(What::Began(proto::Began::default()))).contains("assignment is missing"));
    assert!(refusal(Some(What::Completed(proto::Completed::default()))).contains("response is missing"));
    let began = proto::Began {
        assignment: Some(assignment(&OperationName::new("x"), &work_of("cc", false, &[]))),
        ..Default::default()
    };
    let without = |change: fn(&mut Assignment)| {
        let mut began = began.clone();
        change(began.assignment.as_mut().unwrap());
        refusal(Some(What::Began(began)))
    };
    assert!(without(|assignment| assignment.action = None).contains("action is missing"));
    assert!(without(|assignment| assignment.command = None).contains("command is missing"));
    assert!(without(|assignment| assignment.action_digest = None).contains("action_digest"));
}

proptest! {
    #[test]
    fn any_bytes_are_an_entry_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(entry) = decode(&bytes) {
            let mut again = Vec::new();
            encode(&entry, &mut again);
            prop_assert_eq!(decode(&again), Ok(entry));
        }
    }
}
