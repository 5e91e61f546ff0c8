use std::time::Duration;

use super::*;

fn request(directory: &Path, words: &[&str]) -> Request {
    Request {
        arguments: words.iter().map(OsString::from).collect(),
        directory: directory.to_owned(),
        environment: vec![
            ("PATH".into(), "/usr/bin:/bin".into()),
            ("MARK".into(), "seen".into()),
        ],
        settings: Vec::new(),
        is_terminal: false,
    }
}

/// A daemon that gives these answers, and hears a report after each that wants one.
async fn scripted(mut stream: UnixStream, answers: Vec<Answer>) -> Vec<Report> {
    let _: Request = hear(&mut stream).await.unwrap();
    let mut reports = Vec::new();
    for answer in answers {
        say(&mut stream, &answer).await.unwrap();
        let wanted = match answer {
            Answer::SendInput | Answer::TakeBack => 1,
            Answer::Run { .. } | Answer::Rehearse { .. } => 2,
            _ => 0,
        };
        for _ in 0..wanted {
            reports.push(hear(&mut stream).await.unwrap());
        }
    }
    reports
}

async fn with(
    request: &Request,
    wrapper: &[OsString],
    answers: Vec<Answer>,
) -> (io::Result<Relayed>, Vec<Report>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    tokio::join!(relay(ours, request, wrapper), scripted(theirs, answers))
}

#[tokio::test]
async fn output_is_gathered() {
    let (relayed, reports) = with(
        &request(Path::new("/"), &["cc"]),
        &[],
        vec![
            Answer::Waiting,
            Answer::SendInput,
            Answer::Output(b"a".to_vec()),
            Answer::Alive,
            Answer::Output(b"b".to_vec()),
            Answer::ErrorOutput(b"e".to_vec()),
            Answer::Ended(End::Exited(3)),
        ],
    )
    .await;
    let expected = Relayed {
        end: End::Exited(3),
        output: b"ab".to_vec(),
        error_output: b"e".to_vec(),
        ran_here: false,
    };
    assert_eq!(relayed.unwrap(), expected);
    assert_eq!(reports, [Report::Input(Vec::new())]);
}

#[tokio::test]
async fn what_the_daemon_says_of_a_run_counts() {
    let request = request(Path::new("/"), &["sh", "-c", "echo out; kill $$"]);
    let run = Answer::Run {
        program: "/bin/sh".into(),
        through: Vec::new(),
        more: Vec::new(),
        apart: true,
    };
    let answers = vec![
        Answer::Waiting,
        Answer::TakeBack,
        run,
        Answer::Alive,
        Answer::ErrorOutput(b"too late\n".to_vec()),
        Answer::Ended(End::Exited(142)),
    ];
    let (relayed, reports) = with(&request, &[], answers).await;
    assert_eq!(reports[0], Report::TakenBack);
    let expected = Relayed {
        end: End::Exited(142),
        output: b"out\n".to_vec(),
        error_output: b"too late\n".to_vec(),
        ran_here: true,
    };
    assert_eq!(relayed.unwrap(), expected);
}

#[tokio::test]
async fn what_runs_here_has_the_request_s_surroundings() {
    let directory = tempfile::tempdir().unwrap();
    let place = std::fs::canonicalize(directory.path()).unwrap();
    let script = "cat; pwd; echo $MARK $HOME $0; echo err >&2; exit 4";
    let request = request(&place, &["the-name", "-c", script]);
    let program = PathBuf::from("/bin/sh");
    let (relayed, reports) = with(
        &request,
        &[],
        vec![
            Answer::Run {
                program: program.clone(),
                through: Vec::new(),
                more: Vec::new(),
                apart: false,
            },
            Answer::Alive,
        ],
    )
    .await;
    let relayed = relayed.unwrap();
    let printed = format!("{}\nseen the-name\n", place.display());
    assert_eq!(String::from_utf8(relayed.output).unwrap(), printed);
    assert_eq!(
        (relayed.end, relayed.error_output.as_slice(), relayed.ran_here),
        (End::Exited(4), &b"err\n"[..], true)
    );
    assert!(matches!(reports[0], Report::Started { .. }));
    let Report::Ran { end, output, .. } = &reports[1] else {
        panic!("{reports:?}")
    };
    assert_eq!(
        (*end, output.as_deref()),
        (End::Exited(4), Some(printed.as_bytes()))
    );

    let (relayed, reports) = with(&request, &[], vec![Answer::Execute { program }]).await;
    assert_eq!(relayed.unwrap().end, End::Exited(4));
    assert!(reports.is_empty());
}

