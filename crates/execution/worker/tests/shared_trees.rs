//! Large input roots that come again and again: laid over a tree that is kept, with a real runner.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only functions marked as tests for tests"
)]

#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

use std::time::Duration;

use blob::Digest;
use merkle::{Tree, TreeBuilder};
use reapi::execution::ActionResult;
use runner_api::Availability;
use support::{F, Farm, Job, shell};

/// Enough for a tree to be made of it.
const DIRECTORIES: usize = 40;
const FILES: usize = 30;

/// What is in the one file that changes.
async fn root(farm: &Farm, changing: &str) -> Digest {
    let same = farm.put("same").await;
    let mut tree = TreeBuilder::new();
    for directory in 0..DIRECTORIES {
        for file in 0..FILES {
            tree.insert_file(&format!("lib/d{directory}/f{file}"), same, false)
                .unwrap();
        }
    }
    tree.insert_symlink("lib/link", "d1/f1").unwrap();
    tree.insert_file("lib/d7/changing", farm.put(changing).await, false)
        .unwrap();
    farm.put_tree(tree).await
}

async fn run(farm: &mut Farm, input_root: Digest, script: &str, outputs: &[&str]) -> ActionResult {
    let response = farm
        .execute(Job {
            command: shell(script, outputs),
            input_root,
            timeout: Duration::from_secs(30),
        })
        .await;
    assert_eq!(
        response.status.as_ref().map_or(0, |status| status.code),
        0,
        "{response:?}"
    );
    response.result.unwrap()
}

fn trees(farm: &Farm) -> usize {
    std::fs::read_dir(farm.directory().join("trees")).unwrap().count()
}

async fn paths(farm: &Farm, result: &ActionResult, number: usize) -> Vec<String> {
    let tree = Tree::decode(F, farm.read(&result.output_directories[number].tree_digest).await).unwrap();
    let entries = tree.as_input_tree();
    entries.entries().unwrap().map(|(path, _)| path).collect()
}

#[tokio::test]
async fn what_recurs_is_laid_over_a_tree_and_looks_the_same() {
    let mut farm = Farm::start("best-effort", 1).await;
    let overlays = farm.capabilities.overlays == Availability::Available;
    let script = "cat lib/d7/changing lib/link && find lib -type f | wc -l && ls lib/d7 | wc -l && mkdir -p out/deep \
                  && cp lib/d7/changing out/deep/copy";
    for round in 0..4 {
        let content = format!("round {round}\n");
        let input_root = root(&farm, &content).await;
        let result = run(&mut farm, input_root, script, &["out"]).await;
        let expected = format!("{content}same{}\n{}\n", DIRECTORIES * FILES + 1, FILES + 1);
        assert_eq!(
            String::from_utf8_lossy(&result.stdout_raw),
            expected,
            "{result:?}"
        );
        assert_eq!(paths(&farm, &result, 0).await, ["deep", "deep/copy"]);
        // The first is seen, the second becomes a tree, the others are laid over it.
        assert_eq!(trees(&farm), usize::from(overlays && round > 0), "round {round}");
    }
    farm.end().await;
}

/// Whatever an action does to what shows through, it does to itself alone; and what it leaves is collected.
#[tokio::test]
async fn inputs_that_show_through_are_nobodys_to_change() {
    let mut farm = Farm::start("best-effort", 1).await;
    let input_root = root(&farm, "original").await;
    let attack = "exec 2>/dev/null; chmod u+w lib/d1/f1 lib/d7/changing; echo x > lib/d1/f1; echo x > lib/d7/changing; \
                  truncate -s 0 lib/d1/f1; ln lib/d1/f2 lib/d1/hard; echo x > lib/d1/hard; rm -f lib/d1/f3; echo new > lib/d1/f3; \
                  rm -r lib/d2; mv lib/d3 lib/moved; mkdir lib/d2; echo kept > lib/d2/new; echo private > lib/d4/f0; cat lib/d1/f3";
    let outputs = &["lib/d2", "lib/d4", "lib/moved"];
    for round in 0..4 {
        let result = run(&mut farm, input_root, attack, outputs).await;
        assert_eq!(&result.stdout_raw[..], b"new\n", "round {round}");
        assert_eq!(paths(&farm, &result, 0).await, ["new"]);
        assert_eq!(paths(&farm, &result, 1).await.len(), FILES);
        assert_eq!(
            paths(&farm, &result, 2).await.len(),
            FILES,
            "a directory that was renamed"
        );
        let after = run(
            &mut farm,
            input_root,
            "cat lib/d1/f1 lib/d1/f2 lib/d1/f3 lib/d7/changing lib/d2/f0 lib/d3/f0 lib/d4/f0",
            &[],
        )
        .await;
        assert_eq!(
            String::from_utf8_lossy(&after.stdout_raw),
            "samesamesameoriginalsamesamesame"
        );
    }
    let overlays = farm.capabilities.overlays == Availability::Available;
    assert_eq!(trees(&farm), usize::from(overlays));
    farm.end().await;
}

/// What an output already is in the input root is the action's to overwrite, also when it shows through.
#[tokio::test]
async fn outputs_that_show_through_are_private_copies() {
    let mut farm = Farm::start("best-effort", 1).await;
    let input_root = root(&farm, "original").await;
    for _ in 0..3 {
        let script = "echo more >> lib/d7/changing && cat lib/d7/changing";
        let result = run(
            &mut farm,
            input_root,
            script,
            &["lib/d7/changing", "lib/new/deep/out"],
        )
        .await;
        assert_eq!(
            String::from_utf8_lossy(&result.stdout_raw),
            "originalmore\n",
            "{result:?}"
        );
        let found = farm.read(&result.output_files[0].digest).await;
        assert_eq!(found, b"originalmore\n");
    }
    farm.end().await;
}
