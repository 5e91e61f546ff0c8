//! Messages of one `Write` call, one after the other.

use tonic::Status;

use super::write_message::WriteMessage;
use crate::status;

/// Checks that messages follow each other as they must (B5 to B8).
#[derive(Debug)]
pub(super) struct Sequence {
    resource_name: String,
    /// The first offset, in uncompressed bytes whatever the form.
    pub(super) start: u64,
    /// What the next message's offset must be: the first plus the bytes sent since.
    pub(super) next_offset: u64,
}

impl Sequence {
    pub(super) fn starting_with(first: &WriteMessage) -> Result<Self, Status> {
        let start = u64::try_from(first.write_offset)
            .map_err(|_| status::invalid(format!("write_offset {} is negative", first.write_offset)))?;
        Ok(Sequence {
            resource_name: first.resource_name.clone(),
            start,
            next_offset: start,
        })
    }

    pub(super) fn accept(&mut self, message: &WriteMessage) -> Result<(), Status> {
        if !message.resource_name.is_empty() && message.resource_name != self.resource_name {
            return Err(status::invalid(format!(
                "the resource_name changed from `{}` to `{}` within one call",
                self.resource_name, message.resource_name
            )));
        }
        if u64::try_from(message.write_offset) != Ok(self.next_offset) {
            return Err(status::invalid(format!(
                "write_offset is {}, but {} follows from the messages before",
                message.write_offset, self.next_offset
            )));
        }
        // Offsets travel as int64; the wire would be busy for centuries.
        self.next_offset = self.next_offset.saturating_add(message.data.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn message(resource_name: &str, write_offset: i64, len: usize) -> WriteMessage {
        let data = bytes::Bytes::from(vec![0; len]).into();
        WriteMessage {
            resource_name: resource_name.to_owned(),
            write_offset,
            data,
            finish_write: false,
        }
    }

    #[test]
    fn offsets_add_up_from_wherever_the_first_one_is() {
        for start in [0, 7, i64::MAX - 10] {
            let first = message("name", start, 3);
            let mut sequence = Sequence::starting_with(&first).unwrap();
            sequence.accept(&first).unwrap();
            sequence.accept(&message("", start + 3, 0)).unwrap();
            sequence.accept(&message("name", start + 3, 2)).unwrap();
            for wrong in [
                message("", start + 4, 1),
                message("", start, 1),
                message("other", start + 5, 1),
            ] {
                assert_eq!(sequence.accept(&wrong).unwrap_err().code(), Code::InvalidArgument);
            }
            assert_eq!(sequence.next_offset, start as u64 + 5);
        }
        assert_eq!(
            Sequence::starting_with(&message("name", -1, 0))
                .unwrap_err()
                .code(),
            Code::InvalidArgument
        );
    }
}
