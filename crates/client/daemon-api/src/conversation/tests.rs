use std::fmt::Debug;

use super::*;
use crate::limits::FRAME_BYTES_MAX;
use crate::{read_frame, write_frame};

fn check_round_trip<M: Message + PartialEq + Debug>(message: M) {
    let mut bytes = Vec::new();
    write_frame(&mut bytes, &message).unwrap();
    let mut rest = bytes.as_slice();
    assert_eq!(read_frame::<M>(&mut rest).unwrap(), Some(message));
    assert_eq!(read_frame::<M>(&mut rest).unwrap().map(|_| ()), None);
    for end in 1..bytes.len() {
        read_frame::<M>(&mut &bytes[..end]).expect_err("a frame that was cut");
    }
}

fn request() -> Request {
    Request {
        arguments: vec![
            "gcc".into(),
            OsString::from_vec(b"a \n\xff.c".to_vec()),
            "".into(),
        ],
        directory: "/some where".into(),
        environment: vec![("PATH".into(), "/bin".into()), ("EMPTY".into(), "".into())],
        settings: vec![("strategy".into(), "local".into())],
        is_terminal: true,
    }
}

#[test]
fn every_message_comes_back_as_it_was_sent_or_not_at_all() {
    check_round_trip(request());
    let program = || PathBuf::from("/usr/bin/gcc");
    check_round_trip(Answer::Execute { program: program() });
    for more in [
        Vec::new(),
        vec!["-one".into(), OsString::from_vec(b"\xff two".to_vec())],
    ] {
        check_round_trip(Answer::Run {
            program: program(),
            through: more.iter().rev().cloned().collect(),
            more: more.clone(),
            apart: more.is_empty(),
        });
        check_round_trip(Answer::Rehearse {
            program: program(),
            more,
        });
    }
    check_round_trip(Answer::Waiting);
    check_round_trip(Answer::TakeBack);
    check_round_trip(Report::TakenBack);
    check_round_trip(Answer::SendInput);
    check_round_trip(Answer::Alive);
    check_round_trip(Answer::Output(b"out\0".to_vec()));
    check_round_trip(Answer::ErrorOutput(b"err".to_vec()));
    check_round_trip(Answer::Ended(End::Exited(-1)));
    check_round_trip(Answer::Ended(End::Killed(11)));
    check_round_trip(Report::Input(b"in".to_vec()));
    check_round_trip(Report::InputLeft);
    check_round_trip(Report::Started { process: 77 });
    let (end, some) = (End::Exited(1), Some(b"text".to_vec()));
    check_round_trip(Report::Ran {
        end,
        output: some.clone(),
        error_output: None,
    });
    check_round_trip(Report::Ran {
        end,
        output: Some(Vec::new()),
        error_output: some,
    });
}

#[test]
fn another_version_is_told_by_its_number() {
    let (kind, mut body) = request().encode();
    body[0] += 1;
    let version = VERSION + 1;
    assert_eq!(
        Request::decode(kind, &body),
        Err(FrameError::OtherVersion { version })
    );
}

#[test]
fn what_is_announced_is_not_believed() {
    let mut huge = (FRAME_BYTES_MAX as u32 + 1).to_le_bytes().to_vec();
    huge.push(0);
    let error = read_frame::<Request>(&mut huge.as_slice()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);

    let mut body = Writer::default();
    body.u32(VERSION);
    body.string(b"/");
    body.u32(u32::MAX);
    let count = u32::MAX as usize;
    assert_eq!(
        Request::decode(0, &body.bytes),
        Err(FrameError::TooManyFields { count })
    );

    let (kind, mut body) = request().encode();
    body.push(0);
    assert_eq!(
        Request::decode(kind, &body),
        Err(FrameError::Trailing { more: 1 })
    );
    assert_eq!(Answer::decode(99, b""), Err(FrameError::UnknownKind { kind: 99 }));
}

#[test]
fn ends_look_as_they_do_in_a_shell() {
    for (end, code) in [
        (End::Exited(0), 0),
        (End::Exited(2), 2),
        (End::Killed(11), 139),
        (End::Killed(2), 130),
    ] {
        assert_eq!(end.exit_code(), code, "{end:?}");
    }
}
