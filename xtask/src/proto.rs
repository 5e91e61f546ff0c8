//! Rust code from the `.proto` files under `proto/`.
//!
//! The result is committed, so that building farrier needs no protocol compiler and a change of the protocol shows
//! in review. [`check`] keeps the committed files honest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use prost::Message as _;
use prost_types::FileDescriptorSet;

/// One crate of generated code.
struct Target {
    /// Where its files go, from the workspace root. Nothing else may be in there.
    folder: &'static str,
    /// What it is generated from, below `proto/`.
    sources: &'static [&'static str],
    /// The packages it holds: one Rust file each.
    packages: &'static [&'static str],
    /// Packages it refers to in other crates.
    extern_paths: &'static [(&'static str, &'static str)],
    /// Whether its descriptors are kept too: what a server speaks is told by reflection.
    is_spoken: bool,
}

const TARGETS: &[Target] = &[
    Target {
        folder: "crates/protocol/reapi/src/generated",
        sources: &[
            "build/bazel/remote/asset/v1/remote_asset.proto",
            "build/bazel/remote/execution/v2/remote_execution.proto",
            "build/bazel/remote/logstream/v1/remote_logstream.proto",
            "build/bazel/semver/semver.proto",
            "google/bytestream/bytestream.proto",
            "google/devtools/build/v1/build_events.proto",
            "google/devtools/build/v1/build_status.proto",
            "google/devtools/build/v1/publish_build_event.proto",
            "google/longrunning/operations.proto",
            "google/rpc/code.proto",
            "google/rpc/error_details.proto",
            "google/rpc/status.proto",
        ],
        packages: &[
            "build.bazel.remote.asset.v1",
            "build.bazel.remote.execution.v2",
            "build.bazel.remote.logstream.v1",
            "build.bazel.semver",
            "google.bytestream",
            "google.devtools.build.v1",
            "google.longrunning",
            "google.rpc",
        ],
        extern_paths: &[],
        is_spoken: true,
    },
    Target {
        folder: "crates/execution/worker-api/src/generated",
        sources: &["farrier/worker/v1/worker.proto"],
        packages: &["farrier.worker.v1"],
        extern_paths: &[
            (".build.bazel", "::reapi::build::bazel"),
            (".google.longrunning", "::reapi::google::longrunning"),
            (".google.rpc", "::reapi::google::rpc"),
        ],
        is_spoken: true,
    },
    Target {
        folder: "crates/execution/journal/src/generated",
        sources: &["farrier/journal/v1/journal.proto"],
        packages: &["farrier.journal.v1"],
        extern_paths: &[
            (".build.bazel", "::reapi::build::bazel"),
            (".farrier.worker.v1", "::worker_api::v1"),
            (".google.longrunning", "::reapi::google::longrunning"),
            (".google.rpc", "::reapi::google::rpc"),
        ],
        is_spoken: false,
    },
    Target {
        folder: "crates/server/admin-api/src/generated",
        sources: &["farrier/admin/v1/queue.proto", "farrier/admin/v1/storage.proto"],
        packages: &["farrier.admin.v1"],
        extern_paths: &[],
        is_spoken: true,
    },
    Target {
        folder: "crates/client/reclient-api/src/generated",
        sources: &[
            "reclient/command.proto",
            "reclient/log.proto",
            "reclient/proxy.proto",
            "reclient/scandeps.proto",
            "reclient/stat.proto",
            "reclient/stats.proto",
        ],
        packages: &["cmd", "log", "proxy", "scandeps", "stats"],
        extern_paths: &[],
        is_spoken: true,
    },
];

/// The fields that hold content, and so share the receive buffer instead of copying it. Only these: a small field
/// sharing a buffer of megabytes would keep all of it alive.
const BYTES_FIELDS: &[&str] = &[
    ".google.bytestream.ReadResponse.data",
    ".google.bytestream.WriteRequest.data",
    ".build.bazel.remote.execution.v2.BatchUpdateBlobsRequest.Request.data",
    ".build.bazel.remote.execution.v2.BatchReadBlobsResponse.Response.data",
    ".build.bazel.remote.execution.v2.OutputFile.contents",
    ".build.bazel.remote.execution.v2.ActionResult.stdout_raw",
    ".build.bazel.remote.execution.v2.ActionResult.stderr_raw",
];

/// The file in each folder that holds its encoded `FileDescriptorSet`.
const DESCRIPTORS: &str = "descriptors.bin";

/// Generated files: path from the workspace root, and content.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Brings the committed code up to date.
pub(crate) fn write() -> Result<()> {
    let root = workspace_root()?;
    let files = generate(&root)?;
    for difference in differences(&root, &files)? {
        let path = root.join(difference.path());
        match &difference {
            Difference::Superfluous(_) => {
                std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
                println!("removed {}", difference.path().display());
            }
            Difference::Missing(name) | Difference::Changed(name) => {
                let folder = path.parent().context("a generated file has no folder")?;
                std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
                std::fs::write(&path, &files[name]).with_context(|| format!("writing {}", path.display()))?;
                println!("wrote {}", name.display());
            }
        }
    }
    Ok(())
}

