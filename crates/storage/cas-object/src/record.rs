//! Lists of units, as touches and the collector's intentions are kept: text that a person can read.
//!
//! ```text
//! farrier units 1
//! segments/0000019a…
//! blobs/sha256/2c/2cf2…24-70000
//! end 2 9f86d081884c7d65
//! ```
//!
//! The last line has the number of units and the XXH3-64 of everything before it: a list that was cut off or changed
//! is never taken for a shorter one, for a collector would then remove what is promised.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::keys::Unit;

const FIRST_LINE: &str = "farrier units 1";

pub(crate) fn encode(units: &[Unit]) -> Bytes {
    let mut text = format!("{FIRST_LINE}\n");
    for unit in units {
        text.push_str(&unit.to_string());
        text.push('\n');
    }
    let checksum = xxh3_64(text.as_bytes());
    text.push_str(&format!("end {} {checksum:016x}\n", units.len()));
    text.into()
}

/// An error says what does not fit.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Unit>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
    let body = text.strip_suffix('\n').ok_or("it is cut off")?;
    let end = body.rfind('\n').ok_or("it is cut off")? + 1;
    let (body, last) = body.split_at(end);
    let mut lines = body.lines();
    if lines.next() != Some(FIRST_LINE) {
        return Err(format!("its first line is not `{FIRST_LINE}`"));
    }
    let units: Vec<Unit> = lines
        .map(|line| Unit::parse(line).ok_or_else(|| format!("`{line}` names nothing")))
        .collect::<Result<_, _>>()?;
    let expected = format!("end {} {:016x}", units.len(), xxh3_64(body.as_bytes()));
    if last != expected {
        return Err(format!("its last line is `{last}`, not `{expected}`"));
    }
    Ok(units)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use crate::keys::TimedId;

    fn units(number: u64) -> Vec<Unit> {
        (0..number)
            .map(|millis| Unit::Segment(TimedId::new(Moment(millis))))
            .collect()
    }

    #[test]
    fn lists_round_trip() {
        for number in [0, 1, 1000] {
            let units = units(number);
            assert_eq!(decode(&encode(&units)), Ok(units));
        }
    }

    #[test]
    fn any_change_and_any_cut_is_noticed() {
        let bytes = encode(&units(3));
        for at in 0..bytes.len() {
            assert!(decode(&bytes[..at]).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut changed = bytes.to_vec();
                changed[at] ^= 1 << bit;
                assert!(decode(&changed).is_err(), "bit {bit} of byte {at}");
            }
        }
    }
}
