use super::*;
use crate::command::Command;

const F: DigestFunction = DigestFunction::Sha256;

fn proto() -> proto::Action {
    proto::Action {
        command_digest: Some(Digest::of(F, b"command").to_proto()),
        input_root_digest: Some(Digest::empty(F).to_proto()),
        ..Default::default()
    }
}

fn platform(properties: &[(&str, &str)]) -> proto::Platform {
    let property = |&(name, value): &(&str, &str)| proto::platform::Property {
        name: name.into(),
        value: value.into(),
    };
    proto::Platform {
        properties: properties.iter().map(property).collect(),
    }
}

fn with_timeout(seconds: i64, nanos: i32) -> Result<Option<Duration>, ActionError> {
    let proto = proto::Action {
        timeout: Some(ProtoDuration { seconds, nanos }),
        ..proto()
    };
    Action::from_proto(F, &proto).map(|action| action.timeout())
}

#[test]
fn everything_is_kept() {
    let proto = proto::Action {
        timeout: Some(ProtoDuration {
            seconds: 90,
            nanos: 5,
        }),
        do_not_cache: true,
        salt: b"salt".to_vec(),
        platform: Some(platform(&[("b", "2"), ("a", "1")])),
        ..proto()
    };
    let action = Action::decode(F, &proto.encode_to_vec()).unwrap();
    assert_eq!(action.command_digest(), Digest::of(F, b"command"));
    assert_eq!(action.input_root_digest(), Digest::empty(F));
    assert_eq!(action.timeout(), Some(Duration::new(90, 5)));
    assert!(action.do_not_cache());
    assert_eq!(action.salt(), b"salt");
    assert_eq!(
        action.platform().map(Platform::to_string).as_deref(),
        Some("a=1, b=2")
    );
    assert_eq!(Action::from_proto(F, &proto), Ok(action));
}

#[test]
fn e13_timeouts() {
    assert_eq!(
        Action::from_proto(F, &proto()).map(|action| action.timeout()),
        Ok(None)
    );
    assert_eq!(with_timeout(0, 0), Ok(Some(Duration::ZERO)));
    assert_eq!(
        with_timeout(1, 500_000_000),
        Ok(Some(Duration::from_millis(1500)))
    );
    assert!(with_timeout(TIMEOUT_SECONDS_MAX, 0).is_ok());
    for (seconds, nanos) in [
        (-1, 0),
        (0, -1),
        (1, -1),
        (0, 1_000_000_000),
        (TIMEOUT_SECONDS_MAX + 1, 0),
        (i64::MAX, 0),
        (i64::MIN, 0),
    ] {
        assert_eq!(
            with_timeout(seconds, nanos),
            Err(ActionError::Timeout { seconds, nanos })
        );
    }
}

#[test]
fn digests_must_be_there_and_of_the_function_of_the_request() {
    let refused = |proto: &proto::Action, field: &str| match Action::from_proto(F, proto) {
        Err(ActionError::Digest { field: refused, .. }) => assert_eq!(refused, field),
        other => panic!("{other:?}"),
    };
    refused(
        &proto::Action {
            command_digest: None,
            ..proto()
        },
        "Action.command_digest",
    );
    refused(
        &proto::Action {
            input_root_digest: None,
            ..proto()
        },
        "Action.input_root_digest",
    );
    let short = Some(proto::Digest {
        hash: "d41d8cd98f00b204e9800998ecf8427e".to_owned(),
        size_bytes: 0,
    });
    refused(
        &proto::Action {
            input_root_digest: short,
            ..proto()
        },
        "Action.input_root_digest",
    );
    assert!(matches!(
        Action::decode(F, b"\xff"),
        Err(ActionError::Encoding { .. })
    ));
    assert!(matches!(Action::decode(F, b""), Err(ActionError::Digest { .. })));
}

#[test]
fn e34_the_platform_of_the_action_comes_first() {
    let action = |platform| Action::from_proto(F, &proto::Action { platform, ..proto() }).unwrap();
    let command = |platform| {
        let arguments = vec!["true".to_owned()];
        #[allow(deprecated, reason = "clients before 2.2 put it there")]
        let proto = proto::Command {
            arguments,
            platform,
            ..Default::default()
        };
        Command::from_proto(&proto).unwrap()
    };
    let (new, old) = (Some(platform(&[("new", "1")])), Some(platform(&[("old", "1")])));
    let empty = Some(platform(&[]));
    let of = |action: &Action, command: &Command| Platform::of(action, command).to_string();
    assert_eq!(of(&action(new.clone()), &command(old.clone())), "new=1");
    assert_eq!(of(&action(None), &command(old.clone())), "old=1");
    assert_eq!(of(&action(empty), &command(old)), "old=1");
    assert_eq!(of(&action(new), &command(None)), "new=1");
    assert_eq!(of(&action(None), &command(None)), "(any)");
}

#[test]
fn e35_the_salt_changes_the_digest() {
    use crate::ActionDigest;
    let digest = ActionDigest::of(F, &proto());
    assert_eq!(digest, ActionDigest::new(Digest::of(F, &proto().encode_to_vec())));
    assert_ne!(
        digest,
        ActionDigest::of(
            F,
            &proto::Action {
                salt: vec![1],
                ..proto()
            }
        )
    );
    assert_eq!(digest.to_string(), digest.digest().to_string());
}
