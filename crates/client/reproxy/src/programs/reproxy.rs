//! `reproxy`: becomes the daemon, with reproxy's flags in its own words.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use reclient::flags::tables::{CONNECTION, LOGGING, REPROXY};

use crate::programs::daemon_options::arguments;
use crate::programs::flag_words::{Call, refused, without_effect};

const CALL: Call = Call {
    name: "reproxy",
    usage: "reproxy [-flags]",
    tables: &[LOGGING, CONNECTION, REPROXY],
};

/// Everything that reproxy does. `words` are those after the program's name.
pub fn main(words: Vec<OsString>) -> ExitCode {
    let flags = match CALL.read(words) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    // Once for each start of a daemon; with bootstrap this is in its log.
    without_effect(&flags)
        .iter()
        .for_each(|line| eprintln!("reproxy: {line}"));
    if let Some(why) = refused(&flags) {
        return CALL.wrong(&why);
    }
    let address = match CALL.address(&flags) {
        Ok(address) => address,
        Err(code) => return code,
    };
    let Some(frames) = address.frames_socket(&|name| env::var_os(name)) else {
        return CALL.wrong("no directory for sockets: set HOME");
    };
    let farrier = match CALL.farrier() {
        Ok(farrier) => farrier,
        Err(code) => return code,
    };
    // In this process's place, so that the process number that somebody has written down stays right.
    let error = Command::new(&farrier)
        .args(arguments(&flags, &address))
        .env(daemon_api::SOCKET_VARIABLE, frames)
        .exec();
    CALL.wrong(&format!("cannot execute {}: {error}", farrier.display()))
}
