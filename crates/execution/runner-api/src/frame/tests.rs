use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..40)
}

fn path() -> impl Strategy<Value = PathBuf> {
    bytes().prop_map(|bytes| PathBuf::from(OsString::from_vec(bytes)))
}

fn base() -> impl Strategy<Value = Base> {
    (path(), path()).prop_map(|(tree, work)| Base { tree, work })
}

fn image() -> impl Strategy<Value = Image> {
    (path(), base()).prop_map(|(upper, base)| Image { upper, base })
}

fn place() -> impl Strategy<Value = InputRootPlace> {
    "(/[a-km-z]{2,9}){2,5}".prop_filter_map("a place that is taken", |text| InputRootPlace::parse(&text).ok())
}

fn run_request() -> impl Strategy<Value = RunRequest> {
    (
        (vec(bytes(), 0..8), vec((bytes(), bytes()), 0..8), path(), path()),
        (
            option::of(any::<u64>()),
            path(),
            path(),
            any::<u64>(),
            any::<bool>(),
            option::of(any::<u64>()),
            [option::of(any::<u32>()), option::of(any::<u32>())],
            prop_oneof![
                Just((Root::Host, None)),
                Just((Root::InputRoot, None)),
                image().prop_map(|image| (Root::Image, Some(image)))
            ],
            option::of(any::<(u32, u32)>()),
        ),
        option::of(base()),
        option::of(place()),
    )
        .prop_map(
            |(
                (argv, env, input_root, working_directory),
                (
                    timeout,
                    out,
                    err,
                    max,
                    network,
                    memory_bytes_max,
                    [processes_max, processors_max],
                    (root, image),
                    user,
                ),
                input_root_base,
                input_root_place,
            )| RunRequest {
                argv,
                env,
                input_root,
                input_root_place,
                input_root_base,
                working_directory,
                timeout: timeout.map(Duration::from_nanos),
                stdout_path: out,
                stderr_path: err,
                output_log_bytes_max: max,
                root,
                image,
                user: user.map(|(uid, gid)| User { uid, gid }),
                network,
                memory_bytes_max,
                processes_max,
                processors_max,
            },
        )
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        any::<i32>().prop_map(Outcome::Exited),
        any::<i32>().prop_map(Outcome::Signaled),
        Just(Outcome::TimedOut),
        Just(Outcome::OutOfMemory),
        any::<String>().prop_map(|message| Outcome::SetupFailed { message }),
        (any::<i32>(), path()).prop_map(|(errno, path)| Outcome::NotStarted { errno, path }),
    ]
}

fn run_response() -> impl Strategy<Value = RunResponse> {
    (outcome(), any::<[u64; 14]>(), any::<bool>(), any::<bool>()).prop_map(|(outcome, n, out, err)| {
        RunResponse {
            outcome,
            usage: ResourceUsage {
                user_us: n[0],
                system_us: n[1],
                max_rss_bytes: n[2],
                minor_faults: n[3],
                major_faults: n[4],
                in_blocks: n[5],
                out_blocks: n[6],
                voluntary_switches: n[7],
                involuntary_switches: n[8],
                memory_peak_bytes: n[11],
            },
            started_unix_ns: n[9],
            finished_unix_ns: n[10],
            ran: Duration::from_nanos(n[13]),
            stdout_truncated: out,
            stderr_truncated: err,
            processes_refused: n[12],
            clock_stopped_ns: n[13],
        }
    })
}

