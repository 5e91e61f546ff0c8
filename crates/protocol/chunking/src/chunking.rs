//! Which rule cuts, and with which numbers.

use thiserror::Error;

/// A rule and its numbers: everything on which the cuts depend beside the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunking {
    /// FastCDC, the version of 2020.
    FastCdc2020(FastCdc2020),
    /// RepMaxCDC.
    RepMaxCdc(RepMaxCdc),
}

/// FastCDC 2020 as REAPI wants it: normalization level 2, chunks of a quarter to four times the average.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FastCdc2020 {
    average: usize,
    seed: u32,
}

/// RepMaxCDC: chunks of [min, 2·min), cut where the rolling hash is greatest within a horizon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepMaxCdc {
    min: usize,
    horizon: usize,
}

/// Numbers that the specification, or our memory, does not allow. Whoever is told such numbers by a server leaves the
/// rule alone (checklist K4).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChunkingError {
    /// The average chunk of FastCDC 2020.
    #[error(
        "FastCDC with an average of {average_bytes} bytes: it must be a power of two from {} to {}",
        FastCdc2020::AVERAGE_BYTES_MIN,
        FastCdc2020::AVERAGE_BYTES_MAX
    )]
    Average {
        /// What was asked for.
        average_bytes: u64,
    },
    /// The least chunk of RepMaxCDC.
    #[error(
        "RepMaxCDC with chunks of at least {min_bytes} bytes: it must be {} to {}",
        RepMaxCdc::MIN_BYTES_MIN,
        RepMaxCdc::MIN_BYTES_MAX
    )]
    Min {
        /// What was asked for.
        min_bytes: u64,
    },
    /// The horizon of RepMaxCDC.
    #[error("RepMaxCDC with a horizon of {horizon_bytes} bytes: it must be at most {horizon_bytes_max}")]
    Horizon {
        /// What was asked for.
        horizon_bytes: u64,
        /// As far as is looked ahead here.
        horizon_bytes_max: u64,
    },
}

impl FastCdc2020 {
    /// Smallest average that the specification allows.
    pub const AVERAGE_BYTES_MIN: u64 = 1024;
    /// Largest average that the specification allows.
    pub const AVERAGE_BYTES_MAX: u64 = 1024 * 1024;
    /// What the specification advises: found to work well for build outputs.
    pub const ADVISED: FastCdc2020 = FastCdc2020 {
        average: 512 * 1024,
        seed: 0,
    };

    /// Averages that are no power of two are refused: the specification leaves open how they round, and Bazel refuses
    /// them too.
    pub fn new(average_bytes: u64, seed: u32) -> Result<Self, ChunkingError> {
        let is_allowed = (Self::AVERAGE_BYTES_MIN..=Self::AVERAGE_BYTES_MAX).contains(&average_bytes)
            && average_bytes.is_power_of_two();
        match usize::try_from(average_bytes) {
            Ok(average) if is_allowed => Ok(FastCdc2020 { average, seed }),
            _ => Err(ChunkingError::Average { average_bytes }),
        }
    }

    /// What chunks are on average.
    pub fn average_bytes(&self) -> usize {
        self.average
    }

    /// What the table of the rolling hash is mixed with; everybody who shares a cache uses the same.
    pub fn seed(&self) -> u32 {
        self.seed
    }
}

impl RepMaxCdc {
    /// The rolling hash covers 64 bytes, so there is no smaller chunk.
    pub const MIN_BYTES_MIN: u64 = 64;
    /// Largest minimum taken here: chunks stay below 4 MiB, as those of FastCDC.
    pub const MIN_BYTES_MAX: u64 = 2 * 1024 * 1024;
    /// Horizons are at most so many times the minimum; past 8 times there is hardly anything to win.
    pub const HORIZON_TIMES_MAX: u64 = 16;
    /// What the specification advises.
    pub const ADVISED: RepMaxCdc = RepMaxCdc {
        min: 256 * 1024,
        horizon: 8 * 256 * 1024,
    };

