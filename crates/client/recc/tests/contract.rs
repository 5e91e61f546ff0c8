//! Every variable of recc, as its own documentation has it: a row for each, with what it changes.

use std::ffi::OsString;
use std::path::Path;

use recc::{Effect, NoPlan, Plan, Surroundings, VARIABLES, daemon_arguments, plan, read};
use settings::Settings;

/// What a variable changes.
#[derive(Debug)]
enum Changes {
    /// These settings of the command, and nothing else.
    Settings(&'static [&'static str]),
    /// Only which daemon it is for: its arguments have this among them, or there is none for this reason.
    Daemon(&'static str),
    /// Only what recc says.
    Talk,
    /// Nothing; whoever asks for what recc says is told so.
    Nothing,
}
use Changes::{Daemon, Nothing, Talk};

const fn settings(names: &'static [&'static str]) -> Changes {
    Changes::Settings(names)
}

/// Variables that another one needs.
type With = &'static [(&'static str, &'static str)];
const ALONE: With = &[];
const WITH_LINK: With = &[("LINK", "1")];
const WITH_CACHE_ONLY: With = &[("CACHE_ONLY", "1")];

/// Name, value, what else has to be set, what changes.
const ROWS: &[(&str, &str, With, Changes)] = &[
    ("SERVER", "https://s", ALONE, Daemon("--endpoint https://s")),
    (
        "CAS_SERVER",
        "http://c",
        ALONE,
        Daemon("RECC_CAS_SERVER is another"),
    ),
    (
        "ACTION_CACHE_SERVER",
        "http://a",
        &[("SERVER", "http://c"), ("CAS_SERVER", "http://c")],
        Daemon("RECC_ACTION_CACHE_SERVER is another"),
    ),
    ("INSTANCE", "i", ALONE, Daemon("--instance i")),
    ("CAS_INSTANCE", "i", ALONE, Daemon("RECC_CAS_INSTANCE is another")),
    (
        "ACTION_CACHE_INSTANCE",
        "i",
        &[("CAS_INSTANCE", "")],
        Daemon("RECC_ACTION_CACHE_INSTANCE is another"),
    ),
    (
        "SERVER_SSL",
        "1",
        &[("SERVER", "s:1")],
        Daemon("--endpoint https://s:1"),
    ),
    ("SERVER_AUTH_GOOGLEAPI", "1", ALONE, Nothing),
    ("ACCESS_TOKEN_PATH", "/t", ALONE, Daemon("--token-file /t")),
    ("CACHE_ONLY", "1", ALONE, settings(&["strategy"])),
    (
        "CACHE_UPLOAD_LOCAL_BUILD",
        "1",
        ALONE,
        settings(&["update_cache"]),
    ),
    (
        "CACHE_UPLOAD_FAILED_BUILD",
        "1",
        ALONE,
        settings(&["store_failures"]),
    ),
    ("RUNNER_COMMAND", "runner", ALONE, Nothing),
    ("COMPILE_CACHE_ONLY", "1", ALONE, settings(&["cache_only"])),
    ("LINK_CACHE_ONLY", "1", WITH_LINK, settings(&["cache_only"])),
    ("NO_EXECUTE", "1", ALONE, settings(&["no_execute"])),
    ("FORCE_REMOTE", "1", ALONE, settings(&["force_remote"])),
    ("LINK", "1", ALONE, settings(&["handle_links"])),
    (
        "LINK_METRICS_ONLY",
        "1",
        WITH_CACHE_ONLY,
        settings(&["count_link_hits"]),
    ),
    ("SKIP_CACHE", "1", ALONE, settings(&["accept_cache"])),
    ("ACTION_UNCACHEABLE", "1", ALONE, settings(&["uncacheable"])),
    ("ACTION_SALT", "x", ALONE, settings(&["salt"])),
    (
        "IGNORE_FAILURE_RESULT",
        "1",
        ALONE,
        settings(&["ignore_failures"]),
    ),
    ("DONT_SAVE_OUTPUT", "1", ALONE, settings(&["download_outputs"])),
    (
        "VERIFY",
        "1",
        ALONE,
        settings(&["compare", "local_reruns", "remote_reruns"]),
    ),
    ("PROJECT_ROOT", "/home", ALONE, settings(&["project_root"])),
    ("PREFIX_MAP", "/a=/b", ALONE, settings(&["prefix_map"])),
    ("NO_PATH_REWRITE", "1", ALONE, settings(&["keep_absolute_paths"])),
    (
        "WORKING_DIR_PREFIX",
        "w",
        ALONE,
        settings(&["working_dir_prefix"]),
    ),
    ("DEPS_GLOBAL_PATHS", "1", ALONE, settings(&["global_inputs"])),
    ("DEPS_OVERRIDE", "a.c", ALONE, settings(&["inputs_override"])),
    (
        "DEPS_DIRECTORY_OVERRIDE",
        "d",
        ALONE,
        settings(&["inputs_directory_override"]),
    ),
    (
        "OUTPUT_FILES_OVERRIDE",
        "a.o",
        ALONE,
        settings(&["output_files_override"]),
    ),
    (
        "OUTPUT_DIRECTORIES_OVERRIDE",
        "o",
        ALONE,
        settings(&["output_directories_override"]),
    ),
    (
        "DEPS_EXCLUDE_PATHS",
        "/usr",
        ALONE,
        settings(&["deps_exclude_paths"]),
    ),
    ("DEPS_EXTRA_SYMLINKS", "l", ALONE, settings(&["extra_symlinks"])),
    ("DEPS_ENV_A", "b", ALONE, settings(&["env_scan"])),
    ("COMPILATION_DATABASE", "compile_commands.json", ALONE, Nothing),
    ("CLANG_SCAN_DEPS", "clang-scan-deps", ALONE, Nothing),
    ("PRESERVE_ENV", "1", ALONE, settings(&["env_allow"])),
    ("ENV_TO_READ", "HOME", ALONE, settings(&["env_allow"])),
    ("REMOTE_ENV_A", "b", ALONE, settings(&["env_set"])),
    (
        "REMOTE_PLATFORM_OSFamily",
        "linux",
        ALONE,
        settings(&["platform"]),
    ),
    (
        "COMPILE_REMOTE_PLATFORM_a",
        "b",
        ALONE,
        settings(&["platform_compile"]),
    ),
    (
        "LINK_REMOTE_PLATFORM_a",
        "b",
        WITH_LINK,
        settings(&["platform_link"]),
    ),
    ("RETRY_LIMIT", "3", ALONE, Nothing),
    ("RETRY_DELAY", "1000", ALONE, Nothing),
    ("REQUEST_TIMEOUT", "5", ALONE, Nothing),
    ("MIN_THROUGHPUT", "5", ALONE, Nothing),
    ("KEEPALIVE_TIME", "5", ALONE, Nothing),
    (
        "CAS_DIGEST_FUNCTION",
        "SHA1",
        ALONE,
        Daemon("RECC_CAS_DIGEST_FUNCTION is another"),
    ),
    ("CAS_GET_CAPABILITIES", "1", ALONE, Nothing),
    ("REAPI_VERSION", "2.2", ALONE, Nothing),
    ("MAX_THREADS", "4", ALONE, Nothing),
    (
        "CORRELATED_INVOCATIONS_ID",
        "c",
        ALONE,
        settings(&["correlated_invocations_id"]),
    ),
    ("LOG_LEVEL", "debug", ALONE, Talk),
    ("VERBOSE", "1", ALONE, Talk),
    ("LOG_DIRECTORY", "/l", ALONE, Nothing),
    ("ENABLE_METRICS", "1", ALONE, Nothing),
    ("METRICS_FILE", "f", ALONE, Nothing),
    ("METRICS_UDP_SERVER", "h:1", ALONE, Nothing),
    ("METRICS_TAG_a", "b", ALONE, Nothing),
    ("STATSD_FORMAT", "graphite", ALONE, Nothing),
    ("COMPILATION_METADATA_UDP_PORT", "1", ALONE, Nothing),
    ("AUTH_UNCONFIGURED_MSG", "x", ALONE, Nothing),
];

