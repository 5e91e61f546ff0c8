//! Computing digests of bytes that arrive in pieces.

use sha2::Digest as _;

use crate::sha256_tree::Sha256Tree;
use crate::{Digest, DigestFunction};

/// Computes a digest of bytes that arrive in pieces.
#[derive(Clone)]
pub struct DigestHasher {
    state: State,
    size_bytes: u64,
}

#[derive(Clone)]
enum State {
    Md5(md5::Md5),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Sha384(sha2::Sha384),
    Sha512(sha2::Sha512),
    GitSha1(sha1::Sha1),
    // Boxed: these states are two kilobytes.
    Sha256Tree(Box<Sha256Tree>),
    Blake3(Box<blake3::Hasher>),
}

impl DigestHasher {
    /// A hasher that has seen nothing yet, for a blob of `size_bytes`. GITSHA1 hashes the size before the bytes: where
    /// another number of bytes comes, it gives no blob's digest (its size is that of what came, its hash is not), so
    /// whoever hashes a file that may change compares [`size_bytes`](Self::size_bytes) with what was said.
    pub fn new(function: DigestFunction, size_bytes: u64) -> Self {
        let state = match function {
            DigestFunction::Md5 => State::Md5(md5::Md5::new()),
            DigestFunction::Sha1 => State::Sha1(sha1::Sha1::new()),
            DigestFunction::Sha256 => State::Sha256(sha2::Sha256::new()),
            DigestFunction::Sha384 => State::Sha384(sha2::Sha384::new()),
            DigestFunction::Sha512 => State::Sha512(sha2::Sha512::new()),
            DigestFunction::Sha256Tree => State::Sha256Tree(Box::new(Sha256Tree::new())),
            DigestFunction::Blake3 => State::Blake3(Box::new(blake3::Hasher::new())),
            DigestFunction::GitSha1 => {
                // As Git names a blob.
                State::GitSha1(sha1::Sha1::new().chain_update(format!("blob {size_bytes}\0")))
            }
        };
        DigestHasher { state, size_bytes: 0 }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size_bytes += bytes.len() as u64;
        match &mut self.state {
            State::Md5(hasher) => hasher.update(bytes),
            State::Sha1(hasher) | State::GitSha1(hasher) => hasher.update(bytes),
            State::Sha256(hasher) => hasher.update(bytes),
            State::Sha384(hasher) => hasher.update(bytes),
            State::Sha512(hasher) => hasher.update(bytes),
            State::Sha256Tree(hasher) => hasher.update(bytes),
            State::Blake3(hasher) => {
                hasher.update(bytes);
            }
        }
    }

