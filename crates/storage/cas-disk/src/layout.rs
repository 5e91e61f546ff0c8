//! Where things are.
//!
//! ```text
//! DIR/blobs/lock                                     who works here
//! DIR/blobs/incoming/<number>                        being written
//! DIR/blobs/<function>/<2 hex>/<hash>-<size>         a blob
//! DIR/action-cache/<instance>/...                    the same for the results of one instance
//! ```
//!
//! Each store has its own `incoming`, so that one that starts can clear away what it left there without touching
//! what another is writing, and so that a rename never leaves a file system.

use std::path::{Path, PathBuf};

use blob::{Digest, DigestFunction, InstanceName};

/// The paths of one store.
pub(crate) struct Layout {
    root: PathBuf,
}

/// Longest escaped instance name that becomes a directory's name as it is; file systems take 255 bytes.
const ESCAPED_BYTES_MAX: usize = 200;

impl Layout {
    pub(crate) fn new(root: PathBuf) -> Self {
        Layout { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn incoming(&self) -> PathBuf {
        self.root.join("incoming")
    }

    /// Every directory that may hold entries, with the function of its entries. Made when first needed.
    pub(crate) fn shards(&self) -> impl Iterator<Item = (DigestFunction, PathBuf)> {
        DigestFunction::ALL.into_iter().flat_map(move |function| {
            let functions = self.root.join(function.name());
            (0..=u8::MAX).map(move |shard| (function, functions.join(format!("{shard:02x}"))))
        })
    }

    /// The file of an entry.
    pub(crate) fn entry(&self, digest: &Digest) -> PathBuf {
        let hash = digest.hash_hex();
        let mut path = self.root.join(digest.function().name());
        path.push(&hash[..2]);
        path.push(format!("{hash}-{}", digest.size_bytes()));
        path
    }

    /// Which entry a file in a shard of `function` is, if it is one.
    pub(crate) fn digest_of(function: DigestFunction, shard: &Path, file_name: &str) -> Option<Digest> {
        let (hash, size) = file_name.split_once('-')?;
        let size_bytes: u64 = size.parse().ok()?;
        let digest = Digest::from_hex(function, hash, size_bytes).ok()?;
        // One spelling for each entry: no sign, no leading zero, in its own shard.
        let is_canonical = size_bytes.to_string() == size && shard.file_name()?.to_str()? == &hash[..2];
        is_canonical.then_some(digest)
    }
}

/// An instance name as the name of a directory. Different names give different directories.
pub(crate) fn escape(instance: &InstanceName) -> String {
    let name = instance.as_str();
    if name.is_empty() {
        // No escape looks like this: two hexadecimal digits follow each percent sign.
        return "%unnamed".to_owned();
    }
    let mut escaped = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02x}")),
        }
    }
    if escaped.len() > ESCAPED_BYTES_MAX {
        return format!(
            "%sha256-{}",
            Digest::of(DigestFunction::Sha256, name.as_bytes()).hash_hex()
        );
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_is_read_back_as_what_it_was_written_for() {
        let layout = Layout::new("/data".into());
        for function in DigestFunction::ALL {
            let digest = Digest::of(function, b"hello");
            let path = layout.entry(&digest);
            let name = path.file_name().and_then(|name| name.to_str()).unwrap();
            assert_eq!(
                Layout::digest_of(function, path.parent().unwrap(), name),
                Some(digest)
            );
        }
    }

    #[test]
    fn other_names_are_nobodys() {
        let digest = Digest::of(DigestFunction::Sha256, b"hello");
        let hash = digest.hash_hex();
        let shard = Path::new("/data/2c");
        assert!(Layout::digest_of(DigestFunction::Sha256, shard, &format!("{hash}-5")).is_some());
        for name in [
            "",
            "-",
            "x-5",
            &hash,
            &format!("{hash}-05"),
            &format!("{hash}-+5"),
            &format!("{hash}-5.tmp"),
            &format!("{}-5", hash.to_uppercase()),
            &format!("{hash}-0"),
            &format!("{hash}-18446744073709551616"),
        ] {
            assert_eq!(
                Layout::digest_of(DigestFunction::Sha256, shard, name),
                None,
                "{name}"
            );
        }
        assert_eq!(
            Layout::digest_of(
                DigestFunction::Sha256,
                Path::new("/data/2d"),
                &format!("{hash}-5")
            ),
            None
        );
    }

    #[test]
    fn instances_never_share_a_directory_or_leave_it() {
        let long = "ä".repeat(100);
        let longer = "ä".repeat(101);
        let names = [
            "", "main", "Main", "a/b", "a%2fb", "a_b", "%unnamed", "unnamed", &long, &longer, "a.b", "é",
        ];
        let mut escaped: Vec<String> = names
            .iter()
            .map(|name| escape(&InstanceName::new(name).unwrap()))
            .collect();
        for name in &escaped {
            assert!(
                !name.is_empty() && !name.contains(['/', '.']) && name.len() <= 255,
                "{name}"
            );
        }
        escaped.sort();
        escaped.dedup();
        assert_eq!(escaped.len(), names.len());
    }
}
