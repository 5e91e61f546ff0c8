//! What a supervisor and a command's init say to each other, over a socket that keeps messages apart.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use runner_api::ResourceUsage;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use crate::descriptors;
use crate::limits::{ERRAND_BYTES_MAX, MESSAGE_BYTES_MAX};

/// One end.
pub(crate) struct Channel {
    socket: OwnedFd,
}

/// What init says. At most three in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// The command's world stands; the command starts now. Its time runs from here.
    Ready,
    /// A step failed; nothing was started.
    SetupFailed(String),
    /// The kernel would not start the command, or its working directory is not one.
    NotStarted { errno: i32, culprit: Culprit },
    /// The command ended, with this status as `wait(2)` gives it.
    Ended { status: i32, usage: ResourceUsage },
}

/// Why a command could not be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Culprit {
    Executable,
    WorkingDirectory,
}

impl Channel {
    /// The supervisor's end and init's.
    pub(crate) fn pair() -> Result<(Channel, Channel), Errno> {
        let (ours, theirs) = descriptors::pair()?;
        Ok((Channel { socket: ours }, Channel { socket: theirs }))
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Supervisor: tells init that its ids are mapped and it may go on.
    pub(crate) fn go(&self) -> Result<(), Errno> {
        self.send_bytes(&[0])
    }

    /// Init: waits for [`go`](Self::go). An error when the supervisor is gone.
    pub(crate) fn wait_for_go(&self) -> Result<(), Errno> {
        let mut byte = [0];
        match rustix::io::retry_on_intr(|| rustix::net::recv(&self.socket, &mut byte, RecvFlags::empty()))? {
            (_, 0) => Err(Errno::PIPE),
            _ => Ok(()),
        }
    }

    /// Supervisor: gives a waiting init its command: an encoded request and what belongs to it. Never waits.
    pub(crate) fn send_errand(
        &self,
        encoded_request: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), Errno> {
        descriptors::send(&self.socket, encoded_request, descriptors)
    }

    /// Init: waits for [`send_errand`](Self::send_errand). An error when the supervisor is gone.
    pub(crate) fn wait_for_errand(&self) -> Result<(Vec<u8>, Vec<OwnedFd>), Errno> {
        // An init that waits long should not hold room for the longest one.
        let flags = RecvFlags::PEEK | RecvFlags::TRUNC;
        let (_, length) =
            rustix::io::retry_on_intr(|| rustix::net::recv(&self.socket, &mut [0; 1][..], flags))?;
        let mut encoded_request = vec![0; length.clamp(1, ERRAND_BYTES_MAX)];
        let (length, descriptors) = descriptors::receive(&self.socket, &mut encoded_request)?;
        encoded_request.truncate(length);
        Ok((encoded_request, descriptors))
    }

    /// Init: an error when the supervisor is gone.
    pub(crate) fn send(&self, message: &Message) -> Result<(), Errno> {
        self.send_bytes(&encode(message))
    }

    /// Supervisor: the next message, or `None` when there is none now.
    pub(crate) fn receive(&self) -> Result<Option<Message>, Errno> {
        let mut bytes = [0; MESSAGE_BYTES_MAX];
        let receive = || rustix::net::recv(&self.socket, &mut bytes[..], RecvFlags::DONTWAIT);
        match rustix::io::retry_on_intr(receive) {
            Ok((_, 0)) | Err(Errno::AGAIN | Errno::CONNRESET) => Ok(None),
            Ok((_, length)) => decode(&bytes[..length]).map(Some).ok_or(Errno::BADMSG),
            Err(errno) => Err(errno),
        }
    }

    fn send_bytes(&self, bytes: &[u8]) -> Result<(), Errno> {
        rustix::io::retry_on_intr(|| rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL)).map(|_| ())
    }
}

fn encode(message: &Message) -> Vec<u8> {
    match message {
        Message::Ready => vec![0],
        Message::SetupFailed(text) => {
            let mut end = text.len().min(MESSAGE_BYTES_MAX - 1);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            [&[1], &text.as_bytes()[..end]].concat()
        }
        Message::NotStarted { errno, culprit } => {
            let culprit = u8::from(*culprit == Culprit::WorkingDirectory);
            [&[2, culprit][..], &errno.to_ne_bytes()].concat()
        }
        Message::Ended { status, usage } => {
            let mut bytes = vec![3];
            bytes.extend_from_slice(&status.to_ne_bytes());
            for value in usage.to_numbers() {
                bytes.extend_from_slice(&value.to_ne_bytes());
            }
            bytes
        }
    }
}

