//! How much of a worker a task takes.

use action::Platform;

/// Where a platform says it itself.
pub(crate) const CPUS: &str = "cpus";
/// Where a platform says it itself, in bytes or with a unit.
pub(crate) const MEMORY: &str = "memory";

/// The least memory that is told apart.
const MEMORY_CLASS_MIN: u64 = 128 << 20;

/// Slots, each about a processor, and memory. Zero memory is an unknown amount, which nobody counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Size {
    pub(crate) slots: u32,
    pub(crate) memory_bytes: u64,
}

impl Size {
    /// Of what has never run: one processor, and whatever memory it takes.
    pub(crate) const UNKNOWN: Size = Size {
        slots: 1,
        memory_bytes: 0,
    };

    /// Before all others in their order.
    pub(crate) const MIN: Size = Size {
        slots: 0,
        memory_bytes: 0,
    };

    /// In powers of two, so that there are few different ones: tasks of one platform and one size share a queue.
    pub(crate) fn rounded(cpus: f64, memory_bytes: u64) -> Size {
        // Half a processor more than a power of two is worth the next one.
        let slots = (cpus - 0.5).clamp(1.0, f64::from(1 << 12)).ceil() as u32;
        Size {
            slots: slots.next_power_of_two(),
            memory_bytes: match memory_bytes {
                0 => 0,
                bytes => bytes
                    .max(MEMORY_CLASS_MIN)
                    .checked_next_power_of_two()
                    .unwrap_or(u64::MAX),
            },
        }
    }

    /// With what the platform itself asks for in the place of what was learned.
    pub(crate) fn or_asked(self, platform: &Platform) -> Size {
        let asked = |name| platform.values(name).next().and_then(amount);
        Size {
            slots: asked(CPUS).map_or(self.slots, |cpus| u32::try_from(cpus).unwrap_or(u32::MAX).max(1)),
            memory_bytes: asked(MEMORY).unwrap_or(self.memory_bytes),
        }
    }

    /// The same for what was crowded out: the platform's memory is the least it gets. What it asks for may be all it uses;
    /// beside those neighbours it was not to be had.
    pub(crate) fn or_asked_at_least(self, platform: &Platform) -> Size {
        let asked = self.or_asked(platform);
        Size {
            memory_bytes: asked.memory_bytes.max(self.memory_bytes),
            ..asked
        }
    }
}

/// A number, with `K`, `M`, `G` or `T` for powers of 1024 behind it, and perhaps `B` or `iB` behind that.
pub(crate) fn amount(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let unit = unit.to_ascii_lowercase();
    let unit = unit
        .strip_suffix('b')
        .map_or(unit.as_str(), |unit| unit.strip_suffix('i').unwrap_or(unit));
    let power = match unit {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return None,
    };
    number.checked_mul(1 << (10 * power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_units() {
        let known = [
            ("0", 0),
            ("12", 12),
            ("4k", 4 << 10),
            ("4KiB", 4 << 10),
            ("3MB", 3 << 20),
            ("2g", 2 << 30),
            ("1TiB", 1 << 40),
            ("7B", 7),
        ];
        for (text, expected) in known {
            assert_eq!(amount(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "k",
            "-1",
            "1.5G",
            "1x",
            "99999999999999999999",
            "99999999999T",
            "1 G",
            "yes",
        ] {
            assert_eq!(amount(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_few() {
        let slots = |cpus| Size::rounded(cpus, 0).slots;
        assert_eq!([0.0, 0.3, 1.0, 1.4, 1.5].map(slots), [1; 5]);
        assert_eq!([1.6, 2.0, 2.5, 2.6, 4.4, 4.6].map(slots), [2, 2, 2, 4, 4, 8]);
        let memory = |mib: u64| Size::rounded(1.0, mib << 20).memory_bytes >> 20;
        assert_eq!(
            [0, 1, 128, 129, 300, 1024].map(memory),
            [0, 128, 128, 256, 512, 1024]
        );
        assert_eq!(Size::rounded(f64::NAN, u64::MAX).memory_bytes, u64::MAX);
    }

    #[test]
    fn what_the_platform_asks_for_counts() {
        let platform = |pairs: &[(&str, &str)]| {
            Platform::new(
                pairs
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
            )
            .unwrap()
        };
        let learned = Size {
            slots: 4,
            memory_bytes: 7,
        };
        assert_eq!(learned.or_asked(&platform(&[("OSFamily", "linux")])), learned);
        let asked = learned.or_asked(&platform(&[("cpus", "2"), ("memory", "1GiB")]));
        assert_eq!((asked.slots, asked.memory_bytes), (2, 1 << 30));
        let (little, much) = (platform(&[("memory", "3B")]), platform(&[("memory", "9B")]));
        assert_eq!(learned.or_asked(&little).memory_bytes, 3);
        assert_eq!(learned.or_asked_at_least(&little), learned);
        assert_eq!(learned.or_asked_at_least(&much).memory_bytes, 9);
        let odd = learned.or_asked(&platform(&[("cpus", "many"), ("memory", "x")]));
        assert_eq!(odd, learned);
    }
}
