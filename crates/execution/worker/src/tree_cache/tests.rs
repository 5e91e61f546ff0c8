use std::time::Duration;

use blob::{Blob, DigestFunction};
use merkle::{TreeBuilder, Walk};
use tempfile::TempDir;

use super::*;
use crate::fetch::Fetcher;

const F: DigestFunction = DigestFunction::Sha256;

struct Fixture {
    scratch: TempDir,
    store: Arc<dyn BlobStore>,
    trees: Arc<TreeCache>,
    group: Group,
}

/// `None` where overlays are not to be had, which takes root.
fn fixture(bytes_max: u64) -> Option<Fixture> {
    fixture_in(tempfile::tempdir().unwrap(), bytes_max)
}

fn fixture_in(scratch: TempDir, bytes_max: u64) -> Option<Fixture> {
    let group = Group::new("test");
    let files = FileCache::open(&scratch.path().join("cache"), 1 << 20, Fetcher::new()).unwrap();
    let placement = Arc::new(Placement {
        links_files: true,
        owner: None,
        cannot_reflink: Default::default(),
    });
    let path = scratch.path().join("trees");
    match TreeCache::open(&path, Arc::new(files), placement, bytes_max, 1, &group).unwrap() {
        Ok(trees) => Some(Fixture {
            scratch,
            store: cas::memory(1 << 24),
            trees: Arc::new(trees),
            group,
        }),
        Err(why) => {
            eprintln!("skipped: {why}");
            None
        }
    }
}

impl Fixture {
    /// A tree of one file, which has `size_bytes`.
    async fn input(&self, letter: u8, size_bytes: usize) -> Arc<InputTree> {
        let blob = Blob::from_bytes(F, vec![letter; size_bytes]);
        let mut builder = TreeBuilder::new();
        builder.insert_file("a/file", blob.digest(), false).unwrap();
        self.store.put(blob).await.unwrap();
        let built = builder.build(F).unwrap();
        let mut walk = Walk::new(built.root);
        for (digest, directory) in built.directories {
            walk.supply(digest, directory).unwrap();
        }
        Arc::new(walk.finish().unwrap())
    }

    async fn tree(&self, input: &Arc<InputTree>) -> Arc<CachedTree> {
        self.trees.tree(&*self.store, input).await.unwrap()
    }
}

async fn is_removed(path: &Path) {
    let gone = async {
        while path.exists() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone)
        .await
        .expect("it is removed");
}

#[tokio::test]
async fn a_tree_is_laid_out_once_for_all_who_want_it_at_the_same_time() {
    let Some(fixture) = fixture(1 << 20) else { return };
    let input = fixture.input(b'x', 10).await;
    let trees = futures::future::join_all((0..16).map(|_| fixture.tree(&input))).await;
    assert!(trees.iter().all(|tree| Arc::ptr_eq(tree, &trees[0])));
    assert_eq!(
        std::fs::read(trees[0].path().join("a/file")).unwrap(),
        b"xxxxxxxxxx"
    );
    assert_eq!(
        std::fs::read_dir(fixture.scratch.path().join("trees"))
            .unwrap()
            .count(),
        1
    );
    fixture.group.stop();
}

#[tokio::test]
async fn the_least_recently_used_goes_and_what_is_in_use_stays() {
    // Room for two of three.
    let Some(fixture) = fixture(5_000) else { return };
    let inputs = [
        fixture.input(b'a', 1_500).await,
        fixture.input(b'b', 1_500).await,
        fixture.input(b'c', 1_500).await,
    ];
    let first = fixture.tree(&inputs[0]).await;
    let second = fixture.tree(&inputs[1]).await.path().to_owned();
    fixture.tree(&inputs[2]).await;
    is_removed(&second).await;
    assert!(first.path().exists(), "it is in use");
    // Forgotten while it is in use, were it not: it stays the same tree.
    assert!(Arc::ptr_eq(&fixture.tree(&inputs[0]).await, &first));
    let path = first.path().to_owned();
    drop(first);
    fixture.tree(&inputs[2]).await;
    fixture.tree(&inputs[1]).await;
    is_removed(&path).await;
    let too_large = fixture.input(b'd', 6_000).await;
    let refused = fixture
        .trees
        .tree(&*fixture.store, &too_large)
        .await
        .err()
        .unwrap();
    assert!(
        matches!(refused, TreeError::TooLarge { bytes_max: 5_000, .. }),
        "{refused}"
    );
    fixture.group.stop();
}

#[tokio::test]
async fn a_tree_without_all_its_files_is_none_and_another_attempt_makes_it() {
    let Some(fixture) = fixture(1 << 20) else { return };
    let input = fixture.input(b'x', 10).await;
    let empty = cas::memory(1 << 20);
    let missing = fixture.trees.tree(&*empty, &input).await.err().unwrap();
    assert!(
        matches!(missing, TreeError::Prepare(PrepareError::Files(_))),
        "{missing}"
    );
    fixture.tree(&input).await;
    fixture.group.stop();
}

/// As after kill -9: nothing of an earlier worker is used, complete or not.
#[tokio::test]
async fn what_an_earlier_worker_left_is_removed_at_the_start() {
    let Some(first) = fixture(1 << 20) else { return };
    let input = first.input(b'x', 10).await;
    let tree = first.tree(&input).await;
    // It is never dropped, as nothing is dropped by a process that is killed.
    let path = tree.path().to_owned();
    std::mem::forget(tree);
    std::fs::create_dir_all(first.scratch.path().join("trees/tree-7/half")).unwrap();
    let Fixture { scratch, group, .. } = first;
    group.stop();
    let second = fixture_in(scratch, 1 << 20).unwrap();
    assert!(!path.exists() && !second.scratch.path().join("trees/tree-7").exists());
    second.group.stop();
}
