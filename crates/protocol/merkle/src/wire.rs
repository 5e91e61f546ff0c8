//! The records of an encoded message, one at a time.
//!
//! A message decoded in one go takes many times its encoded size before anything can look at it: two bytes of
//! an empty node become a struct of a hundred. Taken apart record by record, a bad directory is refused at its
//! first bad node, and a `Tree` gives the very bytes of each directory, which are what its digest is made of.

use thiserror::Error;

/// One field of a message, as it stands on the wire.
pub(crate) struct Record<'a> {
    /// The field's number.
    pub(crate) number: u32,
    wire_type: u8,
    /// Its payload if it is length-delimited.
    payload: Option<&'a [u8]>,
}

/// Bytes that are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum WireError {
    #[error("a number is cut off or has more than 64 bits")]
    Varint,
    #[error("a field reaches past the end")]
    Truncated,
    #[error("field number {0} is not possible")]
    FieldNumber(u64),
    #[error("field {0} has wire type {1}, which this message does not have")]
    WireType(u32, u8),
}

impl<'a> Record<'a> {
    /// The payload of a field that must be length-delimited.
    pub(crate) fn payload(&self) -> Result<&'a [u8], WireError> {
        self.payload
            .ok_or(WireError::WireType(self.number, self.wire_type))
    }
}

/// The records of `message`. Ends after the first error.
pub(crate) fn records(message: &[u8]) -> impl Iterator<Item = Result<Record<'_>, WireError>> {
    let mut rest = message;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let record = next(&mut rest);
        if record.is_err() {
            rest = &[];
        }
        Some(record)
    })
}

fn next<'a>(rest: &mut &'a [u8]) -> Result<Record<'a>, WireError> {
    const FIELD_NUMBER_MAX: u64 = (1 << 29) - 1;
    let key = varint(rest)?;
    let number = match key >> 3 {
        number @ 1..=FIELD_NUMBER_MAX => number as u32,
        number => return Err(WireError::FieldNumber(number)),
    };
    let wire_type = (key & 7) as u8;
    let payload = match wire_type {
        0 => {
            varint(rest)?;
            None
        }
        1 => {
            take(rest, 8)?;
            None
        }
        2 => {
            let length = varint(rest)?;
            Some(take(rest, length)?)
        }
        5 => {
            take(rest, 4)?;
            None
        }
        // Groups (3 and 4) do not exist in proto3; 6 and 7 do not exist at all.
        _ => return Err(WireError::WireType(number, wire_type)),
    };
    Ok(Record {
        number,
        wire_type,
        payload,
    })
}

fn take<'a>(rest: &mut &'a [u8], length: u64) -> Result<&'a [u8], WireError> {
    let length = usize::try_from(length).map_err(|_| WireError::Truncated)?;
    let (taken, after) = rest.split_at_checked(length).ok_or(WireError::Truncated)?;
    *rest = after;
    Ok(taken)
}

fn varint(rest: &mut &[u8]) -> Result<u64, WireError> {
    let mut value = 0u64;
    for (at, byte) in rest.iter().take(10).enumerate() {
        // The tenth byte has room for one bit.
        if at == 9 && *byte > 1 {
            return Err(WireError::Varint);
        }
        value |= u64::from(byte & 0x7f) << (at * 7);
        if byte & 0x80 == 0 {
            *rest = &rest[at + 1..];
            return Ok(value);
        }
    }
    Err(WireError::Varint)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Fields<'a> = Vec<(u32, Option<&'a [u8]>)>;

    fn read(message: &[u8]) -> Result<Fields<'_>, WireError> {
        records(message)
            .map(|record| record.map(|record| (record.number, record.payload)))
            .collect()
    }

    #[test]
    fn every_wire_type_of_proto3_is_stepped_over() {
        let message = [
            0x0a, 2, b'h', b'i', 0x10, 0x96, 0x01, 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8,
        ];
        let fields: Fields<'_> = vec![(1, Some(b"hi")), (2, None), (3, None), (4, None)];
        assert_eq!(read(&message), Ok(fields));
        assert_eq!(read(&[]), Ok(vec![]));
    }

    #[test]
    fn damage_is_an_error_and_the_end() {
        assert_eq!(read(&[0x0a, 3, b'h']), Err(WireError::Truncated));
        assert_eq!(read(&[0x0a]), Err(WireError::Varint));
        assert_eq!(read(&[0x80; 11]), Err(WireError::Varint));
        assert_eq!(read(&[0x02, 0]), Err(WireError::FieldNumber(0)));
        assert_eq!(read(&[0x0b]), Err(WireError::WireType(1, 3)));
        assert_eq!(read(&[0x1d, 1]), Err(WireError::Truncated));
        let huge = [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(read(&huge), Err(WireError::Truncated));
        assert_eq!(records(&[0x0a]).count(), 1);
    }
}
