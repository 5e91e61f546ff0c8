//! Encoded fields of every number and shape, for types that may or may not have such a field.

/// Field numbers tried at the top. The highest in use is 12; a field that only they have may lie above.
const OUTER_NUMBER_MAX: u32 = 32;

/// Field numbers tried within a field.
const INNER_NUMBER_MAX: u32 = 16;

/// Numbers at which the integer types part: sign, 31, 32, 33 and 64 bits, and enums' and bools' small values.
const VARINTS: [u64; 8] = [0, 1, 2, 1 << 31, 1 << 32, (1 << 33) + 1, u64::MAX - 1, u64::MAX];

/// Empty, text, something that is neither UTF-8 nor a message, and two packed varints.
const CONTENTS: [&[u8]; 4] = [b"", b"zz", &[0xff, 0xfe], &[0x01, 0x02]];

/// Single fields, the same field twice (which tells repeated fields from single ones), and fields within fields.
pub(crate) fn all() -> Vec<Vec<u8>> {
    let mut probes = Vec::new();
    let inner: Vec<Vec<u8>> = (1..=INNER_NUMBER_MAX).flat_map(flat).collect();
    for number in 1..=OUTER_NUMBER_MAX {
        for field in flat(number) {
            probes.push(field.repeat(2));
            probes.push(field);
        }
        for content in &inner {
            let field = delimited(number, content);
            probes.push(field.repeat(2));
            probes.push(field);
        }
    }
    probes
}

/// A field of this number in every wire type and of every notable content.
fn flat(number: u32) -> Vec<Vec<u8>> {
    let mut fields: Vec<Vec<u8>> = VARINTS
        .iter()
        .map(|value| [key(number, 0), varint(*value)].concat())
        .collect();
    fields.push([key(number, 1), vec![0x07; 8]].concat());
    fields.extend(CONTENTS.iter().map(|content| delimited(number, content)));
    fields.push([key(number, 5), vec![0x07; 4]].concat());
    fields
}

fn delimited(number: u32, content: &[u8]) -> Vec<u8> {
    [key(number, 2), varint(content.len() as u64), content.to_vec()].concat()
}

fn key(number: u32, wire_type: u32) -> Vec<u8> {
    varint(u64::from(number << 3 | wire_type))
}

fn varint(value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(value, &mut bytes);
    bytes
}
