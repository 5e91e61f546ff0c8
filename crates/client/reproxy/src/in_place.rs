//! A daemon that does commands over streams, in reproxy's place: what comes over gRPC becomes one more conversation.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use daemon_api::{End, Request};
use reclient_api::log::{LocalMetadata, LogRecord};
use settings::Settings;
use tokio::net::UnixStream;
use uuid::Uuid;

use crate::ledger::Ledger;
use crate::outcome::{Ending, Facts, Fallback, RunOutcome, record};
use crate::relay::{Relayed, relay};
use crate::service::Daemon;

/// What a conversation came to, as the daemon knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// How the command ended.
    pub ending: Ending,
    /// Names this run.
    pub execution_id: String,
    /// What is written down of it. It is in the ledger already.
    pub record: LogRecord,
    /// Set if it was tried elsewhere and ran here then.
    pub fallback: Option<Fallback>,
}

/// The daemon, as far as reproxy's services need it.
#[async_trait]
pub trait Sessions: Send + Sync + 'static {
    /// Serves one conversation, as with a wrapper at the other end, and enters it into the ledger. `None` if it went wrong
    /// before there was anything to enter. Dropping this ends the command.
    async fn serve(&self, stream: UnixStream) -> Option<Done>;

    /// See [`Daemon::shut_down`].
    async fn shut_down(&self);

    /// The books, on all commands that are served.
    fn ledger(&self) -> &Ledger;
}

/// The daemon for [`crate::service::routes`].
pub fn in_place(sessions: impl Sessions) -> Arc<dyn Daemon> {
    Arc::new(InPlace { sessions })
}

struct InPlace<S> {
    sessions: S,
}

#[async_trait]
impl<S: Sessions> Daemon for InPlace<S> {
    async fn run(&self, request: Request) -> RunOutcome {
        let began = SystemTime::now();
        // The request was made from settings here, see `wire`.
        let settings = Settings::from_pairs(&request.settings).unwrap_or_default();
        let (relayed, done) = match UnixStream::pair() {
            Ok((ours, theirs)) => tokio::join!(
                relay(ours, &request, &settings.local_wrapper),
                self.sessions.serve(theirs)
            ),
            Err(error) => (Err(error), None),
        };
        match (relayed, done) {
            (Ok(relayed), Some(done)) => RunOutcome {
                // What is known by whoever ran it counts, but a code is a code.
                ending: with_code(done.ending, relayed.end),
                output: relayed.output,
                error_output: relayed.error_output,
                execution_id: done.execution_id,
                record: done.record,
                fallback: done.fallback,
            },
            (relayed, done) => self.without_one(&request, &settings, began, relayed, done),
        }
    }

    async fn shut_down(&self) {
        self.sessions.shut_down().await;
    }

    fn ledger(&self) -> &Ledger {
        self.sessions.ledger()
    }
}

impl<S: Sessions> InPlace<S> {
    /// One of both sides has failed: what the other knows is told, and what neither has entered is entered.
    fn without_one(
        &self,
        request: &Request,
        settings: &Settings,
        began: SystemTime,
        relayed: std::io::Result<Relayed>,
        done: Option<Done>,
    ) -> RunOutcome {
        let (ending, output, error_output, executed_locally) = match relayed {
            Ok(relayed) => {
                let ending = Ending::Ended {
                    exit_code: i32::from(relayed.end.exit_code()),
                    is_cache_hit: false,
                };
                (ending, relayed.output, relayed.error_output, relayed.ran_here)
            }
            Err(error) => (
                Ending::LocalError(error.to_string()),
                Vec::new(),
                Vec::new(),
                false,
            ),
        };
        let (execution_id, record, fallback) = match done {
            Some(done) => (done.execution_id, done.record, done.fallback),
            None => {
                let execution_id = Uuid::new_v4().to_string();
                let record = record(Facts {
                    request,
                    settings,
                    ending: &ending,
                    execution_id: &execution_id,
                    began,
                    ended: SystemTime::now(),
                    remote: None,
                    local: LocalMetadata {
                        executed_locally,
                        ..LocalMetadata::default()
                    },
                });
                self.sessions.ledger().enter(record.clone());
                (execution_id, record, None)
            }
        };
        RunOutcome {
            ending,
            output,
            error_output,
            execution_id,
            record,
            fallback,
        }
    }
}

/// A result has the code that the conversation ended with.
fn with_code(ending: Ending, end: End) -> Ending {
    match ending {
        Ending::Ended { is_cache_hit, .. } => Ending::Ended {
            exit_code: i32::from(end.exit_code()),
            is_cache_hit,
        },
        other => other,
    }
}

#[cfg(test)]
mod tests;
