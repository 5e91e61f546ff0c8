//! Actions in images, with a real runner.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only functions marked as tests for tests"
)]

#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use action::ContainerImage;
use merkle::TreeBuilder;
use reapi::execution::{self as proto, ExecuteResponse};
use reapi::rpc::Code;
use runner_api::Availability;
use support::{F, Farm, Job, shell};

const IMAGE: &str = "sha256:00000000000000000000000000000000000000000000000000000000000000aa";
const OTHER: &str = "sha256:00000000000000000000000000000000000000000000000000000000000000bb";

/// `None` where overlays are not to be had, which takes root.
async fn farm() -> Option<Farm> {
    let farm = Farm::start("best-effort", 1).await;
    if farm.capabilities.overlays != Availability::Available {
        eprintln!("skipped: images take overlays");
        farm.end().await;
        return None;
    }
    Some(farm)
}

/// Some programs of the host with what they are linked with, as a loaded image.
async fn load(farm: &Farm, image: &str, programs: &[&str], env: &[&str]) {
    let mut tree = TreeBuilder::new();
    let mut add = async |from: &Path, to: &str| {
        let digest = farm.put(std::fs::read(from).unwrap()).await;
        tree.insert_file(to, digest, true).unwrap();
    };
    for program in programs {
        let host = Path::new("/usr/bin").join(program);
        add(&host, &format!("opt/tools/{program}")).await;
        let libraries = Command::new("ldd").arg(&host).output().unwrap().stdout;
        for library in String::from_utf8(libraries)
            .unwrap()
            .split_whitespace()
            .filter(|word| word.starts_with('/'))
        {
            add(Path::new(library), library.trim_start_matches('/')).await;
        }
    }
    tree.insert_file("etc/mark", farm.put("of the image\n").await, false)
        .unwrap();
    tree.insert_directory("var/empty").unwrap();
    // Whatever an image has where mounts go.
    tree.insert_symlink("tmp", "var/empty").unwrap();
    let built = tree.build(F).unwrap().into_tree();
    farm.store.put(built.blob()).await.unwrap();
    let config = farm.put(format!("{{\"config\": {{\"Env\": {env:?}}}}}")).await;
    let result = proto::ActionResult {
        output_directories: vec![proto::OutputDirectory {
            path: ContainerImage::ROOT.to_owned(),
            tree_digest: Some(built.blob().digest().to_proto()),
            ..Default::default()
        }],
        output_files: vec![proto::OutputFile {
            path: ContainerImage::CONFIG.to_owned(),
            digest: Some(config.to_proto()),
            ..Default::default()
        }],
        ..Default::default()
    };
    let action = ContainerImage::parse(image).unwrap().action(F);
    farm.results.put(&action.digest, result).await.unwrap();
}

