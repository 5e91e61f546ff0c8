//! Which stores stand behind an instance name. Names stop here: stores do not know them.

use std::collections::BTreeMap;
use std::sync::Arc;

use action_cache::ActionCache;
use blob::InstanceName;
use cas::{BlobStore, Leases, Recipes};
use thiserror::Error;

/// What one instance offers.
#[derive(Clone)]
pub struct Instance {
    /// Its blobs; several instances may share them. The empty blob must always be there (checklist G6): wrap the
    /// store in [`cas::always_has_empty`].
    pub cas: Arc<dyn BlobStore>,
    /// The same blobs as lists of chunks, where their store can hold them so: SplitBlob and SpliceBlob are offered then
    /// (checklist K1).
    pub recipes: Option<Arc<dyn Recipes>>,
    /// Its action results, shown only while complete: wrap the cache in [`action_cache::complete_only`].
    pub action_cache: Arc<dyn ActionCache>,
    /// Whether the Action, the Command and whatever else a result refers to may lie on other servers, which keep the blobs
    /// between them: then it is taken as it comes, and whoever asks for it has to see what is there.
    pub actions_are_elsewhere: bool,
    /// Whether clients may write to the action cache, or only workers.
    pub clients_may_update_action_cache: bool,
}

/// All instances of a server.
#[derive(Clone)]
pub struct Instances {
    by_name: BTreeMap<InstanceName, Instance>,
    leases: Arc<dyn Leases>,
}

impl Default for Instances {
    fn default() -> Self {
        Instances {
            by_name: BTreeMap::new(),
            leases: cas::no_leases(),
        }
    }
}

/// No instance has this name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("instance `{name}` is not served here (served: {served})")]
pub struct UnknownInstance {
    /// The name asked for.
    pub name: InstanceName,
    /// The names that would have worked, in quotes.
    pub served: String,
}

/// Names that an error message lists.
const LISTED_NAMES_MAX: usize = 10;

impl Instances {
    /// With the leases of the stores behind them: builds whose actions are queued or running are held there.
    pub fn with_leases(self, leases: Arc<dyn Leases>) -> Self {
        Instances { leases, ..self }
    }

    /// What keeps promises to builds that are waiting for their actions.
    pub fn leases(&self) -> &dyn Leases {
        &*self.leases
    }

    /// What stands behind `name`.
    pub fn get(&self, name: &InstanceName) -> Result<&Instance, UnknownInstance> {
        self.by_name.get(name).ok_or_else(|| UnknownInstance {
            name: name.clone(),
            served: self.listed(),
        })
    }

    /// Every name, in order.
    pub fn names(&self) -> impl Iterator<Item = &InstanceName> + Clone {
        self.by_name.keys()
    }

    fn listed(&self) -> String {
        let quoted: Vec<String> = self
            .names()
            .take(LISTED_NAMES_MAX)
            .map(|name| format!("`{name}`"))
            .collect();
        let more = self.by_name.len().saturating_sub(LISTED_NAMES_MAX);
        let rest = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        quoted.join(", ") + &rest
    }
}

impl FromIterator<(InstanceName, Instance)> for Instances {
    fn from_iter<I: IntoIterator<Item = (InstanceName, Instance)>>(instances: I) -> Self {
        Instances {
            by_name: instances.into_iter().collect(),
            ..Instances::default()
        }
    }
}
