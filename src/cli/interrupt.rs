//! Signals: Ctrl-C and SIGTERM ask long work to save and stop, a second Ctrl-C leaves at once; a terminal that is
//! closed stops nothing.
//!
//! Only subcommands that poll the flag listen; the others end where they stand, as usual.

use std::io;
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::failure::Outcome;
use super::terminal;

static REQUESTED: AtomicBool = AtomicBool::new(false);
static INSTALLED: OnceLock<Result<(), String>> = OnceLock::new();

/// The user asked the program to stop; ends it with exit code 130.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub(super) struct Interrupted;

/// Whether the user has asked the program to stop (Ctrl-C or SIGTERM).
#[derive(Clone, Copy, Debug)]
pub(super) struct Interrupt {
    requested: &'static AtomicBool,
}

impl Interrupt {
    /// Takes over the signals; a second call hands out the same flag.
    ///
    /// # Errors
    ///
    /// Where the system refuses a signal handler.
    pub(super) fn install() -> anyhow::Result<Self> {
        let installed = INSTALLED.get_or_init(|| listen().map_err(|error| error.to_string()));
        match installed {
            Ok(()) => Ok(Self {
                requested: &REQUESTED,
            }),
            Err(error) => Err(anyhow::anyhow!(
                "cannot listen for Ctrl-C: {error}; nothing was begun, try again"
            )),
        }
    }

    /// The flag that long work polls between batches.
    pub(super) fn flag(&self) -> &'static AtomicBool {
        self.requested
    }

    /// Whether to stop.
    pub(super) fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }

    /// Stops the caller once the user has asked for it.
    ///
    /// # Errors
    ///
    /// [`Interrupted`] from then on.
    pub(super) fn check(&self) -> Result<(), Interrupted> {
        if self.is_requested() {
            Err(Interrupted)
        } else {
            Ok(())
        }
    }
}

fn listen() -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            match signal {
                // The connection is lost; the work need not be. What is printed from now on goes nowhere.
                SIGHUP => {}
                SIGINT => on_interrupt(),
                _ => REQUESTED.store(true, Ordering::Relaxed),
            }
        }
    })?;
    Ok(())
}

fn on_interrupt() {
    if REQUESTED.swap(true, Ordering::Relaxed) {
        process::exit(Outcome::Interrupted as i32);
    }
    terminal::print_to_stderr("stopping as soon as the work so far is saved; Ctrl-C again leaves at once");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_fails_after_request() {
        static FLAG: AtomicBool = AtomicBool::new(false);
        let interrupt = Interrupt { requested: &FLAG };
        assert_eq!(interrupt.check(), Ok(()));
        interrupt.flag().store(true, Ordering::Relaxed);
        assert_eq!(interrupt.check(), Err(Interrupted));
    }
}
