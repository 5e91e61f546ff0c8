//! Five hundred histories, each of a seed, in parts that run beside each other. More of them:
//! `cargo run --release -p simulation --example seeds`.

use std::ops::Range;

fn hold(seeds: Range<u64>) {
    let mut lives = 0;
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| simulation::run(seed, false));
        let command = "cargo run --release -p simulation --example seeds --";
        let outcome = outcome.unwrap_or_else(|_| {
            panic!("seed {seed} fails; to see what happens: {command} --from {seed} --seeds 1 --trace")
        });
        lives += outcome.lives;
    }
    assert!(lives > count, "servers crash");
}

#[test]
fn whatever_fails_the_scheduler_keeps_what_it_promises_0() {
    hold(0..125);
}

#[test]
fn whatever_fails_the_scheduler_keeps_what_it_promises_1() {
    hold(125..250);
}

#[test]
fn whatever_fails_the_scheduler_keeps_what_it_promises_2() {
    hold(250..375);
}

#[test]
fn whatever_fails_the_scheduler_keeps_what_it_promises_3() {
    hold(375..500);
}

#[test]
fn a_seed_is_a_history() {
    assert_eq!(simulation::run(3, false), simulation::run(3, false));
}
