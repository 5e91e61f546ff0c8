//! The daemon in reproxy's place: reclient's services over it, and reclient's log of every command.

mod known;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use clap::Args;
use daemon::{Daemon, Finished, NotExecuted, Phase, Rules, Witness};
use reclient::address::Address;
use reclient::log_file::{Format, LogFile, remove_older};
use reclient_api::log::verification::Mismatch;
use reclient_api::log::{LocalMetadata, LogRecord, RemoteMetadata, Verification};
use reproxy::auxiliary::Auxiliary;
use reproxy::in_place::{Done, Sessions, in_place};
use reproxy::ledger::Ledger;
use reproxy::outcome::{Ending, Facts, Fallback, record, write_action_log};
use settings::Settings;
use tasks::Group;
use tokio::net::UnixStream;

use crate::durations;

/// What a daemon in reproxy's place is told besides.
#[derive(Args, Debug)]
pub(super) struct ReproxyOptions {
    /// Also serve reclient's rewrapper and siso, at this address: unix:///PATH or HOST:PORT.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    reproxy_address: Option<Address>,
    /// Write reclient's log of commands to this directory.
    #[arg(long, value_name = "DIR")]
    log_dir: Option<PathBuf>,
    /// As whole records (text) or without inputs and arguments (reducedtext).
    #[arg(long, default_value = "reducedtext", value_name = "FORMAT", value_parser = parse_format)]
    log_format: Format,
    /// Also write there what servers add to results, with these descriptors of their messages: an encoded FileDescriptorSet.
    #[arg(long, value_name = "FILE")]
    auxiliary_metadata: Option<PathBuf>,
    /// How many records are kept for those who ask.
    #[arg(long, default_value_t = 0, value_name = "N")]
    records_kept: usize,
    /// Remove logs of commands that are older, at the start; 0s keeps all.
    #[arg(long, default_value = "24h", value_name = "DURATION", value_parser = durations::parse)]
    log_keep: Duration,
    /// Share results only with those who say the same here.
    #[arg(long, value_name = "NAME")]
    cache_silo: Option<String>,
    /// Share results only with daemons of the same version.
    #[arg(long)]
    version_silo: bool,
    /// Run every command here, as if there were neither server nor cache.
    #[arg(long)]
    pub(super) remote_disabled: bool,
    /// How long it may take to find out what a command reads; then the real tool runs. 0s sets no bound.
    #[arg(long, default_value = "0s", value_name = "DURATION", value_parser = durations::parse)]
    input_timeout: Duration,
    /// With the strategy racing: a worker may take twice this many times its usual time before a command runs here too; 0 to
    /// 10, 0.75 if nobody says. Where this machine is usually sooner, or nobody knows yet, it runs here at once.
    #[arg(long, value_name = "NUMBER", value_parser = racing_bias)]
    racing_bias: Option<f64>,
    /// How much of this machine's processors commands may take that run here though they were to be done elsewhere, 0 to 100: 0.5
    /// has half as many of them at once as there are processors, and there is always one [default: 1]. Commands that are to be
    /// done here are as many as the build wants.
    #[arg(long, value_name = "NUMBER", value_parser = local_fraction)]
    local_fraction: Option<f64>,
}

fn local_fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(fraction) if (0.0..=100.0).contains(&fraction) => Ok(fraction),
        _ => Err(format!("`{text}` is no number from 0 to 100")),
    }
}

fn racing_bias(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(bias) if (0.0..=10.0).contains(&bias) => Ok(bias),
        _ => Err(format!("`{text}` is no number from 0 to 10")),
    }
}

/// The books, and where reclient's services are.
pub(super) struct Reproxy {
    ledger: Arc<Ledger>,
    address: Option<Address>,
    auxiliary: Option<Arc<Auxiliary>>,
}

