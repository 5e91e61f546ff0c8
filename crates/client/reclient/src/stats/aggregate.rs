//! Numbers over all records.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use prost_reflect::{DynamicMessage, Kind, MapKey, ReflectMessage as _, Value};
use reclient_api::cmd::{TimeInterval, command_result_status};
use reclient_api::log::verification::Mismatch;
use reclient_api::log::{LogRecord, ProxyInfo, Verification};
use reclient_api::stats::{MachineInfo, Outlier, Stat, Stats, stat};

use crate::labels::label_key;
use crate::stats::samples::Samples;
use crate::text_proto::dynamic;

/// Statistics that are kept. A build with more kinds of labels than this allows has no numbers for the last of them.
const STATS_MAX: usize = 20_000;
/// Mismatches that are kept.
const MISMATCHES_MAX: usize = 10_000;
/// Builds that are named.
const INVOCATIONS_MAX: usize = 1000;
/// Fields that are no numbers of a build: what the command was, and what a mismatch is about.
const LEFT_OUT: [&str; 3] = ["command", "exit_code", "determinism"];
/// Times between which a build lasts.
const EXECUTION: &str = "ProxyExecution";

/// Adds records up.
#[derive(Clone, Debug, Default)]
pub struct Aggregate {
    records: i64,
    cache_hits: i64,
    stats: BTreeMap<String, Number>,
    invocations: BTreeSet<String>,
    mismatches: Vec<Mismatch>,
    verified: i64,
    /// When the first command began and the last ended, in seconds.
    span: Option<(i64, i64)>,
}

/// What a statistic counts.
#[derive(Clone, Debug)]
enum Number {
    /// How often it was true.
    Trues(i64),
    /// How often each value was there.
    Values(BTreeMap<String, i64>),
    /// Numbers that can be added.
    Sum(Samples),
    /// Milliseconds, which nobody adds: they may pass at the same time.
    Times(Samples),
}

impl Aggregate {
    /// Adds one.
    pub fn add(&mut self, record: &LogRecord) {
        self.records += 1;
        let identifiers = record
            .command
            .as_ref()
            .and_then(|command| command.identifiers.clone());
        let identifiers = identifiers.unwrap_or_default();
        let result = record.result.as_ref().map(|result| result.status());
        self.cache_hits += i64::from(result == Some(command_result_status::Value::CacheHit));
        if !identifiers.invocation_id.is_empty() && self.invocations.len() < INVOCATIONS_MAX {
            self.invocations.insert(identifiers.invocation_id);
        }
        let local = record.local_metadata.clone().unwrap_or_default();
        if let Some(verification) = local.verification {
            self.verified = self.verified.saturating_add(verification.total_verified);
            let space = MISMATCHES_MAX - self.mismatches.len();
            self.mismatches
                .extend(verification.mismatches.into_iter().take(space));
        }
        if let Some((from, to)) = local.event_times.get(EXECUTION).and_then(seconds) {
            let (first, last) = self.span.unwrap_or((from, to));
            self.span = Some((first.min(from), last.max(to)));
        }
        // The descriptors are our own: there is nothing that cannot be decoded.
        let Ok(message) = dynamic(record) else { return };
        self.add_message(&message, "", &identifiers.command_id);
        if !local.labels.is_empty() {
            self.add_message(&message, &label_key(&local.labels), &identifiers.command_id);
        }
    }

