//! The daemon's end of a conversation with a wrapper.

use std::fs;
use std::io;
use std::path::Path;

use daemon_api::{
    Answer, FrameError, Message, Report, Request, SILENCE_MAX, decode_frame, encode_frame, frame_header,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use crate::limits::{INPUT_TAKEN_MAX, REQUEST_WITHIN};

/// A wrapper that waits for its command.
pub(crate) struct Link {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
    process: Option<u32>,
    /// It has given its place in the job server to somebody else.
    has_lent: bool,
}

impl Link {
    pub(crate) fn new(stream: UnixStream) -> Self {
        let process = stream.peer_cred().ok().and_then(|credentials| credentials.pid());
        let (read, write) = stream.into_split();
        Link {
            read: BufReader::new(read),
            write,
            process: process.and_then(|process| u32::try_from(process).ok()),
            has_lent: false,
        }
    }

    /// The wrapper's process number.
    pub(crate) fn process(&self) -> Option<u32> {
        self.process
    }

    /// Whether the command's standard input is certainly empty.
    pub(crate) fn has_no_input(&self) -> bool {
        let input = self
            .process
            .map(|process| fs::read_link(format!("/proc/{process}/fd/0")));
        input.is_some_and(|input| input.is_ok_and(|input| input == Path::new("/dev/null")))
    }

    /// What the wrapper wants; `None` if it has gone without saying.
    pub(crate) async fn request(&mut self) -> io::Result<Option<Request>> {
        self.hear().await
    }

    /// What the wrapper says next. That it has gone is an error.
    pub(crate) async fn report(&mut self) -> io::Result<Report> {
        self.hear().await?.ok_or_else(|| gone().into())
    }

    /// Standard input of the command. `None` if it is not all there, and only the real tool can read it.
    pub(crate) async fn input(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.say(&Answer::SendInput).await?;
        let mut input = Vec::new();
        loop {
            match timeout(REQUEST_WITHIN, self.report()).await?? {
                Report::Input(piece) if piece.is_empty() => return Ok(Some(input)),
                Report::Input(piece) if input.len() + piece.len() <= INPUT_TAKEN_MAX => input.extend(piece),
                Report::InputLeft => return Ok(None),
                Report::Input(_) | Report::TakenBack | Report::Started { .. } | Report::Ran { .. } => {
                    let error = "a wrapper sends something else than its input";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            }
        }
    }

    async fn hear<M: Message>(&mut self) -> io::Result<Option<M>> {
        let mut header = [0; daemon_api::HEADER_BYTES];
        match self.read.read(&mut header).await? {
            0 => return Ok(None),
            read => self.read.read_exact(&mut header[read..]).await?,
        };
        let (length, kind) = frame_header(header)?;
        let mut body = Vec::new();
        let read = (&mut self.read)
            .take(length as u64)
            .read_to_end(&mut body)
            .await?;
        if read < length {
            return Err(FrameError::Truncated.into());
        }
        Ok(Some(decode_frame(kind, &body)?))
    }

    /// Tells the wrapper something.
    pub(crate) async fn say(&mut self, answer: &Answer) -> io::Result<()> {
        match answer {
            Answer::Waiting => self.has_lent = true,
            // Before it runs anything it takes its place back.
            Answer::Run { .. } | Answer::Rehearse { .. } => self.has_lent = false,
            _ => {}
        }
        self.write.write_all(&encode_frame(answer)?).await
    }

    /// Has the wrapper take back its place in the job server, if it is away. Whoever is to wait for something on this machine does
    /// this first: those who have what he waits for must not wait for the place that he has.
    pub(crate) async fn take_back(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.has_lent) {
            return Ok(());
        }
        self.say(&Answer::TakeBack).await?;
        match self.report().await? {
            Report::TakenBack => Ok(()),
            _ => {
                let error = "a wrapper does not take its place back";
                Err(io::Error::new(io::ErrorKind::InvalidData, error))
            }
        }
    }

    /// Does `work` for the wrapper, telling it now and then that it is not forgotten. When the wrapper goes, so does the
    /// work: nobody wants its result.
    pub(crate) async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> io::Result<T> {
        let mut work = std::pin::pin!(work);
        let every = SILENCE_MAX / 3;
        // Not a tick at once that is taken here: even that one is waited for, up to a millisecond, and steps are made of these.
        let mut signs = interval_at(Instant::now() + every, every);
        signs.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (read, write) = (&mut self.read, &mut self.write);
        let alive = encode_frame(&Answer::Alive)?;
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                // It has nothing to say at this time, so what can be read is its end.
                said = read.read_u8() => return Err(match said {
                    Ok(_) => io::Error::new(io::ErrorKind::InvalidData, "a wrapper spoke out of turn"),
                    Err(_) => gone().into(),
                }),
                _ = signs.tick() => write.write_all(&alive).await?,
            }
        }
    }
}

fn gone() -> io::ErrorKind {
    io::ErrorKind::ConnectionAborted
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// A step asks half a dozen times, of which most know at once.
    #[tokio::test]
    async fn what_is_done_is_not_waited_for() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut link = Link::new(ours);
        let mut doing = pin!(link.meanwhile(ready(3)));
        let done = doing.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(done, Poll::Ready(Ok(3))), "{done:?}");
    }

    #[tokio::test]
    async fn a_place_that_is_away_is_taken_back_before_anything_else() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut link, mut wrapper) = (Link::new(ours), Link::new(theirs));
        link.take_back().await.unwrap();
        link.say(&Answer::Waiting).await.unwrap();
        assert_eq!(
            wrapper.hear().await.unwrap(),
            Some(Answer::Waiting),
            "nothing before"
        );
        let taking = async {
            assert_eq!(wrapper.hear().await.unwrap(), Some(Answer::TakeBack));
            let told = encode_frame(&Report::TakenBack).unwrap();
            wrapper.write.write_all(&told).await.unwrap();
        };
        let (taken, ()) = tokio::join!(link.take_back(), taking);
        taken.unwrap();
        // It is there, so nobody is asked for it again.
        link.take_back().await.unwrap();
        link.say(&Answer::Alive).await.unwrap();
        assert_eq!(wrapper.hear().await.unwrap(), Some(Answer::Alive));
    }
}
