//! What a daemon remembers of the commands of its life: counts, the last records, sums, and the log file.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use reclient::log_file::{LogFile, write_proxy_info};
use reclient::stats::{Aggregate, machine};
use reclient_api::cmd::TimeInterval;
use reclient_api::log::{LogRecord, ProxyInfo};
use reclient_api::proxy::GetStatusSummaryResponse;
use reclient_api::stats::Stats;

/// The most records that are kept, whatever is asked for.
const RECORDS_MAX: usize = 10_000;
/// The most times of different names that are taken from others.
const EVENTS_MAX: usize = 1000;

/// Books on commands. All of it may be called from any thread.
pub struct Ledger {
    started: SystemTime,
    log_directory: Option<PathBuf>,
    records_max: usize,
    books: Mutex<Books>,
}

struct Books {
    log: Option<LogFile>,
    kept: VecDeque<LogRecord>,
    aggregate: Aggregate,
    completed: BTreeMap<String, i32>,
    running: usize,
    running_peak: usize,
    /// When the first of those that run now began.
    busy_since: Option<Instant>,
    /// How long at least one command ran, before that.
    busy: Duration,
    proxy: ProxyInfo,
}

/// A command that runs. It counts as running until this is dropped.
pub struct Running {
    ledger: Arc<Ledger>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut books = self.ledger.books.lock();
        books.running -= 1;
        if books.running == 0 {
            let since = books.busy_since.take();
            books.busy += since.map_or(Duration::ZERO, |since| since.elapsed());
        }
    }
}

impl Ledger {
    /// New books. `log`: where records are written. `records_max`: how many are kept in memory, within reason. `flags`: what
    /// is said about how the daemon was called.
    pub fn new(log: Option<LogFile>, records_max: usize, flags: BTreeMap<String, String>) -> Self {
        Ledger {
            started: SystemTime::now(),
            log_directory: log.as_ref().and_then(|log| Some(log.path().parent()?.to_owned())),
            records_max: records_max.min(RECORDS_MAX),
            books: Mutex::new(Books {
                log,
                kept: VecDeque::new(),
                aggregate: Aggregate::default(),
                completed: BTreeMap::new(),
                running: 0,
                running_peak: 0,
                busy_since: None,
                busy: Duration::ZERO,
                proxy: ProxyInfo {
                    flags,
                    ..ProxyInfo::default()
                },
            }),
        }
    }

    /// A command begins.
    pub fn begin(self: &Arc<Self>) -> Running {
        let mut books = self.books.lock();
        books.running += 1;
        books.running_peak = books.running_peak.max(books.running);
        books.busy_since.get_or_insert_with(Instant::now);
        Running { ledger: self.clone() }
    }

    /// A command has ended. Its record is in the log when this returns. A log that cannot be written is complained about
    /// once, and given up.
    pub fn enter(&self, record: LogRecord) {
        let mut books = self.books.lock();
        let status = record.completion_status().as_str_name().to_owned();
        *books.completed.entry(status).or_default() += 1;
        books.aggregate.add(&record);
        if let Some(Err(error)) = books.log.as_mut().map(|log| log.append(&record)) {
            tracing::error!(%error, "the log of commands cannot be written; it ends here");
            books.log = None;
        }
        if self.records_max > 0 {
            if books.kept.len() == self.records_max {
                books.kept.pop_front();
            }
            books.kept.push_back(record);
        }
    }

    /// The last records.
    pub fn records(&self) -> Vec<LogRecord> {
        self.books.lock().kept.iter().cloned().collect()
    }

    /// Times that somebody else has taken.
    pub fn add_events(&self, times: BTreeMap<String, TimeInterval>) {
        let mut books = self.books.lock();
        for (name, interval) in times {
            let has_space = books.proxy.event_times.len() < EVENTS_MAX;
            if has_space || books.proxy.event_times.contains_key(&name) {
                books.proxy.event_times.insert(name, interval);
            }
        }
    }

    /// How it is going.
    pub fn summary(&self) -> GetStatusSummaryResponse {
        let books = self.books.lock();
        let busy = books.busy + books.busy_since.map_or(Duration::ZERO, |since| since.elapsed());
        let completed: i64 = books.completed.values().copied().map(i64::from).sum();
        let per_second = match busy.as_secs_f64() {
            0.0 => 0.0,
            seconds => completed as f64 / seconds,
        };
        GetStatusSummaryResponse {
            completed_action_stats: books.completed.clone(),
            running_actions: i32::try_from(books.running).unwrap_or(i32::MAX),
            qps: per_second.min(f64::from(i32::MAX)) as i32,
        }
    }

    /// The sums at the end of the daemon's life, however it comes; what there is to say about the daemon is written beside the
    /// log. Once more is no mistake: what came in between is in it then.
    pub fn close(&self) -> Stats {
        let books = self.books.lock();
        let mut proxy = books.proxy.clone();
        let times = TimeInterval {
            from: Some(self.started.into()),
            to: Some(SystemTime::now().into()),
        };
        proxy.event_times.insert("ProxyUptime".to_owned(), times);
        let peak = i64::try_from(books.running_peak).unwrap_or(i64::MAX);
        for (name, value) in [("PEAK_NUM_ACTIONS", peak), ("UNIX_TIME", unix_time(self.started))] {
            let value = Some(reclient_api::log::metric::Value::Int64Value(value));
            proxy
                .metrics
                .insert(name.to_owned(), reclient_api::log::Metric { value });
        }
        if let Some(directory) = &self.log_directory
            && let Err(error) = write_proxy_info(directory, self.started, &proxy)
        {
            tracing::error!(%error, "what there is to say about this daemon cannot be written");
        }
        books.aggregate.stats(vec![proxy], machine())
    }
}

fn unix_time(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
