//! What a table of flags says of each.

use std::fmt::Write as _;

use crate::flags::value::Kind;

/// A flag of a program.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Its name, without dashes.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What it is when nobody says anything, as one would write it.
    pub default: &'static str,
    /// What it is for, in a line.
    pub meaning: &'static str,
    /// Whether it does anything here.
    pub effect: Effect,
}

/// Whether a flag does anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does.
    Works,
    /// It is taken, so that configurations stay valid, and does nothing, for this reason. Whoever starts the daemon is
    /// told so.
    None(&'static str),
    /// To say it is an error, for this reason: without it something else would be done than was asked for.
    Refused(&'static str),
}

impl Flag {
    pub(crate) const fn new(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        meaning: &'static str,
    ) -> Self {
        Flag {
            name,
            kind,
            default,
            meaning,
            effect: Effect::Works,
        }
    }

    /// One that nobody may say.
    pub(crate) const fn refused(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        reason: &'static str,
    ) -> Self {
        Flag {
            effect: Effect::Refused(reason),
            ..Flag::new(name, kind, default, reason)
        }
    }

    /// One that does nothing.
    pub(crate) const fn idle(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        reason: &'static str,
    ) -> Self {
        Flag {
            effect: Effect::None(reason),
            ..Flag::new(name, kind, default, reason)
        }
    }
}

/// The text for `-help` and for those who have written something else: how to call it, and every flag.
pub fn usage(call: &str, tables: &[&[Flag]]) -> String {
    let mut text = format!("Usage: {call}\n");
    let mut flags: Vec<&Flag> = tables.iter().copied().flatten().collect();
    flags.sort_by_key(|flag| flag.name);
    for flag in flags {
        let _ = writeln!(text, "  -{} {}", flag.name, flag.kind.word());
        let _ = match (flag.effect, flag.default) {
            (Effect::None(reason), _) => writeln!(text, "        No effect: {reason}"),
            (Effect::Refused(reason), _) => writeln!(text, "        Not done here: {reason}"),
            (Effect::Works, "") => writeln!(text, "        {}", flag.meaning),
            (Effect::Works, default) => writeln!(text, "        {} (default {default})", flag.meaning),
        };
    }
    text
}