impl ReproxyOptions {
    /// What every command is subject to.
    pub(super) fn rules(&self) -> Rules {
        let version = self
            .version_silo
            .then(|| concat!("farrier ", env!("CARGO_PKG_VERSION")).to_owned());
        let silos: Vec<_> = self.cache_silo.iter().cloned().chain(version).collect();
        Rules {
            silo: (!silos.is_empty()).then(|| silos.join("\n")),
            is_remote_disabled: self.remote_disabled,
            input_timeout: (!self.input_timeout.is_zero()).then_some(self.input_timeout),
            racing_bias: self.racing_bias,
            local_fraction: self.local_fraction,
            writes_action_logs: self.has_books(),
        }
    }

    fn has_books(&self) -> bool {
        self.reproxy_address.is_some() || self.log_dir.is_some()
    }

    /// Opens the books. `None` if nobody asked for any.
    pub(super) fn open(self) -> Result<Option<Reproxy>> {
        if !self.has_books() {
            match self.auxiliary_metadata {
                None => return Ok(None),
                Some(_) => bail!("--auxiliary-metadata is for a log: give it a place with --log-dir"),
            }
        }
        let log = self.log_dir.map(|directory| {
            let now = SystemTime::now();
            let opened = LogFile::create(&directory, self.log_format, now);
            let log = opened.with_context(|| format!("--log-dir {}", directory.display()))?;
            if !self.log_keep.is_zero()
                && let Err(error) = remove_older(&directory, self.log_keep, now)
            {
                tracing::warn!(%error, directory = %directory.display(), "old logs are not removed");
            }
            anyhow::Ok(log)
        });
        let auxiliary = self.auxiliary_metadata.as_deref().map(Auxiliary::read);
        let auxiliary = auxiliary.transpose().context("--auxiliary-metadata")?;
        Ok(Some(Reproxy {
            auxiliary: auxiliary.map(Arc::new),
            ledger: Arc::new(Ledger::new(log.transpose()?, self.records_kept, BTreeMap::new())),
            address: self.reproxy_address,
        }))
    }
}

/// Enters every command.
struct Bookkeeper {
    ledger: Arc<Ledger>,
    auxiliary: Option<Arc<Auxiliary>>,
}

impl Witness for Bookkeeper {
    fn begins(&self) -> Box<dyn Send> {
        Box::new(self.ledger.begin())
    }

    /// What became the real tool ends where nobody sees it.
    fn finished(&self, finished: &Finished) {
        if let Some(done) = done(finished, self.auxiliary.as_deref()) {
            write_log_of(finished, &done.record);
            self.ledger.enter(done.record);
        }
    }
}

impl Reproxy {
    /// Who enters every command.
    pub(super) fn witness(&self) -> Arc<dyn Witness> {
        Arc::new(Bookkeeper {
            ledger: self.ledger.clone(),
            auxiliary: self.auxiliary.clone(),
        })
    }

    /// The books, to be closed when the daemon ends, however it does.
    pub(super) fn ledger(&self) -> Arc<Ledger> {
        self.ledger.clone()
    }

    /// Serves reclient's services, as a task that ends with the others.
    pub(super) fn serve(self, daemon: Arc<Daemon>, tasks: &Group) {
        let Some(address) = self.address else { return };
        let stopping = tasks.stopping();
        let sessions = InReproxysPlace {
            daemon,
            ledger: self.ledger,
            auxiliary: self.auxiliary,
        };
        let routes = reproxy::service::routes(in_place(sessions));
        tasks.spawn("reproxy's services", async move {
            let stop = Box::pin(async move { stopping.cancelled().await });
            if let Err(error) = reproxy::serving::serve(&address, routes, stop).await {
                tracing::error!(%error, %address, "reproxy's services cannot be served");
            }
        });
    }
}

struct InReproxysPlace {
    daemon: Arc<Daemon>,
    ledger: Arc<Ledger>,
    auxiliary: Option<Arc<Auxiliary>>,
}

#[async_trait]
impl Sessions for InReproxysPlace {
    async fn serve(&self, stream: UnixStream) -> Option<Done> {
        match self.daemon.converse(stream).await {
            Ok(finished) => done(&finished?, self.auxiliary.as_deref()),
            Err(error) => {
                tracing::debug!(%error, "a caller has gone");
                None
            }
        }
    }

