//! Which segment makes room next: decided from numbers alone, by the writer that then drops it and for the statistics
//! that foretell it.

/// A segment goes first if at most this part of it has to be carried forward, in percent …
const CARRIED_PERCENT_MAX: u64 = 75;
/// … and if nothing else helps, if there is anything to gain at all.
const CARRIED_PERCENT_LAST: u64 = 97;

/// How much effort making room may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    carried_percent_max: u64,
    /// Whether what is in use but not promised is spared.
    pub(crate) spares_what_is_in_use: bool,
}

/// All segments are looked at with the first, from the one that is next in the order; if that is not enough, with the
/// second.
pub(crate) const POLICIES: [Policy; 2] = [
    Policy {
        carried_percent_max: CARRIED_PERCENT_MAX,
        spares_what_is_in_use: true,
    },
    Policy {
        carried_percent_max: CARRIED_PERCENT_LAST,
        spares_what_is_in_use: false,
    },
];

/// What is in a segment, as far as its fate depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weighed {
    pub(crate) bytes: u64,
    pub(crate) promised_bytes: u64,
    /// Whether anything in it was asked for in the younger half of the store's time.
    pub(crate) is_in_use: bool,
    /// Holds one large blob and nothing else.
    pub(crate) is_solo: bool,
}

/// What becomes of a segment when room is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Too much of it is promised.
    Stays,
    /// It is counted as young again and goes to the end of the order.
    YoungAgain,
    /// It goes; what is promised in it, and some of what is in use, is carried forward.
    Goes,
}

/// What becomes of a segment under a policy.
pub(crate) fn fate(segment: &Weighed, policy: Policy) -> Fate {
    let is_too_much = segment.promised_bytes * 100 > segment.bytes * policy.carried_percent_max;
    // To carry all of it forward gains nothing.
    let is_all = segment.is_solo && segment.promised_bytes > 0;
    if is_too_much || is_all {
        return Fate::Stays;
    }
    // Nothing to copy: once for each time that it is asked for.
    let is_spared = segment.is_solo && segment.is_in_use && policy.spares_what_is_in_use;
    if is_spared { Fate::YoungAgain } else { Fate::Goes }
}

/// Which of `order`, whose first has waited longest, makes room next; none if nothing would.
pub(crate) fn next_to_go(order: &[Weighed]) -> Option<usize> {
    let mut places: Vec<usize> = (0..order.len()).collect();
    for policy in POLICIES {
        let fate_of = |place: &usize| fate(&order[*place], policy);
        if let Some(next) = places.iter().find(|place| fate_of(place) == Fate::Goes) {
            return Some(*next);
        }
        // A stable sort: those that are young again go behind the others.
        places.sort_by_key(|place| fate_of(place) == Fate::YoungAgain);
    }
    None
}

/// The lease number at the time when the segment in the middle of the order was young: what was promised or read since
/// is in use. `order` has the place of each segment, going up, and its own number.
pub(crate) fn used_since(order: &[(u64, u32)]) -> u32 {
    let (Some((first, _)), Some((last, _))) = (order.first(), order.last()) else {
        return u32::MAX;
    };
    let middle = first + (last + 1 - first) / 2;
    let young = order.iter().find(|(place, _)| *place >= middle);
    young.map_or(u32::MAX, |(_, since)| *since)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(promised_bytes: u64) -> Weighed {
        Weighed {
            bytes: 1000,
            promised_bytes,
            ..Weighed::default()
        }
    }

    fn solo(promised_bytes: u64, is_in_use: bool) -> Weighed {
        Weighed {
            is_solo: true,
            is_in_use,
            ..shared(promised_bytes)
        }
    }

    #[test]
    fn what_becomes_of_a_segment() {
        use Fate::{Goes, Stays, YoungAgain};
        let in_use = |segment| Weighed {
            is_in_use: true,
            ..segment
        };
        for (segment, first, last) in [
            (shared(0), Goes, Goes),
            (shared(750), Goes, Goes),
            (shared(751), Stays, Goes),
            (shared(970), Stays, Goes),
            (shared(971), Stays, Stays),
            // What is in use in it is carried, as far as there is a gain.
            (in_use(shared(0)), Goes, Goes),
            (solo(0, false), Goes, Goes),
            (solo(0, true), YoungAgain, Goes),
            (solo(990, true), Stays, Stays),
            // A small one: its blob is less than the blocks that it takes on the disk.
            (solo(600, false), Stays, Stays),
            (Weighed::default(), Goes, Goes),
        ] {
            let [one, other] = POLICIES.map(|policy| fate(&segment, policy));
            assert_eq!((one, other), (first, last), "{segment:?}");
        }
    }

    #[test]
    fn the_first_that_may_go_is_next() {
        for (order, next) in [
            (vec![], None),
            (vec![shared(0), shared(0)], Some(0)),
            (vec![shared(800), shared(750)], Some(1)),
            (vec![solo(0, true), shared(900), shared(10)], Some(2)),
            // Nothing goes easily: what is promised in part, before what has just been counted as young.
            (vec![solo(0, true), shared(900)], Some(1)),
            (vec![solo(0, true), shared(990), solo(0, true)], Some(0)),
            (vec![solo(1000, true), shared(990)], None),
        ] {
            assert_eq!(next_to_go(&order), next, "{order:?}");
        }
    }

    #[test]
    fn in_use_is_what_is_younger_than_the_middle() {
        for (order, since) in [
            (vec![], u32::MAX),
            (vec![(5, 1)], 1),
            (vec![(5, 1), (6, 4)], 4),
            (vec![(0, 1), (1, 2), (2, 3), (3, 4)], 3),
            // Places of those that have gone count.
            (vec![(0, 1), (10, 2), (11, 3)], 2),
        ] {
            assert_eq!(used_since(&order), since, "{order:?}");
        }
    }
}
