//! Every variable of recc, without its `RECC_`.

/// What a variable takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anything.
    Text,
    /// True if it is not empty, even if it says `0`.
    Bool,
    /// Words with commas between them; `\,` is a comma in a word. Each place that names it adds to it.
    Set,
    /// One variable for each key: `REMOTE_PLATFORM_OSFamily=linux`.
    Map,
}

/// Whether a variable does anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does.
    Works,
    /// It is taken and does nothing, for this reason.
    None(&'static str),
}

/// A variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Without `RECC_`.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What it is for, in a line.
    pub meaning: &'static str,
    /// Whether it does anything.
    pub effect: Effect,
}

const fn works(name: &'static str, kind: Kind, meaning: &'static str) -> Variable {
    let effect = Effect::Works;
    Variable {
        name,
        kind,
        meaning,
        effect,
    }
}

const fn idle(name: &'static str, kind: Kind, reason: &'static str) -> Variable {
    let effect = Effect::None(reason);
    Variable {
        name,
        kind,
        meaning: reason,
        effect,
    }
}

const NO_METRICS: &str = "the daemon counts for all commands together";
const NO_NETWORK: &str = "the daemon has its own bounds for calls and retries";
const NO_SCANNER: &str = "the daemon finds inputs itself";

use Kind::{Bool, Map, Set, Text};