fn decode(bytes: &[u8]) -> Option<Message> {
    let (tag, fields) = bytes.split_first()?;
    match tag {
        0 => fields.is_empty().then_some(Message::Ready),
        1 => Some(Message::SetupFailed(String::from_utf8(fields.to_vec()).ok()?)),
        2 => {
            let (culprit, errno) = fields.split_first()?;
            let culprit = if *culprit == 0 {
                Culprit::Executable
            } else {
                Culprit::WorkingDirectory
            };
            Some(Message::NotStarted {
                errno: i32::from_ne_bytes(errno.try_into().ok()?),
                culprit,
            })
        }
        3 => {
            let (status, usage) = fields.split_first_chunk::<4>()?;
            let numbers: Vec<u64> = usage
                .chunks(8)
                .map(|c| c.try_into().map(u64::from_ne_bytes))
                .collect::<Result<_, _>>()
                .ok()?;
            let usage = ResourceUsage::from_numbers(numbers.try_into().ok()?);
            Some(Message::Ended {
                status: i32::from_ne_bytes(*status),
                usage,
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_as_sent_and_apart() {
        let (supervisor, init) = Channel::pair().unwrap();
        let messages = [
            Message::Ready,
            Message::SetupFailed("mounting /usr: no".to_owned()),
            Message::NotStarted {
                errno: 2,
                culprit: Culprit::WorkingDirectory,
            },
            Message::Ended {
                status: 256,
                usage: ResourceUsage::from_numbers([1, 2, 3, 4, 5, 6, 7, 8, 9, u64::MAX]),
            },
        ];
        messages.iter().for_each(|message| init.send(message).unwrap());
        for message in messages {
            assert_eq!(supervisor.receive(), Ok(Some(message)));
        }
        assert_eq!(supervisor.receive(), Ok(None));
        drop(init);
        assert_eq!(supervisor.receive(), Ok(None));
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let (supervisor, init) = Channel::pair().unwrap();
        init.send(&Message::SetupFailed("é".repeat(MESSAGE_BYTES_MAX)))
            .unwrap();
        let Ok(Some(Message::SetupFailed(text))) = supervisor.receive() else {
            panic!("no message")
        };
        assert_eq!(text, "é".repeat((MESSAGE_BYTES_MAX - 1) / 2));
    }

    #[test]
    fn an_errand_arrives_whole_up_to_its_bound() {
        let (supervisor, init) = Channel::pair().unwrap();
        for length in [1, 179, ERRAND_BYTES_MAX] {
            let request = vec![7; length];
            supervisor.send_errand(&request, &[supervisor.as_fd()]).unwrap();
            let (received, descriptors) = init.wait_for_errand().unwrap();
            assert_eq!((received, descriptors.len()), (request, 1));
        }
        supervisor
            .send_errand(&vec![7; ERRAND_BYTES_MAX + 1], &[])
            .unwrap();
        assert_eq!(init.wait_for_errand().unwrap_err(), Errno::MSGSIZE);
    }

    #[test]
    fn init_notices_a_supervisor_that_is_gone() {
        let (supervisor, init) = Channel::pair().unwrap();
        drop(supervisor);
        assert_eq!(init.wait_for_go(), Err(Errno::PIPE));
        assert_eq!(init.wait_for_errand().unwrap_err(), Errno::PIPE);
        assert_eq!(init.send(&Message::Ready), Err(Errno::PIPE));
    }

    #[test]
    fn bytes_that_are_no_message_are_none() {
        assert_eq!(decode(&[]), None);
        assert_eq!(decode(&[0, 0]), None);
        assert_eq!(decode(&[1, 0xff]), None);
        assert_eq!(decode(&[2, 0, 1]), None);
        assert_eq!(decode(&[3, 0, 0, 0, 0, 1]), None);
        assert_eq!(decode(&[9]), None);
    }
}
