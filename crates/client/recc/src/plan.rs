//! What the variables come to.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use settings::{Dialect, Kind, Settings, Strategy};

use crate::environment;
use crate::paths::normalized;
use crate::said::Said;
use crate::server::Server;
use crate::variables::{Effect, Kind as VariableKind, VARIABLES};

/// Where recc was called.
pub struct Surroundings<'a> {
    /// The working directory.
    pub directory: &'a Path,
    /// All of the environment.
    pub environment: &'a [(OsString, OsString)],
}

/// For one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// For the daemon.
    pub settings: Settings,
    /// What the daemon is for.
    pub server: Server,
    /// What somebody should know who reads logs: variables without effect, values that mean something else than they seem
    /// to.
    pub warnings: Vec<String>,
    /// Whether warnings are shown.
    pub is_talkative: bool,
}

/// The variables contradict each other.
#[derive(Debug, PartialEq, Eq)]
pub struct NoPlan {
    why: String,
}

impl fmt::Display for NoPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for NoPlan {}

/// Makes the plan.
pub fn plan(said: &Said, surroundings: &Surroundings<'_>) -> Result<Plan, NoPlan> {
    let because = |why: &str| NoPlan { why: why.to_owned() };
    if said.bool("LINK_METRICS_ONLY") && said.bool("LINK") {
        return Err(because("RECC_LINK and RECC_LINK_METRICS_ONLY exclude each other"));
    }
    if said.bool("LINK_METRICS_ONLY") && !said.bool("CACHE_ONLY") {
        return Err(because("RECC_LINK_METRICS_ONLY needs RECC_CACHE_ONLY"));
    }
    let is_about_links = said.bool("LINK_CACHE_ONLY") || said.map("LINK_REMOTE_PLATFORM").next().is_some();
    if is_about_links && !said.bool("LINK") {
        return Err(because(
            "RECC_LINK_CACHE_ONLY and RECC_LINK_REMOTE_PLATFORM need RECC_LINK",
        ));
    }
    let server = Server::read(said).map_err(|why| NoPlan { why })?;
    let mut warnings = warnings(said);
    let settings = settings(said, surroundings, &mut warnings);
    let level = said.text("LOG_LEVEL").map(OsStr::to_ascii_lowercase);
    let talkative = ["warning", "info", "debug", "trace"];
    let is_talkative =
        said.bool("VERBOSE") || level.is_some_and(|level| talkative.iter().any(|word| level == *word));
    Ok(Plan {
        settings,
        server,
        warnings,
        is_talkative,
    })
}

