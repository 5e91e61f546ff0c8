//! Tars for tests, good and bad.

/// One entry as ustar, its content padded.
pub(crate) fn entry(path: &str, type_flag: u8, target: &str, mode: u32, content: &[u8]) -> Vec<u8> {
    let mut block = [0u8; 512];
    block[..path.len()].copy_from_slice(path.as_bytes());
    block[100..108].copy_from_slice(format!("{mode:07o}\0").as_bytes());
    block[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
    block[156] = type_flag;
    block[157..157 + target.len()].copy_from_slice(target.as_bytes());
    block[257..265].copy_from_slice(b"ustar\x0000");
    seal(&mut block);
    let mut bytes = block.to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// Puts the right checksum.
pub(crate) fn seal(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

pub(crate) fn file(path: &str, content: &str) -> Vec<u8> {
    entry(path, b'0', "", 0o644, content.as_bytes())
}

pub(crate) fn directory(path: &str) -> Vec<u8> {
    entry(path, b'5', "", 0o755, b"")
}

pub(crate) fn symlink(path: &str, target: &str) -> Vec<u8> {
    entry(path, b'2', target, 0o777, b"")
}

pub(crate) fn hard_link(path: &str, target: &str) -> Vec<u8> {
    entry(path, b'1', target, 0o644, b"")
}

/// An extended header of these records.
pub(crate) fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let mut content = String::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length += 1;
        }
        content.push_str(&format!("{length} {key}={value}\n"));
    }
    entry("pax", b'x', "", 0o644, content.as_bytes())
}

pub(crate) fn end() -> Vec<u8> {
    vec![0; 1024]
}
