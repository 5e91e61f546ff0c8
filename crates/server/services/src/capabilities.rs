//! `Capabilities.GetCapabilities`: what works here, and nothing else.

use std::ops::RangeInclusive;
use std::sync::Arc;

use blob::{Compressor, DigestFunction};
use reapi::execution::capabilities_server::Capabilities as CapabilitiesService;
use reapi::execution::{
    ActionCacheUpdateCapabilities, CacheCapabilities, ExecutionCapabilities, GetCapabilitiesRequest,
    PriorityCapabilities, ServerCapabilities, priority_capabilities, symlink_absolute_path_strategy,
};
use reapi::semver::SemVer;
use tonic::{Request, Response, Status};

use crate::cas::chunking;
use crate::limits::BATCH_DATA_BYTES_MAX;
use crate::{Instance, Instances, status};

/// What is offered for execution. Plain values: the answer needs no running scheduler (checklist C1).
#[derive(Clone, Debug)]
pub struct ExecutionOffer {
    /// Priorities a request may name, both ends included; the lower, the sooner (C5).
    pub priorities: RangeInclusive<i32>,
    /// NodeProperties that inputs may carry and outputs may report.
    pub node_properties: Vec<String>,
}

/// The service.
#[derive(Clone)]
pub struct Capabilities {
    instances: Arc<Instances>,
    blob_size_bytes_max: u64,
    execution: Option<ExecutionOffer>,
}

/// REAPI 2.0 still works in full: Bazel 4 refuses servers that do not say so.
const OLDEST: (i32, i32) = (2, 0);
/// The newest version whose messages are understood.
const NEWEST: (i32, i32) = (2, 12);

impl Capabilities {
    /// `execution` is `None` where nothing can be executed.
    pub fn new(
        instances: Arc<Instances>,
        blob_size_bytes_max: u64,
        execution: Option<ExecutionOffer>,
    ) -> Self {
        Capabilities {
            instances,
            blob_size_bytes_max,
            execution,
        }
    }

    fn of(&self, instance: &Instance) -> ServerCapabilities {
        ServerCapabilities {
            cache_capabilities: Some(cache(instance, self.blob_size_bytes_max)),
            execution_capabilities: self.execution.as_ref().map(execution),
            deprecated_api_version: Some(version(OLDEST)),
            low_api_version: Some(version(OLDEST)),
            high_api_version: Some(version(NEWEST)),
        }
    }
}

#[tonic::async_trait]
impl CapabilitiesService for Capabilities {
    async fn get_capabilities(
        &self,
        request: Request<GetCapabilitiesRequest>,
    ) -> Result<Response<ServerCapabilities>, Status> {
        let name = status::instance_name(&request.get_ref().instance_name)?;
        let instance = self.instances.get(&name)?;
        Ok(Response::new(self.of(instance)))
    }
}

/// Left at its default because there is no such thing here yet: priorities of cache entries (A7).
fn cache(instance: &Instance, blob_size_bytes_max: u64) -> CacheCapabilities {
    // ByteStream and BatchReadBlobs; identity goes without saying but some clients look for it.
    let compressors = vec![
        Compressor::Identity.to_proto() as i32,
        Compressor::Zstd.to_proto() as i32,
    ];
    let chunks = instance.recipes.is_some();
    CacheCapabilities {
        digest_functions: digest_functions(),
        action_cache_update_capabilities: Some(ActionCacheUpdateCapabilities {
            update_enabled: instance.clients_may_update_action_cache,
        }),
        max_batch_total_size_bytes: BATCH_DATA_BYTES_MAX as i64,
        symlink_absolute_path_strategy: symlink_absolute_path_strategy::Value::Allowed as i32,
        supported_compressors: compressors.clone(),
        supported_batch_update_compressors: compressors,
        max_cas_blob_size_bytes: i64::try_from(blob_size_bytes_max).unwrap_or(i64::MAX),
        split_blob_support: chunks,
        splice_blob_support: chunks,
        fast_cdc_2020_params: chunks.then(chunking::fast_cdc_2020_params),
        rep_max_cdc_params: chunks.then(chunking::rep_max_cdc_params),
        ..Default::default()
    }
}

fn execution(offer: &ExecutionOffer) -> ExecutionCapabilities {
    let range = priority_capabilities::PriorityRange {
        min_priority: *offer.priorities.start(),
        max_priority: *offer.priorities.end(),
    };
    ExecutionCapabilities {
        digest_function: DigestFunction::Sha256.to_proto() as i32,
        exec_enabled: true,
        execution_priority_capabilities: Some(PriorityCapabilities {
            priorities: vec![range],
        }),
        supported_node_properties: offer.node_properties.clone(),
        digest_functions: digest_functions(),
    }
}

fn digest_functions() -> Vec<i32> {
    DigestFunction::ALL
        .into_iter()
        .map(|function| function.to_proto() as i32)
        .collect()
}

fn version((major, minor): (i32, i32)) -> SemVer {
    SemVer {
        major,
        minor,
        ..Default::default()
    }
}
