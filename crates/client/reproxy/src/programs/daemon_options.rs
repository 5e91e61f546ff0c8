//! The flags of reproxy as options of `farrier daemon`: the one place where they meet.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use reclient::address::Address;
use reclient::flags::Flags;
use reclient::log_file::log_path;

/// How a flag is told.
#[derive(Clone, Copy)]
enum Told {
    /// `--option VALUE`.
    Value(&'static str),
    /// `--option`, if the flag is true.
    Switch(&'static str),
    /// `--option WORD` for each word of a text.
    EachWord(&'static str),
    /// `--option SECONDSs`: a duration, in the way that `farrier` writes them. One that is negative sets no bound, as none.
    Seconds(&'static str),
}

/// Flags that are told when somebody has said them.
const TOLD: &[(&str, Told)] = &[
    ("instance", Told::Value("--instance")),
    ("tls_ca_cert", Told::Value("--tls-ca")),
    ("tls_server_name", Told::Value("--tls-server-name")),
    ("tls_client_auth_cert", Told::Value("--tls-certificate")),
    ("tls_client_auth_key", Told::Value("--tls-key")),
    (
        "credentials_helper_args",
        Told::EachWord("--credentials-helper-argument"),
    ),
    ("cache_dir", Told::Value("--cache-dir")),
    ("auxiliary_metadata_path", Told::Value("--auxiliary-metadata")),
    ("log_keep_duration", Told::Seconds("--log-keep")),
    ("num_records_to_keep", Told::Value("--records-kept")),
    ("cache_silo", Told::Value("--cache-silo")),
    ("version_cache_silo", Told::Switch("--version-silo")),
    ("remote_disabled", Told::Switch("--remote-disabled")),
    ("ip_timeout", Told::Seconds("--input-timeout")),
    ("racing_bias", Told::Value("--racing-bias")),
    ("local_resource_fraction", Told::Value("--local-fraction")),
];

/// Options that are told whatever is said, or by more than one flag.
const ALWAYS: [&str; 6] = [
    "--reproxy-address",
    "--endpoint",
    "--idle",
    "--log-dir",
    "--log-format",
    "--credentials-helper",
];

/// Every option of `farrier daemon start` that reproxy's flags can come to.
pub fn daemon_options() -> impl Iterator<Item = &'static str> {
    let told = TOLD.iter().map(|(_, told)| match *told {
        Told::Value(option) | Told::Switch(option) | Told::EachWord(option) | Told::Seconds(option) => option,
    });
    ALWAYS.into_iter().chain(told)
}

/// The arguments of `farrier` for a daemon in reproxy's place. Where it listens for frames is said by its environment.
pub(crate) fn arguments(flags: &Flags, address: &Address) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["daemon".into(), "start".into()];
    let mut tell = |option: &str, value: OsString| words.extend([option.into(), value]);
    tell("--reproxy-address", address.to_string().into());
    if let Some(service) = flags.some_text("service") {
        tell(
            "--endpoint",
            with_scheme(&service, flags.bool("service_no_security")).into(),
        );
    }
    // reclient's, not the daemon's own: a build has at most so long a pause.
    let idle = flags.duration("proxy_idle_timeout").as_secs();
    tell("--idle", format!("{idle}s").into());
    if let Some(directory) = log_directories(flags).into_iter().next() {
        tell("--log-dir", directory.into());
        tell("--log-format", flags.value("log_format"));
    }
    if let Some(helper) = credentials_helper(flags) {
        tell("--credentials-helper", helper.into());
    }
    for (name, told) in TOLD.iter().filter(|(name, _)| flags.is_said(name)) {
        words.extend(told.words(flags, name));
    }
    words
}

impl Told {
    fn words(self, flags: &Flags, name: &str) -> Vec<OsString> {
        match self {
            Told::Value(option) => vec![option.into(), flags.value(name)],
            Told::Switch(option) if flags.bool(name) => vec![option.into()],
            Told::Switch(_) => Vec::new(),
            Told::EachWord(option) => {
                let text = flags.text(name);
                let words = text.split_whitespace().map(OsString::from);
                words.flat_map(|word| [option.into(), word]).collect()
            }
            Told::Seconds(option) => {
                let seconds = flags.duration(name).as_secs();
                vec![option.into(), format!("{seconds}s").into()]
            }
        }
    }
}

/// `host:port` with the scheme that says whether it is encrypted.
pub(crate) fn with_scheme(service: &str, no_security: bool) -> String {
    match (service.contains("://"), no_security) {
        (true, _) => service.to_owned(),
        (false, true) => format!("grpc://{service}"),
        (false, false) => format!("grpcs://{service}"),
    }
}

/// Where logs of commands are: the directories that are named, or the one of a file that is.
pub(crate) fn log_directories(flags: &Flags) -> Vec<PathBuf> {
    let directories = flags.paths("proxy_log_dir");
    if !directories.is_empty() {
        return directories;
    }
    let path = flags.text("log_path");
    let file = log_path(&path).map(|(_, file)| file);
    file.and_then(Path::parent)
        .map(Path::to_owned)
        .into_iter()
        .collect()
}

/// The program that says who is there: `execrel://` is the one beside this program.
pub(crate) fn credentials_helper(flags: &Flags) -> Option<PathBuf> {
    let helper = flags.path("credentials_helper")?;
    match helper.to_str().and_then(|text| text.strip_prefix("execrel://")) {
        None => Some(helper),
        Some(name) => {
            let name = if name.is_empty() { "credshelper" } else { name };
            // One that is not there is complained about when it is started.
            Some(daemon_start::find_program(name).unwrap_or_else(|| name.into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use reclient::flags::tables::{CONNECTION, LOGGING, REPROXY};
    use reclient::flags::{Effect, Parsed, Surroundings, read};

    use super::*;

    fn check(line: &str, expected: &str) {
        let surroundings = Surroundings {
            variable: &|_| None,
            read_file: &|_| Err(io::ErrorKind::NotFound.into()),
        };
        let words = line.split_whitespace().map(OsString::from).collect();
        let Ok(Parsed::Flags(flags, _)) = read(&[LOGGING, CONNECTION, REPROXY], words, &surroundings) else {
            panic!("{line}");
        };
        let words = arguments(&flags, &Address::parse("unix:///r").unwrap());
        let words: Vec<_> = words.iter().map(|word| word.to_str().unwrap()).collect();
        let usual = "daemon start --reproxy-address unix:///r";
        assert_eq!(words.join(" "), format!("{usual} {expected}"), "{line}");
    }

    #[test]
    fn flags_become_options() {
        check("", "--idle 21600s");
        check("-proxy_idle_timeout=0", "--idle 0s");
        check("-service=s:1", "--endpoint grpcs://s:1 --idle 21600s");
        check(
            "-service=s:1 -service_no_security",
            "--endpoint grpc://s:1 --idle 21600s",
        );
        check("-service=grpc://s:1", "--endpoint grpc://s:1 --idle 21600s");
        check(
            "-instance=i -cache_dir=/c",
            "--idle 21600s --instance i --cache-dir /c",
        );
        check(
            "-proxy_log_dir=/l,/m",
            "--idle 21600s --log-dir /l --log-format reducedtext",
        );
        check(
            "-log_path=text:///l/a.rpl",
            "--idle 21600s --log-dir /l --log-format reducedtext",
        );
        check(
            "-proxy_log_dir=/l -auxiliary_metadata_path=/d",
            "--idle 21600s --log-dir /l --log-format reducedtext --auxiliary-metadata /d",
        );
        check("-remote_disabled", "--idle 21600s --remote-disabled");
        check("-remote_disabled=false", "--idle 21600s");
        check("-log_keep_duration=1h30m", "--idle 21600s --log-keep 5400s");
        check(
            "-local_resource_fraction=0.5",
            "--idle 21600s --local-fraction 0.5",
        );
        check("-ip_timeout=-1s", "--idle 21600s --input-timeout 0s");
        check(
            "-cache_silo=x -version_cache_silo",
            "--idle 21600s --cache-silo x --version-silo",
        );
        check(
            "-tls_client_auth_cert=/c -tls_client_auth_key=/k -tls_server_name=n",
            "--idle 21600s --tls-server-name n --tls-certificate /c --tls-key /k",
        );
        check(
            "-credentials_helper=/h -credentials_helper_args=x",
            "--idle 21600s --credentials-helper /h --credentials-helper-argument x",
        );
    }

    /// A flag that works is told, or somebody here reads it: nothing is taken and dropped.
    #[test]
    fn every_flag_that_works_is_used() {
        let read_here = [
            "server_address",
            "service",
            "service_no_security",
            "service_no_auth",
            "use_external_auth_token",
            "credentials_helper",
            "proxy_idle_timeout",
            "proxy_log_dir",
            "log_path",
            "log_format",
            "version",
            "version_sdk",
        ];
        for flag in [LOGGING, CONNECTION, REPROXY].into_iter().flatten() {
            let is_told = TOLD.iter().any(|(name, _)| *name == flag.name);
            let is_used = is_told || read_here.contains(&flag.name);
            assert_eq!(is_used, flag.effect == Effect::Works, "-{}", flag.name);
        }
    }
}
