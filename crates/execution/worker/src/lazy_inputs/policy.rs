//! Which action gets its inputs lazily, and which is observed.

use action::Platform;

/// Where a platform asks for lazy inputs, or for none: `true` or `false`. A wish: met by every worker as far as it can.
const LAZY: &str = "lazy-inputs";
/// Where a platform asks what the command reads: `true` or `false`. A wish like the other.
const OBSERVE: &str = "observe-inputs";

/// When inputs are fetched as they are opened, instead of all before the command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LazyInputs {
    /// For no action.
    Never,
    /// For those whose platform has `lazy-inputs` = `true`, and those that are observed.
    #[default]
    OnRequest,
    /// For all but those whose platform has `lazy-inputs` = `false`.
    Always,
}

/// What a worker does about inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LazyOptions {
    /// When they are fetched as they are opened. [`LazyInputs::Always`] is refused where it is not possible.
    pub when: LazyInputs,
    /// Whether actions are observed whose platform does not say.
    pub observe: bool,
}

/// How one action has its inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Laziness {
    pub(crate) is_lazy: bool,
    pub(crate) observe: Observe,
}

/// Whether it is told what a command has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Observe {
    No,
    Yes,
    /// It is asked for and cannot be done, for this reason.
    Impossible(String),
}

impl Laziness {
    /// Decides. `possible` is this machine's answer; an error is for the client.
    pub(crate) fn of(
        options: LazyOptions,
        possible: &Result<(), String>,
        platform: &Platform,
    ) -> Result<Self, String> {
        let wanted = yes_or_no(platform, LAZY)?;
        let observes = yes_or_no(platform, OBSERVE)?.unwrap_or(options.observe);
        let observe = match (observes, possible) {
            (false, _) => Observe::No,
            (true, Ok(())) => Observe::Yes,
            (true, Err(why)) => Observe::Impossible(why.clone()),
        };
        let is_wanted = wanted.unwrap_or(options.when == LazyInputs::Always);
        Ok(Laziness {
            is_lazy: possible.is_ok() && (is_wanted || observes),
            observe,
        })
    }
}

fn yes_or_no(platform: &Platform, name: &str) -> Result<Option<bool>, String> {
    match platform.values(name).next() {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(value) => Err(format!(
            "platform property `{name}` is `{value}`; it can be `true` or `false`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(
        (when, observe): (LazyInputs, bool),
        possible: bool,
        properties: &[(&str, &str)],
    ) -> Result<Laziness, String> {
        let properties = properties
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        let platform = Platform::new(properties).unwrap();
        let possible = possible.then_some(()).ok_or_else(|| "no FUSE".to_owned());
        Laziness::of(LazyOptions { when, observe }, &possible, &platform)
    }

    #[test]
    fn the_platform_wins_over_the_worker_and_observing_takes_a_lazy_root() {
        use LazyInputs::{Always, Never, OnRequest};
        use Observe::{No, Yes};
        let impossible = || Observe::Impossible("no FUSE".into());
        let (lazy, not_lazy) = ((LAZY, "true"), (LAZY, "false"));
        let (observed, not_observed) = ((OBSERVE, "true"), (OBSERVE, "false"));
        type Row<'a> = ((LazyInputs, bool), bool, &'a [(&'a str, &'a str)], bool, Observe);
        let table: [Row<'_>; 13] = [
            ((OnRequest, false), true, &[], false, No),
            ((OnRequest, false), true, &[lazy], true, No),
            ((OnRequest, false), true, &[observed], true, Yes),
            ((OnRequest, false), true, &[not_lazy, observed], true, Yes),
            ((OnRequest, true), true, &[], true, Yes),
            ((OnRequest, true), true, &[not_observed], false, No),
            ((OnRequest, false), false, &[lazy], false, No),
            ((OnRequest, false), false, &[observed], false, impossible()),
            ((Always, false), true, &[], true, No),
            ((Always, false), true, &[not_lazy], false, No),
            ((Always, true), true, &[not_lazy], true, Yes),
            // What is never done is not possible either.
            ((Never, false), false, &[lazy], false, No),
            ((Never, true), false, &[], false, impossible()),
        ];
        for (options, possible, properties, is_lazy, observe) in table {
            let decided = decide(options, possible, properties);
            assert_eq!(
                decided,
                Ok(Laziness { is_lazy, observe }),
                "{options:?} {properties:?}"
            );
        }
    }

    #[test]
    fn another_value_is_refused() {
        let refused = decide((LazyInputs::OnRequest, false), true, &[(OBSERVE, "yes")]);
        let message = "platform property `observe-inputs` is `yes`; it can be `true` or `false`";
        assert_eq!(refused, Err(message.to_owned()));
    }
}
