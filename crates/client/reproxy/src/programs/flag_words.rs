//! Reading the command line of a program, with the answers that all give.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use reclient::address::Address;
use reclient::flags::{Effect, Flag, Flags, Parsed, Surroundings, read, usage};

use crate::programs::EXIT_WRONG;

/// A program's call and its tables.
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) usage: &'static str,
    pub(crate) tables: &'static [&'static [Flag]],
}

impl Call {
    /// The flags, unless the call asks for something that is answered at once.
    pub(crate) fn read(&self, words: Vec<OsString>) -> Result<Flags, ExitCode> {
        let surroundings = Surroundings {
            variable: &|name| env::var_os(name),
            read_file: &|path| fs::read_to_string(path),
        };
        let usage = || usage(self.usage, self.tables);
        match read(self.tables, words, &surroundings) {
            Ok(Parsed::Help) => {
                eprint!("{}", usage());
                Err(ExitCode::SUCCESS)
            }
            Ok(Parsed::Flags(flags, _)) if flags.bool("version") || flags.bool("version_sdk") => {
                println!("{}", reclient::version());
                Err(ExitCode::SUCCESS)
            }
            // Words after the flags are passed over, as reclient does.
            Ok(Parsed::Flags(flags, _)) => Ok(flags),
            Err(error) => {
                eprintln!("{}: {error}", self.name);
                eprint!("{}", usage());
                Err(ExitCode::from(EXIT_WRONG))
            }
        }
    }

    /// Where the server of these flags is.
    pub(crate) fn address(&self, flags: &Flags) -> Result<Address, ExitCode> {
        Address::parse(&flags.text("server_address"))
            .map_err(|error| self.wrong(&format!("server_address: {error}")))
    }

    /// The program that does what this one is asked for.
    pub(crate) fn farrier(&self) -> Result<PathBuf, ExitCode> {
        daemon_start::find_program("farrier")
            .ok_or_else(|| self.wrong("there is no program farrier, neither beside this one nor in PATH"))
    }

    /// Complains, and says with what to end.
    pub(crate) fn wrong(&self, message: &str) -> ExitCode {
        eprintln!("{}: {message}", self.name);
        ExitCode::from(EXIT_WRONG)
    }
}

/// A line for each flag that was said and does nothing.
pub(crate) fn without_effect(flags: &Flags) -> Vec<String> {
    flags
        .said()
        .filter_map(|(flag, _)| match flag.effect {
            Effect::None(reason) => Some(format!("-{} has no effect: {reason}", flag.name)),
            Effect::Works | Effect::Refused(_) => None,
        })
        .collect()
}

/// A complaint about the first flag that was said and nobody may say.
pub(crate) fn refused(flags: &Flags) -> Option<String> {
    flags.said().find_map(|(flag, value)| match flag.effect {
        // One server for everything, said twice.
        Effect::Refused(_) if flag.name == "cas_service" && *value == *flags.value("service") => None,
        Effect::Refused(reason) if !value.is_empty() => {
            Some(format!("-{} is not done here: {reason}", flag.name))
        }
        _ => None,
    })
}

/// The flags that were said and are in these tables, as words for another program.
pub(crate) fn passed_on(flags: &Flags, tables: &[&[Flag]]) -> Vec<OsString> {
    let is_known = |name: &str| tables.iter().copied().flatten().any(|flag| flag.name == name);
    flags
        .said()
        .filter(|(flag, _)| is_known(flag.name))
        .map(|(flag, value)| {
            let mut word = OsString::from(format!("--{}=", flag.name));
            word.push(value);
            word
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use reclient::flags::tables::{BOOTSTRAP, CONNECTION, LOGGING, REPROXY};

    use super::*;

    const CALL: Call = Call {
        name: "bootstrap",
        usage: "bootstrap [-flags]",
        tables: &[LOGGING, CONNECTION, BOOTSTRAP],
    };

    #[test]
    fn what_reproxy_knows_is_passed_on() {
        let words = [
            "-service=s:1",
            "-re_proxy=/x",
            "-use_rpc_credentials=false",
            "-shutdown_seconds=5",
        ];
        let flags = CALL.read(words.map(OsString::from).into()).unwrap();
        let on = passed_on(&flags, &[LOGGING, CONNECTION, REPROXY]);
        assert_eq!(on, ["--service=s:1", "--use_rpc_credentials=false"]);
        let idle = without_effect(&flags);
        assert_eq!(
            idle,
            ["-use_rpc_credentials has no effect: headers go with every call as it is"]
        );
    }

    #[test]
    fn what_is_not_done_is_named() {
        let cases = [
            (&["-service=s:1"][..], None),
            (&["-remote_headers="], None),
            (
                &["-remote_headers=a=b"],
                Some(
                    "-remote_headers is not done here: calls carry what REAPI says and a token, and nothing else",
                ),
            ),
            (&["-service=s:1", "-cas_service=s:1"], None),
            (
                &["-service=s:1", "-cas_service=c:1"],
                Some(
                    "-cas_service is not done here: contents and results are looked for at the service itself",
                ),
            ),
        ];
        for (words, expected) in cases {
            let flags = CALL.read(words.iter().map(OsString::from).collect()).unwrap();
            assert_eq!(refused(&flags).as_deref(), expected, "{words:?}");
        }
    }

    #[test]
    fn mistakes_end_with_one() {
        let code = CALL.read(vec!["-speed".into()]).unwrap_err();
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(1)));
        let code = CALL.read(vec!["-help".into()]).unwrap_err();
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::SUCCESS));
    }
}
