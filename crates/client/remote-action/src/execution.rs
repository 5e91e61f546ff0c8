//! `Execute`, followed to its end whatever happens to the connection.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use action::{ActionDigest, missing_blobs_in};
use anyhow::{Error, Result, anyhow, bail};
use blob::DigestSet;
use parking_lot::Mutex;
use prost::Message;
use reapi::execution::execution_client::ExecutionClient;
use reapi::execution::{
    ExecuteOperationMetadata, ExecuteRequest, ExecuteResponse, ExecutionPolicy, WaitExecutionRequest,
};
use reapi::longrunning::operation;
use reapi::longrunning::operations_client::OperationsClient;
use reapi::longrunning::{CancelOperationRequest, Operation};
use reapi::rpc;
use tonic::{Code, Status, Streaming};

use crate::server::Server;
use crate::sources::Sources;

/// One execution of an action.
pub struct Execution<'a> {
    /// Where.
    pub server: &'a Server,
    /// Of what; its inputs are there already.
    pub action_digest: ActionDigest,
    /// Execute even if the result is known.
    pub skip_cache_lookup: bool,
    /// The lower, the sooner.
    pub priority: i32,
    /// Who is told how it goes.
    pub observer: &'a dyn Observer,
    /// For whoever wants to cancel it meanwhile.
    pub operation: &'a OperationSlot,
}

/// Is told how an execution goes.
pub trait Observer: Sync {
    /// The server says how far it is.
    fn stage(&self, metadata: &ExecuteOperationMetadata);
    /// Something happened that is worth a line in a log; the line is made only if somebody wants it.
    fn step(&self, line: &dyn Fn() -> String);
    /// The server has failed. Whether it is asked again, as often as the connection allows.
    fn goes_on(&self) -> bool {
        true
    }
}

struct Nobody;

impl Observer for Nobody {
    fn stage(&self, _: &ExecuteOperationMetadata) {}
    fn step(&self, line: &dyn Fn() -> String) {
        tracing::debug!("{}", line());
    }
}

/// For executions that nobody watches.
pub fn nobody() -> &'static dyn Observer {
    &Nobody
}

/// The server would not execute.
#[derive(Debug)]
pub struct Refused {
    /// Inputs that it lacks; uploading them may help.
    pub missing: DigestSet,
    /// Why, for people.
    pub error: anyhow::Error,
}

/// What the server said of an action that it did not execute.
#[derive(Debug)]
pub struct NotDone {
    /// The code of its status.
    pub code: i32,
    /// All of it, for people.
    pub why: String,
}

impl fmt::Display for NotDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for NotDone {}

/// How a stream of operations ended.
enum Followed {
    Done(Operation),
    Broken(Status),
}

/// How often an action whose blobs the server lost is sent again: lost once is an eviction, twice is a store that is
/// too small.
const UPLOADS_MAX: u32 = 2;
/// How long cancelling may take before the program ends anyway.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

impl Execution<'_> {
    /// Executes, and waits for the end. A stream that breaks is taken up again by `WaitExecution`; an operation that
    /// the server has forgotten is started anew (checklist E8). How often in a row is bounded by the retries that the
    /// connection allows; how long an action waits and runs is the server's business.
    pub async fn run(&self) -> Result<ExecuteResponse, Refused> {
        let headers = self.server.headers(&self.action_digest)?;
        let channel = self.server.remote.channel();
        let mut client = ExecutionClient::with_interceptor(channel.clone(), headers.clone())
            .max_decoding_message_size(cas_remote::MESSAGE_BYTES_MAX);
        let cancelling = OperationsClient::with_interceptor(channel, headers);
        let mut retries = self.server.remote.retries();
        let mut name: Option<String> = None;
        loop {
            let opened = match &name {
                None => client.execute(self.request()).await,
                Some(name) => {
                    client
                        .wait_execution(WaitExecutionRequest { name: name.clone() })
                        .await
                }
            };
            let status = match opened {
                Ok(operations) => {
                    let followed = self.follow(operations.into_inner(), |operation| {
                        retries.progressed();
                        if name.as_ref() != Some(&operation.name) {
                            name = Some(operation.name.clone());
                            self.operation.set(cancelling.clone(), operation.name.clone());
                        }
                    });
                    match followed.await {
                        Followed::Done(operation) => {
                            self.operation.clear();
                            retries.succeeded();
                            return Ok(response(operation)?);
                        }
                        Followed::Broken(status) => status,
                    }
                }
                Err(status) => status,
            };
            if name.is_some() && status.code() == Code::NotFound {
                self.observer
                    .step(&|| "the server has forgotten the execution; starting it again".to_owned());
                name = None;
                let forgotten = Status::unavailable(status.message());
                retries.again(forgotten).await.map_err(Refused::from_status)?;
                continue;
            }
            if !self.observer.goes_on() {
                return Err(Refused::from_status(status));
            }
            let message = status.message().to_owned();
            retries.again(status).await.map_err(Refused::from_status)?;
            self.observer
                .step(&|| format!("the connection broke ({message}); going on"));
        }
    }

    /// Uploads what the server lacks of `sources` and executes; what it has lost meanwhile is uploaded once more.
    pub async fn run_with(&self, sources: &Sources) -> Result<ExecuteResponse> {
        let store = &*self.server.store;
        let sent = sources.upload_missing(store).await?;
        self.observer
            .step(&|| format!("uploaded {} blobs, {} bytes", sent.blobs, sent.bytes));
        self.run_uploaded(sources).await
    }

    /// Executes what was uploaded out of `sources`; what the server has lost meanwhile is uploaded once more.
    pub async fn run_uploaded(&self, sources: &Sources) -> Result<ExecuteResponse> {
        let store = &*self.server.store;
        for upload in 1..=UPLOADS_MAX {
            let missing = match self.run().await {
                Ok(response) => match response.status.as_ref().map(missing_blobs_in) {
                    Some(missing) if !missing.is_empty() => missing,
                    _ => return Ok(response),
                },
                Err(Refused { missing, .. }) if !missing.is_empty() => missing,
                Err(Refused { error, .. }) => return Err(error),
            };
            if upload < UPLOADS_MAX {
                self.observer
                    .step(&|| format!("the server lacks {} blobs; uploading them again", missing.len()));
                // All that is missing now, not only what was named: a status has room for a part.
                sources.upload(store, &missing).await?;
                sources.upload_missing(store).await?;
            }
        }
        bail!("the server loses inputs faster than they are uploaded; is its storage too small?")
    }

    fn request(&self) -> ExecuteRequest {
        ExecuteRequest {
            instance_name: self.server.instance.as_str().to_owned(),
            skip_cache_lookup: self.skip_cache_lookup,
            action_digest: Some(self.action_digest.to_proto()),
            // Left out where it says nothing, as the protocol wants defaults to be.
            execution_policy: (self.priority != 0).then_some(ExecutionPolicy {
                priority: self.priority,
            }),
            digest_function: self.action_digest.function().to_proto() as i32,
            // Saves a round trip for each; the server inlines what is small.
            inline_stdout: true,
            inline_stderr: true,
            ..ExecuteRequest::default()
        }
    }

    async fn follow(
        &self,
        mut operations: Streaming<Operation>,
        mut seen: impl FnMut(&Operation),
    ) -> Followed {
        loop {
            match operations.message().await {
                Ok(Some(operation)) => {
                    seen(&operation);
                    let metadata = operation.metadata.as_ref();
                    if let Some(Ok(metadata)) = metadata.map(|any| any.to_msg::<ExecuteOperationMetadata>()) {
                        self.observer.stage(&metadata);
                    }
                    if operation.done {
                        return Followed::Done(operation);
                    }
                }
                Ok(None) => {
                    return Followed::Broken(Status::unavailable(
                        "the server ended the stream before the action",
                    ));
                }
                Err(status) => return Followed::Broken(status),
            }
        }
    }
}

