use std::io::{Read, Write};
use std::net::TcpListener;

use super::*;

/// A metadata service that answers so many requests as it is told, and what it was asked.
fn service(
    answers: &'static [(&'static str, &'static str)],
) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut piece = [0; 1024];
            while !request.ends_with(b"\r\n\r\n") {
                let count = stream.read(&mut piece).unwrap();
                request.extend_from_slice(&piece[..count]);
            }
            asked.push(String::from_utf8(request).unwrap());
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}"
            )
            .unwrap();
        }
        asked
    });
    (address, serving)
}

#[tokio::test]
async fn amazon_is_asked_in_a_session_and_says_nothing_until_it_does() {
    let (address, serving) = service(&[
        ("200 OK", "session"),
        ("404 Not Found", "<html>"),
        ("200 OK", "session"),
        (
            "200 OK",
            r#"{"action":"terminate","time":"2026-01-01T00:00:00Z"}"#,
        ),
        ("403 Forbidden", ""),
        ("200 OK", "{}"),
    ]);
    let source = NoticeSource::Cloud(Cloud::Aws, address);
    assert_eq!(source.look().await.unwrap(), None);
    // A time that has passed, on any clock of a machine that builds this.
    assert_eq!(source.look().await.unwrap(), Some(Duration::ZERO));
    assert!(source.look().await.unwrap().is_some(), "without sessions too");
    let asked = serving.join().unwrap();
    assert!(asked[0].starts_with("PUT /latest/api/token "), "{}", asked[0]);
    assert!(
        asked[1].starts_with("GET /latest/meta-data/spot/instance-action "),
        "{}",
        asked[1]
    );
    assert!(
        asked[1].contains("x-aws-ec2-metadata-token: session\r\n"),
        "{}",
        asked[1]
    );
    assert!(!asked[5].contains("metadata-token"), "{}", asked[5]);
}

#[tokio::test]
async fn the_others_are_asked_as_they_want_it() {
    let (address, serving) = service(&[("200 OK", "FALSE"), ("200 OK", "TRUE")]);
    let source = NoticeSource::Cloud(Cloud::Gcp, address);
    assert_eq!(source.look().await.unwrap(), None);
    assert!(source.look().await.unwrap().is_some());
    let asked = serving.join().unwrap();
    assert!(asked[0].contains("metadata-flavor: Google\r\n"), "{}", asked[0]);

    let (address, serving) = service(&[
        ("200 OK", "vm"),
        ("200 OK", r#"{"Events":[]}"#),
        ("200 OK", "other"),
        (
            "200 OK",
            r#"{"Events":[{"EventType":"Preempt","Resources":["vm"]}]}"#,
        ),
    ]);
    let source = NoticeSource::Cloud(Cloud::Azure, address);
    assert_eq!(source.look().await.unwrap(), None);
    assert_eq!(source.look().await.unwrap(), None, "another machine of the set");
    assert!(serving.join().unwrap()[1].contains("metadata: true\r\n"));

    let (address, serving) = service(&[("204 No Content", ""), ("500 Oh", ""), ("200 OK", "45")]);
    let source = NoticeSource::parse(&address).unwrap();
    assert_eq!(source.look().await.unwrap(), None);
    assert!(
        source
            .look()
            .await
            .unwrap_err()
            .to_string()
            .contains("answers 500")
    );
    assert_eq!(source.look().await.unwrap(), Some(Duration::from_secs(45)));
    serving.join().unwrap();
    assert!(source.look().await.is_err(), "nobody is there any more");
}

#[tokio::test]
async fn a_file_is_a_notice_once_it_is_there() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("notice");
    let source = NoticeSource::parse(&format!("file:{}", path.display())).unwrap();
    assert_eq!(source.look().await.unwrap(), None);
    std::fs::write(&path, "90\n").unwrap();
    assert_eq!(given(Some(&source)).await, Duration::from_secs(90));
    for wrong in ["", "amazon", "file:notice", "https://x"] {
        assert!(NoticeSource::parse(wrong).is_err(), "{wrong}");
    }
}