fn planned(variables: &[(&str, &str)]) -> Result<Plan, NoPlan> {
    let environment: Vec<(OsString, OsString)> = variables
        .iter()
        .map(|(name, value)| (format!("RECC_{name}").into(), value.into()))
        .chain([("HOME".into(), "/home/me".into())])
        .collect();
    let surroundings = Surroundings {
        directory: Path::new("/home/me/build"),
        environment: &environment,
    };
    plan(&read(&[], &environment), &surroundings)
}

fn arguments(plan: &Plan) -> String {
    match daemon_arguments(&plan.server) {
        Ok(words) => {
            let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
            words.join(" ")
        }
        Err(why) => why,
    }
}

/// The settings in which two differ.
fn changed(a: &Settings, b: &Settings) -> Vec<&'static str> {
    let values = |settings: &Settings, wanted: &str| {
        let pairs = settings.to_pairs().into_iter();
        pairs.filter(|(name, _)| *name == *wanted).collect::<Vec<_>>()
    };
    let names = Settings::NAMES.iter().copied();
    names.filter(|name| values(a, name) != values(b, name)).collect()
}

#[test]
fn every_variable_changes_what_it_says() -> Result<(), NoPlan> {
    for (name, value, with, changes) in ROWS {
        let without = planned(with)?;
        let variables: Vec<_> = with.iter().copied().chain([(*name, *value)]).collect();
        let plan = planned(&variables)?;
        let of_command = match changes {
            Changes::Settings(names) => names,
            _ => &[][..],
        };
        let mut expected = of_command.to_vec();
        expected.sort_by_key(|name| Settings::NAMES.iter().position(|known| known == name));
        assert_eq!(changed(&without.settings, &plan.settings), expected, "{name}");
        match changes {
            Daemon(argument) => assert!(
                arguments(&plan).contains(argument),
                "{name}: {}",
                arguments(&plan)
            ),
            _ => assert_eq!(plan.server, without.server, "{name}"),
        }
        assert_eq!(plan.is_talkative, matches!(changes, Talk), "{name}");
        let is_told = plan.warnings.iter().any(|line| line.contains("has no effect"));
        assert_eq!(is_told, matches!(changes, Nothing), "{name}: {:?}", plan.warnings);
    }
    Ok(())
}

/// No variable without a row, and none that is said to work and does not, or the other way round.
#[test]
fn every_variable_has_its_row() {
    for variable in VARIABLES {
        let row = ROWS.iter().find(|(name, ..)| {
            let rest = name.strip_prefix(variable.name);
            rest.is_some_and(|rest| {
                rest.is_empty() || (rest.starts_with('_') && variable.kind == recc::Kind::Map)
            })
        });
        let is_idle = row.map(|(.., changes)| matches!(changes, Nothing));
        let expected = matches!(variable.effect, Effect::None(_));
        assert_eq!(is_idle, Some(expected), "{}", variable.name);
    }
}
