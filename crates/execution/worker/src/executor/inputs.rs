//! What an action needs beside its command, and how that gets onto the disk.

use std::sync::Arc;

use cas::BlobStore;
use merkle::InputTree;

use super::failure::Failure;
use super::local::Local;
use super::surroundings::Surroundings;
use crate::assignment::Assignment;
use crate::build_directory::{Beneath, BuildDirectory, Layout, LayoutError, OutputPlaces};
use crate::tree_cache::{CachedTree, Way};

/// What is known of an action's inputs before anything is touched.
pub(super) struct Inputs {
    /// As the client described it.
    pub(super) tree: Arc<InputTree>,
    /// Where the action writes.
    pub(super) places: OutputPlaces,
    /// What is around it.
    pub(super) surroundings: Surroundings,
}

impl Inputs {
    /// How all of it is laid out by itself.
    pub(super) fn layout(&self) -> Result<Arc<Layout>, LayoutError> {
        Layout::new(&self.tree, self.places.clone()).map(Arc::new)
    }
}

impl Local {
    /// Fetches what is not here yet and puts everything in its place: over a tree that is here already if one is near.
    pub(super) async fn lay_out(
        &self,
        assignment: &Assignment,
        blobs: &dyn BlobStore,
        inputs: &mut Inputs,
    ) -> Result<BuildDirectory, Failure> {
        let image = self.image(assignment, blobs, inputs).await?;
        let way = match &self.trees {
            Some(trees) => trees.way(blobs, &inputs.tree, &inputs.places).await?,
            None => Way::Link,
        };
        let (base, layout) = match way {
            Way::Over(base, layout) => (Some(base), layout),
            Way::Link => (None, inputs.layout()?),
        };
        let beneath = Beneath {
            inputs: base,
            image,
            place: inputs.surroundings.place.clone(),
        };
        let label = assignment.label();
        let created = self.build_directories.create_over(beneath, &label, blobs, layout);
        Ok(created.await?)
    }

    /// The image that the action is to run in, if it names one; what that says of the environment becomes the action's.
    pub(super) async fn image(
        &self,
        assignment: &Assignment,
        blobs: &dyn BlobStore,
        inputs: &mut Inputs,
    ) -> Result<Option<Arc<CachedTree>>, Failure> {
        let (Some(image), Some(images)) = (&inputs.surroundings.image, &self.images) else {
            return Ok(None);
        };
        let loaded = images.find(assignment, image, blobs).await?;
        inputs.surroundings.environment = loaded.environment;
        Ok(Some(loaded.tree))
    }
}