    /// A horizon of 0 gives chunks of `min_bytes`, all alike.
    pub fn new(min_bytes: u64, horizon_bytes: u64) -> Result<Self, ChunkingError> {
        let (Ok(min), true) = (
            usize::try_from(min_bytes),
            (Self::MIN_BYTES_MIN..=Self::MIN_BYTES_MAX).contains(&min_bytes),
        ) else {
            return Err(ChunkingError::Min { min_bytes });
        };
        let horizon_bytes_max = min_bytes * Self::HORIZON_TIMES_MAX;
        match usize::try_from(horizon_bytes) {
            Ok(horizon) if horizon_bytes <= horizon_bytes_max => Ok(RepMaxCdc { min, horizon }),
            _ => Err(ChunkingError::Horizon {
                horizon_bytes,
                horizon_bytes_max,
            }),
        }
    }

    /// Least length of a chunk; chunks are shorter than twice this.
    pub fn min_bytes(&self) -> usize {
        self.min
    }

    /// How far beyond the least length a place for the cut is looked for.
    pub fn horizon_bytes(&self) -> usize {
        self.horizon
    }
}

impl Chunking {
    /// Least length of a chunk. Only the last chunk of a blob may be shorter.
    pub fn chunk_bytes_min(&self) -> usize {
        match self {
            Chunking::FastCdc2020(rule) => rule.average / 4,
            Chunking::RepMaxCdc(rule) => rule.min,
        }
    }

    /// Greatest length of a chunk.
    pub fn chunk_bytes_max(&self) -> usize {
        match self {
            Chunking::FastCdc2020(rule) => rule.average * 4,
            Chunking::RepMaxCdc(rule) => 2 * rule.min - 1,
        }
    }

    /// About the length of a chunk of bytes that have no pattern, to tell how many there will be.
    pub fn chunk_bytes_mean(&self) -> usize {
        match self {
            // A little more in fact: a quarter of it is skipped, and then the average is aimed at.
            Chunking::FastCdc2020(rule) => rule.average,
            // The minimum over Rényi's parking constant, 0.7476.
            Chunking::RepMaxCdc(rule) => rule.min + rule.min / 3,
        }
    }

    /// Most bytes that a [`Chunker`](crate::Chunker) holds when it has no chunk to give, beside the last piece pushed.
    pub fn held_bytes_max(&self) -> usize {
        match self {
            Chunking::FastCdc2020(_) => self.chunk_bytes_max(),
            Chunking::RepMaxCdc(rule) => 2 * rule.min + rule.horizon,
        }
    }

    /// Whether blobs of this size are cut at all: smaller ones than the greatest chunk stay whole (checklist K4).
    pub fn applies_to(&self, size_bytes: u64) -> bool {
        size_bytes >= self.chunk_bytes_max() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k4_numbers_out_of_range_are_refused() {
        assert_eq!(FastCdc2020::new(512 * 1024, 0), Ok(FastCdc2020::ADVISED));
        for average_bytes in [0, 512, 1023, 1500, 3 << 18, 2 << 20, u64::MAX] {
            assert!(FastCdc2020::new(average_bytes, 0).is_err(), "{average_bytes}");
        }
        assert_eq!(RepMaxCdc::new(256 << 10, 2 << 20), Ok(RepMaxCdc::ADVISED));
        assert!(RepMaxCdc::new(64, 0).is_ok());
        for (min, horizon) in [(0, 0), (63, 0), (4 << 20, 0), (64, 64 * 17), (u64::MAX, u64::MAX)] {
            assert!(RepMaxCdc::new(min, horizon).is_err(), "{min} {horizon}");
        }
    }

    #[test]
    fn k4_bounds_follow_from_the_parameters() {
        let fast = Chunking::FastCdc2020(FastCdc2020::ADVISED);
        assert_eq!(
            (fast.chunk_bytes_min(), fast.chunk_bytes_max()),
            (128 << 10, 2 << 20)
        );
        assert!(!fast.applies_to((2 << 20) - 1) && fast.applies_to(2 << 20));
        let rep_max = Chunking::RepMaxCdc(RepMaxCdc::ADVISED);
        assert_eq!(
            (rep_max.chunk_bytes_min(), rep_max.chunk_bytes_max()),
            (256 << 10, (512 << 10) - 1)
        );
    }
}
