//! Root file systems that have been loaded, by their digests.
//!
//! `farrier image load` keeps an image as the result of an action that nobody can run (`action::ContainerImage`): the
//! action cache serves it only as long as everything in it is stored, and keeps it in life while it is asked for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use action::ContainerImage;
use action_cache::ActionCache;
use blob::{Digest, DigestFunction, InstanceName};
use bytes::Bytes;
use cas::BlobStore;
use cas::tree::read_all;
use image::{Config, DOCUMENT_BYTES_MAX};
use merkle::{InputTree, Tree};
use parking_lot::Mutex;
use reapi::execution::ActionResult;
use reapi::rpc::Code;

use super::failure::{Failure, store};
use crate::assignment::Assignment;
use crate::build_directory::PrepareError;
use crate::file_cache::FileCacheError;
use crate::limits::{IMAGE_TREE_BYTES_MAX, IMAGE_TRUST, IMAGES_KNOWN_MAX};
use crate::tree_cache::{CachedTree, TreeCache, TreeError};

/// Where the results of an instance are.
pub type Results = Arc<dyn Fn(&InstanceName) -> Arc<dyn ActionCache> + Send + Sync>;

/// Images as this worker has found them, most recently used first.
pub(crate) struct Images {
    trees: Arc<TreeCache>,
    results: Results,
    known: Mutex<VecDeque<(Key, Arc<Known>)>>,
}

/// An instance does not see what was loaded into another, nor by another digest function.
type Key = (InstanceName, DigestFunction, ContainerImage);

struct Known {
    tree: Arc<InputTree>,
    environment: Vec<(String, String)>,
    since: Instant,
}

/// An image that an action can run in.
pub(super) struct Loaded {
    pub(super) tree: Arc<CachedTree>,
    /// What variables it sets.
    pub(super) environment: Vec<(String, String)>,
}

impl Images {
    pub(crate) fn new(trees: Arc<TreeCache>, results: Results) -> Self {
        Images {
            trees,
            results,
            known: Mutex::default(),
        }
    }

    /// The image on this disk, fetched if it is not there yet. One that was not loaded fails the action: no other worker
    /// could do better.
    pub(super) async fn find(
        &self,
        assignment: &Assignment,
        image: &ContainerImage,
        blobs: &dyn BlobStore,
    ) -> Result<Loaded, Failure> {
        let key = (assignment.instance.clone(), assignment.function, image.clone());
        let known = match self.recall(&key) {
            Some(known) => known,
            None => {
                let known = Arc::new(self.ask(&key, blobs).await?);
                self.remember(key, &known);
                known
            }
        };
        match self.trees.tree(blobs, &known.tree).await {
            Ok(tree) => Ok(Loaded {
                tree,
                environment: known.environment.clone(),
            }),
            // Its client has nothing to upload again.
            Err(TreeError::Prepare(PrepareError::Files(FileCacheError::Missing(_)))) => {
                Err(not_loaded(image, &assignment.instance, assignment.function))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What was found a short while ago. Older than that it is looked for again, which also keeps it in life.
    fn recall(&self, key: &Key) -> Option<Arc<Known>> {
        let mut known = self.known.lock();
        let at = known.iter().position(|(other, _)| other == key)?;
        let entry = known.remove(at)?;
        if entry.1.since.elapsed() >= IMAGE_TRUST {
            return None;
        }
        let found = entry.1.clone();
        known.push_front(entry);
        Some(found)
    }

    fn remember(&self, key: Key, known: &Arc<Known>) {
        let mut all = self.known.lock();
        all.retain(|(other, _)| *other != key);
        all.push_front((key, known.clone()));
        all.truncate(IMAGES_KNOWN_MAX);
    }

    async fn ask(&self, key: &Key, blobs: &dyn BlobStore) -> Result<Known, Failure> {
        let (instance, function, image) = key;
        let since = Instant::now();
        let refused = || not_loaded(image, instance, *function);
        let result = (self.results)(instance)
            .get(&image.action(*function).digest)
            .await;
        let result = result.map_err(|error| store("looking for an image", error))?;
        let (tree, config) = result
            .as_ref()
            .and_then(|result| parts(*function, result))
            .ok_or_else(refused)?;
        let tree = read(blobs, &tree, IMAGE_TREE_BYTES_MAX)
            .await?
            .ok_or_else(refused)?;
        let config = read(blobs, &config, DOCUMENT_BYTES_MAX)
            .await?
            .ok_or_else(refused)?;
        let tree = Tree::decode(*function, tree).map_err(|error| malformed(image, error.to_string()))?;
        let config = Config::parse(&config).map_err(|error| malformed(image, error.to_string()))?;
        Ok(Known {
            tree: Arc::new(tree.into_input_tree()),
            environment: config.environment,
            since,
        })
    }
}

/// The tree and the configuration.
fn parts(function: DigestFunction, result: &ActionResult) -> Option<(Digest, Digest)> {
    let mut directories = result.output_directories.iter();
    let root = directories.find(|directory| directory.path == ContainerImage::ROOT)?;
    let mut files = result.output_files.iter();
    let config = files.find(|file| file.path == ContainerImage::CONFIG)?;
    let tree = Digest::from_proto(function, root.tree_digest.as_ref()?).ok()?;
    let config = Digest::from_proto(function, config.digest.as_ref()?).ok()?;
    Some((tree, config))
}

async fn read(blobs: &dyn BlobStore, digest: &Digest, size_bytes_max: u64) -> Result<Option<Bytes>, Failure> {
    let bytes = read_all(blobs, digest, size_bytes_max).await;
    bytes.map_err(|error| store("fetching an image's description", error))
}

fn not_loaded(image: &ContainerImage, instance: &InstanceName, function: DigestFunction) -> Failure {
    let image = image.as_str();
    let instance = match instance.as_str() {
        "" => String::new(),
        name => format!(" --instance {name}"),
    };
    Failure::Status(
        Code::FailedPrecondition,
        format!(
            "image {image} has not been loaded here, or is gone; load it with \
             `farrier image load{instance} --digest-function {} PATH` (an OCI layout, or what `docker save` writes) or \
             `farrier image pull NAME@{image}`, and try again",
            function.name()
        ),
    )
}

fn malformed(image: &ContainerImage, reason: String) -> Failure {
    let image = image.as_str();
    Failure::Status(
        Code::FailedPrecondition,
        format!("image {image} is not stored as an image: {reason}; load it again with `farrier image load`"),
    )
}
