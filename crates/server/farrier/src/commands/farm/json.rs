//! For programs. Names are those of `farrier.admin.v1`; amounts are plain numbers.

use admin_api::v1::{GetQueueResponse, GetWorkersResponse, PlatformProperty, WorkerStatus};
use serde_json::{Value, json};

use super::state;

pub(super) fn workers(response: &GetWorkersResponse) -> Value {
    json!({ "workers": response.workers.iter().map(worker).collect::<Vec<_>>() })
}

pub(super) fn queue(response: &GetQueueResponse) -> Value {
    let totals = response.totals.unwrap_or_default();
    let queues: Vec<Value> = response
        .queues
        .iter()
        .map(|queue| {
            json!({
                "platform": properties(&queue.platform),
                "slots": queue.slots,
                "memory_bytes": queue.memory_bytes,
                "queued": queue.queued,
                "running": queue.running,
                "workers": queue.workers,
                "reason": queue.reason,
                "reserved_worker": queue.reserved_worker,
            })
        })
        .collect();
    json!({
        "operations_live": response.operations_live,
        "operations_finished": response.operations_finished,
        "queued": response.queued,
        "running": response.running,
        "publishing": response.publishing,
        "queues": queues,
        "totals": {
            "operations": totals.operations,
            "merged": totals.merged,
            "refused": totals.refused,
            "cancelled": totals.cancelled,
            "granted": totals.granted,
            "lost": totals.lost,
            "hedged": totals.hedged,
            "retried": totals.retried,
            "handed_back": totals.handed_back,
            "published": totals.published,
        },
    })
}

fn worker(worker: &WorkerStatus) -> Value {
    let resources: Vec<Value> = worker
        .resources
        .iter()
        .map(|resource| json!({ "name": resource.name, "amount": resource.amount, "used": resource.used }))
        .collect();
    let actions: Vec<Value> = worker
        .actions
        .iter()
        .map(|action| {
            json!({
                "operation_name": action.operation_name,
                "action_digest": action.action_digest,
                "phase": action.phase,
                "arguments": action.arguments,
            })
        })
        .collect();
    json!({
        "worker_id": worker.worker_id,
        "name": worker.name,
        "state": state(worker),
        "properties": properties(&worker.properties),
        "slots": worker.slots,
        "slots_used": worker.slots_used,
        "memory_bytes": worker.memory_bytes,
        "memory_bytes_used": worker.memory_bytes_used,
        "resources": resources,
        "actions": actions,
    })
}

/// A name may come several times, so this is no object.
fn properties(properties: &[PlatformProperty]) -> Vec<Value> {
    let pair = |property: &PlatformProperty| json!({ "name": property.name, "value": property.value });
    properties.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use admin_api::v1::Totals;

    use super::*;

    #[test]
    fn every_total_is_told() {
        let totals = Totals {
            operations: 1,
            merged: 2,
            refused: 3,
            cancelled: 4,
            granted: 5,
            lost: 6,
            retried: 7,
            published: 8,
            hedged: 9,
            handed_back: 10,
        };
        let response = GetQueueResponse {
            totals: Some(totals),
            ..GetQueueResponse::default()
        };
        let expected = json!({
            "operations": 1,
            "merged": 2,
            "refused": 3,
            "cancelled": 4,
            "granted": 5,
            "lost": 6,
            "retried": 7,
            "published": 8,
            "hedged": 9,
            "handed_back": 10,
        });
        assert_eq!(queue(&response)["totals"], expected);
    }
}
