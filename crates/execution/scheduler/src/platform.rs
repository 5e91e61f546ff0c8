//! Which worker can run what, and what to say when none can.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use action::{ANY_INPUT_ROOT_PATH, ContainerImage, INPUT_ROOT_PATH, Platform};

use crate::size::{CPUS, MEMORY, amount};

/// Most values of one property that a message repeats.
const VALUES_SHOWN_MAX: usize = 8;
/// Most unmet properties that a message names.
const UNMET_SHOWN_MAX: usize = 4;
/// Longest piece of a name or value that a message repeats, in characters.
const TEXT_SHOWN_CHARS_MAX: usize = 100;

/// Tags change their meaning, and a result that is cached must not.
const HOW_TO_NAME_AN_IMAGE: &str =
    " (an image is named by its digest, NAME@sha256:…, after `farrier image load` has put it here)";

/// Properties that ask a worker to do more where it can, and are met by everyone: an action that names a persistent
/// worker runs anywhere, as a process of its own where there is none; and whoever has namespaces has all ids; inputs
/// that cannot be fetched lazily are laid out, and what cannot be observed is said to be so.
const WISHES: [&str; 7] = [
    "unixUID",
    "unixGID",
    "persistentWorkerKey",
    "persistentWorkerProtocol",
    "persistentWorkerMultiplex",
    "lazy-inputs",
    "observe-inputs",
];

/// Begins the names of properties that are preferred: what follows is the name of a property that a worker should have
/// if there is a choice. An action is never refused, and never waits, for want of one.
pub(crate) const PREFERRED: &str = "prefer:";

/// What a worker announces: names, each with one or several values.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Offer {
    values: BTreeMap<String, BTreeSet<String>>,
    /// What there is a certain amount of.
    amounts: BTreeMap<String, u64>,
}

impl Offer {
    /// Takes the first `properties_max` properties, and as many amounts.
    pub(crate) fn new(
        properties: Vec<(String, String)>,
        amounts: impl IntoIterator<Item = (String, u64)>,
        properties_max: usize,
    ) -> Self {
        let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (name, value) in properties.into_iter().take(properties_max) {
            values.entry(name).or_default().insert(value);
        }
        let amounts = amounts.into_iter().take(properties_max).collect();
        Offer { values, amounts }
    }

    /// Whether every property of `platform` is announced with exactly its value (checklist E34: several values of
    /// one name must all hold), or is an amount of which there is enough. The empty platform is met by everyone.
    pub(crate) fn meets(&self, platform: &Platform) -> bool {
        platform.iter().all(|(name, value)| self.has(name, value))
    }

    /// How many preferred properties of `platform` are not here.
    pub(crate) fn missing_of_preferred(&self, platform: &Platform) -> usize {
        let preferred = platform
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(PREFERRED)?, value)));
        preferred.filter(|(name, value)| !self.has(name, value)).count()
    }

    /// What an action of `platform` takes away from others, beside processors and memory.
    pub(crate) fn taken_by(&self, platform: &Platform) -> BTreeMap<String, u64> {
        let counted = |(name, value): (&str, &str)| {
            let is_size = name == CPUS || name == MEMORY;
            let counts = self.amounts.contains_key(name) && !is_size && !self.announces(name, value);
            let taken = amount(value).filter(|_| counts)?;
            Some((name.to_owned(), taken))
        };
        platform.iter().filter_map(counted).collect()
    }

    /// What there is a certain amount of, beside processors and memory.
    pub(crate) fn resources(&self) -> impl Iterator<Item = (&str, u64)> {
        let amounts = self
            .amounts
            .iter()
            .filter(|(name, _)| *name != CPUS && *name != MEMORY);
        amounts.map(|(name, amount)| (name.as_str(), *amount))
    }

    /// How much there is of something.
    pub(crate) fn amount_of(&self, name: &str) -> u64 {
        self.amounts.get(name).copied().unwrap_or(0)
    }

    /// Every announced name with every value.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values
            .iter()
            .flat_map(|(name, values)| values.iter().map(|value| (name.as_str(), value.as_str())))
    }

    fn has(&self, name: &str, value: &str) -> bool {
        let is_enough = |there: &u64| amount(value).is_some_and(|asked| asked <= *there);
        let is_wish = WISHES.contains(&name) || name.starts_with(PREFERRED);
        is_wish
            || self.announces(name, value)
            || self.has_image(name, value)
            || self.shows_input_roots_anywhere(name)
            || self.amounts.get(name).is_some_and(is_enough)
    }

    /// A worker that can run actions in images can do so in any that is named by its content; whether it has been loaded
    /// is seen when an action comes.
    fn has_image(&self, name: &str, value: &str) -> bool {
        name == ContainerImage::PROPERTY
            && self.announces(name, ContainerImage::ANY)
            && ContainerImage::parse(value).is_some()
    }

    /// Whether a path that is asked for is one that can be is seen when the action comes.
    fn shows_input_roots_anywhere(&self, name: &str) -> bool {
        name == INPUT_ROOT_PATH && self.announces(name, ANY_INPUT_ROOT_PATH)
    }

    fn announces(&self, name: &str, value: &str) -> bool {
        self.values.get(name).is_some_and(|values| values.contains(value))
    }

    fn unmet<'a>(&self, platform: &'a Platform) -> Vec<(&'a str, &'a str)> {
        platform
            .iter()
            .filter(|(name, value)| !self.has(name, value))
            .collect()
    }
}

