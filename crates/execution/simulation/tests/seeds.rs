//! Many histories, each of a seed. More of them: `cargo run --release -p simulation --example seeds`.

const SEEDS: u64 = 40;

#[test]
fn whatever_fails_the_scheduler_keeps_what_it_promises() {
    let mut lives = 0;
    for seed in 0..SEEDS {
        let outcome = std::panic::catch_unwind(|| simulation::run(seed, false));
        let command = "cargo run --release -p simulation --example seeds --";
        let outcome = outcome.unwrap_or_else(|_| {
            panic!("seed {seed} fails; to see what happens: {command} --from {seed} --seeds 1 --trace")
        });
        lives += outcome.lives;
    }
    assert!(lives > SEEDS, "servers crash");
}

#[test]
fn a_seed_is_a_history() {
    assert_eq!(simulation::run(3, false), simulation::run(3, false));
}
