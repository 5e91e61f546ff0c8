//! Which crate may use which: downwards only (ARCHITECTURE.md, "Direction of dependencies").

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Every crate of ours with the crates of ours it may use. A new edge is a decision: change this table in the same
/// commit, and say why.
const MAY_USE: &[(&str, &[&str])] = &[
    ("reapi", &[]),
    ("compression", &[]),
    ("chunking", &[]),
    ("blob", &["reapi"]),
    ("merkle", &["blob", "reapi"]),
    ("image", &["merkle", "compression", "blob"]),
    ("action", &["merkle", "blob", "reapi"]),
    ("cas", &["blob", "merkle"]),
    ("action-cache", &["cas", "action", "merkle", "blob", "reapi"]),
    ("cas-disk", &["action-cache", "cas", "action", "blob", "reapi"]),
    (
        "cas-remote",
        &[
            "action-cache",
            "cas",
            "action",
            "blob",
            "compression",
            "chunking",
            "reapi",
            "tasks",
        ],
    ),
    (
        "cas-object",
        &["action-cache", "cas", "action", "blob", "reapi", "tasks"],
    ),
    ("scheduler", &["action", "blob", "reapi"]),
    // Only its tests and its example are of use: the scheduler among simulated workers and clients.
    ("simulation", &["scheduler", "action", "blob", "reapi"]),
    ("worker-api", &["reapi"]),
    ("journal", &["scheduler", "worker-api", "action", "blob", "reapi"]),
    ("runner-api", &[]),
    ("observation", &[]),
    ("runner", &["runner-api", "observation"]),
    ("lazy-root", &["merkle", "blob", "tasks"]),
    (
        "worker",
        &[
            "lazy-root",
            "worker-api",
            "runner-api",
            "action-cache",
            "cas",
            "image",
            "action",
            "merkle",
            "blob",
            "reapi",
            "tasks",
            // What it announces of its machine, and looks at again with each action that relies on it.
            "host-tools",
        ],
    ),
    (
        "services",
        &[
            // Words only: what it says about operations that wait.
            "admin-api",
            "journal",
            "scheduler",
            "worker-api",
            "action-cache",
            "cas",
            "action",
            "merkle",
            "blob",
            "compression",
            "chunking",
            "reapi",
            "tasks",
            // Who is at the other end, and how he becomes somebody.
            "trust",
        ],
    ),
    ("include-scanner", &[]),
    ("source-view", &["include-scanner"]),
    ("toolchain", &["include-scanner"]),
    // A check against real compilers: nothing uses it.
    ("scan-check", &["include-scanner", "source-view", "toolchain"]),
    ("daemon-api", &[]),
    ("wrapper", &["daemon-api"]),
    ("file-digests", &["blob"]),
    ("step-memory", &["file-digests", "blob"]),
    ("remote-action", &["action", "blob", "cas", "cas-remote", "reapi"]),
    (
        "daemon",
        &[
            "settings",
            "daemon-api",
            "compiler",
            "include-scanner",
            "source-view",
            "toolchain",
            "file-digests",
            "step-memory",
            "observation",
            // Words only: what a worker says it has seen.
            "worker-api",
            "remote-action",
            "host-tools",
            "action-cache",
            "action",
            "blob",
            "merkle",
            "cas",
            "cas-disk",
            "cas-remote",
            "reapi",
            "tasks",
        ],
    ),
    ("admin-api", &[]),
    ("daemon-api", &[]),
    ("wrapper", &["daemon-api"]),
    ("recipe-shell", &["wrapper"]),
    // What a front end asks of the daemon: words only.
    ("settings", &[]),
    ("reclient-api", &[]),
    ("daemon-start", &[]),
    ("reclient", &["reclient-api", "settings", "wrapper", "daemon-api"]),
    (
        "reproxy",
        &[
            "reclient",
            "reclient-api",
            "daemon-start",
            "settings",
            "daemon-api",
        ],
    ),
    ("recc", &["daemon-start", "settings", "wrapper", "daemon-api"]),
    ("compiler", &[]),
    ("tasks", &[]),
    ("host-tools", &[]),
    ("trust", &[]),
];

/// Crates that run in a simulation and a fuzzer at full speed, and what they therefore never use.
const PURE: [&str; 14] = [
    "reapi",
    "compression",
    "chunking",
    "blob",
    "merkle",
    "image",
    "action",
    "scheduler",
    "worker-api",
    "runner-api",
    "admin-api",
    "compiler",
    "include-scanner",
    "daemon-api",
];
const IMPURE: [&str; 6] = ["tokio", "tokio-util", "hyper", "rustix", "libc", "rand"];

/// Programs and chores may use anything of ours.
const FREE: [&str; 5] = ["farrier", "dialects", "xtask", "e2e", "bench"];

/// Names of drawers that never stay small.
const DRAWERS: [&str; 5] = ["util", "utils", "common", "helpers", "core"];

pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let packages = packages(root)?;
    let ours: BTreeSet<&str> = packages.keys().map(String::as_str).collect();
    let table: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut complaints = Vec::new();
    for (package, dependencies) in &packages {
        if DRAWERS.contains(&package.as_str()) {
            complaints.push(format!("crate `{package}`: name it after what it holds"));
        }
        if FREE.contains(&package.as_str()) {
            continue;
        }
        let Some(allowed) = table.get(package.as_str()) else {
            complaints.push(format!(
                "crate `{package}` has no row in xtask/src/tidy/layers.rs"
            ));
            continue;
        };
        for dependency in dependencies
            .iter()
            .filter(|dependency| ours.contains(dependency.name.as_str()))
        {
            if !allowed.contains(&dependency.name.as_str()) {
                complaints.push(format!(
                    "crate `{package}` may not use `{}` (see layers.rs)",
                    dependency.name
                ));
            }
        }
        if PURE.contains(&package.as_str()) {
            let impure = dependencies
                .iter()
                .filter(|dependency| !dependency.optional && IMPURE.contains(&dependency.name.as_str()));
            for dependency in impure {
                complaints.push(format!(
                    "crate `{package}` is pure and may not use `{}`",
                    dependency.name
                ));
            }
        }
    }
    Ok(complaints)
}

struct Dependency {
    name: String,
    optional: bool,
}

/// Workspace packages with their normal dependencies.
fn packages(root: &Path) -> Result<BTreeMap<String, Vec<Dependency>>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root)
        .output()
        .context("cannot run cargo metadata")?;
    ensure!(
        output.status.success(),
        "cargo metadata failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata is not JSON")?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut packages = BTreeMap::new();
    for package in list(&metadata["packages"]) {
        let dependencies = list(&package["dependencies"])
            .iter()
            .filter(|dependency| dependency["kind"].is_null())
            .map(|dependency| Dependency {
                name: text(&dependency["name"]),
                optional: dependency["optional"].as_bool().unwrap_or(false),
            })
            .collect();
        packages.insert(text(&package["name"]), dependencies);
    }
    ensure!(!packages.is_empty(), "cargo metadata lists no package");
    Ok(packages)
}
