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
    pub(crate) fn parse(name: &[u8]) -> Option<Self> {
        if matches!(name, b"EXIT" | b"0") {
            return Some(Event::Exit);
        }
        let known = SIGNALS.iter().find(|(known, _)| *known == name);
        known.map(|(_, signal)| Event::Signal(*signal))
    }
}

/// One that is set.
#[derive(Debug)]
struct Trap {
    event: Event,
    action: Vec<u8>,
    /// The signal has come; listened for once something is done that takes time.
    has_come: Option<Arc<AtomicBool>>,
}

/// All that are set.
#[derive(Debug, Default)]
pub(crate) struct Traps(Vec<Trap>);

impl Traps {
    /// Sets one, or lets the event have its usual effect again.
    pub(crate) fn set(&mut self, event: Event, action: Option<Vec<u8>>) -> io::Result<()> {
        let old = self.0.iter().position(|trap| trap.event == event);
        let was_heard = old
            .map(|at| self.0.swap_remove(at))
            .and_then(|trap| trap.has_come);
        match action {
            Some(action) => self.0.push(Trap {
                event,
                action,
                has_come: was_heard,
            }),
            None => {
                if let (Some(_), Event::Signal(signal)) = (was_heard, event) {
                    // A handler cannot be taken out again; this one does what the system would have done.
                    let always = Arc::new(AtomicBool::new(true));
                    signal_hook::flag::register_conditional_default(signal.as_raw(), always)?;
                }
            }
        }
        Ok(())
    }

    /// From here on signals are heard. One that this process was told to ignore stays ignored, as in every shell.
    pub(crate) fn listen(&mut self) -> io::Result<()> {
        let is_unheard = |trap: &Trap| trap.event != Event::Exit && trap.has_come.is_none();
        if self.0.iter().any(is_unheard) {
            let ignored = ignored()?;
            self.0.retain(|trap| match trap.event {
                // Rust itself ignores this one, whatever was before.
                Event::Exit | Event::Signal(Signal::PIPE) => true,
                Event::Signal(signal) => {
                    trap.has_come.is_some() || ignored & (1 << (signal.as_raw() - 1)) == 0
                }
            });
        }
        for trap in &mut self.0 {
            if let (Event::Signal(signal), None) = (trap.event, &trap.has_come) {
                let flag = Arc::new(AtomicBool::new(false));
                signal_hook::flag::register(signal.as_raw(), flag.clone())?;
                trap.has_come = Some(flag);
            }
        }
        Ok(())
    }

    /// What is to be done for a signal that has come.
    pub(crate) fn sprung(&self) -> Option<Vec<u8>> {
        let heard = |trap: &&Trap| {
            trap.has_come
                .as_ref()
                .is_some_and(|flag| flag.swap(false, Ordering::SeqCst))
        };
        self.0.iter().find(heard).map(|trap| trap.action.clone())
    }

    /// What a signal does that the system does not send to this process: its trap is sprung, or it ends the process.
    pub(crate) fn set_off(&mut self, signal: Signal) -> io::Result<()> {
        self.listen()?;
        let is_caught = self.0.iter().any(|trap| trap.event == Event::Signal(signal));
        if !is_caught {
            let always = Arc::new(AtomicBool::new(true));
            signal_hook::flag::register_conditional_default(signal.as_raw(), always)?;
        }
        kill_this(signal)
    }

    /// What is to be done at the end, once.
    pub(crate) fn at_exit(&mut self) -> Option<Vec<u8>> {
        let at = self.0.iter().position(|trap| trap.event == Event::Exit)?;
        Some(self.0.swap_remove(at).action)
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
