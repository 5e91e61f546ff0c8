//! From what is known of a machine to its fingerprint. Pure.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::limits::FINGERPRINT_DIGITS;

/// Changes with what is hashed, so that two programs that hash differently never agree by accident.
const VERSION: &str = "farrier host-tools 1";

/// What is known of a machine's tools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// What package managers say is installed.
    pub databases: Vec<Database>,
    /// A package manager is at work: what it says is not what there is.
    pub in_change: bool,
    /// What is chosen among programs that serve the same end (`/etc/alternatives`): names, and what they lead to.
    pub alternatives: Vec<(Vec<u8>, Vec<u8>)>,
    /// What the system says of itself (`/etc/os-release`).
    pub os_release: Vec<u8>,
    /// The processor's.
    pub architecture: String,
}

/// A package manager's list, by its digest: those of rpm are hundreds of megabytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Database {
    /// Where it lies, below the root.
    pub name: String,
    /// SHA-256 of what counts in it.
    pub sha256: [u8; 32],
}

impl Database {
    /// One of which all of this counts.
    pub fn of(name: &str, content: &[u8]) -> Self {
        Database {
            name: name.to_owned(),
            sha256: Sha256::digest(content).into(),
        }
    }
}

/// Sixteen hexadecimal digits: the value of the platform property.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The fingerprint of a machine. `None` if no package manager says what there is, or one is changing it: then nobody can
/// say that two machines are alike.
pub fn fingerprint(facts: &Facts) -> Option<Fingerprint> {
    let Facts {
        databases,
        in_change,
        alternatives,
        os_release,
        architecture,
    } = facts;
    if databases.is_empty() || *in_change {
        return None;
    }
    let mut hash = Sha256::new();
    // Each with its length, so that no two lists of facts are the same bytes.
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    add(VERSION.as_bytes());
    add(architecture.as_bytes());
    add(os_release);
    let mut databases: Vec<&Database> = databases.iter().collect();
    databases.sort_unstable();
    add(&(databases.len() as u64).to_le_bytes());
    for database in databases {
        add(database.name.as_bytes());
        add(&database.sha256);
    }
    let mut alternatives: Vec<&(Vec<u8>, Vec<u8>)> = alternatives.iter().collect();
    alternatives.sort_unstable();
    for (name, target) in alternatives {
        add(name);
        add(target);
    }
    let digits = hash.finalize().into_iter().map(|byte| format!("{byte:02x}"));
    let digits: String = digits.collect();
    Some(Fingerprint(digits.chars().take(FINGERPRINT_DIGITS).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            databases: vec![Database::of("a", b"1"), Database::of("b", b"2")],
            in_change: false,
            alternatives: vec![
                (b"c++".to_vec(), b"/usr/bin/g++".to_vec()),
                (b"cc".to_vec(), b"/usr/bin/gcc".to_vec()),
            ],
            os_release: b"ID=debian\n".to_vec(),
            architecture: "x86_64".to_owned(),
        }
    }

    #[test]
    fn it_is_sixteen_digits_and_always_the_same() {
        let found = fingerprint(&facts()).unwrap();
        // A client and a worker of different builds have to agree: a change here takes a new VERSION.
        assert_eq!(found.as_str(), "0282e54ae7ddd617");
        let mut turned = facts();
        turned.databases.reverse();
        turned.alternatives.reverse();
        assert_eq!(fingerprint(&turned), Some(found));
    }

    #[test]
    fn every_fact_counts() {
        let changes: [fn(&mut Facts); 8] = [
            |facts| facts.databases[0].sha256[31] ^= 1,
            |facts| facts.databases[0].name = "other".to_owned(),
            |facts| facts.databases.truncate(1),
            |facts| facts.alternatives[1].1 = b"/usr/bin/clang".to_vec(),
            |facts| facts.alternatives.truncate(1),
            |facts| facts.alternatives[0] = (b"c++/".to_vec(), b"usr/bin/g++".to_vec()),
            |facts| facts.os_release.push(b'\n'),
            |facts| facts.architecture = "aarch64".to_owned(),
        ];
        let mut found = vec![fingerprint(&facts())];
        for change in changes {
            let mut changed = facts();
            change(&mut changed);
            found.push(fingerprint(&changed));
        }
        let all = found.len();
        found.sort();
        found.dedup();
        assert_eq!(found.len(), all);
        assert!(found.iter().all(Option::is_some));
    }

    #[test]
    fn what_nobody_vouches_for_has_none() {
        let unknown = Facts {
            databases: Vec::new(),
            ..facts()
        };
        let in_change = Facts {
            in_change: true,
            ..facts()
        };
        assert_eq!((fingerprint(&unknown), fingerprint(&in_change)), (None, None));
    }
}