fn response(operation: Operation) -> Result<ExecuteResponse> {
    match operation.result {
        Some(operation::Result::Response(response)) => {
            response.to_msg::<ExecuteResponse>().map_err(|error| {
                anyhow!("the server answered with something else than an ExecuteResponse: {error}")
            })
        }
        Some(operation::Result::Error(status)) => {
            let why = describe(status.code, &status.message);
            Err(Error::new(NotDone {
                code: status.code,
                why: format!("the server could not execute the action: {why}"),
            }))
        }
        None => Err(anyhow!(
            "the server says that the action is done, but not how it went"
        )),
    }
}

impl Refused {
    fn from_status(status: Status) -> Self {
        let proto = rpc::Status::decode(status.details()).unwrap_or_default();
        let why = describe(status.code() as i32, status.message());
        Refused {
            missing: missing_blobs_in(&proto),
            error: Error::new(NotDone {
                code: status.code() as i32,
                why: format!("the server did not execute the action: {why}"),
            }),
        }
    }
}

impl From<anyhow::Error> for Refused {
    fn from(error: anyhow::Error) -> Self {
        Refused {
            missing: DigestSet::default(),
            error,
        }
    }
}

type Cancelling = OperationsClient<
    tonic::service::interceptor::InterceptedService<tonic::transport::Channel, cas_remote::CallHeaders>,
>;

/// The operation that is under way, for whoever wants to cancel it.
#[derive(Clone, Default)]
pub struct OperationSlot {
    operation: Arc<Mutex<Option<(Cancelling, String)>>>,
}

impl OperationSlot {
    fn set(&self, client: Cancelling, name: String) {
        *self.operation.lock() = Some((client, name));
    }

    fn clear(&self) {
        *self.operation.lock() = None;
    }

    /// Asks the server to stop it. Without an answer the server notices by itself that nobody waits any more.
    /// Says what came of it, if there was anything to cancel.
    pub async fn cancel(&self) -> Option<String> {
        let (mut client, name) = self.operation.lock().take()?;
        let cancelling = client.cancel_operation(CancelOperationRequest { name: name.clone() });
        Some(match tokio::time::timeout(CANCEL_TIMEOUT, cancelling).await {
            Ok(Ok(_)) => "cancelled".to_owned(),
            Ok(Err(status)) => format!("{name} was not cancelled: {}", status.message()),
            Err(_elapsed) => format!("{name} was not cancelled: no answer within {CANCEL_TIMEOUT:?}"),
        })
    }
}

/// Code and message of a status, for people.
pub fn describe(code: i32, message: &str) -> String {
    let code =
        rpc::Code::try_from(code).map_or_else(|_| code.to_string(), |code| code.as_str_name().to_owned());
    match message {
        "" => code,
        message => format!("{message} ({code})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_described_by_message_and_code() {
        assert_eq!(describe(5, "no such thing"), "no such thing (NOT_FOUND)");
        assert_eq!(describe(14, ""), "UNAVAILABLE");
        assert_eq!(describe(99, "odd"), "odd (99)");
    }
}
