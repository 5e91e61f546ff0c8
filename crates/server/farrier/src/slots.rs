//! How many actions a worker runs at once.

use runner::RUNS_MAX;

/// One for each core, as far as one runner can serve them.
pub(crate) fn default() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    within_bounds(cores)
}

fn within_bounds(cores: usize) -> u32 {
    u32::try_from(cores).unwrap_or(RUNS_MAX).clamp(1, RUNS_MAX)
}

/// Reads the slots of a worker: one at least.
pub(crate) fn parse(text: &str) -> Result<u32, String> {
    read(text, 1)
}

/// Reads the slots of a machine that need not have a worker.
pub(crate) fn parse_or_none(text: &str) -> Result<u32, String> {
    read(text, 0)
}

fn read(text: &str, min: u32) -> Result<u32, String> {
    match text.parse() {
        Ok(slots) if (min..=RUNS_MAX).contains(&slots) => Ok(slots),
        _ => Err(format!(
            "a worker has from {min} to {RUNS_MAX} slots; more actions at once take more workers"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_stay_within_what_a_runner_serves() {
        assert_eq!([0, 1, 4, 1000].map(within_bounds), [1, 1, 4, RUNS_MAX]);
        assert_eq!((parse("1"), parse_or_none("0")), (Ok(1), Ok(0)));
        assert_eq!(parse(&RUNS_MAX.to_string()), Ok(RUNS_MAX));
        for text in ["257", "99999999999", "-1", "many", ""] {
            let error = parse_or_none(text).unwrap_err();
            assert!(error.contains("from 0 to 256"), "{text}: {error}");
        }
        assert!(parse("0").is_err());
    }
}