/// All of them, as `--help` lists them.
pub const VARIABLES: &[Variable] = &[
    works(
        "SERVER",
        Text,
        "address of the server, as http://localhost:8085, https:// or unix:",
    ),
    works(
        "CAS_SERVER",
        Text,
        "address of the server for contents; ACTION_CACHE_SERVER, or SERVER, if empty",
    ),
    works(
        "ACTION_CACHE_SERVER",
        Text,
        "address of the server for results; CAS_SERVER if empty",
    ),
    works("INSTANCE", Text, "name of the instance"),
    works("CAS_INSTANCE", Text, "the same for contents"),
    works("ACTION_CACHE_INSTANCE", Text, "the same for results"),
    works(
        "SERVER_SSL",
        Bool,
        "deprecated: an address without http:// is https://",
    ),
    works("ACCESS_TOKEN_PATH", Text, "file with a token for the server"),
    idle(
        "SERVER_AUTH_GOOGLEAPI",
        Bool,
        "accounts of Google Cloud are not known here; use a token",
    ),
    works(
        "CACHE_ONLY",
        Bool,
        "nothing runs elsewhere: known results are taken, other commands run here",
    ),
    works("COMPILE_CACHE_ONLY", Bool, "the same for compilations"),
    works("LINK_CACHE_ONLY", Bool, "the same for links; needs LINK"),
    works(
        "CACHE_UPLOAD_LOCAL_BUILD",
        Bool,
        "results of commands that run here are stored",
    ),
    works("CACHE_UPLOAD_FAILED_BUILD", Bool, "failures too"),
    idle(
        "RUNNER_COMMAND",
        Text,
        "commands that run here run as they are, without a BuildBox runner",
    ),
    works("NO_EXECUTE", Bool, "say which action it would be, and stop"),
    works(
        "FORCE_REMOTE",
        Bool,
        "commands that are not understood run elsewhere too",
    ),
    works("LINK", Bool, "links are taken, too"),
    works(
        "LINK_METRICS_ONLY",
        Bool,
        "links run here, and it is counted which results are known; needs CACHE_ONLY",
    ),
    works("SKIP_CACHE", Bool, "known results are not taken"),
    works("ACTION_UNCACHEABLE", Bool, "results are stored by nobody"),
    works("ACTION_SALT", Text, "a part of the name of every action"),
    works("IGNORE_FAILURE_RESULT", Bool, "known failures are not taken"),
    works("DONT_SAVE_OUTPUT", Bool, "outputs are not written"),
    works(
        "VERIFY",
        Bool,
        "commands run here and elsewhere, and what comes out is compared",
    ),
    works(
        "PROJECT_ROOT",
        Text,
        "paths below it become relative; the working directory if empty",
    ),
    works(
        "PREFIX_MAP",
        Text,
        "from=to:from=to…: absolute paths that become others first",
    ),
    works("NO_PATH_REWRITE", Bool, "absolute paths stay absolute"),
    works(
        "WORKING_DIR_PREFIX",
        Text,
        "directories above the working directory elsewhere",
    ),
    works("DEPS_GLOBAL_PATHS", Bool, "system headers are inputs"),
    works("DEPS_OVERRIDE", Set, "exactly these are the inputs"),
    works(
        "DEPS_DIRECTORY_OVERRIDE",
        Text,
        "all of this directory is the input; wins over DEPS_OVERRIDE",
    ),
    works("OUTPUT_FILES_OVERRIDE", Set, "exactly these are the output files"),
    works(
        "OUTPUT_DIRECTORIES_OVERRIDE",
        Set,
        "exactly these are the output directories",
    ),
    works("DEPS_EXCLUDE_PATHS", Set, "nothing below these is an input"),
    works("DEPS_EXTRA_SYMLINKS", Set, "links that are inputs besides"),
    works("DEPS_ENV", Map, "variables for whatever looks for inputs"),
    idle("COMPILATION_DATABASE", Text, NO_SCANNER),
    idle("CLANG_SCAN_DEPS", Text, NO_SCANNER),
    works(
        "PRESERVE_ENV",
        Bool,
        "commands have the whole environment elsewhere, but for RECC_ variables",
    ),
    works(
        "ENV_TO_READ",
        Set,
        "variables that commands have elsewhere besides the usual ones",
    ),
    works(
        "REMOTE_ENV",
        Map,
        "variables that commands have elsewhere, with these values",
    ),
    works("REMOTE_PLATFORM", Map, "properties of the machine to run on"),
    works("COMPILE_REMOTE_PLATFORM", Map, "the same for compilations; wins"),
    works(
        "LINK_REMOTE_PLATFORM",
        Map,
        "the same for links; wins; needs LINK",
    ),
    idle("RETRY_LIMIT", Text, NO_NETWORK),
    idle("RETRY_DELAY", Text, NO_NETWORK),
    idle("REQUEST_TIMEOUT", Text, NO_NETWORK),
    idle("MIN_THROUGHPUT", Text, NO_NETWORK),
    idle("KEEPALIVE_TIME", Text, NO_NETWORK),
    works(
        "CAS_DIGEST_FUNCTION",
        Text,
        "SHA256, SHA1, MD5, SHA384 or SHA512; SHA256 if empty",
    ),
    idle(
        "CAS_GET_CAPABILITIES",
        Bool,
        "the server is always asked what it can do",
    ),
    idle(
        "REAPI_VERSION",
        Text,
        "the server is asked which version it speaks",
    ),
    idle(
        "MAX_THREADS",
        Text,
        "the daemon does it for all commands together",
    ),
    works(
        "CORRELATED_INVOCATIONS_ID",
        Text,
        "name of a group of builds on the server",
    ),
    works(
        "LOG_LEVEL",
        Text,
        "error, or warning, info, debug, trace for more on standard error",
    ),
    works("VERBOSE", Bool, "as LOG_LEVEL=debug"),
    idle("LOG_DIRECTORY", Text, "the daemon has one log for all commands"),
    idle("ENABLE_METRICS", Bool, NO_METRICS),
    idle("METRICS_FILE", Text, NO_METRICS),
    idle("METRICS_UDP_SERVER", Text, NO_METRICS),
    idle("METRICS_TAG", Map, NO_METRICS),
    idle("STATSD_FORMAT", Text, NO_METRICS),
    idle("COMPILATION_METADATA_UDP_PORT", Text, NO_METRICS),
    idle("AUTH_UNCONFIGURED_MSG", Text, "nobody is told about accounts"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_no_map_hides_another() {
        let names: BTreeSet<_> = VARIABLES.iter().map(|variable| variable.name).collect();
        assert_eq!(names.len(), VARIABLES.len());
        for map in VARIABLES.iter().filter(|variable| variable.kind == Map) {
            let prefix = format!("{}_", map.name);
            assert!(names.iter().all(|name| !name.starts_with(&prefix)), "{prefix}");
        }
    }
}
