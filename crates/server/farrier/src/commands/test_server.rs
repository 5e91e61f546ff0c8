//! A server in this process for tests: real storage services over memory, and executions that follow a script.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use ::cas::BlobStore;
use blob::{DigestFunction, InstanceName};
use futures::stream::{self, BoxStream, StreamExt};
use parking_lot::Mutex;
use prost_types::Any;
use reapi::execution::execution_server::{Execution, ExecutionServer};
use reapi::execution::{
    ExecuteOperationMetadata, ExecuteRequest, ExecuteResponse, WaitExecutionRequest, execution_stage,
};
use reapi::longrunning::{Operation, operation};
use services::{Instance, Instances, StorageOptions, incoming, storage_routes, tuned};
use tasks::{CancellationToken, Group};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::connection::ServerOptions;

/// Lives as long as its test.
pub(crate) struct TestServer {
    address: SocketAddr,
    pub(crate) store: Arc<dyn BlobStore>,
    pub(crate) action_cache: Arc<dyn action_cache::ActionCache>,
    /// What was called, in order: `execute`, or `wait NAME`.
    pub(crate) calls: Arc<Mutex<Vec<String>>>,
    stop: CancellationToken,
    _group: Group,
}

/// The answer to one call of `Execute` or `WaitExecution`.
pub(crate) enum Answer {
    /// The call fails at once.
    Refuse(Status),
    /// Operations, then the end of the stream: a good one, or an error.
    Stream(Vec<Operation>, Option<Status>),
    /// Something happens first.
    Do(Box<dyn FnOnce() -> Answer + Send>),
}

impl TestServer {
    /// Answers calls in the order of `script`; more calls than that are an error.
    pub(crate) async fn start(script: Vec<Answer>) -> Self {
        Self::start_with(::cas::memory(64 << 20), script).await
    }

    pub(crate) async fn start_with(store: Arc<dyn BlobStore>, script: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let group = Group::new("test server");
        let action_cache = action_cache::complete_only(
            action_cache::memory(1 << 20),
            ::cas::always_has_empty(store.clone()),
        );
        let instance = Instance {
            cas: ::cas::always_has_empty(store.clone()),
            recipes: None,
            action_cache: action_cache.clone(),
            actions_are_elsewhere: false,
            clients_may_update_action_cache: true,
        };
        let instances: Instances = [(InstanceName::default(), instance)].into_iter().collect();
        let calls = Arc::default();
        let scripted = Scripted {
            script: Mutex::new(script.into()),
            calls: Arc::clone(&calls),
        };
        let routes = storage_routes(Arc::new(instances), &group, StorageOptions::default())
            .add_service(ExecutionServer::new(scripted));
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        group.spawn("serve", async move {
            let serving = tuned(Server::builder())
                .add_routes(routes)
                .serve_with_incoming(incoming(listener));
            tokio::select! {
                served = serving => served.unwrap(),
                () = stopped.cancelled() => {}
            }
        });
        TestServer {
            address,
            store,
            action_cache,
            calls,
            stop,
            _group: group,
        }
    }

    pub(crate) fn options(&self) -> ServerOptions {
        ServerOptions {
            trust: Default::default(),
            endpoint: self.address.to_string(),
            instance: InstanceName::default(),
            digest_function: DigestFunction::Sha256,
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// An operation on its way.
pub(crate) fn under_way(name: &str) -> Operation {
    operation(name, execution_stage::Value::Executing, None)
}

/// An operation at its end.
pub(crate) fn done(name: &str, response: &ExecuteResponse) -> Operation {
    operation(name, execution_stage::Value::Completed, Some(response))
}

fn operation(name: &str, stage: execution_stage::Value, response: Option<&ExecuteResponse>) -> Operation {
    let metadata = ExecuteOperationMetadata {
        stage: stage as i32,
        ..Default::default()
    };
    Operation {
        name: name.to_owned(),
        metadata: Some(Any::from_msg(&metadata).unwrap()),
        done: response.is_some(),
        result: response.map(|response| operation::Result::Response(Any::from_msg(response).unwrap())),
    }
}

struct Scripted {
    script: Mutex<VecDeque<Answer>>,
    calls: Arc<Mutex<Vec<String>>>,
}

type Operations = BoxStream<'static, Result<Operation, Status>>;

impl Scripted {
    fn answer(&self, call: String) -> Result<Response<Operations>, Status> {
        self.calls.lock().push(call);
        let mut next = self.script.lock().pop_front();
        loop {
            match next {
                None => return Err(Status::invalid_argument("the script has ended")),
                Some(Answer::Refuse(status)) => return Err(status),
                Some(Answer::Do(act)) => next = Some(act()),
                Some(Answer::Stream(operations, end)) => {
                    let operations = operations.into_iter().map(Ok).chain(end.map(Err));
                    return Ok(Response::new(
                        stream::iter(operations.collect::<Vec<_>>()).boxed(),
                    ));
                }
            }
        }
    }
}

#[tonic::async_trait]
impl Execution for Scripted {
    type ExecuteStream = Operations;
    type WaitExecutionStream = Operations;

    async fn execute(&self, _request: Request<ExecuteRequest>) -> Result<Response<Operations>, Status> {
        self.answer("execute".to_owned())
    }

    async fn wait_execution(
        &self,
        request: Request<WaitExecutionRequest>,
    ) -> Result<Response<Operations>, Status> {
        self.answer(format!("wait {}", request.into_inner().name))
    }
}
