//! `dumpstats`: the numbers of a build from its logs. Older than `bootstrap -shutdown`, which does the same.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use reclient::flags::tables::{DUMPSTATS, LOGGING};

use crate::programs::EXIT_WRONG;
use crate::programs::bootstrap::{Ended, end_reproxy};
use crate::programs::flag_words::Call;
use crate::programs::metrics::{from_logs, output_directory, publish};
use crate::programs::runtime::block_on;

const CALL: Call = Call {
    name: "dumpstats",
    usage: "dumpstats [-flags]",
    tables: &[LOGGING, DUMPSTATS],
};

/// Everything that dumpstats does. `words` are those after the program's name.
pub fn main(words: Vec<OsString>) -> ExitCode {
    let flags = match CALL.read(words) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let complain = |line: &str| eprintln!("dumpstats: {line}");
    if flags.bool("shutdown_proxy") {
        let address = match CALL.address(&flags) {
            Ok(address) => address,
            Err(code) => return code,
        };
        let limit = Duration::from_secs(u64::try_from(flags.int("shutdown_seconds")).unwrap_or_default());
        let pid_file = address.pid_file(&std::env::temp_dir());
        match block_on(end_reproxy(&address, &pid_file, limit)) {
            Ok(Ended::Still(why)) => complain(&format!("{address}: {why}")),
            Ok(Ended::Nobody) => complain(&format!("no reproxy is running at {address}")),
            Ok(Ended::Gone(_)) => {}
            Err(error) => return CALL.wrong(&format!("cannot wait for anything: {error}")),
        }
    }
    let Some(stats) = from_logs(&flags, &complain) else {
        return CALL.wrong("no logs: say where they are with -proxy_log_dir");
    };
    match publish(&stats, &output_directory(&flags), &complain) {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EXIT_WRONG),
    }
}