    async fn shut_down(&self) {
        self.daemon.end().await;
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

/// In reclient's words; `None` for what became the real tool.
fn done(finished: &Finished, auxiliary: Option<&Auxiliary>) -> Option<Done> {
    let ending = match &finished.not_executed {
        Some(NotExecuted::ExecTimeout) => Ending::Timeout,
        Some(NotExecuted::RemoteTimeout(_)) => Ending::RemoteTimeout,
        Some(NotExecuted::Remote(why)) => Ending::RemoteError(why.clone()),
        None => Ending::Ended {
            exit_code: finished.exit_code?,
            is_cache_hit: finished.is_cache_hit,
        },
    };
    let fallback = finished.fallback.as_ref().map(|why| Fallback {
        ending: Ending::RemoteError(why.clone()),
        output: Vec::new(),
        error_output: Vec::new(),
    });
    Some(Done {
        record: log_record(finished, &ending, auxiliary),
        execution_id: finished.execution_id.clone(),
        ending,
        fallback,
    })
}

/// Where the command itself wants its record.
fn write_log_of(finished: &Finished, record: &LogRecord) {
    let settings = Settings::from_pairs(&finished.request.settings).unwrap_or_default();
    let Some(path) = settings.action_log else { return };
    let path = finished.request.directory.join(path);
    if let Err(error) = write_action_log(&path, record) {
        tracing::warn!(%error, path = %path.display(), "the record of a command is not where it is wanted");
    }
}

fn log_record(finished: &Finished, ending: &Ending, auxiliary: Option<&Auxiliary>) -> LogRecord {
    let was_asked = finished.is_cache_hit || finished.ran_remotely;
    let remote = was_asked.then(|| RemoteMetadata {
        result: Some(ending.result()),
        cache_hit: finished.is_cache_hit,
        action_digest: finished.action.clone().unwrap_or_default(),
        auxiliary_metadata: auxiliary.map_or_else(BTreeMap::new, |known| known.entries(&finished.added)),
        event_times: known::times_elsewhere(finished.begun, &finished.spans),
        ..known::sizes(&finished.volume)
    });
    // What took too long may have run here all the same.
    let ran_here = finished.spans.iter().any(|span| span.phase == Phase::Here);
    record(Facts {
        request: &finished.request,
        // They were read before the command was done.
        settings: &Settings::from_pairs(&finished.request.settings).unwrap_or_default(),
        ending,
        execution_id: &finished.execution_id,
        began: finished.begun,
        ended: finished.ended,
        remote,
        local: LocalMetadata {
            executed_locally: !was_asked && (finished.not_executed.is_none() || ran_here),
            event_times: known::times_here(finished.begun, &finished.spans),
            valid_cache_hit: finished.is_cache_hit,
            verification: finished
                .different
                .as_deref()
                .map(|different| verification(finished, different)),
            ..LocalMetadata::default()
        },
    })
}

/// What a comparison came to; callers make their own end of it.
fn verification(finished: &Finished, different: &[String]) -> Verification {
    let mismatch = |path: &String| Mismatch {
        path: path.clone(),
        action_digest: finished.action.clone().unwrap_or_default(),
        ..Mismatch::default()
    };
    Verification {
        mismatches: different.iter().map(mismatch).collect(),
        total_mismatches: i32::try_from(different.len()).unwrap_or(i32::MAX),
        total_verified: 1,
        ..Verification::default()
    }
}

pub(super) fn parse_address(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|error| error.to_string())
}

fn parse_format(name: &str) -> Result<Format, String> {
    Format::named(name).ok_or_else(|| format!("`{name}` is no format; there are text and reducedtext"))
}

#[cfg(test)]
mod tests {
    use daemon::{Span, Volume};
    use prost::Message as _;
    use prost_types::field_descriptor_proto::{Label, Type};
    use prost_types::{Any, DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};

    use super::*;