fn settings(said: &Said, surroundings: &Surroundings<'_>, warnings: &mut Vec<String>) -> Settings {
    let Surroundings {
        directory,
        environment,
    } = surroundings;
    let verify = said.bool("VERIFY");
    let kinds = [
        ("COMPILE_CACHE_ONLY", Kind::Compile),
        ("LINK_CACHE_ONLY", Kind::Link),
    ];
    let cache_only = kinds.iter().filter(|(name, _)| said.bool(name));
    let path = |name: &str| said.text(name).map(PathBuf::from);
    let text = |name: &str| said.text(name).map(|text| text.to_string_lossy().into_owned());
    let paths = |name: &str| said.set(name).map(PathBuf::from).collect::<Vec<_>>();
    let some_paths = |name: &str| Some(paths(name)).filter(|paths| !paths.is_empty());
    let pairs = |name: &str| {
        let map = said.map(name);
        map.map(|(key, value)| (key.into(), value.clone())).collect()
    };
    let project_root = path("PROJECT_ROOT").map_or(directory.to_path_buf(), |root| directory.join(root));
    Settings {
        dialect: Dialect::Recc,
        correlated_invocations_id: text("CORRELATED_INVOCATIONS_ID"),
        project_root: Some(normalized(&project_root)),
        prefix_map: said
            .text("PREFIX_MAP")
            .map(|map| prefix_map(map, warnings))
            .unwrap_or_default(),
        working_dir_prefix: path("WORKING_DIR_PREFIX"),
        keep_absolute_paths: said.bool("NO_PATH_REWRITE"),
        strategy: Some(match said.bool("CACHE_ONLY") {
            true => Strategy::Local,
            false => Strategy::Remote,
        }),
        cache_only: cache_only.map(|(_, kind)| *kind).collect(),
        force_remote: said.bool("FORCE_REMOTE"),
        handle_links: Some(said.bool("LINK")),
        count_link_hits: said.bool("LINK_METRICS_ONLY"),
        no_execute: said.bool("NO_EXECUTE"),
        platform: properties(said, "REMOTE_PLATFORM"),
        platform_compile: properties(said, "COMPILE_REMOTE_PLATFORM"),
        platform_link: properties(said, "LINK_REMOTE_PLATFORM"),
        salt: text("ACTION_SALT"),
        env_allow: Some(environment::allowed(said, environment)),
        env_set: pairs("REMOTE_ENV"),
        env_scan: pairs("DEPS_ENV"),
        global_inputs: said.bool("DEPS_GLOBAL_PATHS"),
        inputs_override: some_paths("DEPS_OVERRIDE"),
        inputs_directory_override: path("DEPS_DIRECTORY_OVERRIDE"),
        output_files_override: some_paths("OUTPUT_FILES_OVERRIDE"),
        output_directories_override: some_paths("OUTPUT_DIRECTORIES_OVERRIDE"),
        deps_exclude_paths: paths("DEPS_EXCLUDE_PATHS"),
        extra_symlinks: paths("DEPS_EXTRA_SYMLINKS"),
        accept_cache: Some(!said.bool("SKIP_CACHE")),
        ignore_failures: said.bool("IGNORE_FAILURE_RESULT"),
        update_cache: Some(said.bool("CACHE_UPLOAD_LOCAL_BUILD")),
        store_failures: said.bool("CACHE_UPLOAD_FAILED_BUILD"),
        uncacheable: said.bool("ACTION_UNCACHEABLE"),
        download_outputs: Some(!said.bool("DONT_SAVE_OUTPUT")),
        compare: verify,
        local_reruns: verify.into(),
        remote_reruns: verify.into(),
        ..Settings::default()
    }
}

fn properties(said: &Said, name: &str) -> BTreeMap<String, String> {
    said.map(name)
        .map(|(key, value)| (key.clone(), value.to_string_lossy().into_owned()))
        .collect()
}

/// `from=to:from=to`: only absolute paths; what is something else is passed over, with a warning.
fn prefix_map(text: &OsStr, warnings: &mut Vec<String>) -> Vec<(PathBuf, PathBuf)> {
    let mut pairs = Vec::new();
    let parts = text.as_bytes().split(|byte| *byte == b':');
    for part in parts.filter(|part| !part.is_empty()) {
        let path = |bytes: &[u8]| normalized(Path::new(OsStr::from_bytes(bytes)));
        let pair = part.iter().position(|byte| *byte == b'=');
        let pair = pair.map(|at| (path(&part[..at]), path(&part[at + 1..])));
        match pair {
            Some((from, to)) if from.is_absolute() && to.is_absolute() => pairs.push((from, to)),
            _ => warnings.push(format!(
                "RECC_PREFIX_MAP: {:?} is not two absolute paths with = between them",
                String::from_utf8_lossy(part)
            )),
        }
    }
    pairs
}

fn warnings(said: &Said) -> Vec<String> {
    let mut warnings = Vec::new();
    for variable in VARIABLES.iter().filter(|variable| said.is_said(variable.name)) {
        if let Effect::None(reason) = variable.effect {
            warnings.push(format!("RECC_{} has no effect: {reason}", variable.name));
        }
        let looks_false = ["0", "false", "no", "off"];
        let text = said.text(variable.name).unwrap_or_default();
        if variable.kind == VariableKind::Bool
            && looks_false.iter().any(|word| text.eq_ignore_ascii_case(word))
        {
            warnings.push(format!(
                "RECC_{}={} is true, as everything is that is not empty",
                variable.name,
                text.display()
            ));
        }
    }
    let is_relative = |text: &OsStr| !text.as_bytes().starts_with(b"/");
    if said.text("PROJECT_ROOT").is_some_and(is_relative) {
        warnings.push("RECC_PROJECT_ROOT is relative: it starts at the working directory".to_owned());
    }
    warnings
}

#[cfg(test)]
mod tests;
