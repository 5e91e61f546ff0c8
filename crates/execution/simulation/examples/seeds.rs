//! Histories of as many seeds as wanted; the first that fails ends it.
//!
//! `cargo run --release -p simulation --example seeds -- --from 0 --seeds 10000`, and `--trace` to see what happens.

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let number = |name: &str, default: u64| {
        let at = words.iter().position(|word| word == name);
        let word = at.and_then(|at| words.get(at + 1));
        word.map_or(default, |word| word.parse().expect("a number"))
    };
    let (from, seeds) = (number("--from", 0), number("--seeds", 10_000));
    let trace = words.iter().any(|word| word == "--trace");
    let (mut operations, mut leases, mut lives, mut overlaps) = (0, 0, 0, 0);
    let (mut hedges, mut handed_back) = (0, 0);
    for seed in from..from.saturating_add(seeds) {
        let outcome = std::panic::catch_unwind(|| simulation::run(seed, trace));
        let Ok(outcome) = outcome else {
            eprintln!("seed {seed} fails");
            std::process::exit(1);
        };
        operations += outcome.operations;
        leases += outcome.leases;
        lives += outcome.lives;
        overlaps += outcome.overlaps;
        hedges += outcome.hedges;
        handed_back += outcome.handed_back;
    }
    println!(
        "{seeds} seeds: {operations} operations, {leases} leases, {hedges} of them hedges and {handed_back} handed back, \
         {lives} lives, {overlaps} overlaps"
    );
}
