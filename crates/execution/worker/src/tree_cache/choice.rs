//! How an input root gets onto the disk: link by link, over a tree that is there already, or as such a tree.

use crate::limits::{BASE_PATHS_MIN, DIFFERENCE_SHARE, DIFFERENCE_STEPS_ALWAYS, OVERLAY_PATHS_MIN};

/// What is known about an input root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    /// Files, directories and symlinks in it.
    pub(crate) paths: u64,
    /// For each tree that is there: the steps from it to the input root; `None` if they are too many.
    pub(crate) differences: &'a [Option<usize>],
    /// Whether it, or one that is nearly the same, was laid out a short while ago.
    pub(crate) recurs: bool,
    /// Whether there is room for it among the trees that are kept.
    pub(crate) fits: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Everything in it is linked into the build directory.
    Link,
    /// The tree of this number shows through, with the difference above it.
    Over(usize),
    /// A tree is made of it, which then shows through.
    MakeBase,
}

/// Decides. An overlay costs about what some hundred links do, whatever is below it; a tree is worth making if it is
/// large and likely to be of use again.
pub(crate) fn choose(facts: Facts<'_>) -> Choice {
    let Facts {
        paths,
        differences,
        recurs,
        fits,
    } = facts;
    if paths < OVERLAY_PATHS_MIN {
        return Choice::Link;
    }
    let near = |(number, steps): (usize, &Option<usize>)| steps.map(|steps| (steps, number));
    match differences.iter().enumerate().filter_map(near).min() {
        Some((steps, number)) if steps <= steps_max(paths) => Choice::Over(number),
        _ if recurs && fits && paths >= BASE_PATHS_MIN => Choice::MakeBase,
        _ => Choice::Link,
    }
}

/// The most steps for which an overlay is worth it.
pub(crate) fn steps_max(paths: u64) -> usize {
    let share = usize::try_from(paths / DIFFERENCE_SHARE).unwrap_or(usize::MAX);
    share.max(DIFFERENCE_STEPS_ALWAYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_roots_are_linked_large_ones_over_the_nearest_tree_and_what_recurs_becomes_one() {
        let none: &[Option<usize>] = &[];
        // Paths, differences, whether it recurs, whether it fits.
        type Row = (u64, &'static [Option<usize>], bool, bool, Choice);
        let table: &[Row] = &[
            // Too small, whatever is there.
            (OVERLAY_PATHS_MIN - 1, &[Some(0)], true, true, Choice::Link),
            // The same root again, a near one, the nearest of several.
            (5_000, &[Some(0)], false, true, Choice::Over(0)),
            (5_000, &[None, Some(3)], true, true, Choice::Over(1)),
            (
                5_000,
                &[Some(9), None, Some(3), Some(3)],
                true,
                true,
                Choice::Over(2),
            ),
            // Small, but there is a tree.
            (OVERLAY_PATHS_MIN, &[Some(1)], true, true, Choice::Over(0)),
            // At the bound and beyond it.
            (8_000, &[Some(1_000)], false, true, Choice::Over(0)),
            (8_000, &[Some(1_001)], false, true, Choice::Link),
            (8_000, &[Some(1_001)], true, true, Choice::MakeBase),
            // Large and new; large and seen before; the same without room.
            (5_000, none, false, true, Choice::Link),
            (5_000, &[None], true, true, Choice::MakeBase),
            (5_000, none, true, false, Choice::Link),
            // Not large enough to become a tree.
            (BASE_PATHS_MIN - 1, none, true, true, Choice::Link),
            (BASE_PATHS_MIN, none, true, true, Choice::MakeBase),
        ];
        for (number, (paths, differences, recurs, fits, expected)) in table.iter().enumerate() {
            let facts = Facts {
                paths: *paths,
                differences,
                recurs: *recurs,
                fits: *fits,
            };
            assert_eq!(choose(facts), *expected, "row {number}: {facts:?}");
        }
    }
}
