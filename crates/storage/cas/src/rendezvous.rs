//! Whose share a digest is: the one rule by which blobs and results are spread over stores.

use blob::{Digest, DigestFunction};

/// Weighted rendezvous hashing: every member bids for every digest, and the highest bid is its home. A new member takes
/// what it wins and moves nothing else; taking one away moves only what it had.
#[derive(Clone, Debug)]
pub struct Rendezvous {
    members: Vec<Member>,
}

#[derive(Clone, Debug)]
struct Member {
    seed: u64,
    weight: u32,
}

impl Rendezvous {
    /// Members by name, from which their bids follow, and weight: how much one takes beside the others. A weight of 0
    /// bids least for everything.
    pub fn new<'a>(members: impl IntoIterator<Item = (&'a str, u32)>) -> Self {
        let member = |(name, weight): (&str, u32)| Member {
            seed: first_bits(&Digest::of(DigestFunction::Sha256, name.as_bytes())),
            weight,
        };
        Rendezvous {
            members: members.into_iter().map(member).collect(),
        }
    }

    /// The members by their bids for `digest`, as places in the order they were given: its home, and then where it would
    /// be without it.
    pub fn bidders(&self, digest: &Digest) -> Vec<usize> {
        let mut bids: Vec<(f64, usize)> = self
            .members
            .iter()
            .enumerate()
            .map(|(place, member)| (member.bid(digest), place))
            .collect();
        bids.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        bids.into_iter().map(|(_, place)| place).collect()
    }
}

impl Rendezvous {
    /// Whom to ask for `digest`, in this order: its home, `others_max` more, and whoever takes nothing new (weight 0), which
    /// may have had everything before.
    pub fn asked(&self, digest: &Digest, others_max: usize) -> Vec<usize> {
        let bidders = self.bidders(digest).into_iter().enumerate();
        let asked = bidders.filter(|(rank, place)| *rank <= others_max || self.members[*place].weight == 0);
        asked.map(|(_, place)| place).collect()
    }
}

impl Member {
    /// -weight / ln(u), where u is a number between 0 and 1 that depends on both.
    fn bid(&self, digest: &Digest) -> f64 {
        // The finish of SplitMix64: every bit of the input moves every bit of the output.
        let mut bits = first_bits(digest) ^ self.seed;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let uniform = (bits >> 11) as f64 / (1u64 << 53) as f64;
        f64::from(self.weight) / -(uniform.max(f64::MIN_POSITIVE)).ln()
    }
}

fn first_bits(digest: &Digest) -> u64 {
    let mut bits = [0; 8];
    bits.copy_from_slice(&digest.hash_bytes()[..8]);
    u64::from_le_bytes(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(weights: &[u32]) -> Rendezvous {
        let names: Vec<String> = (0..weights.len())
            .map(|number| format!("shard {number}"))
            .collect();
        Rendezvous::new(names.iter().map(String::as_str).zip(weights.iter().copied()))
    }

    #[test]
    fn shares_follow_weights_and_a_new_member_takes_only_its_own() {
        let (before, after) = (members(&[1, 1, 2]), members(&[1, 1, 2, 1]));
        let (mut held, mut moved) = ([0; 3], 0);
        for n in 0..20_000u32 {
            let digest = Digest::of(DigestFunction::Sha256, &n.to_le_bytes());
            let (old, new) = (before.bidders(&digest), after.bidders(&digest));
            held[old[0]] += 1;
            if old[0] != new[0] {
                assert_eq!(new[0], 3, "only to the new one");
                assert_eq!(new[1], old[0], "where it was comes next");
                moved += 1;
            }
        }
        let near = |part: i32, expected: i32| (part - expected).abs() < 500;
        assert!(
            near(held[0], 5000) && near(held[1], 5000) && near(held[2], 10_000),
            "{held:?}"
        );
        assert!(
            near(moved, 4000),
            "{moved} of 20000 moved to a member of one fifth"
        );
    }

    #[test]
    fn a_weight_of_nothing_comes_last() {
        let idle = members(&[0, 1, 1]);
        for n in 0..100u32 {
            let digest = Digest::of(DigestFunction::Sha256, &n.to_le_bytes());
            assert_eq!(idle.bidders(&digest)[2], 0);
        }
        // Last, and asked all the same, however many there are.
        let many = members(&[1, 1, 0, 1, 1, 1, 0]);
        for n in 0..100u32 {
            let digest = Digest::of(DigestFunction::Sha256, &n.to_le_bytes());
            let asked = many.asked(&digest, 2);
            assert_eq!(asked.len(), 5);
            assert_eq!(asked[..3], many.bidders(&digest)[..3]);
            assert!(asked.contains(&2) && asked.contains(&6));
        }
    }
}