    fn by_a_worker() -> Finished {
        Finished {
            execution_id: "id".to_owned(),
            request: Arc::new(daemon_api::Request {
                arguments: vec!["gcc".into()],
                directory: "/p".into(),
                environment: Vec::new(),
                settings: Vec::new(),
                is_terminal: false,
            }),
            exit_code: Some(0),
            is_cache_hit: false,
            ran_remotely: true,
            fallback: None,
            not_executed: None,
            added: Vec::new(),
            volume: Volume {
                uploaded_bytes: 1500,
                ..Volume::default()
            },
            spans: Vec::new(),
            different: None,
            begun: SystemTime::UNIX_EPOCH,
            ended: SystemTime::UNIX_EPOCH,
            action: None,
        }
    }

    #[test]
    fn the_books_know_what_runs_and_how_much_it_was() -> Result<()> {
        let reproxy = Reproxy {
            ledger: Arc::new(Ledger::new(None, 0, BTreeMap::new())),
            address: None,
            auxiliary: None,
        };
        let (witness, ledger) = (reproxy.witness(), reproxy.ledger());
        let running = witness.begins();
        assert_eq!(ledger.summary().running_actions, 1);
        witness.finished(&by_a_worker());
        drop(running);
        let summary = ledger.summary();
        assert_eq!(summary.running_actions, 0);
        assert_eq!(summary.completed_action_stats["STATUS_REMOTE_EXECUTION"], 1);
        let line = reclient::stats::stats_line(&ledger.close());
        assert_eq!(line, "RBE Stats: down 0 B, up 1.50 KB, 1 remote execution");
        Ok(())
    }

    #[test]
    fn what_was_ended_here_because_it_took_too_long_is_a_time_out_of_this_machine() -> Result<()> {
        let here = Span {
            phase: Phase::Here,
            begun: Duration::ZERO,
            took: Duration::from_secs(1),
        };
        let finished = Finished {
            ran_remotely: false,
            exit_code: Some(142),
            not_executed: Some(NotExecuted::ExecTimeout),
            spans: vec![here],
            ..by_a_worker()
        };
        let record = done(&finished, None).context("it has ended")?.record;
        assert_eq!(record.completion_status().as_str_name(), "STATUS_TIMEOUT");
        let local = record.local_metadata.context("it ran here")?;
        assert!(local.executed_locally && record.remote_metadata.is_none());
        assert!(local.event_times.contains_key("LocalCommandExecution"));
        assert_eq!(record.result.context("it has ended")?.exit_code, 142);
        Ok(())
    }

    #[test]
    fn what_servers_add_and_what_differs_is_in_the_record() -> Result<()> {
        let pool = FieldDescriptorProto {
            name: Some("pool".to_owned()),
            number: Some(1),
            label: Some(Label::Optional.into()),
            r#type: Some(Type::String.into()),
            ..FieldDescriptorProto::default()
        };
        let message = DescriptorProto {
            name: Some("AuxiliaryMetadata".to_owned()),
            field: vec![pool],
            ..DescriptorProto::default()
        };
        let file = FileDescriptorProto {
            name: Some("w.proto".to_owned()),
            message_type: vec![message],
            syntax: Some("proto3".to_owned()),
            ..FileDescriptorProto::default()
        };
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("descriptors");
        std::fs::write(&path, FileDescriptorSet { file: vec![file] }.encode_to_vec())?;
        let known = Auxiliary::read(&path)?;
        let finished = Finished {
            added: vec![Any {
                type_url: "type.googleapis.com/w".to_owned(),
                value: b"\x0a\x03big".to_vec(),
            }],
            different: Some(vec!["a.o".to_owned()]),
            ..by_a_worker()
        };
        let added = |known: Option<&Auxiliary>| {
            let record = done(&finished, known).context("it has ended")?.record;
            let remote = record.remote_metadata.context("a worker did it")?;
            anyhow::Ok(remote.auxiliary_metadata)
        };
        assert_eq!(
            added(Some(&known))?,
            [("pool".to_owned(), "big".to_owned())].into()
        );
        assert_eq!(added(None)?, BTreeMap::new());
        let record = done(&finished, None).context("it has ended")?.record;
        let verification = record.local_metadata.and_then(|local| local.verification);
        let mismatches = verification.context("it was compared")?.total_mismatches;
        assert_eq!(mismatches, 1);
        Ok(())
    }
}
