//! Lists of units, as touches and the collector's intentions are kept: text that a person can read.
//!
//! ```text
//! farrier units 2
//! segments/0000019a… 10+3f8 2c40+1000
//! blobs/sha256/2c/2cf2…24-70000
//! end 3 9f86d081884c7d65
//! ```
//!
//! Behind a segment stand the places (offset and size, hexadecimal) of those of its blobs that are meant; where none do,
//! all are. The last line has the number of units and places and the XXH3-64 of everything before it: a list that was cut
//! off or changed is never taken for a shorter one, for a collector would then remove what is promised. Lists without
//! places have the number 1, as they always had.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::keys::{Touch, Unit};

const FIRST_LINE: &str = "farrier units 1";
const FIRST_LINE_WITH_PLACES: &str = "farrier units 2";

pub(crate) fn encode(units: &[Unit]) -> Bytes {
    let lines: String = units.iter().map(|unit| format!("{unit}\n")).collect();
    closed(FIRST_LINE, &lines, units.len())
}

/// `touches` in their order, so that those of one segment stand together.
pub(crate) fn encode_touches(touches: &[Touch]) -> Bytes {
    debug_assert!(touches.is_sorted());
    let mut lines = String::new();
    let mut open = None;
    for touch in touches {
        let unit = touch.unit();
        let Touch::Packed {
            offset, size_bytes, ..
        } = touch
        else {
            end_line(&mut lines);
            lines.push_str(&unit.to_string());
            open = None;
            continue;
        };
        if open != Some(unit) {
            end_line(&mut lines);
            lines.push_str(&unit.to_string());
            open = Some(unit);
        }
        lines.push_str(&format!(" {offset:x}+{size_bytes:x}"));
    }
    end_line(&mut lines);
    closed(FIRST_LINE_WITH_PLACES, &lines, touches.len())
}

fn end_line(lines: &mut String) {
    if !lines.is_empty() {
        lines.push('\n');
    }
}

fn closed(first_line: &str, lines: &str, number: usize) -> Bytes {
    let body = format!("{first_line}\n{lines}");
    let checksum = xxh3_64(body.as_bytes());
    format!("{body}end {number} {checksum:016x}\n").into()
}

/// A list without places. An error says what does not fit.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Unit>, String> {
    let whole = |touch| match touch {
        Touch::Whole(unit) => Ok(unit),
        Touch::Packed { .. } => Err("it has places, which mean nothing there".to_owned()),
    };
    decode_touches(bytes)?.into_iter().map(whole).collect()
}

/// A list of either kind.
pub(crate) fn decode_touches(bytes: &[u8]) -> Result<Vec<Touch>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
    let body = text.strip_suffix('\n').ok_or("it is cut off")?;
    let end = body.rfind('\n').ok_or("it is cut off")? + 1;
    let (body, last) = body.split_at(end);
    let mut lines = body.lines();
    let has_places = match lines.next() {
        Some(FIRST_LINE) => false,
        Some(FIRST_LINE_WITH_PLACES) => true,
        _ => return Err(format!("its first line is not `{FIRST_LINE_WITH_PLACES}`")),
    };
    let mut touches = Vec::new();
    for line in lines {
        touched(line, has_places, &mut touches).ok_or_else(|| format!("`{line}` names nothing"))?;
    }
    let expected = format!("end {} {:016x}", touches.len(), xxh3_64(body.as_bytes()));
    if last != expected {
        return Err(format!("its last line is `{last}`, not `{expected}`"));
    }
    Ok(touches)
}

fn touched(line: &str, has_places: bool, touches: &mut Vec<Touch>) -> Option<()> {
    let mut words = line.split(' ');
    let unit = Unit::parse(words.next()?)?;
    let mut any = false;
    for place in words {
        let Unit::Segment(segment) = unit else {
            return None;
        };
        let (offset, size_bytes) = place.split_once('+')?;
        touches.push(Touch::Packed {
            segment,
            offset: u32::from_str_radix(offset, 16).ok()?,
            size_bytes: u32::from_str_radix(size_bytes, 16).ok()?,
        });
        any = true;
    }
    if !any {
        touches.push(Touch::Whole(unit));
    }
    (has_places || !any).then_some(())
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

    fn touches() -> Vec<Touch> {
        let mut touches: Vec<Touch> = units(3).into_iter().map(Touch::Whole).collect();
        for unit in units(3) {
            let Unit::Segment(segment) = unit else {
                panic!("segments only")
            };
            touches.extend(
                [(16, 0), (16, 100), (0xffff_ff00, 0xff)].map(|(offset, size_bytes)| Touch::Packed {
                    segment,
                    offset,
                    size_bytes,
                }),
            );
        }
        touches.sort_unstable();
        touches
    }

    #[test]
    fn touches_round_trip_and_lists_are_touches_of_the_whole() {
        assert_eq!(decode_touches(&encode_touches(&[])), Ok(Vec::new()));
        let touches = touches();
        assert_eq!(decode_touches(&encode_touches(&touches)), Ok(touches.clone()));
        let whole: Vec<Touch> = units(3).into_iter().map(Touch::Whole).collect();
        assert_eq!(decode_touches(&encode_touches(&whole)), Ok(whole.clone()));
        assert!(decode(&encode_touches(&touches)).is_err(), "a list has no places");
        let list = encode(&units(3));
        assert_eq!(decode_touches(&list).map(|touches| touches.len()), Ok(3));
    }

    #[test]
    fn any_change_and_any_cut_is_noticed() {
        for bytes in [encode(&units(3)), encode_touches(&touches())] {
            unchanged_or_refused(&bytes);
        }
    }

    fn unchanged_or_refused(bytes: &[u8]) {
        for at in 0..bytes.len() {
            assert!(decode_touches(&bytes[..at]).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut changed = bytes.to_vec();
                changed[at] ^= 1 << bit;
                assert!(decode_touches(&changed).is_err(), "bit {bit} of byte {at}");
            }
        }
    }
}
