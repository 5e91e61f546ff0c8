use blob::{Blob, BlobStream, ByteRange, DigestFunction};
use futures::executor::block_on;
use merkle::{BuiltTree, TreeBuilder};
use parking_lot::Mutex;
use reapi::execution::{OutputDirectory, OutputFile};

use super::*;
use crate::conformance::{self, Fresh};
use crate::memory;

const F: DigestFunction = DigestFunction::Sha256;

#[test]
fn conforms() {
    block_on(conformance::check(async || {
        Fresh::of(complete_only(memory(64 << 20), cas::memory(1 << 20)))
    }));
}

/// A store that remembers how often it was asked, and can lose blobs.
struct Losing {
    inner: Arc<dyn BlobStore>,
    lost: Mutex<DigestSet>,
    questions: Mutex<usize>,
}

#[async_trait]
impl BlobStore for Losing {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        if self.lost.lock().contains(digest) {
            return Ok(None);
        }
        self.inner.get(digest, range).await
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        self.inner.put(blob).await
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        *self.questions.lock() += 1;
        let lost = self.lost.lock().clone();
        let missing = self.inner.find_missing(digests).await?;
        Ok(missing.union(
            &digests
                .iter()
                .filter(|digest| lost.contains(digest))
                .copied()
                .collect(),
        ))
    }
}

struct Scene {
    store: Arc<Losing>,
    cache: Arc<dyn ActionCache>,
    action: ActionDigest,
}

impl Scene {
    fn new() -> Self {
        let store = Arc::new(Losing {
            inner: cas::always_has_empty(cas::memory(1 << 20)),
            lost: Mutex::default(),
            questions: Mutex::default(),
        });
        let cache = complete_only(memory(1 << 20), store.clone());
        Scene {
            store,
            cache,
            action: ActionDigest::new(Digest::of(F, b"the action")),
        }
    }

    fn put(&self, text: &str) -> Digest {
        let blob = Blob::from_bytes(F, text.to_owned());
        let digest = blob.digest();
        block_on(self.store.put(blob)).unwrap();
        digest
    }

    /// A tree with files `a/x` and `a/b/y`, whose contents are in the store.
    fn tree(&self) -> BuiltTree {
        let mut builder = TreeBuilder::new();
        builder.insert_file("a/x", self.put("x"), false).unwrap();
        builder.insert_file("a/b/y", self.put("y"), true).unwrap();
        builder.build(F).unwrap()
    }

    fn is_served(&self, result: &ActionResult) -> bool {
        block_on(self.cache.put(&self.action, result.clone())).unwrap();
        match block_on(self.cache.get(&self.action)).unwrap() {
            Some(served) => {
                assert_eq!(served, *result);
                true
            }
            None => false,
        }
    }

    /// Served as long as nothing is lost, and a miss if any one of `needed` is.
    fn check_needs(&self, result: &ActionResult, needed: &[Digest]) {
        assert!(self.is_served(result), "with everything there");
        for digest in needed {
            *self.store.lost.lock() = DigestSet::from(*digest);
            assert!(!self.is_served(result), "without {digest}");
        }
        *self.store.lost.lock() = DigestSet::default();
        assert!(self.is_served(result), "with everything there again");
    }
}

fn file(path: &str, digest: Digest) -> OutputFile {
    OutputFile {
        path: path.into(),
        digest: Some(digest.to_proto()),
        ..OutputFile::default()
    }
}

#[test]
fn files_and_streams_are_needed() {
    let scene = Scene::new();
    let [a, b, out, err] = ["a", "b", "out", "err"].map(|text| scene.put(text));
    let result = ActionResult {
        output_files: vec![file("a", a), file("b", b), file("empty", Digest::empty(F))],
        stdout_digest: Some(out.to_proto()),
        stderr_digest: Some(err.to_proto()),
        ..ActionResult::default()
    };
    scene.check_needs(&result, &[a, b, out, err]);
}

#[test]
fn what_is_inside_a_tree_is_needed() {
    let scene = Scene::new();
    let tree = scene.tree().into_tree();
    block_on(scene.store.put(tree.blob())).unwrap();
    let digest = tree.blob().digest();
    let result = ActionResult {
        output_directories: vec![OutputDirectory {
            path: "dir".into(),
            tree_digest: Some(digest.to_proto()),
            ..OutputDirectory::default()
        }],
        ..ActionResult::default()
    };
    scene.check_needs(&result, &[digest, scene.put("x"), scene.put("y")]);
}

#[test]
fn directories_are_needed_where_the_result_names_their_root() {
    for with_tree in [false, true] {
        let scene = Scene::new();
        let built = scene.tree();
        block_on(cas::tree::upload_tree(&*scene.store, &built)).unwrap();
        let mut needed: Vec<Digest> = built.directories.iter().map(|(digest, _)| *digest).collect();
        needed.extend([scene.put("x"), scene.put("y")]);
        let root = built.root;
        let tree = built.into_tree().blob();
        let tree_digest = tree.digest();
        if with_tree {
            block_on(scene.store.put(tree)).unwrap();
            needed.push(tree_digest);
        }
        let result = ActionResult {
            output_directories: vec![OutputDirectory {
                path: "dir".into(),
                tree_digest: with_tree.then(|| tree_digest.to_proto()),
                root_directory_digest: Some(root.to_proto()),
                ..OutputDirectory::default()
            }],
            ..ActionResult::default()
        };
        scene.check_needs(&result, &needed);
    }
}

#[test]
fn one_question_for_each_round() {
    let scene = Scene::new();
    let tree = scene.tree().into_tree();
    block_on(scene.store.put(tree.blob())).unwrap();
    let mut result = ActionResult::default();
    for number in 0..100 {
        result
            .output_files
            .push(file(&format!("file{number}"), scene.put(&number.to_string())));
    }
    assert!(scene.is_served(&result));
    assert_eq!(*scene.store.questions.lock(), 1);
    for number in 0..10 {
        result.output_directories.push(OutputDirectory {
            path: format!("dir{number}"),
            tree_digest: Some(tree.blob().digest().to_proto()),
            ..OutputDirectory::default()
        });
    }
    assert!(scene.is_served(&result));
    assert_eq!(*scene.store.questions.lock(), 3);
}

#[test]
fn what_makes_no_sense_is_a_miss_and_not_an_error() {
    let scene = Scene::new();
    let no_digest = ActionResult {
        output_files: vec![OutputFile {
            path: "a".into(),
            ..OutputFile::default()
        }],
        ..ActionResult::default()
    };
    assert!(!scene.is_served(&no_digest));
    let not_a_tree = scene.put("this is no tree").to_proto();
    for (tree_digest, root_directory_digest) in [(Some(not_a_tree.clone()), None), (None, Some(not_a_tree))] {
        let directory = OutputDirectory {
            path: "dir".into(),
            tree_digest,
            root_directory_digest,
            ..OutputDirectory::default()
        };
        assert!(!scene.is_served(&ActionResult {
            output_directories: vec![directory],
            ..ActionResult::default()
        }));
    }
}