fn capabilities() -> impl Strategy<Value = Capabilities> {
    let availability = prop_oneof![
        Just(Availability::Available),
        any::<String>().prop_map(|why| Availability::Missing { why })
    ];
    let mechanism = proptest::sample::select(&Mechanism::ALL[..]);
    (
        vec((mechanism, availability.clone()), 0..20),
        [
            availability.clone(),
            availability.clone(),
            availability.clone(),
            availability,
        ],
        any::<bool>(),
        any::<bool>(),
        any::<[u32; 3]>(),
    )
        .prop_map(
            |(
                mechanisms,
                [memory_limit, process_limit, processor_limit, overlays],
                privileged,
                hardlinks_safe,
                [action_uid, action_gid, runs_max],
            )| Capabilities {
                mechanisms,
                uid_mode: if privileged {
                    UidMode::Privileged
                } else {
                    UidMode::Rootless
                },
                hardlinks_safe,
                action_uid,
                action_gid,
                runs_max,
                memory_limit,
                process_limit,
                processor_limit,
                overlays,
            },
        )
}

fn reply() -> impl Strategy<Value = Reply> {
    let refusal = proptest::sample::select(&[Refusal::Busy, Refusal::Invalid, Refusal::Internal][..]);
    prop_oneof![
        capabilities().prop_map(Reply::Capabilities),
        run_response().prop_map(Reply::Run),
        Just(Reply::Cancelled),
        any::<String>().prop_map(|message| Reply::Undead { message }),
        (refusal, any::<String>()).prop_map(|(refusal, message)| Reply::Refused { refusal, message }),
    ]
}

proptest! {
    #[test]
    fn requests_survive_the_wire(request in run_request()) {
        for request in [Request::Run(request.clone()), Request::Converse(request)] {
            prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
    }

    #[test]
    fn replies_survive_the_wire(reply in reply()) {
        prop_assert_eq!(Reply::decode(&reply.encode()), Ok(reply));
    }

    #[test]
    fn a_cut_or_lengthened_frame_is_an_error(request in run_request(), cut in any::<prop::sample::Index>()) {
        let mut payload = Request::Run(request).encode();
        prop_assert!(Request::decode(&payload[..cut.index(payload.len())]).is_err());
        payload.push(0);
        prop_assert_eq!(Request::decode(&payload), Err(FrameError::Trailing { left: 1 }));
    }

    #[test]
    fn no_bytes_panic(mut payload in vec(any::<u8>(), 0..300), kind in 0u8..5) {
        let _ = Request::decode(&payload);
        let _ = Reply::decode(&payload);
        // And again with a head that gets past the first checks.
        payload.splice(0..0, [VERSION, kind]);
        let _ = Request::decode(&payload);
        let _ = Reply::decode(&payload);
    }

    #[test]
    fn no_damaged_frame_panics(reply in reply(), at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let mut payload = reply.encode();
        let at = at.index(payload.len());
        payload[at] = with;
        let _ = Reply::decode(&payload);
    }
}

#[test]
fn a_frame_that_announces_too_much_is_not_read() {
    let length = u32::try_from(FRAME_BYTES_MAX + 1).unwrap();
    let error = read_frame(&mut &length.to_le_bytes()[..]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(error.to_string().contains("8388609 bytes"), "{error}");
}

#[test]
fn a_payload_that_is_too_long_is_not_written() {
    let mut written = Vec::new();
    let error = write_frame(&mut written, &vec![0; FRAME_BYTES_MAX + 1]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(written.is_empty());
}

#[test]
fn a_frame_is_read_as_written() {
    let mut written = Vec::new();
    write_frame(&mut written, b"payload").unwrap();
    assert_eq!(read_frame(&mut &written[..]).unwrap(), b"payload");
    assert_eq!(
        read_frame(&mut &written[..5]).unwrap_err().kind(),
        io::ErrorKind::UnexpectedEof
    );
}

#[test]
fn another_version_is_named() {
    assert_eq!(
        Request::decode(&[VERSION + 1, 0]),
        Err(FrameError::Version { found: VERSION + 1 })
    );
}

#[test]
fn a_huge_count_in_a_short_frame_reserves_nothing() {
    assert_eq!(
        Request::decode(&[VERSION, 1, 0xff, 0xff, 0xff, 0xff]),
        Err(FrameError::Truncated)
    );
}
