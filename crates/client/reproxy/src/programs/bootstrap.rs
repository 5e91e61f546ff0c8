//! `bootstrap`: starts reproxy before a build, ends it after it, and says how it was.

mod shutdown;
mod start;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use reclient::address::Address;
use reclient::flags::Flags;
use reclient::flags::tables::{BOOTSTRAP, CONNECTION, LOGGING};

use crate::programs::flag_words::Call;
use crate::programs::runtime::block_on;

pub(crate) use shutdown::{Ended, end_reproxy};

const CALL: Call = Call {
    name: "bootstrap",
    usage: "bootstrap [-flags]",
    tables: &[LOGGING, CONNECTION, BOOTSTRAP],
};

/// What both ways need.
struct Bootstrap {
    flags: Flags,
    address: Address,
    /// Where reproxy's process number is.
    pid_file: PathBuf,
}

/// Everything that bootstrap does. `words` are those after the program's name.
pub fn main(words: Vec<OsString>) -> ExitCode {
    let flags = match CALL.read(words) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let address = match CALL.address(&flags) {
        Ok(address) => address,
        Err(code) => return code,
    };
    let pid_file = address.pid_file(&std::env::temp_dir());
    let bootstrap = Bootstrap {
        flags,
        address,
        pid_file,
    };
    let done = match bootstrap.flags.bool("shutdown") {
        true => block_on(shutdown::shut_down(&bootstrap)),
        false => block_on(start::start(&bootstrap)),
    };
    done.unwrap_or_else(|error| CALL.wrong(&format!("cannot wait for anything: {error}")))
}
