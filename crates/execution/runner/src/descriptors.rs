//! Passing open descriptors to another process of ours, over a socket that keeps messages apart.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use crate::limits::DESCRIPTORS_MAX;

/// Two ends of a socket that keeps messages apart.
pub(crate) fn pair() -> std::result::Result<(OwnedFd, OwnedFd), Errno> {
    rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
}

/// Sends one message. Never waits: an error when it does not fit or nobody is there to receive it.
pub(crate) fn send(
    socket: impl AsFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> std::result::Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fits = descriptors.len() <= DESCRIPTORS_MAX;
    if !fits || !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::MSGSIZE);
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    rustix::io::retry_on_intr(|| rustix::net::sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, flags))
        .map(|_| ())
}

/// Waits for a message and returns its length and its descriptors. An error when the sender is gone, or when it sent
/// more than there is room for.
pub(crate) fn receive(
    socket: impl AsFd,
    buffer: &mut [u8],
) -> std::result::Result<(usize, Vec<OwnedFd>), Errno> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        let mut buffers = [IoSliceMut::new(buffer)];
        rustix::net::recvmsg(&socket, &mut buffers, &mut control, RecvFlags::CMSG_CLOEXEC)
    })?;
    let descriptors: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    if received.bytes == 0 {
        return Err(Errno::PIPE);
    }
    if received
        .flags
        .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
    {
        return Err(Errno::MSGSIZE);
    }
    Ok((received.bytes, descriptors))
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType};

    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap()
    }

    #[test]
    fn what_is_sent_is_received() {
        let (ours, theirs) = pair();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        send(&ours, b"hello", &[writer.as_fd()]).unwrap();
        send(&ours, b"again", &[]).unwrap();
        let mut buffer = [0; 8];
        let (length, descriptors) = receive(&theirs, &mut buffer).unwrap();
        assert_eq!((&buffer[..length], descriptors.len()), (&b"hello"[..], 1));
        rustix::io::write(&descriptors[0], b"!").unwrap();
        assert_eq!(rustix::io::read(&reader, &mut buffer), Ok(1));
        let (length, descriptors) = receive(&theirs, &mut buffer).unwrap();
        assert_eq!((&buffer[..length], descriptors.len()), (&b"again"[..], 0));
    }

    #[test]
    fn too_much_is_an_error_and_closes_what_came_with_it() {
        let (ours, theirs) = pair();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        send(&ours, b"too long", &[writer.as_fd()]).unwrap();
        drop(writer);
        assert_eq!(receive(&theirs, &mut [0; 3]).unwrap_err(), Errno::MSGSIZE);
        assert_eq!(rustix::io::read(&reader, &mut [0; 1]), Ok(0));
        let many: Vec<_> = (0..=DESCRIPTORS_MAX).map(|_| reader.as_fd()).collect();
        assert_eq!(send(&ours, b"x", &many), Err(Errno::MSGSIZE));
    }

    #[test]
    fn a_sender_or_receiver_that_is_gone_is_noticed() {
        let (ours, theirs) = pair();
        drop(ours);
        assert_eq!(receive(&theirs, &mut [0; 3]).unwrap_err(), Errno::PIPE);
        assert_eq!(send(&theirs, b"x", &[]), Err(Errno::PIPE));
    }
}
