//! Facts of a compiler: its macros, where it searches headers, what it takes for what, and what it is made of.
//!
//! [`probe()`] runs the driver once per set of options that matter ([`matters_for_facts`]) and reads the answer into
//! [`Facts`]; [`ask()`] runs it once more for questions that came up in a scan. [`search_path()`] merges a command's own
//! directories into the compiler's, by the compiler's rules, without running it. [`fingerprint()`] hashes the driver, the
//! programs it runs and the libraries they load.
//!
//! Nothing is cached here but the hashes of [`FileDigests`]: whoever calls keeps facts by driver, options, environment
//! ([`ENVIRONMENT`]) and fingerprint.

mod arguments;
mod ask;
mod elf;
mod environment;
mod facts;
mod fingerprint;
mod libraries;
mod limits;
mod probe;
mod run;
mod search_path;

pub use arguments::{UserDirectory, directory_argument, matters_for_facts};
pub use ask::ask;
pub use environment::ENVIRONMENT;
pub use facts::{Facts, parse_answer};
pub use fingerprint::{FileDigests, Fingerprint, FingerprintError, fingerprint, parts_of_program};
pub use limits::{ANSWER_BYTES_MAX, ANSWER_TIME_MAX};
pub use probe::{Probe, probe};
pub use run::{Answer, ProbeError, Run, run_well};
pub use search_path::{DirectoryIdentity, search_path};
