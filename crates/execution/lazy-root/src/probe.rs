//! Whether this machine can do it at all.

use std::fs;
use std::future::ready;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use blob::{Digest, DigestFunction};
use merkle::Directory;
use tasks::Group;

use crate::{Contents, Id, InputFile, Layers, Owners, RootOptions, mount, overlay};

/// A tree of one empty directory.
struct Nothing;

/// Why it has nothing to give.
struct Empty;

impl Contents for Nothing {
    type Error = Empty;

    fn directory(&self, _: Digest) -> impl Future<Output = Result<Arc<Directory>, Empty>> + Send + 'static {
        ready(Ok(Arc::new(Directory::default())))
    }

    fn file(&self, _: InputFile) -> impl Future<Output = Result<OwnedFd, Empty>> + Send + 'static {
        ready(Err(Empty))
    }

    fn too_slow(&self, _: &str) -> Empty {
        Empty
    }

    fn broken(&self, _: &str, _: io::Error) -> Empty {
        Empty
    }
}

/// Mounts an empty tree below the new directory `scratch` with an overlay over it, writes through it, and takes all of it
/// away. The error says what this machine, or this process, cannot do. Blocking; on a runtime.
pub fn probe(scratch: &Path, group: &Group) -> Result<(), String> {
    let tried = try_out(scratch, group);
    let removed = match fs::remove_dir_all(scratch) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.to_string()),
        _ => Ok(()),
    };
    tried.map_err(|error| error.to_string()).and(removed)
}

fn try_out(scratch: &Path, group: &Group) -> io::Result<()> {
    let [lower, upper, work, whole] = ["inputs", "upper", "work", "root"].map(|name| scratch.join(name));
    for directory in [&lower, &upper, &work, &whole] {
        fs::create_dir_all(directory)?;
    }
    let us = Id {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
    };
    let options = RootOptions {
        root: Digest::of(DigestFunction::Sha256, b""),
        owners: Owners {
            action: us,
            files: us,
            outputs: Default::default(),
            modified: Duration::ZERO,
        },
    };
    let (_root, _mounted) = mount(&lower, Nothing, options, group)?;
    let layers = Layers {
        lower: &lower,
        upper: &upper,
        work: &work,
    };
    let _overlay = overlay(&whole, layers)?;
    fs::write(whole.join("written"), "through")?;
    match fs::read(upper.join("written")) {
        Ok(bytes) if bytes == b"through" => Ok(()),
        Ok(_) => Err(io::Error::other(
            "an overlay keeps something else than was written",
        )),
        Err(error) => Err(io::Error::new(
            error.kind(),
            format!("an overlay does not keep what is written where it should: {error}"),
        )),
    }
}