#[allow(deprecated, reason = "the stand-in for a server fills in no other platform")]
async fn run(
    farm: &mut Farm,
    properties: &[(&str, &str)],
    script: &str,
    outputs: &[&str],
) -> ExecuteResponse {
    let mut tree = TreeBuilder::new();
    tree.insert_file("dir/input", farm.put("given\n").await, false)
        .unwrap();
    let input_root = farm.put_tree(tree).await;
    let property = |(name, value): &(&str, &str)| proto::platform::Property {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    let mut command = shell(script, outputs);
    command.arguments[0] = "sh".to_owned();
    command.working_directory = "dir".to_owned();
    command.environment_variables = vec![proto::command::EnvironmentVariable {
        name: "OWN".to_owned(),
        value: "own".to_owned(),
    }];
    command.platform = Some(proto::Platform {
        properties: properties.iter().map(property).collect(),
    });
    farm.execute(Job {
        command,
        input_root,
        timeout: Duration::from_secs(30),
    })
    .await
}

fn stdout(response: ExecuteResponse) -> String {
    assert_eq!(
        response.status.as_ref().map_or(0, |status| status.code),
        0,
        "{response:?}"
    );
    let result = response.result.unwrap();
    assert_eq!(result.exit_code, 0, "{result:?}");
    String::from_utf8(result.stdout_raw.to_vec()).unwrap()
}

#[tokio::test]
async fn an_action_sees_the_image_and_its_inputs_and_nothing_of_the_host() {
    let Some(mut farm) = farm().await else { return };
    load(
        &farm,
        IMAGE,
        &["sh", "ls", "cat"],
        &["PATH=/opt/tools", "FROM=image", "OWN=image"],
    )
    .await;
    let by_name = format!("docker://registry.example/tools@{IMAGE}");
    for value in [IMAGE, &by_name] {
        let script = "cat /etc/mark input; echo $PATH $FROM $OWN; pwd; ls / /etc; echo x > /var/empty/y; echo > /tmp/z; \
                      echo made > out; echo mine > /etc/mark; cat /etc/mark";
        let response = run(&mut farm, &[("container-image", value)], script, &["out"]).await;
        let files = response.result.as_ref().map(|result| result.output_files.len());
        let expected = "of the image\ngiven\n/opt/tools image own\n/build/dir\n/:\nbuild\ndev\netc\nlib\nlib64\nopt\nproc\ntmp\nvar\n\n\
                        /etc:\nmark\n";
        let said = stdout(response);
        assert!(said.starts_with(expected), "{said}");
        assert_eq!(files, Some(1));
    }
    // The file belongs to nobody who acts: a private name was refused, and the image is as it was.
    let unchanged = run(
        &mut farm,
        &[("container-image", IMAGE)],
        "cat /etc/mark; ls /var/empty",
        &[],
    )
    .await;
    assert_eq!(stdout(unchanged), "of the image\n");
    assert_eq!(
        std::fs::read_dir(farm.directory().join("trees")).unwrap().count(),
        1
    );
    // Who asks for none has the host's tools.
    let host = run(&mut farm, &[], "test ! -e /etc/mark; echo $PATH", &[]).await;
    assert_eq!(stdout(host), format!("{}\n", runner_api::DEFAULT_PATH));
    farm.end().await;
}

#[tokio::test]
async fn in_an_image_an_input_root_is_where_it_is_asked_for() {
    let Some(mut farm) = farm().await else { return };
    load(&farm, IMAGE, &["sh", "ls", "cat"], &["PATH=/opt/tools"]).await;
    // In a directory that is the image's, in one that it has not, in one that is the action's own.
    for place in ["/var/empty", "/var/new/deep", "/home/ann", "/tmp/x/y"] {
        let properties = [("container-image", IMAGE), ("InputRootAbsolutePath", place)];
        let script = format!("pwd; cat /etc/mark {place}/dir/input; ls -A ..; echo made > {place}/dir/out");
        let response = run(&mut farm, &properties, &script, &["out"]).await;
        let files = response.result.as_ref().map(|result| result.output_files.len());
        let expected = format!("{place}/dir\nof the image\ngiven\ndir\n");
        assert_eq!(stdout(response), expected);
        assert_eq!(files, Some(1));
    }
    farm.end().await;
}

#[tokio::test]
async fn an_image_that_was_not_loaded_is_refused_with_what_to_do() {
    let Some(mut farm) = farm().await else { return };
    load(&farm, IMAGE, &["sh"], &[]).await;
    let refused = run(&mut farm, &[("container-image", OTHER)], "true", &[])
        .await
        .status
        .unwrap();
    assert_eq!(Code::try_from(refused.code), Ok(Code::FailedPrecondition));
    assert!(
        refused.message.contains(OTHER) && refused.message.contains("farrier image load"),
        "{}",
        refused.message
    );
    let both = [("container-image", IMAGE), ("root", "inputs")];
    let refused = run(&mut farm, &both, "true", &[]).await.status.unwrap();
    assert_eq!(Code::try_from(refused.code), Ok(Code::InvalidArgument));
    farm.end().await;
}

/// As when the store has dropped some of it.
#[tokio::test]
async fn an_image_of_which_files_are_gone_counts_as_not_loaded() {
    let Some(mut farm) = farm().await else { return };
    let image = ContainerImage::parse(IMAGE).unwrap();
    let absent = blob::Digest::of(F, b"absent").to_proto();
    let result = proto::ActionResult {
        output_directories: vec![proto::OutputDirectory {
            path: ContainerImage::ROOT.to_owned(),
            tree_digest: Some(absent.clone()),
            ..Default::default()
        }],
        output_files: vec![proto::OutputFile {
            path: ContainerImage::CONFIG.to_owned(),
            digest: Some(absent),
            ..Default::default()
        }],
        ..Default::default()
    };
    farm.results.put(&image.action(F).digest, result).await.unwrap();
    let refused = run(&mut farm, &[("container-image", IMAGE)], "true", &[])
        .await
        .status
        .unwrap();
    assert_eq!(Code::try_from(refused.code), Ok(Code::FailedPrecondition));
    assert!(
        refused.message.contains("farrier image load"),
        "{}",
        refused.message
    );
    farm.end().await;
}
