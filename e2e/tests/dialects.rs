//! Builds that are set up for reclient or recc, against farrier, with a server and a worker that are really there.

use std::fs;

use anyhow::{Result, ensure};
use e2e::dialects::User;
use e2e::farrier::Farrier;
use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};

#[test]
fn a_build_for_reclient_runs_from_bootstrap_to_its_metrics() -> Result<()> {
    let farrier = Farrier::start()?;
    let user = User::of_reclient(farrier.address())?;
    let said = user.succeeds(&["bootstrap"])?;
    ensure!(said.contains("Proxy started successfully."), "{said}");

    let root = format!("-exec_root={}", user.at("project").display());
    let rewrapper = [
        "rewrapper",
        "-labels=type=compile,compiler=clang,lang=cpp",
        &root,
        "-exec_strategy=remote",
        "--",
    ];
    for _ in 0..2 {
        user.compile(&rewrapper)?;
    }
    // What the compiler refuses is refused, with its words and its code.
    fs::write(user.at("project/bad.c"), "int f(void) { return y; }\n")?;
    let bad = user.run(
        &[&rewrapper[..], &["gcc", "-c", "bad.c", "-o", "bad.o"]].concat(),
        &[],
    )?;
    ensure!(bad.status.code() == Some(1), "{bad:?}");
    ensure!(
        String::from_utf8_lossy(&bad.stderr).contains("undeclared"),
        "{bad:?}"
    );

    let said = user.succeeds(&["bootstrap", "-shutdown"])?;
    ensure!(
        said.contains("RBE Stats:") && said.contains("1 cache hit"),
        "{said}"
    );
    let metrics = fs::read_to_string(user.at("logs/rbe_metrics.txt"))?;
    ensure!(metrics.contains("num_records: 3"), "{metrics}");
    ensure!(user.at("logs/rbe_metrics.pb").is_file());
    let log = user.log_of_commands()?;
    ensure!(
        log.contains("STATUS_CACHE_HIT") && log.contains("STATUS_REMOTE_EXECUTION"),
        "{log}"
    );
    Ok(())
}

#[test]
fn a_build_for_recc_takes_and_gives_results() -> Result<()> {
    let farrier = Farrier::start()?;
    let user = User::new(&[("RECC_SERVER", farrier.http_url())])?;
    for _ in 0..2 {
        user.compile(&["recc"])?;
    }
    assert_eq!(user.steps_of_recc()?, ["remote", "hit"]);
    Ok(())
}

/// Of what our worker adds to results, one field; and the message that reclient wants to see among them.
fn descriptors() -> Vec<u8> {
    let field = FieldDescriptorProto {
        name: Some("max_rss_bytes".to_owned()),
        number: Some(3),
        label: Some(Label::Optional.into()),
        r#type: Some(Type::Uint64.into()),
        ..FieldDescriptorProto::default()
    };
    let message = |name: &str, field: Vec<FieldDescriptorProto>| DescriptorProto {
        name: Some(name.to_owned()),
        field,
        ..DescriptorProto::default()
    };
    let file = FileDescriptorProto {
        name: Some("added.proto".to_owned()),
        package: Some("farrier.worker.v1".to_owned()),
        message_type: vec![
            message("ResourceUsage", vec![field]),
            message("AuxiliaryMetadata", Vec::new()),
        ],
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    };
    FileDescriptorSet { file: vec![file] }.encode_to_vec()
}

#[test]
fn what_workers_add_to_results_is_in_the_log() -> Result<()> {
    let farrier = Farrier::start()?;
    let mut user = User::of_reclient(farrier.address())?;
    fs::write(user.at("descriptors"), descriptors())?;
    let path = user.at("descriptors").display().to_string();
    user.variables
        .push(("RBE_auxiliary_metadata_path".to_owned(), path));
    user.succeeds(&["bootstrap"])?;
    let root = format!("-exec_root={}", user.at("project").display());
    let labels = "-labels=type=compile,compiler=clang,lang=cpp";
    user.compile(&["rewrapper", labels, &root, "-exec_strategy=remote", "--"])?;
    user.succeeds(&["bootstrap", "-shutdown"])?;
    let log = user.log_of_commands()?;
    ensure!(
        log.contains("auxiliary_metadata") && log.contains("maxRssBytes"),
        "{log}"
    );
    Ok(())
}

#[test]
fn a_comparison_runs_as_often_as_it_says_and_may_fail() -> Result<()> {
    let farrier = Farrier::start()?;
    let user = User::of_reclient(farrier.address())?;
    user.succeeds(&["bootstrap"])?;
    let source = "int f(void) { int unused; return 1; }\n";
    fs::write(user.at("project/a.c"), source)?;
    let root = format!("-exec_root={}", user.at("project").display());
    let rewrapper = [
        "rewrapper",
        "-labels=type=compile,compiler=clang,lang=cpp",
        &root,
        "-exec_strategy=local",
        "-compare",
    ];
    // The code, and how often the warning is seen. Names of sections for the optimiser of links are chosen at random.
    let check = |flags: &[&str], option: &str, expected: (i32, usize)| -> Result<()> {
        let command = ["--", "gcc", "-Wall", option, "-c", "a.c", "-o", "a.o"];
        let output = user.run(&[&rewrapper, flags, &command].concat(), &[])?;
        let said = String::from_utf8_lossy(&output.stderr);
        let found = (
            output.status.code().unwrap_or_default(),
            said.matches("[-Wunused-variable]").count(),
        );
        ensure!(found == expected, "{flags:?} {option}: {found:?}\n{said}");
        Ok(())
    };
    let twice = "-num_local_reruns=2";
    check(&[twice], "-flto", (0, 1))?;
    check(&[twice, "-fail_on_mismatch"], "-flto", (1, 0))?;
    check(&[twice, "-fail_on_mismatch"], "-O2", (0, 1))?;
    // With nothing to compare it with.
    check(&["-fail_on_mismatch"], "-flto", (0, 1))?;
    check(&[twice, "-fail_on_mismatch"], "-fno-such-option", (1, 0))?;
    let said = user.succeeds(&["bootstrap", "-shutdown"])?;
    let log = user.log_of_commands()?;
    ensure!(log.matches("total_mismatches: 1").count() == 2, "{said}\n{log}");
    Ok(())
}