/// Why no worker can run an action for `platform`: the property nobody meets, what is on offer for it, and the
/// nearest worker. `offers` are distinct offers, each with the name of one worker that announces it.
pub(crate) fn explain_unmatched<'a>(
    platform: &Platform,
    offers: impl Iterator<Item = (&'a str, &'a Offer)> + Clone,
) -> String {
    let Some((nearest, unmet)) = offers
        .clone()
        .map(|(worker, offer)| (worker, offer.unmet(platform)))
        .min_by(|(worker, unmet), (other, other_unmet)| {
            (unmet.len(), worker).cmp(&(other_unmet.len(), other))
        })
    else {
        return "no worker is connected; start one (`farrier join`) and try again".to_owned();
    };
    let mut message = "no worker can run this action: ".to_owned();
    let nowhere = platform
        .iter()
        .find(|(name, value)| offers.clone().all(|(_, offer)| !offer.has(name, value)));
    match nowhere {
        Some((name, value)) => {
            let _ = write!(message, "none offers {}, ", property(name, value));
            let values: BTreeSet<String> = offers
                .flat_map(|(_, offer)| {
                    let values = offer
                        .values
                        .get(name)
                        .into_iter()
                        .flatten()
                        .map(|value| shown(value));
                    let amount = offer.amounts.get(name).map(|there| format!("{there} and less"));
                    values.chain(amount)
                })
                .collect();
            if values.is_empty() {
                let _ = write!(message, "nor any other value of `{}`", shown(name));
            } else {
                let _ = write!(message, "only {}", list(values.into_iter(), VALUES_SHOWN_MAX));
            }
            if name == ContainerImage::PROPERTY {
                message.push_str(HOW_TO_NAME_AN_IMAGE);
            }
        }
        None => message.push_str("each of its properties is on offer, but not all on one worker"),
    }
    let lacks = list(
        unmet.into_iter().map(|(name, value)| property(name, value)),
        UNMET_SHOWN_MAX,
    );
    let _ = write!(
        message,
        "; the nearest worker, `{}`, lacks {lacks}",
        shown(nearest)
    );
    message.push_str("; change the action's platform properties or start a worker that offers them");
    message
}

fn property(name: &str, value: &str) -> String {
    format!("{}={}", shown(name), shown(value))
}

/// Words after one another, as many as a message can bear.
pub(crate) fn list(items: impl Iterator<Item = String>, shown_max: usize) -> String {
    let mut items: Vec<String> = items.collect();
    if items.len() > shown_max {
        let more = items.len() - shown_max;
        items.truncate(shown_max);
        items.push(format!("and {more} more"));
    }
    items.join(", ")
}

/// Text of a client or a worker, cut to a length fit for a message.
pub(crate) fn shown(text: &str) -> String {
    match text.char_indices().nth(TEXT_SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
