//! Which servers, and how the daemon is told.

use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use crate::said::Said;

/// Where recc looks for a server when nobody says anything.
const SERVER: &str = "http://localhost:8085";
/// What recc hashes with when nobody says anything.
const DIGEST_FUNCTION: &str = "SHA256";
/// What recc knows how to hash with.
const DIGEST_FUNCTIONS: [&str; 5] = ["MD5", "SHA1", "SHA256", "SHA384", "SHA512"];

/// What a daemon is started for. Commands with other servers have another daemon.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// Executes.
    pub execution: String,
    /// Has contents.
    pub cas: String,
    /// Has results.
    pub action_cache: String,
    /// The instance of each, in the same order.
    pub instances: [String; 3],
    /// File with a token for all of them.
    pub access_token: Option<PathBuf>,
    /// The name of the hash function.
    pub digest_function: String,
}

impl Server {
    /// From the variables. Fails with a complaint.
    pub(crate) fn read(said: &Said) -> Result<Self, String> {
        let is_ssl = said.bool("SERVER_SSL");
        let address = |name: &str| text(said, name).map(|text| with_scheme(text, is_ssl));
        let (execution, cas, action_cache) = (
            address("SERVER"),
            address("CAS_SERVER"),
            address("ACTION_CACHE_SERVER"),
        );
        let cache = action_cache.clone().or_else(|| cas.clone());
        // Where nothing is executed, the cache's address is address enough.
        let fallback = if said.bool("CACHE_ONLY") {
            cache.clone()
        } else {
            None
        };
        let execution = execution.or(fallback).unwrap_or_else(|| SERVER.to_owned());
        let cas = cas.or(cache).unwrap_or_else(|| execution.clone());
        let action_cache = action_cache.unwrap_or_else(|| cas.clone());

        let named = |name: &str| {
            said.any_text(name)
                .and_then(|text| text.to_str())
                .map(str::to_owned)
        };
        let instance = named("INSTANCE").unwrap_or_default();
        let (of_cas, of_cache) = (named("CAS_INSTANCE"), named("ACTION_CACHE_INSTANCE"));
        let both = of_cas.clone().or_else(|| of_cache.clone());
        let instances = [
            instance.clone(),
            of_cas
                .or_else(|| both.clone())
                .unwrap_or_else(|| instance.clone()),
            of_cache.or(both).unwrap_or(instance),
        ];

        let digest_function = text(said, "CAS_DIGEST_FUNCTION").unwrap_or_else(|| DIGEST_FUNCTION.to_owned());
        if !DIGEST_FUNCTIONS.contains(&digest_function.as_str()) {
            return Err(format!(
                "RECC_CAS_DIGEST_FUNCTION {digest_function:?} is none of {}",
                DIGEST_FUNCTIONS.join(", ")
            ));
        }
        Ok(Server {
            execution,
            cas,
            action_cache,
            instances,
            access_token: said.text("ACCESS_TOKEN_PATH").map(PathBuf::from),
            digest_function,
        })
    }

    /// The socket of the daemon for these servers, in a directory of sockets. The name is the same for one build of
    /// farrier only: another build's daemon may speak another language.
    pub(crate) fn socket(&self, directory: &Path) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        (self, env!("CARGO_PKG_VERSION")).hash(&mut hasher);
        directory.join(format!("recc_{:016x}.socket", hasher.finish()))
    }
}

fn text(said: &Said, name: &str) -> Option<String> {
    said.text(name).and_then(|text| text.to_str()).map(str::to_owned)
}

/// Old configurations name a host and a port only.
fn with_scheme(address: String, is_ssl: bool) -> String {
    let has_scheme = ["http://", "https://", "unix:"]
        .iter()
        .any(|scheme| address.starts_with(scheme));
    match (has_scheme, is_ssl) {
        (true, _) => address,
        (false, false) => format!("http://{address}"),
        (false, true) => format!("https://{address}"),
    }
}

