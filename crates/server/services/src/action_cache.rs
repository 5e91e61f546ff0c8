//! The `ActionCache` service.

mod get_action_result;
mod inline;
mod update_action_result;

use std::sync::Arc;

use reapi::execution::action_cache_server::ActionCache as ActionCacheService;
use reapi::execution::{ActionResult, GetActionResultRequest, UpdateActionResultRequest};
use tonic::{Request, Response, Status};

use crate::Instances;
use crate::admission::Admission;

/// The service.
#[derive(Clone)]
pub struct ActionCache {
    instances: Arc<Instances>,
    admission: Admission,
}

impl ActionCache {
    pub(crate) fn new(instances: Arc<Instances>, admission: Admission) -> Self {
        ActionCache { instances, admission }
    }
}

#[tonic::async_trait]
impl ActionCacheService for ActionCache {
    async fn get_action_result(
        &self,
        request: Request<GetActionResultRequest>,
    ) -> Result<Response<ActionResult>, Status> {
        get_action_result::get_action_result(self, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn update_action_result(
        &self,
        request: Request<UpdateActionResultRequest>,
    ) -> Result<Response<ActionResult>, Status> {
        update_action_result::update_action_result(self, request.into_inner())
            .await
            .map(Response::new)
    }
}
