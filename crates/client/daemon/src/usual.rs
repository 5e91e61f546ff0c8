//! How long commands usually take, here and elsewhere: by that it is decided when a command that may run in both places begins
//! here.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use parking_lot::Mutex;

use crate::limits::USUAL_MAX;

/// What the delay is multiplied with if nobody says; reclient's.
pub(crate) const USUAL_BIAS: f64 = 0.75;

/// A tool, and whether it links.
pub(crate) type Kind = (PathBuf, bool);

/// How long commands of each kind usually take, here and elsewhere.
#[derive(Default)]
pub(crate) struct Usual {
    kinds: Mutex<HashMap<Kind, Times>>,
}

#[derive(Clone, Copy, Default)]
struct Times {
    elsewhere: Option<Duration>,
    here: Option<Duration>,
}

impl Usual {
    /// How long a command of this kind waits for a worker before it begins here too.
    pub(crate) fn local_start(&self, kind: &Kind, bias: f64) -> Duration {
        let times = self.kinds.lock().get(kind).copied().unwrap_or_default();
        local_start(times, bias)
    }

    /// A worker took so long, with everything around it.
    pub(crate) fn elsewhere(&self, kind: Kind, took: Duration) {
        self.change(kind, |times| times.elsewhere = Some(mean(times.elsewhere, took)));
    }

    /// This machine took so long.
    pub(crate) fn here(&self, kind: Kind, took: Duration) {
        self.change(kind, |times| times.here = Some(mean(times.here, took)));
    }

    /// A worker was not waited for to the end.
    pub(crate) fn elsewhere_at_least(&self, kind: Kind, took: Duration) {
        self.change(kind, |times| times.elsewhere = times.elsewhere.max(Some(took)));
    }

    /// A run here was ended.
    pub(crate) fn here_at_least(&self, kind: Kind, took: Duration) {
        self.change(kind, |times| times.here = times.here.max(Some(took)));
    }

    fn change(&self, kind: Kind, change: impl FnOnce(&mut Times)) {
        let mut kinds = self.kinds.lock();
        if kinds.len() >= USUAL_MAX && !kinds.contains_key(&kind) {
            // So many tools are many builds, and the next ones teach the rest anew.
            kinds.clear();
        }
        change(kinds.entry(kind).or_default());
    }
}

/// A mean in which what was long ago fades.
fn mean(usual: Option<Duration>, took: Duration) -> Duration {
    usual.map_or(took, |usual| (usual * 3 + took) / 4)
}

/// When a command is to begin here as well: at once where that is usually sooner, or nobody knows; otherwise when the worker
/// is late.
fn local_start(times: Times, bias: f64) -> Duration {
    match (times.elsewhere, times.here) {
        (Some(elsewhere), Some(here)) if elsewhere < here => {
            // What is no number is nobody's wish.
            let bias = if bias.is_nan() {
                USUAL_BIAS
            } else {
                bias.clamp(0.0, 10.0)
            };
            elsewhere.mul_f64(2.0 * bias)
        }
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_begins_when_it_promises_to_be_sooner() {
        let check = |elsewhere: Option<u64>, here: Option<u64>, bias: f64, expected: u64| {
            let times = Times {
                elsewhere: elsewhere.map(Duration::from_millis),
                here: here.map(Duration::from_millis),
            };
            let found = local_start(times, bias);
            assert_eq!(
                found,
                Duration::from_millis(expected),
                "{elsewhere:?} {here:?} {bias}"
            );
        };
        check(None, None, 0.75, 0);
        check(Some(100), None, 0.75, 0);
        check(None, Some(100), 0.75, 0);
        check(Some(1000), Some(100), 0.75, 0);
        check(Some(100), Some(1000), 0.75, 150);
        check(Some(100), Some(1000), 0.0, 0);
        check(Some(100), Some(1000), 10.0, 2000);
        check(Some(100), Some(1000), f64::MAX, 2000);
        check(Some(100), Some(1000), -1.0, 0);
        check(Some(100), Some(1000), f64::NAN, 150);
    }

    #[test]
    fn what_is_usual_is_learnt_and_forgotten() {
        let usual = Usual::default();
        let kind = |number: usize| (PathBuf::from(format!("/bin/gcc-{number}")), false);
        let seconds = Duration::from_secs;
        usual.elsewhere(kind(0), seconds(4));
        usual.here(kind(0), seconds(8));
        assert_eq!(usual.local_start(&kind(0), 0.5), seconds(4));
        usual.elsewhere(kind(0), seconds(8));
        assert_eq!(usual.local_start(&kind(0), 0.5), seconds(5));
        // One that was cut short took longer than it seems.
        usual.elsewhere_at_least(kind(0), seconds(1));
        assert_eq!(usual.local_start(&kind(0), 0.5), seconds(5));
        usual.elsewhere_at_least(kind(0), seconds(7));
        assert_eq!(usual.local_start(&kind(0), 0.5), seconds(7));
        usual.here_at_least(kind(1), seconds(1));
        assert_eq!(usual.local_start(&kind(1), 0.5), Duration::ZERO);
        for number in 2..=USUAL_MAX {
            usual.here(kind(number), seconds(1));
        }
        assert_eq!(usual.local_start(&kind(0), 0.5), Duration::ZERO);
    }
}
