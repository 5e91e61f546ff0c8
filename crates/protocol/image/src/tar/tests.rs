use proptest::collection::vec;
use proptest::prelude::*;

use super::writer::{directory, end, entry, file, hard_link, pax, seal, symlink};
use super::*;

/// Path, kind, mode and content of an entry.
type ReadEntry = (String, Kind, u32, Vec<u8>);

fn read(bytes: &[u8]) -> Result<Vec<ReadEntry>, TarError> {
    let mut tar = Tar::new(bytes);
    let mut entries = Vec::new();
    while let Some(entry) = tar.next_entry()? {
        let mut content = Vec::new();
        tar.read_to_end(&mut content)?;
        assert_eq!(content.len() as u64, entry.size_bytes);
        entries.push((
            String::from_utf8_lossy(&entry.path).into_owned(),
            entry.kind,
            entry.mode,
            content,
        ));
    }
    Ok(entries)
}

#[test]
fn entries_of_all_kinds() {
    let bytes = [
        directory("d/"),
        file("d/f", "content"),
        entry("d/x", b'0', "", 0o755, &[7; 1000]),
        symlink("d/s", "../f"),
        hard_link("d/h", "d/f"),
        entry("dev/null", b'3', "", 0o666, b""),
        entry("old/", 0, "", 0o755, b""),
        file("last", ""),
        end(),
        b"whatever follows".to_vec(),
    ]
    .concat();
    let target = |text: &str| text.as_bytes().to_vec();
    let expected = [
        ("d/", Kind::Directory, 0o755, vec![]),
        ("d/f", Kind::File, 0o644, b"content".to_vec()),
        ("d/x", Kind::File, 0o755, vec![7; 1000]),
        (
            "d/s",
            Kind::Symlink {
                target: target("../f"),
            },
            0o777,
            vec![],
        ),
        (
            "d/h",
            Kind::HardLink {
                target: target("d/f"),
            },
            0o644,
            vec![],
        ),
        ("dev/null", Kind::Other, 0o666, vec![]),
        ("old/", Kind::Directory, 0o755, vec![]),
        ("last", Kind::File, 0o644, vec![]),
    ];
    let found = read(&bytes).unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|(path, kind, mode, content)| (path.as_str(), kind.clone(), *mode, content.clone()))
        .collect();
    assert_eq!(found, expected);
    // Content that nobody reads is passed over, and a tar without its end is taken.
    let mut tar = Tar::new(&bytes[..bytes.len() - 1024 - 16]);
    let mut count = 0;
    while tar.next_entry().unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, expected.len());
}

#[test]
fn long_names_come_by_prefix_by_pax_and_by_gnu() {
    let long = "long/".repeat(30) + "name";
    let mut prefixed = file("name", "p");
    {
        let block: &mut [u8; 512] = (&mut prefixed[..512]).try_into().unwrap();
        block[345..345 + 9].copy_from_slice(b"some/path");
        seal(block);
    }
    let bytes = [
        prefixed,
        pax(&[("mtime", "1.5"), ("path", &long), ("linkpath", "there")]),
        symlink("short", "x"),
        entry("././@LongLink", b'L', "", 0, format!("{long}\0").as_bytes()),
        entry("././@LongLink", b'K', "", 0, b"target\0"),
        symlink("short", "x"),
        pax(&[("size", "3")]),
        entry("sized", b'0', "", 0o644, b"abc"),
        file("plain", ""),
        end(),
    ]
    .concat();
    let found = read(&bytes).unwrap();
    let symlink = |target: &str| Kind::Symlink {
        target: target.into(),
    };
    let expected = [
        ("some/path/name", Kind::File),
        (&long, symlink("there")),
        (&long, symlink("target")),
        ("sized", Kind::File),
        ("plain", Kind::File),
    ];
    let found: Vec<_> = found
        .iter()
        .map(|(path, kind, ..)| (path.as_str(), kind.clone()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn broken_tars_are_errors() {
    let good = [file("f", "content"), end()].concat();
    let mut wrong_sum = good.clone();
    wrong_sum[0] = b'g';
    let mut wrong_size = good.clone();
    wrong_size[124] = b'9';
    seal((&mut wrong_size[..512]).try_into().unwrap());
    let mut huge = good.clone();
    huge[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255]);
    seal((&mut huge[..512]).try_into().unwrap());
    let bad_pax = |content: &[u8]| [entry("pax", b'x', "", 0, content), good.clone()].concat();
    for (name, bytes) in [
        ("a wrong checksum", wrong_sum),
        ("a wrong size", wrong_size),
        ("more content than there is", huge),
        ("an end within content", good[..515].to_vec()),
        ("an end within a header", good[..100].to_vec()),
        ("no tar at all", vec![b'x'; 2048]),
        (
            "a sparse file",
            [entry("s", b'S', "", 0o644, b""), end()].concat(),
        ),
        (
            "a sparse file of pax",
            [pax(&[("GNU.sparse.major", "1")]), good.clone()].concat(),
        ),
        ("pax without a length", bad_pax(b"path=x\n")),
        ("pax with a length of nothing", bad_pax(b"0 path=x\n")),
        ("pax with too great a length", bad_pax(b"999 path=x\n")),
        (
            "pax with a length that wraps",
            bad_pax(b"18446744073709551615 path=x\n"),
        ),
        (
            "a path too long",
            [entry("L", b'L', "", 0, &[b'p'; 5000]), good.clone()].concat(),
        ),
        (
            "a header too long",
            [entry("L", b'x', "", 0, &vec![b'p'; 2 << 20]), good.clone()].concat(),
        ),
    ] {
        assert!(read(&bytes).is_err(), "{name}");
    }
}

proptest! {
    #[test]
    fn nothing_panics(bytes in vec(any::<u8>(), 0..2048), at in 0usize..512, byte in any::<u8>()) {
        let _ = read(&bytes);
        let mut nearly = [pax(&[("path", "p")]), file("f", "content"), end()].concat();
        nearly[at] = byte;
        let _ = read(&nearly);
        nearly[512 + at] = byte;
        let _ = read(&nearly);
        seal((&mut nearly[..512]).try_into().unwrap());
        let _ = read(&nearly);
    }
}
