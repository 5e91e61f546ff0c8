//! Actions that see their input root where the client has its sources, however it got onto the disk.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only functions marked as tests for tests"
)]

#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

use std::path::Path;
use std::time::Duration;

use blob::Digest;
use merkle::TreeBuilder;
use reapi::execution as proto;
use reapi::execution::ExecuteResponse;
use reapi::rpc::Code;
use runner_api::{Availability, Mechanism};
use support::{Farm, Job};
use worker_api::v1::ObservedInputs;

const PLACE: &str = "/home/ann/project";
/// Enough for a tree to be made of it.
const HEADERS: usize = 1_200;

async fn sources(farm: &Farm, headers: usize) -> Digest {
    let mut tree = TreeBuilder::new();
    let main = "#include <n.h>\nint main(void) { return N; }\n";
    tree.insert_file("src/main.c", farm.put(main).await, false)
        .unwrap();
    tree.insert_file("include/n.h", farm.put("#define N 0\n").await, false)
        .unwrap();
    let other = farm.put("#define OTHER\n").await;
    for number in 0..headers {
        tree.insert_file(&format!("include/d{}/h{number}.h", number % 40), other, false)
            .unwrap();
    }
    farm.put_tree(tree).await
}

/// Compiles by absolute paths of the client, then says where it is.
#[allow(deprecated, reason = "the stand-in for a server fills in no other platform")]
fn compile(place: &str, more: &[(&str, &str)]) -> proto::Command {
    let script = format!(
        "pwd && gcc -g -I{place}/include -MMD -MF {place}/obj/main.d -c {place}/src/main.c -o {place}/obj/main.o && cat obj/main.d"
    );
    let property = |(name, value): &(&str, &str)| proto::platform::Property {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    let properties = [("InputRootAbsolutePath", place)];
    proto::Command {
        platform: Some(proto::Platform {
            properties: properties.iter().chain(more).map(property).collect(),
        }),
        ..support::shell(&script, &["obj/main.o", "obj/main.d"])
    }
}

async fn run(farm: &mut Farm, command: proto::Command, input_root: Digest) -> ExecuteResponse {
    farm.execute(Job {
        command,
        input_root,
        timeout: Duration::from_secs(60),
    })
    .await
}

/// The object file; everything in it and beside it speaks of the client's paths.
async fn object(farm: &Farm, response: ExecuteResponse) -> Vec<u8> {
    let result = response.result.unwrap_or_else(|| panic!("{:?}", response.status));
    let said = String::from_utf8_lossy(&result.stdout_raw);
    assert_eq!(
        result.exit_code,
        0,
        "{said}{}",
        String::from_utf8_lossy(&result.stderr_raw)
    );
    assert!(
        said.starts_with(&format!("{PLACE}\n")) && said.contains(&format!("{PLACE}/include/n.h")),
        "{said}"
    );
    assert_eq!(result.output_files.len(), 2, "{result:?}");
    let file = result.output_files.iter().find(|file| file.path == "obj/main.o");
    let object = farm.read(&file.unwrap().digest).await;
    let has = |text: &str| object.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has(PLACE) && !has("/build"));
    object
}

/// Which is done by the file system that fetches inputs as they are opened, and by nothing else.
fn was_observed(response: &ExecuteResponse) -> bool {
    let metadata = response.result.as_ref().unwrap().execution_metadata.as_ref();
    let mut told = metadata.unwrap().auxiliary_metadata.iter();
    let observed: ObservedInputs = told.find_map(|any| any.to_msg().ok()).unwrap();
    observed.unobserved_reason.is_empty()
}

#[tokio::test]
async fn a_compile_gives_the_same_bytes_linked_over_a_tree_and_lazily() {
    let mut farm = Farm::start("best-effort", 1).await;
    let overlays = farm.capabilities.overlays == Availability::Available;
    let small = sources(&farm, 0).await;
    let large = sources(&farm, HEADERS).await;
    let response = run(&mut farm, compile(PLACE, &[]), small).await;
    let first = object(&farm, response).await;
    let lazily = [("lazy-inputs", "true"), ("observe-inputs", "true")];
    let response = run(&mut farm, compile(PLACE, &lazily), small).await;
    assert_eq!(
        was_observed(&response),
        overlays && Path::new("/dev/fuse").exists()
    );
    assert_eq!(object(&farm, response).await, first);
    for round in 0..3 {
        let response = run(&mut farm, compile(PLACE, &[]), large).await;
        assert_eq!(object(&farm, response).await, first, "round {round}");
    }
    let trees = std::fs::read_dir(farm.directory().join("trees")).unwrap().count();
    assert_eq!(trees, usize::from(overlays));
    farm.end().await;
}

#[tokio::test]
async fn a_place_that_cannot_be_is_the_clients_mistake() {
    let mut farm = Farm::start("best-effort", 1).await;
    let inputs = sources(&farm, 0).await;
    for place in ["/usr/src", "/", "work", "/home/../etc"] {
        let response = run(&mut farm, compile(place, &[]), inputs).await;
        let status = response.status.unwrap();
        assert_eq!(Code::try_from(status.code), Ok(Code::InvalidArgument));
        assert!(
            status.message.contains("InputRootAbsolutePath"),
            "{}",
            status.message
        );
    }
    farm.end().await;
}

/// Run at another path its results would tell of that, so it is not run.
#[tokio::test]
async fn a_worker_without_mounts_of_its_own_refuses() {
    let mut farm = Farm::start("off", 1).await;
    assert!(!farm.capabilities.has(Mechanism::MountNamespace));
    let inputs = sources(&farm, 0).await;
    let response = run(&mut farm, compile(PLACE, &[]), inputs).await;
    let status = response.status.unwrap();
    assert_eq!(Code::try_from(status.code), Ok(Code::Unavailable));
    assert!(status.message.contains("mount namespaces"), "{}", status.message);
    farm.end().await;
}
