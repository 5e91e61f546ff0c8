//! A set of digests, as batches travel.

use crate::Digest;

/// Sorted, without duplicates. Cheap to build once from a request and to walk; not meant to be mutated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DigestSet {
    digests: Vec<Digest>,
}

impl DigestSet {
    /// Number of different digests.
    pub fn len(&self) -> usize {
        self.digests.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// In ascending order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Digest> {
        self.digests.iter()
    }

    /// Binary search.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.digests.binary_search(digest).is_ok()
    }

    /// What is here and not in `other`.
    pub fn difference(&self, other: &DigestSet) -> DigestSet {
        DigestSet {
            digests: self
                .digests
                .iter()
                .filter(|digest| !other.contains(digest))
                .copied()
                .collect(),
        }
    }

    /// What is here or in `other`.
    pub fn union(&self, other: &DigestSet) -> DigestSet {
        self.iter().chain(other.iter()).copied().collect()
    }

    /// As an ascending slice.
    pub fn as_slice(&self) -> &[Digest] {
        &self.digests
    }
}

impl FromIterator<Digest> for DigestSet {
    fn from_iter<I: IntoIterator<Item = Digest>>(digests: I) -> Self {
        Vec::from_iter(digests).into()
    }
}

/// Sorts them, unless they are sorted already, as those of another set of ours are.
impl From<Vec<Digest>> for DigestSet {
    fn from(mut digests: Vec<Digest>) -> Self {
        let is_set = digests.windows(2).all(|pair| pair[0] < pair[1]);
        if !is_set {
            digests.sort_unstable();
            digests.dedup();
        }
        DigestSet { digests }
    }
}

impl From<Digest> for DigestSet {
    fn from(digest: Digest) -> Self {
        DigestSet {
            digests: vec![digest],
        }
    }
}

impl IntoIterator for DigestSet {
    type Item = Digest;
    type IntoIter = std::vec::IntoIter<Digest>;

    fn into_iter(self) -> Self::IntoIter {
        self.digests.into_iter()
    }
}

impl<'a> IntoIterator for &'a DigestSet {
    type Item = &'a Digest;
    type IntoIter = std::slice::Iter<'a, Digest>;

    fn into_iter(self) -> Self::IntoIter {
        self.digests.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DigestFunction;

    #[test]
    fn a_set_forgets_order_and_repetition() {
        let [a, b, c] = [&b"a"[..], b"b", b"c"].map(|bytes| Digest::of(DigestFunction::Sha256, bytes));
        let set: DigestSet = [c, a, c, b, a].into_iter().collect();
        assert_eq!(set, [a, b, c].into_iter().collect());
        assert_eq!(set.len(), 3);
        let without_b = set.difference(&DigestSet::from(b));
        assert!(without_b.contains(&a) && !without_b.contains(&b));
        assert_eq!(without_b.union(&DigestSet::from(b)), set);
    }
}
