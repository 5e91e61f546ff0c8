//! The journey of an action whose inputs are fetched while it runs, where it differs from any other's.

use std::sync::Arc;

use action::Report;
use blob::DigestSet;
use cas::BlobStore;
use runner_api::{RunError, RunRequest, RunResponse};
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::inputs::Inputs;
use super::local::{Local, output_places, without_empty};
use super::timeline::Timeline;
use crate::assignment::Assignment;
use crate::blocking::blocking;
use crate::build_directory::{Beneath, BuildDirectory, LazyInputs, LazyLayout};
use crate::lazy_inputs::{FromCache, Laziness, LazyError, Observe, message, unobserved};

impl Laziness {
    /// Where it was asked for and could not be done.
    pub(super) fn tell_impossible(&self, timeline: &mut Timeline) {
        if let Observe::Impossible(reason) = &self.observe {
            timeline.observed(&unobserved(reason.clone()));
        }
    }
}

impl Local {
    /// Mounts the input root; nothing is fetched but, in the background, what such a command has read before.
    pub(super) async fn lay_out_lazily(
        &self,
        assignment: &Assignment,
        blobs: &Arc<dyn BlobStore>,
        inputs: &mut Inputs,
    ) -> Result<BuildDirectory, Failure> {
        let image = self.image(assignment, &**blobs, inputs).await?;
        let contents = FromCache {
            tree: inputs.tree.clone(),
            files: self.files.clone(),
            store: blobs.clone(),
            invocation: assignment.invocation.clone(),
        };
        let layout = LazyLayout {
            contents: contents.clone(),
            outputs: output_places(&assignment.command).outputs.into_iter().collect(),
            parents: inputs.layout()?.output_parents().to_vec(),
            group: self.lazy.group.clone(),
            beneath: Beneath {
                inputs: None,
                image,
                place: inputs.surroundings.place.clone(),
            },
        };
        let label = assignment.label();
        let build_directory = self.build_directories.create_lazy(&label, layout).await?;
        let command = assignment.action.command_digest();
        let ahead = self.lazy.read_before.expected(command, &inputs.tree);
        if let (Some(lazy), false) = (build_directory.lazy(), ahead.is_empty()) {
            self.lazy.fetch_ahead(&contents, ahead, lazy.ends.clone());
        }
        Ok(build_directory)
    }

    /// Runs a command by a clock that stands still while it waits for inputs, and ends it when one cannot be had.
    pub(super) async fn run_lazily(
        &self,
        request: RunRequest,
        lazy: &LazyInputs,
        cancel: &CancellationToken,
    ) -> Result<RunResponse, RunError> {
        let ending = cancel.child_token();
        let failed = lazy.root.failed();
        lazy.root.observe(true);
        let run = self.runner.run_by_clock(request, lazy.root.waiting(), &ending);
        let mut run = std::pin::pin!(run);
        let ran = tokio::select! {
            ran = &mut run => ran,
            () = failed.cancelled() => {
                ending.cancel();
                lazy.root.give_up();
                run.await
            }
            // A process that waits for an input cannot die before it is answered.
            () = cancel.cancelled() => {
                lazy.root.give_up();
                run.await
            }
        };
        lazy.root.observe(false);
        ran
    }

    /// Sees to it that inputs that could not be had are told instead of what the command made of that; remembers and tells
    /// what was read.
    pub(super) async fn settle(
        &self,
        assignment: &Assignment,
        blobs: &dyn BlobStore,
        laid_out: (&BuildDirectory, &Inputs, &Laziness),
        timeline: &mut Timeline,
        report: Result<Report, Failure>,
    ) -> Result<Report, Failure> {
        let (build_directory, inputs, laziness) = laid_out;
        let Some(lazy) = build_directory.lazy() else {
            laziness.tell_impossible(timeline);
            return report;
        };
        if let Some(error) = lazy.root.failure() {
            return Err(self.lost(error, blobs, inputs).await);
        }
        let report = report?;
        let observed = lazy.root.observed();
        let command = assignment.action.command_digest();
        self.lazy.read_before.note(command, observed.files_read.clone());
        if laziness.observe == Observe::Yes {
            let upper = lazy.upper.try_clone();
            let upper = upper.map_err(|error| Failure::disk("looking for what was written", error))?;
            let outputs = lazy.outputs.clone();
            let look = move || {
                let is_wanted = |path: &str| !outputs.contains(path) && !outputs.contains("");
                lazy_root::written(&upper, is_wanted)
            };
            let written = blocking(look)
                .await
                .map_err(|error| Failure::disk("looking for what was written", error))?;
            timeline.observed(&message(observed, written, &lazy.outputs));
        }
        Ok(report)
    }

    /// Whatever else is missing is named too (E3), so that a client uploads all of it at once.
    async fn lost(&self, error: LazyError, blobs: &dyn BlobStore, inputs: &Inputs) -> Failure {
        let first = match Failure::from(error) {
            Failure::Missing(first) => first,
            other => return other,
        };
        let Ok(layout) = inputs.layout() else {
            return Failure::Missing(first);
        };
        let absent: DigestSet = without_empty(self.files.absent(layout.files()));
        match blobs.find_missing(&absent).await {
            Ok(missing) => Failure::Missing(first.union(&missing)),
            // What is known is enough for the client to go on.
            Err(error) => {
                tracing::warn!(%error, "which other inputs are missing could not be asked");
                Failure::Missing(first)
            }
        }
    }
}
