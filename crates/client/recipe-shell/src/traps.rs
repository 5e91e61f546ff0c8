//! `trap`: what is done when a signal comes, or at the end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Signal, getpid, kill_process};

/// When a trap is sprung.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// The shell ends.
    Exit,
    /// A signal comes.
    Signal(Signal),
}

/// Signals that recipes catch.
const SIGNALS: [(&[u8], Signal); 5] = [
    (b"HUP", Signal::HUP),
    (b"INT", Signal::INT),
    (b"QUIT", Signal::QUIT),
    (b"TERM", Signal::TERM),
    (b"PIPE", Signal::PIPE),
];

impl Event {
    fn signal(self) -> Option<Signal> {
        match self {
            Event::Exit => None,
            Event::Signal(signal) => Some(signal),
        }
    }

    pub(crate) fn parse(name: &[u8]) -> Option<Self> {
        if matches!(name, b"EXIT" | b"0") {
            return Some(Event::Exit);
        }
        let known = SIGNALS.iter().find(|(known, _)| *known == name);
        known.map(|(_, signal)| Event::Signal(*signal))
    }
}

/// A signal that is listened for. A handler cannot be taken out again, so this one has both effects to choose from.
#[derive(Debug)]
struct Heard {
    signal: Signal,
    /// It ends the process, as it would without a handler.
    is_usual: Arc<AtomicBool>,
    has_come: Arc<AtomicBool>,
}

/// All traps that are set, and what is listened for.
#[derive(Debug, Default)]
pub(crate) struct Traps {
    set: Vec<(Event, Vec<u8>)>,
    heard: Vec<Heard>,
}

impl Traps {
    /// Sets one, or lets the event have its usual effect again.
    pub(crate) fn set(&mut self, event: Event, action: Option<Vec<u8>>) {
        self.set.retain(|(other, _)| *other != event);
        for heard in self
            .heard
            .iter()
            .filter(|heard| event == Event::Signal(heard.signal))
        {
            heard.is_usual.store(action.is_none(), Ordering::SeqCst);
        }
        self.set.extend(action.map(|action| (event, action)));
    }

    /// From here on signals are heard: before something that takes time. One that this process was told to ignore stays
    /// ignored, as in every shell.
    pub(crate) fn listen(&mut self) -> io::Result<()> {
        let is_heard = |signal| self.heard.iter().any(|heard| heard.signal == signal);
        let mut unheard: Vec<Signal> = self.set.iter().filter_map(|(event, _)| event.signal()).collect();
        unheard.retain(|signal| !is_heard(*signal));
        if unheard.is_empty() {
            return Ok(());
        }
        let ignored = ignored()?;
        // Rust itself ignores SIGPIPE, whatever was before.
        let is_ignored =
            |signal: Signal| signal != Signal::PIPE && ignored & (1 << (signal.as_raw() - 1)) != 0;
        self.set.retain(|(event, _)| {
            !event
                .signal()
                .is_some_and(|signal| !is_heard(signal) && is_ignored(signal))
        });
        unheard.retain(|signal| !is_ignored(*signal));
        unheard
            .into_iter()
            .try_for_each(|signal| self.hear(signal, false))
    }

    fn hear(&mut self, signal: Signal, is_usual: bool) -> io::Result<()> {
        let heard = Heard {
            signal,
            is_usual: Arc::new(AtomicBool::new(is_usual)),
            has_come: Arc::default(),
        };
        signal_hook::flag::register_conditional_default(signal.as_raw(), heard.is_usual.clone())?;
        signal_hook::flag::register(signal.as_raw(), heard.has_come.clone())?;
        self.heard.push(heard);
        Ok(())
    }

    /// What is to be done for a signal that has come.
    pub(crate) fn sprung(&self) -> Option<Vec<u8>> {
        self.set.iter().find_map(|(event, action)| {
            let heard = self
                .heard
                .iter()
                .find(|heard| *event == Event::Signal(heard.signal))?;
            heard
                .has_come
                .swap(false, Ordering::SeqCst)
                .then(|| action.clone())
        })
    }

    /// What a signal does that the system does not send to this process: its trap is sprung, or it ends the process.
    pub(crate) fn set_off(&mut self, signal: Signal) -> io::Result<()> {
        self.listen()?;
        if self.heard.iter().all(|heard| heard.signal != signal) {
            self.hear(signal, true)?;
        }
        kill_this(signal)
    }

    /// What is to be done at the end, once.
    pub(crate) fn at_exit(&mut self) -> Option<Vec<u8>> {
        let at = self.set.iter().position(|(event, _)| *event == Event::Exit)?;
        Some(self.set.swap_remove(at).1)
    }
}

/// Signals that this process ignores, each a bit.
fn ignored() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Sends this process a signal.
pub(crate) fn kill_this(signal: Signal) -> io::Result<()> {
    Ok(kill_process(getpid(), signal)?)
}
