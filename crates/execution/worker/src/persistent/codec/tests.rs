use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::persistent::message::Input;

fn response(exit_code: i32, output: &str, request_id: i32) -> WorkResponse {
    WorkResponse {
        exit_code,
        output: output.to_owned(),
        request_id,
        was_cancelled: false,
    }
}

/// All answers in some bytes, and how it ends.
fn read(protocol: Protocol, pieces: &[&[u8]]) -> (Vec<WorkResponse>, Option<Rubbish>) {
    let (mut decoder, mut found) = (Decoder::new(protocol), Vec::new());
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(response)) => found.push(response),
                Ok(None) => break,
                Err(rubbish) => return (found, Some(rubbish)),
            }
        }
    }
    (found, None)
}

/// As a process writes it.
fn written(protocol: Protocol, response: &WorkResponse) -> Vec<u8> {
    match protocol {
        Protocol::Proto => response.encode_length_delimited_to_vec(),
        Protocol::Json => serde_json::json!({
            "exitCode": response.exit_code,
            "output": response.output,
            "requestId": response.request_id,
            "wasCancelled": response.was_cancelled,
            "later": { "unknown": ["}", "{\\"] },
        })
        .to_string()
        .into_bytes(),
    }
}

#[test]
fn a_request_in_json_is_one_line_with_the_names_of_the_mapping() {
    let request = WorkRequest {
        arguments: vec!["-o".to_owned(), "a\nb".to_owned()],
        inputs: vec![Input {
            path: "src/a.c".to_owned(),
            digest: b"ab12".to_vec(),
        }],
        request_id: 7,
        sandbox_dir: "__sandbox/7".to_owned(),
        ..WorkRequest::default()
    };
    let text = String::from_utf8(encode(Protocol::Json, &request)).unwrap();
    assert_eq!(text.matches('\n').count(), 1);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let expected = serde_json::json!({
        "arguments": ["-o", "a\nb"],
        "inputs": [{ "path": "src/a.c", "digest": "YWIxMg==" }],
        "requestId": 7,
        "sandboxDir": "__sandbox/7",
    });
    assert_eq!(value, expected);
    let cancel = WorkRequest {
        request_id: 7,
        cancel: true,
        ..WorkRequest::default()
    };
    assert_eq!(
        encode(Protocol::Json, &cancel),
        b"{\"cancel\":true,\"requestId\":7}\n"
    );
}

#[test]
fn digests_are_base64_in_json() {
    let input = Input {
        path: "a".to_owned(),
        digest: b"foob".to_vec(),
    };
    let request = WorkRequest {
        inputs: vec![input],
        ..WorkRequest::default()
    };
    let line = String::from_utf8(encode(Protocol::Json, &request)).unwrap();
    assert!(line.contains("\"Zm9vYg==\""), "{line}");
}

#[test]
fn answers_in_json_may_leave_out_what_is_not_set_and_quote_numbers() {
    let bytes = b" {} \r\n{\"exitCode\":\"-3\",\"output\":\"}{\\\"\"}{\"request_id\":4,\"was_cancelled\":true,\"output\":null}";
    let (found, rubbish) = read(Protocol::Json, &[bytes]);
    assert_eq!(rubbish, None);
    let cancelled = WorkResponse {
        was_cancelled: true,
        ..response(0, "", 4)
    };
    assert_eq!(found, [response(0, "", 0), response(-3, "}{\"", 0), cancelled]);
}

#[test]
fn whatever_else_a_process_prints_is_rubbish() {
    let is_no_answer = |protocol, bytes: &[u8]| {
        let (_, rubbish) = read(protocol, &[bytes]);
        matches!(rubbish, Some(Rubbish::NoAnswer { .. }))
    };
    for text in [
        "hello",
        "[1]",
        "{\"exitCode\":1.5}",
        "{\"output\":5}",
        "{\"wasCancelled\":1}",
        "{]}",
        "{\"requestId\":9999999999}",
    ] {
        assert!(is_no_answer(Protocol::Json, text.as_bytes()), "{text}");
    }
    assert!(is_no_answer(Protocol::Proto, &[0x80; 5]));
    // A message by its form, of a field that nobody knows; it would mean success.
    assert!(is_no_answer(Protocol::Proto, &[2, 0x28, 1]));
    // A field that ends beyond the message.
    assert!(is_no_answer(Protocol::Proto, &[2, 0x12, 9]));
    assert!(is_no_answer(Protocol::Proto, b"\x05hello"));
}

#[test]
fn an_answer_has_a_bound() {
    let (_, rubbish) = read(Protocol::Proto, &[&[0xff, 0xff, 0xff, 0xff, 0x0f]]);
    assert_eq!(rubbish, Some(Rubbish::TooLong));
    let endless = vec![b' '; ANSWER_BYTES_MAX];
    let (_, rubbish) = read(Protocol::Json, &[b"{\"output\":\"", &endless]);
    assert_eq!(rubbish, Some(Rubbish::TooLong));
}

fn protocols() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Proto), Just(Protocol::Json)]
}

fn responses() -> impl Strategy<Value = Vec<WorkResponse>> {
    let one = (any::<i32>(), any::<String>(), any::<i32>(), any::<bool>());
    let one = one.prop_map(|(exit_code, output, request_id, was_cancelled)| WorkResponse {
        exit_code,
        output,
        request_id,
        was_cancelled,
    });
    vec(one, 0..5)
}

proptest! {
    #[test]
    fn answers_survive_any_cutting(
        protocol in protocols(),
        responses in responses(),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let bytes: Vec<u8> = responses.iter().flat_map(|response| written(protocol, response)).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
        prop_assert_eq!(read(protocol, &pieces), (responses, None));
    }

    #[test]
    fn requests_in_proto_survive_the_wire(
        arguments in vec(any::<String>(), 0..4),
        paths in vec((any::<String>(), vec(any::<u8>(), 0..9)), 0..4),
        request_id in any::<i32>(),
        sandbox_dir in any::<String>(),
    ) {
        let inputs = paths.into_iter().map(|(path, digest)| Input { path, digest }).collect();
        let request = WorkRequest { arguments, inputs, request_id, sandbox_dir, ..WorkRequest::default() };
        let bytes = encode(Protocol::Proto, &request);
        prop_assert_eq!(WorkRequest::decode_length_delimited(&bytes[..]).unwrap(), request);
    }

    #[test]
    fn no_bytes_panic(protocol in protocols(), pieces in vec(vec(any::<u8>(), 0..40), 0..6)) {
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let _ = read(protocol, &pieces);
    }
}