    /// Bytes seen so far.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The digest of everything seen.
    pub fn finish(self) -> Digest {
        let size_bytes = self.size_bytes;
        let digest = |function, hash: &[u8]| Digest::of_hash(function, hash, size_bytes);
        match self.state {
            State::Md5(hasher) => digest(DigestFunction::Md5, &hasher.finalize()),
            State::Sha1(hasher) => digest(DigestFunction::Sha1, &hasher.finalize()),
            State::Sha256(hasher) => digest(DigestFunction::Sha256, &hasher.finalize()),
            State::Sha384(hasher) => digest(DigestFunction::Sha384, &hasher.finalize()),
            State::Sha512(hasher) => digest(DigestFunction::Sha512, &hasher.finalize()),
            State::GitSha1(hasher) => digest(DigestFunction::GitSha1, &hasher.finalize()),
            State::Sha256Tree(hasher) => digest(DigestFunction::Sha256Tree, &hasher.finish()),
            State::Blake3(hasher) => digest(DigestFunction::Blake3, hasher.finalize().as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published results: RFC 1321, FIPS 180 (examples of NIST), Git's own documentation, BLAKE3's test vectors, and for
    /// SHA256TREE the rule that small blobs have their SHA-256.
    #[test]
    fn known_hashes() {
        use DigestFunction::*;
        let long = b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu";
        let cases: &[(DigestFunction, &[u8], &str)] = &[
            (Md5, b"", "d41d8cd98f00b204e9800998ecf8427e"),
            (Md5, b"abc", "900150983cd24fb0d6963f7d28e17f72"),
            (
                Md5,
                b"12345678901234567890123456789012345678901234567890123456789012345678901234567890",
                "57edf4a22be3c955ac49da2e2107b67a",
            ),
            (Sha1, b"", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
            (Sha1, b"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (Sha1, long, "a49b2446a02c645bf419f995b67091253a04a259"),
            (
                Sha256,
                b"abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                Sha256,
                long,
                "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1",
            ),
            (
                Sha384,
                b"abc",
                "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
            ),
            (
                Sha384,
                long,
                "09330c33f71147e83d192fc782cd1b4753111b173b3b05d22fa08086e3b0f712fcc7c71a557e2db966c3e9fa91746039",
            ),
            (
                Sha512,
                b"abc",
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
            (
                Sha512,
                long,
                "8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909",
            ),
            (
                Blake3,
                b"hello",
                "ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f",
            ),
            (
                Blake3,
                b"abc",
                "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
            ),
            (GitSha1, b"abc", "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f"),
            (GitSha1, b"", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
            (
                GitSha1,
                b"what is up, doc?",
                "bd9dbf5aae1a3862dd1526723246b20206e5fc37",
            ),
            (
                Sha256Tree,
                b"abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
        ];
        for (function, bytes, hash) in cases {
            let digest = Digest::of(*function, bytes);
            assert_eq!(digest.hash_hex(), *hash, "{function:?}");
            assert_eq!(digest.hash_bytes().len(), function.hash_len());
        }
    }

    /// The hash of nothing is a constant of each function, not what this code happens to compute.
    #[test]
    fn the_empty_blob_has_the_published_hashes() {
        let expected = |function| match function {
            DigestFunction::Md5 => "d41d8cd98f00b204e9800998ecf8427e",
            DigestFunction::Sha1 => "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            DigestFunction::GitSha1 => "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
            DigestFunction::Sha256 | DigestFunction::Sha256Tree => {
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
            }
            DigestFunction::Blake3 => "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
            DigestFunction::Sha384 => {
                "38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da274edebfe76f65fbd51ad2f14898b95b"
            }
            DigestFunction::Sha512 => {
                "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"
            }
        };
        for function in DigestFunction::ALL {
            let empty = Digest::empty(function);
            assert_eq!(empty.hash_hex(), expected(function), "{function:?}");
            assert_eq!(
                Digest::from_hex(function, expected(function), 0),
                Ok(empty),
                "{function:?}"
            );
        }
    }

    /// NIST's long example, a million times `a`.
    #[test]
    fn a_long_message_has_the_published_hashes() {
        let bytes = vec![b'a'; 1_000_000];
        for (function, hash) in [
            (DigestFunction::Md5, "7707d6ae4e027c70eea2a935c2296f21"),
            (DigestFunction::Sha1, "34aa973cd4c4daa4f61eeb2bdbad27316534016f"),
            (
                DigestFunction::Sha256,
                "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
            ),
            (
                DigestFunction::Sha384,
                "9d0e1809716474cb086e834e310a4a1ced149e9c00f248527972cec5704c2a5b07b8b3dc38ecc4ebae97ddd87f3d8985",
            ),
            (
                DigestFunction::Sha512,
                "e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803afa973ebde0ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e4eadb217ad8cc09b",
            ),
        ] {
            assert_eq!(Digest::of(function, &bytes).hash_hex(), hash, "{function:?}");
        }
    }

    #[test]
    fn pieces_add_up() {
        for function in DigestFunction::ALL {
            let bytes: Vec<u8> = (0..5000u32).map(|n| n as u8).collect();
            let mut hasher = DigestHasher::new(function, 5000);
            for piece in bytes.chunks(333) {
                hasher.update(piece);
                hasher.update(b"");
            }
            assert_eq!(hasher.finish(), Digest::of(function, &bytes));
        }
    }
}