/// Fails, naming the files, if the committed code is not what [`write()`] would write.
pub(crate) fn check() -> Result<()> {
    let root = workspace_root()?;
    let files = generate(&root)?;
    let differences = differences(&root, &files)?;
    if differences.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = differences
        .iter()
        .map(|difference| format!("  {difference}"))
        .collect();
    bail!(
        "generated code differs from what proto/ says; run `cargo xtask proto`:\n{}",
        lines.join("\n")
    )
}

fn workspace_root() -> Result<PathBuf> {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(xtask
        .parent()
        .context("xtask has no parent folder")?
        .to_path_buf())
}

fn generate(root: &Path) -> Result<Files> {
    for source in proto_files(&root.join("proto"))? {
        let known = TARGETS
            .iter()
            .any(|target| target.sources.iter().any(|known| Path::new(known) == source));
        ensure!(
            known,
            "proto/{}: no target in xtask/src/proto.rs generates code from it",
            source.display()
        );
    }
    let mut files = Files::new();
    for target in TARGETS {
        generate_target(root, target, &mut files)
            .with_context(|| format!("generating the code of {}", target.folder))?;
    }
    Ok(files)
}

fn generate_target(root: &Path, target: &Target, files: &mut Files) -> Result<()> {
    let descriptors = compile(&root.join("proto"), target.sources)?;
    let out = tempfile::tempdir().context("creating a temporary folder")?;
    let mut config = prost_build::Config::new();
    // Maps in key order, so that one message has one encoding; names, so that messages can be packed into `Any`.
    config.bytes(BYTES_FIELDS).btree_map(["."]).enable_type_names();
    config.type_name_domain(["."], "type.googleapis.com");
    for (package, path) in target.extern_paths {
        config.extern_path(*package, *path);
    }
    tonic_prost_build::configure()
        .build_transport(false)
        .emit_rerun_if_changed(false)
        .out_dir(out.path())
        .compile_fds_with_config(descriptors.clone(), config)?;

    for package in target.packages {
        let name = format!("{package}.rs");
        let code = std::fs::read(out.path().join(&name))
            .with_context(|| format!("no code came out for {package}"))?;
        files.insert(Path::new(target.folder).join(name), code);
    }
    if target.is_spoken {
        files.insert(
            Path::new(target.folder).join(DESCRIPTORS),
            without_comments(descriptors).encode_to_vec(),
        );
    }
    Ok(())
}

/// All `.proto` files below `folder`, relative to it.
fn proto_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut pending = vec![folder.to_path_buf()];
    while let Some(next) = pending.pop() {
        for entry in std::fs::read_dir(&next).with_context(|| format!("listing {}", next.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "proto") {
                found.push(
                    path.strip_prefix(folder)
                        .context("listed outside of its folder")?
                        .to_path_buf(),
                );
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The sources and everything they import.
fn compile(proto: &Path, sources: &[&str]) -> Result<FileDescriptorSet> {
    let mut compiler = protox::Compiler::new([proto]).context("opening the folder of .proto files")?;
    compiler.include_imports(true).include_source_info(true);
    for source in sources {
        compiler
            .open_file(source)
            .with_context(|| format!("compiling {source}"))?;
    }
    Ok(compiler.file_descriptor_set())
}

/// Reflection needs no comments, and they would be most of the size.
fn without_comments(mut descriptors: FileDescriptorSet) -> FileDescriptorSet {
    for file in &mut descriptors.file {
        file.source_code_info = None;
    }
    descriptors
}

/// How the working copy departs from what should be there. Paths from the workspace root.
#[derive(Debug, PartialEq, Eq)]
enum Difference {
    Missing(PathBuf),
    Changed(PathBuf),
    /// A file that nothing generates any more.
    Superfluous(PathBuf),
}

impl Difference {
    fn path(&self) -> &Path {
        match self {
            Self::Missing(path) | Self::Changed(path) | Self::Superfluous(path) => path,
        }
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.path().display();
        match self {
            Self::Missing(_) => write!(f, "{path}: missing"),
            Self::Changed(_) => write!(f, "{path}: changed"),
            Self::Superfluous(_) => write!(f, "{path}: nothing generates this"),
        }
    }
}

/// Compares the folders that `files` are in with `files`.
fn differences(root: &Path, files: &Files) -> Result<Vec<Difference>> {
    let mut differences = Vec::new();
    for (name, wanted) in files {
        match std::fs::read(root.join(name)) {
            Ok(found) if found == *wanted => {}
            Ok(_) => differences.push(Difference::Changed(name.clone())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                differences.push(Difference::Missing(name.clone()));
            }
            Err(error) => return Err(error).with_context(|| format!("reading {}", name.display())),
        }
    }
    let folders: BTreeSet<&Path> = files.keys().filter_map(|name| name.parent()).collect();
    for folder in folders {
        let entries = match std::fs::read_dir(root.join(folder)) {
            Ok(entries) => entries,
            // Its files are reported as missing already.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| format!("listing {}", folder.display())),
        };
        for entry in entries {
            let name = folder.join(entry?.file_name());
            if !files.contains_key(&name) {
                differences.push(Difference::Superfluous(name));
            }
        }
    }
    Ok(differences)
}

#[cfg(test)]
mod tests;
