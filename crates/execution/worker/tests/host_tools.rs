//! Actions that rely on the tools of the worker's machine, while its packages change.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only functions marked as tests for tests"
)]

#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use merkle::TreeBuilder;
use reapi::execution as proto;
use reapi::execution::ExecuteResponse;
use reapi::rpc::Code;
use support::{Farm, Job, shell};
use worker::HostTools;

const STATUS: &str = "Package: gcc-12\nStatus: install ok installed\nVersion: 12.2.0\nArchitecture: amd64\n";

fn install(root: &Path, status: &str) {
    fs::create_dir_all(root.join("var/lib/dpkg")).unwrap();
    fs::write(root.join("var/lib/dpkg/status"), status).unwrap();
}

/// What the worker says from now on, once it says something else than `before`.
async fn announced(farm: &mut Farm, before: Option<&str>) -> String {
    loop {
        let properties = farm.state().await.properties;
        let mut tools = properties
            .into_iter()
            .filter(|property| property.name == host_tools::PROPERTY);
        match tools.next() {
            Some(tools) if Some(tools.value.as_str()) != before => return tools.value,
            _ => {}
        }
    }
}

#[allow(deprecated, reason = "the stand-in for a server fills in no other platform")]
async fn relying_on(farm: &mut Farm, tools: &str, script: &str) -> ExecuteResponse {
    let input_root = farm.put_tree(TreeBuilder::new()).await;
    let property = proto::platform::Property {
        name: host_tools::PROPERTY.to_owned(),
        value: tools.to_owned(),
    };
    let command = proto::Command {
        platform: Some(proto::Platform {
            properties: vec![property],
        }),
        ..shell(script, &["out"])
    };
    farm.execute(Job {
        command,
        input_root,
        timeout: Duration::from_secs(30),
    })
    .await
}

fn refusal(response: ExecuteResponse) -> String {
    let status = response.status.unwrap();
    assert_eq!(Code::try_from(status.code), Ok(Code::Unavailable), "{status:?}");
    assert!(response.result.is_none());
    status.message
}

#[tokio::test]
async fn an_upgrade_is_announced_and_nothing_is_given_out_that_it_may_have_changed() {
    let machine = tempfile::tempdir().unwrap();
    install(machine.path(), STATUS);
    let mut farm = Farm::start_with_tools(HostTools::Found {
        root: machine.path().to_owned(),
    })
    .await;
    let first = announced(&mut farm, None).await;
    let response = relying_on(&mut farm, &first, "echo made > out").await;
    assert_eq!(response.result.unwrap().output_files.len(), 1);

    // Before the server knows, it gives out what was right until now.
    install(machine.path(), &STATUS.replace("12.2.0", "12.3.0"));
    let message = refusal(relying_on(&mut farm, &first, "echo made > out").await);
    assert!(
        message.contains(&format!("`host-tools` = `{first}`")),
        "{message}"
    );
    let second = announced(&mut farm, Some(&first)).await;
    assert!(message.contains(&second) && second != first, "{message} {second}");

    // While a command runs.
    let upgraded = machine.path().join("upgraded");
    fs::create_dir(&upgraded).unwrap();
    install(&upgraded, &STATUS.replace("12.2.0", "12.4.0"));
    let (from, to) = (
        upgraded.join("var/lib/dpkg/status"),
        machine.path().join("var/lib/dpkg/status"),
    );
    let upgrade = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        fs::rename(from, to).unwrap();
    };
    let (response, ()) = tokio::join!(
        relying_on(&mut farm, &second, "sleep 1; echo made > out"),
        upgrade
    );
    let message = refusal(response);
    assert!(message.contains("have changed"), "{message}");
    announced(&mut farm, Some(&second)).await;

    // What relies on nothing was never kept from running.
    let plain = farm.script("echo made > out", &["out"]).await;
    assert_eq!(plain.result.unwrap().output_files.len(), 1);
    farm.end().await;
}

#[tokio::test]
async fn what_was_named_is_said_and_not_looked_at() {
    let mut farm = Farm::start_with_tools(HostTools::Named("debian-12".to_owned())).await;
    assert_eq!(announced(&mut farm, None).await, "debian-12");
    let response = relying_on(&mut farm, "debian-12", "echo made > out").await;
    assert_eq!(response.result.unwrap().output_files.len(), 1);
    farm.end().await;
}
