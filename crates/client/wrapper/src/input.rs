//! Standard input, read for the daemon and still there for the real tool if that has to run after all.

use std::io::{self, IsTerminal, Read, Write};
use std::process::ChildStdin;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use daemon_api::{INPUT_BYTES_MAX, INPUT_WITHIN, PIECE_BYTES_MAX};

/// Pieces that are read and that nobody has taken yet.
const PIECES_WAITING_MAX: usize = 4;

/// What was read, and what is still to come.
pub(crate) struct Input {
    read: Vec<u8>,
    /// Ends where standard input does. `None` where nothing was taken from it.
    rest: Option<Receiver<io::Result<Vec<u8>>>>,
}

impl Input {
    /// Reads this process's standard input, as far as the bounds allow. Whether that was all of it.
    pub(crate) fn read() -> (Self, bool) {
        let input = io::stdin();
        // Who types must see the tool itself, and may type for long.
        if input.is_terminal() {
            let (read, rest) = (Vec::new(), None);
            return (Input { read, rest }, false);
        }
        Self::read_from(input, INPUT_WITHIN)
    }

    fn read_from(mut input: impl Read + Send + 'static, within: Duration) -> (Self, bool) {
        let (send, rest) = sync_channel(PIECES_WAITING_MAX);
        // It may wait for a piece until this process ends: only its own thread can be left behind.
        thread::spawn(move || {
            let mut piece = vec![0; PIECE_BYTES_MAX];
            loop {
                match input.read(&mut piece) {
                    Ok(0) => break,
                    Ok(read) if send.send(Ok(piece[..read].to_vec())).is_ok() => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        // Whoever is there to hear of it has a word for it, or the tool has.
                        let _ = send.send(Err(error));
                        break;
                    }
                    // Nobody takes it any more.
                    Ok(_) => break,
                }
            }
        });
        let mut read = Vec::new();
        let until = Instant::now() + within;
        let is_whole = loop {
            match rest.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Ok(piece)) => read.extend(piece),
                // A directory, for one: the tool finds the same obstacle.
                Ok(Err(_)) if read.is_empty() => return (Input { read, rest: None }, false),
                Ok(Err(_)) => break false,
                Err(RecvTimeoutError::Disconnected) => break true,
                Err(RecvTimeoutError::Timeout) => break false,
            }
            if read.len() > INPUT_BYTES_MAX {
                break false;
            }
        };
        let rest = Some(rest);
        (Input { read, rest }, is_whole)
    }

    /// What was read.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.read
    }

    /// Whether it is as it was: then the tool can read it itself.
    pub(crate) fn is_untouched(&self) -> bool {
        self.rest.is_none()
    }

    /// Gives the tool everything, from the beginning, as it would have come. Who stops reading is not given more.
    pub(crate) fn feed(self, mut tool: ChildStdin) {
        let rest = self.rest.into_iter().flatten().map_while(Result::ok);
        for piece in std::iter::once(self.read).chain(rest) {
            if tool.write_all(&piece).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::process::{Command, Stdio};

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    /// What `cat` makes of it.
    fn fed(input: Input) -> Vec<u8> {
        let mut cat = Command::new("cat");
        let mut child = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let feeding = thread::spawn(move || input.feed(stdin));
        let output = child.wait_with_output().unwrap().stdout;
        feeding.join().unwrap();
        output
    }

    #[test]
    fn what_ends_in_time_is_whole() {
        let (input, is_whole) = Input::read_from(Cursor::new(b"int main;".to_vec()), LONG);
        assert!(is_whole);
        assert_eq!(input.bytes(), b"int main;");
        assert!(!input.is_untouched());
        assert_eq!(fed(input), b"int main;");
    }

    #[test]
    fn what_is_too_long_is_left_to_the_tool_with_nothing_lost() {
        let long: Vec<u8> = (0..INPUT_BYTES_MAX * 3).map(|number| number as u8).collect();
        let (input, is_whole) = Input::read_from(Cursor::new(long.clone()), LONG);
        assert!(!is_whole);
        assert!(input.bytes().len() < long.len());
        assert!(fed(input) == long);
    }

    #[test]
    fn what_does_not_end_is_not_waited_for() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"begun").unwrap();
        let (input, is_whole) = Input::read_from(reader, Duration::from_millis(1));
        assert!(!is_whole);
        let writing = thread::spawn(move || writer.write_all(b", and ended").unwrap());
        assert_eq!(fed(input), b"begun, and ended");
        writing.join().unwrap();
    }

    #[test]
    fn what_cannot_be_read_is_the_tool_s_own_business() {
        let directory = std::fs::File::open("/").unwrap();
        let (input, is_whole) = Input::read_from(directory, LONG);
        assert!(!is_whole && input.is_untouched());
    }

    #[test]
    fn who_reads_nothing_stops_nobody() {
        let (input, _) = Input::read_from(io::repeat(b'y'), LONG);
        let mut child = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
        input.feed(child.stdin.take().unwrap());
        assert!(child.wait().unwrap().success());
    }
}
