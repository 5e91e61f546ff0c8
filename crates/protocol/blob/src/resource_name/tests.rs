use proptest::prelude::*;

use super::*;

const HASH: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
const UUID: &str = "0e02b2c3-58cc-4372-a567-0e02b2c3d479";

fn digest() -> Digest {
    Digest::from_hex(DigestFunction::Sha256, HASH, 5).unwrap()
}

#[test]
fn every_form_of_a_read_name() {
    for (name, instance, compressor, function) in [
        (
            format!("blobs/{HASH}/5"),
            "",
            Compressor::Identity,
            DigestFunction::Sha256,
        ),
        (
            format!("a/b/c/blobs/{HASH}/5"),
            "a/b/c",
            Compressor::Identity,
            DigestFunction::Sha256,
        ),
        (
            format!("main/blobs/sha256/{HASH}/5"),
            "main",
            Compressor::Identity,
            DigestFunction::Sha256,
        ),
        (
            format!("main/blobs/blake3/{HASH}/5"),
            "main",
            Compressor::Identity,
            DigestFunction::Blake3,
        ),
        (
            format!("compressed-blobs/zstd/{HASH}/5"),
            "",
            Compressor::Zstd,
            DigestFunction::Sha256,
        ),
        (
            format!("a/b/compressed-blobs/zstd/blake3/{HASH}/5"),
            "a/b",
            Compressor::Zstd,
            DigestFunction::Blake3,
        ),
    ] {
        let read = ReadName::parse(&name).unwrap();
        assert_eq!(read.instance.as_str(), instance);
        assert_eq!(read.compressor, compressor);
        assert_eq!(read.digest, Digest::from_hex(function, HASH, 5).unwrap());
        assert_eq!(ReadName::parse(&read.to_string()).unwrap(), read);
    }
}

#[test]
fn every_form_of_a_write_name() {
    for (name, instance, compressor) in [
        (format!("uploads/{UUID}/blobs/{HASH}/5"), "", Compressor::Identity),
        (
            format!("a/b/uploads/{UUID}/blobs/{HASH}/5/some/meta//data"),
            "a/b",
            Compressor::Identity,
        ),
        (
            format!("x/uploads/{UUID}/compressed-blobs/zstd/{HASH}/5"),
            "x",
            Compressor::Zstd,
        ),
        (
            format!("uploads/{UUID}/compressed-blobs/zstd/sha256/{HASH}/5/blobs"),
            "",
            Compressor::Zstd,
        ),
    ] {
        let write = WriteName::parse(&name).unwrap();
        assert_eq!(
            (write.instance.as_str(), write.compressor),
            (instance, compressor)
        );
        assert_eq!((write.digest, write.upload.as_str()), (digest(), UUID));
        assert_eq!(WriteName::parse(&write.to_string()).unwrap(), write);
    }
}

#[test]
fn malformed_read_names() {
    use ResourceNameError as E;
    let malformed = |name: &str| matches!(ReadName::parse(name), Err(E::Malformed { .. }));
    assert!(malformed(""));
    assert!(malformed(HASH));
    assert!(malformed("blobs"));
    assert!(malformed(&format!("blobs/{HASH}")));
    assert!(malformed(&format!("blobs/{HASH}/5/more")));
    assert!(malformed(&format!("uploads/{UUID}/blobs/{HASH}/5")));
    let instance = |name: &str| matches!(ReadName::parse(name), Err(E::Instance { .. }));
    assert!(instance(&format!("/blobs/{HASH}/5")));
    assert!(instance(&format!("a//blobs/{HASH}/5")));
    assert!(instance(&format!("operations/blobs/{HASH}/5")));
    let digest = |name: &str| matches!(ReadName::parse(name), Err(E::Digest { .. }));
    assert!(digest(&format!("blobs/{}/5", HASH.to_uppercase())));
    for size in [
        "-1",
        "+5",
        "05",
        "",
        "5x",
        "99999999999999999999",
        "9223372036854775808",
    ] {
        assert!(digest(&format!("blobs/{HASH}/{size}")), "size {size:?}");
    }
    assert!(digest(&format!("blobs/{HASH}/0")));
    assert!(digest(&format!("blobs/vso/{HASH}")));
    let compressor = |name: &str| matches!(ReadName::parse(name), Err(E::Compressor { .. }));
    assert!(compressor(&format!("compressed-blobs/identity/{HASH}/5")));
    assert!(compressor(&format!("compressed-blobs/brotli/{HASH}/5")));
    assert!(matches!(
        ReadName::parse(&"a".repeat(5000)),
        Err(E::TooLong { .. })
    ));
}

#[test]
fn malformed_write_names() {
    use ResourceNameError as E;
    assert!(matches!(
        WriteName::parse(&format!("blobs/{HASH}/5")),
        Err(E::Malformed { .. })
    ));
    assert!(matches!(
        WriteName::parse(&format!("uploads/{UUID}")),
        Err(E::Malformed { .. })
    ));
    assert!(matches!(
        WriteName::parse(&format!("uploads/not-a-uuid/blobs/{HASH}/5")),
        Err(E::Upload { .. })
    ));
    assert!(matches!(
        WriteName::parse(&format!("uploads/{UUID}/oops/{HASH}/5")),
        Err(E::Malformed { .. })
    ));
    assert!(matches!(
        WriteName::parse(&format!("/uploads/{UUID}/blobs/{HASH}/5")),
        Err(E::Instance { .. })
    ));
}

proptest! {
    #[test]
    fn any_text_is_answered(name in ".{0,200}") {
        let _ = ReadName::parse(&name);
        let _ = WriteName::parse(&name);
    }

    #[test]
    fn any_mix_of_segments_that_parses_round_trips(
        segments in prop::collection::vec(prop::sample::select(vec![
            "", "a", "b", "blobs", "uploads", "compressed-blobs", "zstd", "identity", "sha256", "blake3", HASH, UUID, "5", "0",
        ]), 0..9),
    ) {
        let name = segments.join("/");
        if let Ok(read) = ReadName::parse(&name) {
            prop_assert_eq!(ReadName::parse(&read.to_string()).unwrap(), read);
        }
        if let Ok(write) = WriteName::parse(&name) {
            prop_assert_eq!(WriteName::parse(&write.to_string()).unwrap(), write);
        }
    }
}
