//! Execution: the `Execution` and `Operations` services and the scheduler behind them.
//!
//! `execute.rs` is the journey of a request, `actor.rs` the one owner of the scheduler, `live_output.rs` how the output of
//! an action is read while it runs.

mod actor;
mod execute;
mod follows;
mod holds;
pub(crate) mod live_output;
mod operation;
mod operations;
mod prepare;
mod publish;
mod wait_execution;

use std::ops::RangeInclusive;
use std::sync::Arc;

use reapi::execution::execution_server::Execution as ExecutionService;
use reapi::execution::{ExecuteRequest, WaitExecutionRequest};
use tasks::CancellationToken;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

pub use self::actor::SchedulerActor;
use self::execute::OperationStream;
pub use self::prepare::Timeouts;
use crate::Instances;
use crate::limits::PREPARING_MAX;

/// Priorities that may be asked for; the lower, the sooner (checklist C5, E12).
pub const PRIORITIES: RangeInclusive<i32> = -1000..=1000;

/// The two services that run actions and follow them.
#[derive(Clone)]
pub struct Execution {
    actor: SchedulerActor,
    instances: Arc<Instances>,
    timeouts: Timeouts,
    closing: CancellationToken,
    /// Calls that fetch and check an action hold what they fetch; only so many may at once.
    preparing: Arc<Semaphore>,
}

impl Execution {
    /// `closing` is the sign that no new work is to be taken.
    pub fn new(
        actor: SchedulerActor,
        instances: Arc<Instances>,
        timeouts: Timeouts,
        closing: CancellationToken,
    ) -> Self {
        Execution {
            actor,
            instances,
            timeouts,
            closing,
            preparing: Arc::new(Semaphore::new(PREPARING_MAX)),
        }
    }
}

#[tonic::async_trait]
impl ExecutionService for Execution {
    type ExecuteStream = OperationStream;
    type WaitExecutionStream = OperationStream;

    async fn execute(&self, request: Request<ExecuteRequest>) -> Result<Response<OperationStream>, Status> {
        execute::execute(self, request).await.map(Response::new)
    }

    async fn wait_execution(
        &self,
        request: Request<WaitExecutionRequest>,
    ) -> Result<Response<OperationStream>, Status> {
        wait_execution::wait_execution(self, request).map(Response::new)
    }
}