    fn add_message(&mut self, message: &DynamicMessage, prefix: &str, command_id: &str) {
        for field in message.descriptor().fields() {
            if LEFT_OUT.contains(&field.name()) {
                continue;
            }
            let name = joined(prefix, &camel_case(field.name()));
            match (&*message.get_field(&field), field.kind()) {
                (Value::Message(inner), _) if message.has_field(&field) => {
                    self.add_message(inner, &name, command_id);
                }
                (Value::Bool(is_true), _) => self.count_true(&name, *is_true),
                (Value::I32(number), _) => self.sample(&name, (*number).into(), command_id),
                (Value::I64(number), _) => self.sample(&name, *number, command_id),
                (Value::EnumNumber(number), Kind::Enum(kind)) => {
                    let value = kind.get_value(*number).map(|value| value.name().to_owned());
                    self.count_value(&name, value.unwrap_or_else(|| number.to_string()));
                }
                (Value::List(list), Kind::Message(kind)) => {
                    let name = joined(&name, kind.name());
                    let inner = list.iter().filter_map(Value::as_message);
                    inner.for_each(|inner| self.add_message(inner, &name, command_id));
                }
                (Value::Map(times), _) if field.name() == "event_times" => {
                    for (event, interval) in times {
                        let milliseconds = interval.as_message().and_then(milliseconds);
                        if let (MapKey::String(event), Some(milliseconds)) = (event, milliseconds) {
                            let name = joined(&name, &format!("{event}Millis"));
                            self.time(&name, milliseconds, command_id);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn number(&mut self, name: &str, new: impl FnOnce() -> Number) -> Option<&mut Number> {
        if self.stats.len() >= STATS_MAX && !self.stats.contains_key(name) {
            return None;
        }
        Some(self.stats.entry(name.to_owned()).or_insert_with(new))
    }

    fn count_true(&mut self, name: &str, is_true: bool) {
        if let Some(Number::Trues(count)) = self.number(name, || Number::Trues(0)) {
            *count += i64::from(is_true);
        }
    }

    fn count_value(&mut self, name: &str, value: String) {
        if let Some(Number::Values(values)) = self.number(name, || Number::Values(BTreeMap::new())) {
            *values.entry(value).or_default() += 1;
        }
    }

    fn sample(&mut self, name: &str, value: i64, command_id: &str) {
        if let Some(Number::Sum(samples)) = self.number(name, || Number::Sum(Samples::default())) {
            samples.add(value, command_id);
        }
    }

    fn time(&mut self, name: &str, value: i64, command_id: &str) {
        if let Some(Number::Times(samples)) = self.number(name, || Number::Times(Samples::default())) {
            samples.add(value, command_id);
        }
    }

    /// The statistics so far. Those that have only seen zeros are left out.
    pub fn stats(&self, proxies: Vec<ProxyInfo>, machine: MachineInfo) -> Stats {
        let mut mismatches = self.mismatches.clone();
        mismatches.sort_by(|a, b| a.path.cmp(&b.path));
        let ignored = mismatches.iter().filter(|mismatch| mismatch.ignored).count();
        let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        let verification = (!mismatches.is_empty()).then(|| Verification {
            total_mismatches: count(mismatches.len()),
            total_verified: self.verified,
            total_ignored_mismatches: count(ignored),
            mismatches,
        });
        Stats {
            num_records: self.records,
            stats: self
                .stats
                .iter()
                .filter_map(|(name, number)| stat(name, number))
                .collect(),
            verification,
            tool_version: crate::version(),
            invocation_ids: self.invocations.iter().cloned().collect(),
            machine_info: Some(machine),
            proxy_info: proxies,
            build_cache_hit_ratio: match self.records {
                0 => 0.0,
                records => self.cache_hits as f64 / records as f64,
            },
            build_latency: self.span.map_or(0.0, |(first, last)| last as f64 - first as f64),
            ..Stats::default()
        }
    }
}

fn stat(name: &str, number: &Number) -> Option<Stat> {
    let mut stat = Stat {
        name: name.to_owned(),
        ..Stat::default()
    };
    match number {
        Number::Trues(count) => stat.count = *count,
        Number::Values(values) => {
            let value = |(name, count): (&String, &i64)| stat::Value {
                name: name.clone(),
                count: *count,
            };
            stat.counts_by_value = values.iter().map(value).collect();
        }
        Number::Sum(samples) | Number::Times(samples) => {
            stat.count = match number {
                Number::Sum(_) => samples.sum(),
                _ => samples.count(),
            };
            let outlier = |(command_id, value): &(String, i64)| Outlier {
                command_id: command_id.clone(),
                value: *value,
            };
            stat.outliers = samples.outliers().iter().map(outlier).collect();
            stat.average = samples.average();
            [
                stat.median,
                stat.percentile75,
                stat.percentile85,
                stat.percentile95,
            ] = samples.percentiles();
            debug_assert!(!samples.is_empty());
        }
    }
    let is_empty = stat.count == 0 && stat.counts_by_value.is_empty() && stat.outliers.is_empty();
    (!is_empty).then_some(stat)
}

fn joined(prefix: &str, name: &str) -> String {
    match prefix {
        "" => name.to_owned(),
        prefix => format!("{prefix}.{name}"),
    }
}

/// `real_bytes_uploaded` is `RealBytesUploaded`.
fn camel_case(name: &str) -> String {
    name.split('_')
        .flat_map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|letter| letter.to_ascii_uppercase());
            first.into_iter().chain(letters)
        })
        .collect()
}

fn seconds(interval: &TimeInterval) -> Option<(i64, i64)> {
    Some((interval.from.as_ref()?.seconds, interval.to.as_ref()?.seconds))
}

fn milliseconds(interval: &DynamicMessage) -> Option<i64> {
    let interval = TimeInterval::decode(interval.encode_to_vec().as_slice()).ok()?;
    let (from, to) = (interval.from?, interval.to?);
    let nanoseconds =
        |at: prost_types::Timestamp| i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos);
    i64::try_from((nanoseconds(to) - nanoseconds(from)) / 1_000_000).ok()
}

#[cfg(test)]
mod tests;
