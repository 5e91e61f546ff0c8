//! Values that are one word of a few.

/// Who speaks: some answers depend on it, as the words and exit codes of a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Our own wrapper.
    #[default]
    Farrier,
    /// `rewrapper`, or something that speaks to `reproxy`. What fails without a result has reclient's exit codes.
    Reclient,
    /// `recc`. What it does not understand is run here.
    Recc,
}

/// Where a command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Here; a known result is taken instead, and a new one is stored.
    Local,
    /// Elsewhere. A failure to do so is the command's failure.
    Remote,
    /// Elsewhere; here if that fails. A command that ran and failed has not failed in this sense, unlike in reclient.
    RemoteLocalFallback,
    /// Both; who is first wins.
    Racing,
}

/// What a command does, as far as settings tell commands apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Source to object.
    Compile,
    /// Objects to program or library.
    Link,
}

/// A choice and its words.
pub(crate) trait Choice: Copy + PartialEq + 'static {
    /// Each value with its word.
    const WORDS: &'static [(&'static str, Self)];
}

impl Choice for Dialect {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("farrier", Dialect::Farrier),
        ("reclient", Dialect::Reclient),
        ("recc", Dialect::Recc),
    ];
}

impl Choice for Strategy {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("local", Strategy::Local),
        ("remote", Strategy::Remote),
        ("remote_local_fallback", Strategy::RemoteLocalFallback),
        ("racing", Strategy::Racing),
    ];
}

impl Choice for Kind {
    const WORDS: &'static [(&'static str, Self)] = &[("compile", Kind::Compile), ("link", Kind::Link)];
}

impl Strategy {
    /// The strategy of this name: `local`, `remote`, `remote_local_fallback`, `racing`.
    pub fn named(name: &str) -> Option<Self> {
        Self::WORDS
            .iter()
            .find(|(word, _)| *word == name)
            .map(|(_, value)| *value)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        word(self)
    }
}

/// The word of a value; every value has one, which a test checks.
pub(crate) fn word<C: Choice>(value: C) -> &'static str {
    C::WORDS
        .iter()
        .find(|(_, other)| *other == value)
        .map_or("", |(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_strategy_has_its_name() {
        let all = [
            Strategy::Local,
            Strategy::Remote,
            Strategy::RemoteLocalFallback,
            Strategy::Racing,
        ];
        for strategy in all {
            assert_eq!(Strategy::named(strategy.name()), Some(strategy));
        }
        assert_eq!(Strategy::named("lerc"), None);
    }
}
