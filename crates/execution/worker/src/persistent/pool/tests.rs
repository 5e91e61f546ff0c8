use super::*;

/// What happens, and what comes of it. Times are seconds.
enum Step {
    /// Asks for a place for a key, with so many requests to a process: the number of the process, and the one that has
    /// to go for it; or why not.
    Admit(&'static str, usize, u64, Result<(u64, Option<u64>), Refusal>),
    /// Gives it back: which process has to end.
    Release(u64, Verdict, u64, Option<u64>),
    /// Looks for idle ones.
    Expire(u64, &'static [u64]),
}

use Step::{Admit, Expire, Release};
use Verdict::{Broken, Ended, Good};

/// Plays steps against a pool of `entries_max`; processes are numbered as they are made.
fn check(entries_max: usize, steps: &[Step]) {
    let start = Instant::now();
    let at = |second: &u64| start + Duration::from_secs(*second);
    let mut pool: Pool<&str, u64> = Pool::new(entries_max);
    let mut made = 0;
    for (index, step) in steps.iter().enumerate() {
        match step {
            Admit(key, users_max, second, expected) => {
                let admitted = pool.admit(&Arc::new(*key), *users_max, at(second), || {
                    made += 1;
                    made
                });
                let found = admitted.map(|admitted| (admitted.item, admitted.ended));
                assert_eq!(found, *expected, "step {index}");
            }
            Release(id, verdict, second, expected) => {
                assert_eq!(pool.release(*id, *verdict, at(second)), *expected, "step {index}");
            }
            Expire(second, expected) => {
                assert_eq!(
                    pool.expire(at(second), Duration::from_secs(100)),
                    *expected,
                    "step {index}"
                );
            }
        }
        assert!(pool.entries.len() <= entries_max);
    }
}

#[test]
fn a_process_is_used_again_by_its_key_alone() {
    check(
        4,
        &[
            Admit("a", 1, 0, Ok((1, None))),
            Release(1, Good, 1, None),
            Admit("a", 1, 2, Ok((1, None))),
            Admit("b", 1, 2, Ok((2, None))),
            // The first is busy.
            Admit("a", 1, 2, Ok((3, None))),
        ],
    );
}

#[test]
fn idle_ones_make_room_longest_idle_first_and_busy_ones_never() {
    check(
        2,
        &[
            Admit("a", 1, 0, Ok((1, None))),
            Admit("b", 1, 0, Ok((2, None))),
            Admit("c", 1, 1, Err(Refusal::Busy)),
            Release(2, Good, 2, None),
            Release(1, Good, 3, None),
            Admit("c", 1, 4, Ok((3, Some(2)))),
            Admit("d", 1, 4, Ok((4, Some(1)))),
            Admit("a", 1, 4, Err(Refusal::Busy)),
        ],
    );
    check(0, &[Admit("a", 1, 0, Err(Refusal::Busy))]);
}

#[test]
fn a_multiplex_process_has_several_requests() {
    check(
        2,
        &[
            Admit("a", 2, 0, Ok((1, None))),
            Admit("a", 2, 0, Ok((1, None))),
            Admit("a", 2, 0, Ok((2, None))),
            Release(1, Good, 1, None),
            // Half busy is busy.
            Admit("b", 2, 1, Err(Refusal::Busy)),
            Release(1, Good, 2, None),
            Admit("b", 2, 3, Ok((3, Some(1)))),
        ],
    );
}

#[test]
fn what_has_failed_or_was_given_up_is_not_used_again() {
    check(
        2,
        &[
            Admit("a", 2, 0, Ok((1, None))),
            Admit("a", 2, 0, Ok((1, None))),
            Release(1, Broken, 1, Some(1)),
            Admit("a", 2, 1, Ok((2, None))),
            // The other request of the first finds it gone already.
            Release(1, Broken, 1, None),
            Release(2, Ended, 2, Some(2)),
            Admit("a", 2, 2, Ok((3, None))),
        ],
    );
}

#[test]
fn idle_ones_end_after_a_while() {
    check(
        3,
        &[
            Admit("a", 1, 0, Ok((1, None))),
            Admit("b", 1, 0, Ok((2, None))),
            Release(1, Good, 10, None),
            Expire(109, &[]),
            Expire(110, &[1]),
            Release(2, Good, 500, None),
            Expire(500, &[]),
        ],
    );
}

#[test]
fn a_key_whose_processes_fail_again_and_again_is_refused_for_a_while() {
    let after = DISTRUST.as_secs();
    check(
        1,
        &[
            Admit("a", 1, 0, Ok((1, None))),
            Release(1, Broken, 0, Some(1)),
            Admit("a", 1, 1, Ok((2, None))),
            Release(2, Broken, 1, Some(2)),
            // An answer in between, and all is forgotten.
            Admit("a", 1, 2, Ok((3, None))),
            Release(3, Good, 2, None),
            Admit("a", 1, 3, Ok((3, None))),
            Release(3, Broken, 3, Some(3)),
            Admit("a", 1, 4, Ok((4, None))),
            Release(4, Broken, 4, Some(4)),
            Admit("a", 1, 5, Ok((5, None))),
            Release(5, Broken, 5, Some(5)),
            Admit("a", 1, 6, Err(Refusal::Distrusted)),
            Admit("b", 1, 6, Ok((6, None))),
            Release(6, Good, 6, None),
            Admit("a", 1, 5 + after, Ok((7, Some(6)))),
            Release(7, Broken, 5 + after, Some(7)),
            Admit("a", 1, 6 + after, Err(Refusal::Distrusted)),
        ],
    );
}
