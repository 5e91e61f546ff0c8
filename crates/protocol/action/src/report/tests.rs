use blob::DigestFunction;
use prost::Message;
use reapi::rpc::PreconditionFailure;

use super::*;
use crate::limits::MISSING_BLOBS_NAMED_MAX;
use crate::missing_blobs::missing_blobs_in;

const F: DigestFunction = DigestFunction::Sha256;

fn code(response: &ExecuteResponse) -> i32 {
    response.status.as_ref().unwrap().code
}

#[test]
fn e3_missing_blobs_are_named_one_by_one_and_nothing_else_is_attached() {
    let sha256 = Digest::of(F, b"a");
    let blake3 = Digest::of(DigestFunction::Blake3, b"a");
    let missing: DigestSet = [sha256, blake3].into_iter().collect();
    let response = Report::missing(&missing).into_response();
    assert!(response.result.is_none());
    let status = response.status.unwrap();
    assert_eq!(status.code, Code::FailedPrecondition as i32);
    let [detail] = &status.details[..] else {
        panic!("one detail, no more")
    };
    assert_eq!(
        detail.type_url,
        "type.googleapis.com/google.rpc.PreconditionFailure"
    );
    let failure = PreconditionFailure::decode(&detail.value[..]).unwrap();
    let found: Vec<(&str, &str)> = failure
        .violations
        .iter()
        .map(|violation| (violation.r#type.as_str(), violation.subject.as_str()))
        .collect();
    let a = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";
    let subjects = [
        format!("blobs/{a}/1"),
        format!("blobs/blake3/{}/1", blake3.hash_hex()),
    ];
    assert_eq!(
        found,
        [
            ("MISSING", subjects[0].as_str()),
            ("MISSING", subjects[1].as_str())
        ]
    );
    assert_eq!(missing_blobs_in(&status), missing);
}

#[test]
fn a_status_with_very_many_missing_blobs_stays_within_a_message() {
    let missing: DigestSet = (0..2 * MISSING_BLOBS_NAMED_MAX)
        .map(|at| Digest::of(DigestFunction::Blake3, &at.to_be_bytes()))
        .collect();
    let status = missing_blobs_status(&missing);
    assert!(status.encoded_len() < 3 << 20, "{}", status.encoded_len());
    assert!(
        status.message.starts_with("40000 blobs are missing"),
        "{}",
        status.message
    );
    assert_eq!(
        missing_blobs_in(&status).as_slice(),
        &missing.as_slice()[..MISSING_BLOBS_NAMED_MAX]
    );
}

#[test]
fn other_statuses_name_no_missing_blobs() {
    let mut status = missing_blobs_status(&Digest::of(F, b"a").into());
    status.code = Code::Internal as i32;
    assert!(missing_blobs_in(&status).is_empty());
    let violation = |r#type: &str, subject: &str| reapi::rpc::precondition_failure::Violation {
        r#type: r#type.to_owned(),
        subject: subject.to_owned(),
        description: String::new(),
    };
    let [good, other] = [&b"a"[..], b"b"].map(|bytes| format!("blobs/{}", Digest::of(F, bytes)));
    let violations = vec![
        violation("OTHER", &other),
        violation("MISSING", "nonsense"),
        violation("MISSING", &format!("main/{good}")),
    ];
    let detail = prost_types::Any::from_msg(&PreconditionFailure { violations }).unwrap();
    let unknown = prost_types::Any {
        type_url: "x/y.Z".to_owned(),
        value: vec![255],
    };
    let status = Status {
        code: Code::FailedPrecondition as i32,
        details: vec![unknown, detail],
        ..Default::default()
    };
    assert_eq!(missing_blobs_in(&status), Digest::of(F, b"a").into());
}

#[test]
fn each_end_has_its_shape() {
    let result = ActionResult {
        exit_code: 3,
        ..Default::default()
    };
    let success = Report::success(result.clone())
        .with_message("note")
        .into_response();
    assert_eq!((code(&success), success.cached_result), (0, false));
    assert_eq!(
        (success.result.as_ref(), success.message.as_str()),
        (Some(&result), "note")
    );

    assert!(Report::cached(result.clone()).into_response().cached_result);

    let timed_out = Report::timed_out(result.clone(), Duration::from_millis(1500)).into_response();
    assert_eq!(code(&timed_out), Code::DeadlineExceeded as i32);
    assert_eq!(timed_out.result, Some(result));
    assert!(timed_out.status.unwrap().message.contains("1.5s"));

    let cancelled = Report::cancelled().into_response();
    assert_eq!(
        (code(&cancelled), cancelled.result),
        (Code::Cancelled as i32, None)
    );

    let failed = Report::failed(Code::Unavailable, "no room")
        .with_metadata(ExecutedActionMetadata::default())
        .with_server_log("sandbox", Digest::of(F, b"log"), true)
        .into_response();
    assert_eq!(
        (code(&failed), failed.result.as_ref()),
        (Code::Unavailable as i32, None)
    );
    assert!(failed.server_logs["sandbox"].human_readable);
    assert_eq!(
        code(&Report::failed(Code::Ok, "oops").into_response()),
        Code::Internal as i32
    );

    let metadata = ExecutedActionMetadata {
        worker: "w".to_owned(),
        ..Default::default()
    };
    let response: ExecuteResponse = Report::success(ActionResult::default())
        .with_metadata(metadata.clone())
        .into();
    assert_eq!(response.result.unwrap().execution_metadata, Some(metadata));
}

#[test]
fn a4_e10_only_a_clean_exit_may_be_cached() {
    let exited = |exit_code| ActionResult {
        exit_code,
        ..Default::default()
    };
    let response = |report: Report| report.into_response();
    let good = response(Report::success(exited(0)));
    assert!(is_cacheable(false, &good));
    assert!(!is_cacheable(true, &good));
    assert!(is_cacheable(false, &ExecuteResponse { status: None, ..good }));
    assert!(!is_cacheable(false, &response(Report::success(exited(1)))));
    assert!(!is_cacheable(false, &response(Report::success(exited(-1)))));
    assert!(!is_cacheable(
        false,
        &response(Report::timed_out(exited(0), Duration::ZERO))
    ));
    assert!(!is_cacheable(
        false,
        &response(Report::failed(Code::Internal, "x"))
    ));
    assert!(!is_cacheable(false, &ExecuteResponse::default()));
}
