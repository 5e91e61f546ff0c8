//! The numbers of one statistic.

/// How many numbers are kept for medians. When there are more, every other one is let go, and from then on every other one
/// of those that come.
const KEPT_MAX: usize = 1 << 16;
/// How many of the largest are named.
const OUTLIERS_MAX: usize = 2;

/// Numbers, some of them kept.
#[derive(Clone, Debug)]
pub(crate) struct Samples {
    kept: Vec<i64>,
    /// One of so many is kept.
    stride: u64,
    seen: u64,
    sum: i128,
    outliers: Vec<(String, i64)>,
}

impl Default for Samples {
    fn default() -> Self {
        Samples {
            kept: Vec::new(),
            stride: 1,
            seen: 0,
            sum: 0,
            outliers: Vec::new(),
        }
    }
}

impl Samples {
    pub(crate) fn add(&mut self, value: i64, command_id: &str) {
        if self.seen.is_multiple_of(self.stride) {
            if self.kept.len() == KEPT_MAX {
                let mut index = 0;
                self.kept.retain(|_| {
                    index += 1;
                    index % 2 == 1
                });
                self.stride *= 2;
            }
            if self.seen.is_multiple_of(self.stride) {
                self.kept.push(value);
            }
        }
        self.seen += 1;
        self.sum += i128::from(value);
        let at = self.outliers.partition_point(|(_, other)| *other >= value);
        if value != 0 && at < OUTLIERS_MAX {
            self.outliers.insert(at, (command_id.to_owned(), value));
            self.outliers.truncate(OUTLIERS_MAX);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.seen == 0
    }

    /// How many there were.
    pub(crate) fn count(&self) -> i64 {
        i64::try_from(self.seen).unwrap_or(i64::MAX)
    }

    pub(crate) fn sum(&self) -> i64 {
        i64::try_from(self.sum).unwrap_or(i64::MAX)
    }

    pub(crate) fn average(&self) -> f64 {
        match self.seen {
            0 => 0.0,
            seen => self.sum as f64 / seen as f64,
        }
    }

    /// The largest and the one after it, with the commands they are of.
    pub(crate) fn outliers(&self) -> &[(String, i64)] {
        &self.outliers
    }

    /// The numbers below which half, 75, 85 and 95 of a hundred are.
    pub(crate) fn percentiles(&self) -> [i64; 4] {
        let mut sorted = self.kept.clone();
        sorted.sort_unstable();
        [(1, 2), (3, 4), (17, 20), (19, 20)].map(|(part, of)| {
            let index = sorted.len() * part / of;
            sorted.get(index).copied().unwrap_or_default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_numbers_are_exact() {
        let mut samples = Samples::default();
        assert!(samples.is_empty());
        for value in (0..=100).rev() {
            samples.add(value, &value.to_string());
        }
        assert_eq!(samples.percentiles(), [50, 75, 85, 95]);
        assert_eq!(
            (samples.count(), samples.sum(), samples.average()),
            (101, 5050, 50.0)
        );
        assert_eq!(
            samples.outliers(),
            [("100".to_owned(), 100), ("99".to_owned(), 99)]
        );
    }

    #[test]
    fn many_numbers_are_bounded_and_near() {
        let mut samples = Samples::default();
        let many = 10 * KEPT_MAX as i64;
        for value in 0..many {
            samples.add(value, "");
        }
        assert!(samples.kept.len() <= KEPT_MAX);
        assert_eq!(samples.count(), many);
        let [median, ..] = samples.percentiles();
        assert!((median - many / 2).abs() < many / 100, "{median}");
    }

    #[test]
    fn nothing_is_no_outlier() {
        let mut samples = Samples::default();
        samples.add(0, "a");
        assert_eq!(samples.outliers(), []);
        assert_eq!(samples.percentiles(), [0; 4]);
    }
}
