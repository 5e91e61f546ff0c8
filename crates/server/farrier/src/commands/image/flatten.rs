//! Layers to one tree.

use std::fs::File;
use std::io::{self, Read};

use anyhow::{Context, Result, ensure};
use blob::{DigestFunction, DigestHasher};
use image::{ContentDigest, Decompressed, FileTree, Tar, apply};
use merkle::BuiltTree;

use super::resolve::Layer;
use super::spool::{Spool, SpooledContents};

/// An image as one tree, and where the content of its files is.
pub(super) struct Flat {
    pub(super) tree: BuiltTree,
    pub(super) paths: usize,
    /// What REAPI has no place for.
    pub(super) skipped: u64,
    pub(super) contents: SpooledContents,
}

/// Unpacks the layers one over the other. Each is proven to be what it is said to be.
pub(super) fn flatten(layers: &[Layer], function: DigestFunction, spool: Spool) -> Result<Flat> {
    let mut tree = FileTree::new();
    let mut contents = SpooledContents::new(spool, function);
    let mut skipped = 0;
    for (number, layer) in layers.iter().enumerate() {
        skipped += unpack(&mut tree, number, layer, &mut contents)
            .with_context(|| format!("layer {} of {}", number + 1, layers.len()))?;
    }
    let paths = tree.len();
    let tree = tree
        .into_builder()
        .context("the image's files are no tree of REAPI")?;
    Ok(Flat {
        tree: tree.build(function)?,
        paths,
        skipped,
        contents,
    })
}

fn unpack(tree: &mut FileTree, number: usize, layer: &Layer, contents: &mut SpooledContents) -> Result<u64> {
    let file = File::open(&layer.path).context("cannot open it")?;
    let mut file = Hashing::new(file, layer.compressed.as_ref());
    let mut plain = Hashing::new(Decompressed::new(&mut file)?, layer.plain.as_ref());
    let mut tar = Tar::new(&mut plain);
    let skipped = apply(tree, number, &mut tar, contents)?;
    // What follows the end of a tar is a part of the digests too.
    if layer.plain.is_some() {
        io::copy(&mut plain, &mut io::sink())?;
    }
    let decompressed = plain.check()?;
    io::copy(&mut decompressed.into_rest(), &mut io::sink())?;
    file.check()?;
    Ok(skipped)
}

/// Hashes what is read through it, if there is something to compare with.
struct Hashing<R> {
    reader: R,
    expected: Option<(ContentDigest, DigestHasher)>,
}

impl<R> Hashing<R> {
    fn new(reader: R, expected: Option<&ContentDigest>) -> Self {
        // The size is no part of the digests of images.
        let expected = expected.map(|digest| (digest.clone(), DigestHasher::new(digest.function(), 0)));
        Hashing { reader, expected }
    }

    /// When all has been read: whether it was that.
    fn check(self) -> Result<R> {
        if let Some((expected, hasher)) = self.expected {
            let found = ContentDigest::without_size(&hasher.finish());
            ensure!(
                found == expected,
                "it has digest {found}, where {expected} was expected; the image is damaged"
            );
        }
        Ok(self.reader)
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        if let Some((_, hasher)) = &mut self.expected {
            hasher.update(&buffer[..read]);
        }
        Ok(read)
    }
}