#[tokio::test]
async fn a_rehearsal_is_told_and_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    let request = request(directory.path(), &["sh", "-c", "echo out; echo err >&2; exit 4"]);
    let program = PathBuf::from("/bin/sh");
    let rehearse = Answer::Rehearse {
        program,
        more: Vec::new(),
    };
    let answers = vec![rehearse.clone(), rehearse, Answer::Ended(End::Exited(1))];
    let (relayed, reports) = with(&request, &[], answers).await;
    let relayed = relayed.unwrap();
    assert_eq!(
        (relayed.end, relayed.output, relayed.error_output),
        (End::Exited(1), Vec::new(), Vec::new())
    );
    let ran: Vec<_> = reports
        .iter()
        .filter(|report| matches!(report, Report::Ran { .. }))
        .collect();
    let expected = Report::Ran {
        end: End::Exited(4),
        output: Some(b"out\n".to_vec()),
        error_output: Some(b"err\n".to_vec()),
    };
    assert_eq!(ran, [&expected, &expected]);
}

#[tokio::test]
async fn a_local_wrapper_comes_first_and_what_the_daemon_adds_last() {
    let directory = tempfile::tempdir().unwrap();
    let request = request(directory.path(), &["sh", "-c", "echo $ADDED $0"]);
    let wrapper = ["env", "ADDED=yes"].map(OsString::from);
    let program = PathBuf::from("/bin/sh");
    let more = vec!["one more".into()];
    let run = |through: &[&str]| Answer::Run {
        program: program.clone(),
        through: through.iter().map(OsString::from).collect(),
        more: more.clone(),
        apart: false,
    };
    let (relayed, _) = with(&request, &wrapper, vec![run(&[]), Answer::Alive]).await;
    assert_eq!(relayed.unwrap().output, b"yes one more\n");
    // Somebody who watches stands before all of them.
    let (relayed, _) = with(&request, &[], vec![run(&["/bin/echo", "seen:"]), Answer::Alive]).await;
    assert_eq!(
        String::from_utf8(relayed.unwrap().output).unwrap(),
        "seen: /bin/sh sh -c echo $ADDED $0 one more\n"
    );
}

#[tokio::test]
async fn a_daemon_that_goes_is_an_error() {
    let (relayed, _) = with(
        &request(Path::new("/"), &["cc"]),
        &[],
        vec![Answer::Output(b"x".to_vec())],
    )
    .await;
    assert_eq!(relayed.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    let program = PathBuf::from("/there/is/none");
    let (relayed, _) = with(
        &request(Path::new("/"), &["cc"]),
        &[],
        vec![Answer::Execute { program }],
    )
    .await;
    assert_eq!(relayed.unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[tokio::test]
async fn a_caller_that_goes_takes_everything_along() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("child");
    // The shell's own child, which is in its group.
    let script = format!(
        "sleep 1000 & echo $! >{0}.new; mv {0}.new {0}; wait",
        file.display()
    );
    let request = request(directory.path(), &["sh", "-c", &script]);
    let program = PathBuf::from("/bin/sh");
    let (ours, theirs) = UnixStream::pair().unwrap();
    let child = async {
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        std::fs::read_to_string(&file).unwrap().trim().to_owned()
    };
    let child = tokio::select! {
        relayed = relay(ours, &request, &[]) => panic!("{relayed:?}"),
        reports = async { scripted(theirs, vec![Answer::Run { program, through: Vec::new(), more: Vec::new(), apart: false }]).await } => panic!("{reports:?}"),
        child = child => child,
    };
    let is_alive = || {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    };
    let gone = async {
        while is_alive() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let gone = tokio::time::timeout(Duration::from_secs(30), gone).await;
    assert!(gone.is_ok(), "the child {child} lives on");
}

#[test]
fn long_outputs_are_cut_and_not_for_the_cache() {
    let mut kept = Kept::default();
    kept.add(&vec![b'x'; CAPTURED_BYTES_MAX]);
    assert!(kept.for_cache().is_some());
    kept.add(b"x");
    assert!(kept.for_cache().is_none() && !kept.is_cut);
    kept.add(&vec![b'x'; OUTPUT_BYTES_MAX]);
    let whole = kept.whole();
    assert_eq!(whole.len(), OUTPUT_BYTES_MAX + CUT.len());
    assert!(whole.ends_with(CUT));
}
