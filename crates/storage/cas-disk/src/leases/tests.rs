use std::fmt;
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::span;

use super::*;

const QUIET: Duration = Duration::from_secs(100);

fn leases() -> Leases {
    let options = LeaseOptions {
        quiet: QUIET,
        longest: Duration::from_secs(10_000),
        share_percent: 50,
        unnamed_share_percent: 10,
    };
    Leases::new(options, 1000, Duration::ZERO, &[])
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn build(name: &str) -> Option<Invocation> {
    Some(Invocation::new(name).unwrap())
}

/// A promise of `bytes` that nobody held before; its number.
fn promise(leases: &Leases, holder: &Option<Invocation>, now: u64, bytes: u64) -> u32 {
    let ticket = leases.begin(holder.as_ref(), at(now));
    leases.book(ticket, bytes, &[], &[]);
    ticket.number
}

fn holds(leases: &Leases, number: u32, now: u64) -> bool {
    leases.alive(at(now)).holds(number)
}

#[test]
fn a_build_holds_everything_until_it_has_been_quiet() {
    let leases = leases();
    let a = build("a");
    let first = promise(&leases, &a, 0, 1);
    // Much later than the quiet time, but never quiet in between.
    let numbers: Vec<u32> = (1..20).map(|n| promise(&leases, &a, n * 50, 1)).collect();
    assert!(numbers.iter().all(|number| holds(&leases, *number, 1049)) && holds(&leases, first, 1049));
    assert!(
        numbers.windows(2).all(|pair| pair[0] < pair[1]),
        "numbers tell time: {numbers:?}"
    );
    assert!(!holds(&leases, first, 1050) && !holds(&leases, numbers[18], 1050));
    assert_eq!(leases.usage(at(1050)).builds, 0);
    // It may come back as somebody new.
    assert!(promise(&leases, &a, 2000, 1) > numbers[18]);
}

#[test]
fn what_names_no_build_is_promised_for_a_fixed_time() {
    let leases = leases();
    let first = promise(&leases, &None, 0, 1);
    let later = promise(&leases, &None, 90, 1);
    assert!(holds(&leases, first, 99) && holds(&leases, later, 99));
    assert!(!holds(&leases, first, 100) && holds(&leases, later, 189));
    assert!(!holds(&leases, later, 190));
}

#[test]
fn a_hold_keeps_a_build_that_is_silent() {
    let leases = leases();
    let a = build("a");
    let number = promise(&leases, &a, 0, 1);
    let hold = leases.hold(a.as_ref().unwrap(), at(1));
    assert!(holds(&leases, number, 5000));
    leases.release(hold, at(5000));
    assert!(holds(&leases, number, 5099) && !holds(&leases, number, 5100));
}

#[test]
fn what_two_builds_were_promised_stays_for_the_longer_one() {
    let leases = leases();
    let (a, b, c) = (build("a"), build("b"), build("c"));
    let of_a = promise(&leases, &a, 0, 10);
    // B is promised what A holds: the entry bears B's number now. Then C the same.
    let take = |holder: &Option<Invocation>, from: u32, now: u64| {
        let ticket = leases.begin(holder.as_ref(), at(now));
        leases.book(ticket, 10, &[(from, 10)], &[]);
        ticket.number
    };
    let of_b = take(&b, of_a, 10);
    let of_c = take(&c, of_b, 20);
    // Only A goes on.
    for now in (50..1000).step_by(50) {
        promise(&leases, &a, now, 1);
        assert!(holds(&leases, of_c, now), "at {now}");
    }
    assert!(holds(&leases, of_b, 1000));
    // Once A is quiet, nothing of it is left, also not by a circle of those who borrowed.
    assert!(!holds(&leases, of_b, 1100) && !holds(&leases, of_c, 1100));
    assert_eq!(leases.state.lock().leases.len(), 0);
    assert_eq!(leases.state.lock().lease_of.len(), 0);
}

#[test]
fn beyond_its_share_a_build_lets_go_of_its_oldest_promises() {
    let leases = leases();
    let a = build("a");
    let numbers: Vec<u32> = (0..100).map(|_| promise(&leases, &a, 0, 10)).collect();
    assert!(!holds(&leases, numbers[0], 1) && !holds(&leases, numbers[45], 1));
    assert!(holds(&leases, numbers[55], 1) && holds(&leases, numbers[99], 1));
    let usage = leases.usage(at(1));
    assert!(
        usage.promised_bytes <= 500 && usage.lapsed_bytes + usage.promised_bytes == 1000,
        "{usage:?}"
    );
    // The same entries over and over are counted once.
    let leases = self::leases();
    let mut last = promise(&leases, &a, 0, 400);
    for now in 1..100 {
        let ticket = leases.begin(a.as_ref(), at(now * 30));
        leases.book(ticket, 400, &[(last, 400)], &[]);
        last = ticket.number;
    }
    assert_eq!(leases.usage(at(2971)).lapsed_bytes, 0);
    assert_eq!(leases.usage(at(2971)).promised_bytes, 400);
}

#[test]
fn letting_go_spares_what_others_hold_too() {
    let leases = leases();
    let (a, b) = (build("a"), build("b"));
    let of_a = promise(&leases, &a, 0, 30);
    let ticket = leases.begin(b.as_ref(), at(0));
    leases.book(ticket, 30, &[(of_a, 30)], &[]);
    for _ in 0..100 {
        promise(&leases, &b, 1, 32);
    }
    assert!(holds(&leases, ticket.number, 2), "promised to A as well");
    assert!(!holds(&leases, ticket.number, 200));
}

#[test]
fn promises_from_before_hold_for_the_quiet_time() {
    let options = LeaseOptions {
        quiet: QUIET,
        ..LeaseOptions::default()
    };
    let leases = Leases::new(options, 1000, Duration::ZERO, &[3, 4]);
    assert_eq!(leases.segments().len(), 2);
    assert!(holds(&leases, BEFORE, 99) && !holds(&leases, NOBODY, 0));
    let number = promise(&leases, &None, 0, 1);
    assert!(number > BEFORE);
    assert!(!holds(&leases, BEFORE, 100));
}

#[test]
fn segments_are_told_once_and_forgotten_with_their_lease() {
    let leases = leases();
    let ticket = leases.begin(build("a").as_ref(), at(0));
    assert_eq!(leases.book(ticket, 1, &[], &[7, 8]), [7, 8]);
    assert_eq!(leases.book(ticket, 1, &[], &[8, 9]), [9]);
    let of_b = leases.begin(build("b").as_ref(), at(1));
    assert_eq!(leases.book(of_b, 1, &[], &[7]), [7]);
    let mut segments = leases.segments();
    segments[..2].sort();
    assert_eq!(segments, [8, 9, 7]);
    assert_eq!(leases.carried(vec![ticket.number], 11), [11]);
    assert_eq!(leases.carried(vec![ticket.number], 11), [0; 0]);
    leases.alive(at(101));
    assert!(leases.segments().is_empty());
}

#[test]
fn the_number_of_builds_is_bounded() {
    let leases = leases();
    for n in 0..LEASES_MAX + 100 {
        promise(&leases, &build(&format!("build {n}")), 0, 0);
    }
    assert!(leases.state.lock().leases.len() <= LEASES_MAX + 1);
}

#[test]
fn a_build_that_comes_back_is_not_ended_by_what_is_left_of_it() {
    let leases = leases();
    let (a, b) = (build("a"), build("b"));
    let of_b = promise(&leases, &b, 0, 10);
    // A takes over what B holds, and goes quiet; its number stays for B.
    let ticket = leases.begin(a.as_ref(), at(0));
    leases.book(ticket, 10, &[(of_b, 10)], &[]);
    for now in (50..300).step_by(50) {
        promise(&leases, &b, now, 1);
    }
    assert!(holds(&leases, ticket.number, 250));
    // A is back, and active from now on: what it is promised now stays.
    let back = promise(&leases, &a, 300, 10);
    for now in (350..2000).step_by(50) {
        promise(&leases, &a, now, 1);
        promise(&leases, &b, now, 1);
        assert!(holds(&leases, back, now), "at {now}");
    }
}

/// Hears what is logged, each line as its fields in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push_str(&format!("{field}={value:?} "));
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().push(line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[test]
fn promises_that_lapse_are_logged_whoever_they_were_made_to() {
    for (holder, who) in [
        (build("a"), "invocation=a "),
        (None, "clients that name no build"),
    ] {
        let log = Log::default();
        let promises = tracing::subscriber::with_default(log.clone(), || {
            let leases = leases();
            let promises = 1000;
            for _ in 0..promises {
                promise(&leases, &holder, 0, 1);
            }
            assert!(leases.usage(at(1)).lapsed_bytes > 0);
            promises
        });
        let lines = log.0.lock().clone();
        assert!(
            !lines.is_empty() && lines.iter().all(|line| line.contains(who)),
            "{lines:?}"
        );
        // One for each part of the share, not for each promise.
        assert!(
            lines.len() < promises / 5,
            "{} lines for {promises} promises",
            lines.len()
        );
    }
}