/// The arguments of `farrier` for a daemon of these servers: what is as usual is not said. An error names what no daemon
/// does; such commands run here.
pub fn daemon_arguments(server: &Server) -> Result<Vec<OsString>, String> {
    let Server {
        execution,
        cas,
        action_cache,
        instances: [instance, of_cas, of_cache],
        access_token,
        digest_function,
    } = server;
    let not_done = [
        (cas != execution, "RECC_CAS_SERVER is another than RECC_SERVER"),
        (
            action_cache != execution,
            "RECC_ACTION_CACHE_SERVER is another than RECC_SERVER",
        ),
        (
            of_cas != instance,
            "RECC_CAS_INSTANCE is another than RECC_INSTANCE",
        ),
        (
            of_cache != instance,
            "RECC_ACTION_CACHE_INSTANCE is another than RECC_INSTANCE",
        ),
        (
            digest_function != DIGEST_FUNCTION,
            "RECC_CAS_DIGEST_FUNCTION is another than SHA256",
        ),
        (
            execution.starts_with("unix:"),
            "RECC_SERVER is a socket in the file system",
        ),
    ];
    if let Some((_, why)) = not_done.iter().find(|(is_so, _)| *is_so) {
        return Err(format!("no daemon does this: {why}"));
    }
    let mut arguments: Vec<OsString> = ["daemon", "start", "--endpoint", execution]
        .map(OsString::from)
        .into();
    if !instance.is_empty() {
        arguments.extend(["--instance".into(), instance.into()]);
    }
    if let Some(path) = access_token {
        arguments.extend(["--token-file".into(), path.into()]);
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::said::read;

    fn server(variables: &[(&str, &str)]) -> Result<Server, String> {
        let environment: Vec<_> = variables
            .iter()
            .map(|(name, value)| (format!("RECC_{name}").into(), value.into()))
            .collect();
        Server::read(&read(&[], &environment))
    }

    #[test]
    fn addresses_stand_in_for_each_other() {
        let check = |variables: &[(&str, &str)], expected: [&str; 3]| {
            let server = server(variables).unwrap();
            let found = [&server.execution, &server.cas, &server.action_cache];
            assert_eq!(found, expected.each_ref(), "{variables:?}");
        };
        let default = "http://localhost:8085";
        check(&[], [default; 3]);
        check(&[("SERVER", "https://s")], ["https://s"; 3]);
        check(&[("SERVER", "s:1")], ["http://s:1"; 3]);
        check(&[("SERVER", "s:1"), ("SERVER_SSL", "1")], ["https://s:1"; 3]);
        check(&[("SERVER", "unix:/s")], ["unix:/s"; 3]);
        check(&[("CAS_SERVER", "http://c")], [default, "http://c", "http://c"]);
        check(
            &[("ACTION_CACHE_SERVER", "http://a")],
            [default, "http://a", "http://a"],
        );
        check(
            &[("CAS_SERVER", "http://c"), ("ACTION_CACHE_SERVER", "http://a")],
            [default, "http://c", "http://a"],
        );
        check(
            &[("CAS_SERVER", "http://c"), ("CACHE_ONLY", "1")],
            ["http://c"; 3],
        );
        check(
            &[
                ("CAS_SERVER", "http://c"),
                ("ACTION_CACHE_SERVER", "http://a"),
                ("CACHE_ONLY", "1"),
            ],
            ["http://a", "http://c", "http://a"],
        );
    }

    #[test]
    fn instances_stand_in_for_each_other() {
        let check = |variables: &[(&str, &str)], expected: [&str; 3]| {
            let server = server(variables).unwrap();
            assert_eq!(server.instances.each_ref(), expected.each_ref(), "{variables:?}");
        };
        check(&[], ["", "", ""]);
        check(&[("INSTANCE", "i")], ["i", "i", "i"]);
        check(&[("INSTANCE", "i"), ("CAS_INSTANCE", "c")], ["i", "c", "c"]);
        check(
            &[("INSTANCE", "i"), ("ACTION_CACHE_INSTANCE", "a")],
            ["i", "a", "a"],
        );
        check(&[("INSTANCE", "i"), ("CAS_INSTANCE", "")], ["i", "", ""]);
    }

    #[test]
    fn the_daemon_is_told_what_is_not_usual() {
        let check = |variables: &[(&str, &str)], expected: Result<&str, &str>| {
            let arguments = daemon_arguments(&server(variables).unwrap());
            let arguments = arguments.map(|words| {
                let words: Vec<_> = words.iter().map(|word| word.to_str().unwrap()).collect();
                words.join(" ")
            });
            let found = arguments.as_deref().map_err(String::as_str);
            let expected = expected.map_err(|why| format!("no daemon does this: {why}"));
            assert_eq!(
                found,
                expected.as_ref().copied().map_err(String::as_str),
                "{variables:?}"
            );
        };
        check(&[], Ok("daemon start --endpoint http://localhost:8085"));
        check(
            &[
                ("SERVER", "https://s"),
                ("CAS_SERVER", "https://s"),
                ("INSTANCE", "i"),
                ("ACTION_CACHE_INSTANCE", "i"),
                ("ACCESS_TOKEN_PATH", "/t"),
            ],
            Ok("daemon start --endpoint https://s --instance i --token-file /t"),
        );
        check(
            &[("CAS_SERVER", "http://c")],
            Err("RECC_CAS_SERVER is another than RECC_SERVER"),
        );
        check(
            &[
                ("SERVER", "http://s"),
                ("CAS_SERVER", "http://s"),
                ("ACTION_CACHE_SERVER", "http://a"),
            ],
            Err("RECC_ACTION_CACHE_SERVER is another than RECC_SERVER"),
        );
        check(
            &[("CAS_INSTANCE", "c")],
            Err("RECC_CAS_INSTANCE is another than RECC_INSTANCE"),
        );
        check(
            &[("CAS_INSTANCE", ""), ("ACTION_CACHE_INSTANCE", "a")],
            Err("RECC_ACTION_CACHE_INSTANCE is another than RECC_INSTANCE"),
        );
        check(
            &[("CAS_DIGEST_FUNCTION", "SHA1")],
            Err("RECC_CAS_DIGEST_FUNCTION is another than SHA256"),
        );
        check(
            &[("SERVER", "unix:/s")],
            Err("RECC_SERVER is a socket in the file system"),
        );
    }

    #[test]
    fn other_servers_have_other_sockets() {
        let socket = |variables: &[(&str, &str)]| server(variables).unwrap().socket(Path::new("/run"));
        assert_eq!(socket(&[]), socket(&[("SERVER", "localhost:8085")]));
        assert_ne!(socket(&[]), socket(&[("INSTANCE", "i")]));
        assert!(
            server(&[("CAS_DIGEST_FUNCTION", "CRC32")])
                .unwrap_err()
                .contains("CRC32")
        );
    }
}
