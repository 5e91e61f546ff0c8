//! Builds that wait for their actions: what was promised to them is kept meanwhile.

use std::collections::HashMap;

use cas::{Hold, Invocation, Leases};
use scheduler::{OperationName, OperationView, Work};

/// One hold for each operation that is not finished and belongs to a build: its inputs stay while it is queued and while
/// it runs, although nobody asks for them. As many as there are live operations, which the scheduler bounds.
#[derive(Default)]
pub(super) struct Holds {
    by_operation: HashMap<OperationName, Hold>,
}

impl Holds {
    /// Holds the build of an operation that was just accepted; `operation` is what became of it.
    pub(super) fn accepted(&mut self, leases: &dyn Leases, operation: &OperationView) {
        if operation.response.is_some() || self.by_operation.contains_key(&operation.name) {
            return;
        }
        if let Some(invocation) = invocation(&operation.work) {
            let hold = leases.hold(Some(&invocation));
            self.by_operation.insert(operation.name.clone(), hold);
        }
    }

    /// To be called whenever an operation has changed. Gives back the hold of one that is finished or forgotten, to be
    /// dropped where nothing is locked.
    pub(super) fn changed(
        &mut self,
        name: &OperationName,
        look: impl FnOnce() -> Option<OperationView>,
    ) -> Option<Hold> {
        // Most have none: a look at an operation costs more than this.
        if !self.by_operation.contains_key(name) {
            return None;
        }
        let is_live = look().is_some_and(|operation| operation.response.is_none());
        if is_live {
            None
        } else {
            self.by_operation.remove(name)
        }
    }
}

/// The build that wants this work.
pub(super) fn invocation(work: &Work) -> Option<Invocation> {
    let metadata = work.request_metadata.as_ref()?;
    Invocation::new(&metadata.tool_invocation_id)
}
