//! `scandeps_server`: becomes the program that finds included files, with the flags that reclient's reproxy starts it with.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use reclient::address::Address;
use reclient::flags::Flags;
use reclient::flags::tables::{LOGGING, SCANDEPS_SERVER};

use crate::programs::flag_words::{Call, without_effect};

const CALL: Call = Call {
    name: "scandeps_server",
    usage: "scandeps_server [-flags]",
    tables: &[LOGGING, SCANDEPS_SERVER],
};

/// Everything that scandeps_server does. `words` are those after the program's name.
pub fn main(words: Vec<OsString>) -> ExitCode {
    let flags = match CALL.read(words) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    without_effect(&flags)
        .iter()
        .for_each(|line| eprintln!("scandeps_server: {line}"));
    let address = match CALL.address(&flags) {
        Ok(address) => address,
        Err(code) => return code,
    };
    let farrier = match CALL.farrier() {
        Ok(farrier) => farrier,
        Err(code) => return code,
    };
    // In this process's place: reproxy ends the process that it has started.
    let error = Command::new(&farrier).args(arguments(&flags, &address)).exec();
    CALL.wrong(&format!("cannot execute {}: {error}", farrier.display()))
}

fn arguments(flags: &Flags, address: &Address) -> Vec<OsString> {
    let mut words: Vec<OsString> = ["daemon", "scan", "--address"].map(OsString::from).into();
    words.push(address.to_string().into());
    if let Some(directory) = flags.path("cache_dir") {
        words.extend(["--cache-dir".into(), directory.into_os_string()]);
    }
    words
}

#[cfg(test)]
mod tests {
    use reclient::flags::Effect;

    use super::*;

    #[test]
    fn flags_become_options_and_none_is_dropped() {
        let check = |words: &[&str], expected: &str| {
            let flags = CALL.read(words.iter().map(OsString::from).collect()).unwrap();
            let address = Address::parse("unix:///s").unwrap();
            let words = arguments(&flags, &address);
            let words: Vec<_> = words.iter().map(|word| word.to_str().unwrap()).collect();
            assert_eq!(
                words.join(" "),
                format!("daemon scan --address unix:///s{expected}")
            );
        };
        check(&[], "");
        check(&["--cache_dir=/c", "--noenable_deps_cache"], " --cache-dir /c");
        let works = LOGGING
            .iter()
            .chain(SCANDEPS_SERVER)
            .filter(|flag| flag.effect == Effect::Works);
        let works: Vec<_> = works.map(|flag| flag.name).collect();
        assert_eq!(works, ["version", "version_sdk", "server_address", "cache_dir"]);
    }
}
