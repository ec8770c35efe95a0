//! Signals: Ctrl-C and SIGTERM ask long work to save and stop, a second Ctrl-C exits at once; a closed terminal stops
//! nothing. SIGUSR1, SIGUSR2 and SIGXCPU, which batch systems send before a limit, and SIGTERM in a Slurm step do the same and
//! end with exit code 75 (`EX_TEMPFAIL`): saved, to be continued.
//!
//! Only subcommands that poll the flag handle signals; the others end at once, as usual.

use std::io;
use std::process;
use std::sync::{Arc, OnceLock};
use std::thread;

use signal_hook::consts::{SIGALRM, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU, SIGXFSZ};
use signal_hook::iterator::Signals;

use super::exit_code::Outcome;
use super::terminal;
use crate::jobs::{StopFlag, StopRequest};

static REQUESTED: StopFlag = StopFlag::new();
static INSTALLED: OnceLock<Result<(), String>> = OnceLock::new();

/// The program was asked to stop; ends it with exit code 130, or 75 if it is to be started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub(super) struct Interrupted;

/// Whether the user has asked the program to stop (Ctrl-C or SIGTERM).
#[derive(Clone, Copy, Debug)]
pub(super) struct Interrupt {
    requested: &'static StopFlag,
}

impl Interrupt {
    /// Installs the signal handlers; a second call returns the same flag.
    pub(super) fn install() -> anyhow::Result<Self> {
        let installed = INSTALLED.get_or_init(|| listen().map_err(|error| error.to_string()));
        match installed {
            Ok(()) => Ok(Self {
                requested: &REQUESTED,
            }),
            Err(error) => Err(anyhow::anyhow!(
                "cannot listen for Ctrl-C: {error}; nothing was started, try again"
            )),
        }
    }

    /// The flag that long work polls between batches.
    pub(super) fn flag(&self) -> &'static StopFlag {
        self.requested
    }

    /// Whether to stop.
    pub(super) fn is_requested(&self) -> bool {
        self.requested.requested().is_some()
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

/// Whether a batch system asked the program to stop, and is to start it again.
pub(super) fn is_requeued() -> bool {
    REQUESTED.requested() == Some(StopRequest::Requeue)
}

/// Makes a write beyond the limit on a file's size (`ulimit -f`) an error that names the file. By default its signal ends
/// the process.
pub(super) fn survive_file_size_limit() -> io::Result<()> {
    signal_hook::flag::register(SIGXFSZ, Arc::default())?;
    Ok(())
}

fn listen() -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGALRM, SIGUSR1, SIGUSR2, SIGXCPU, SIGHUP])?;
    let is_slurm_step = std::env::var_os("SLURM_JOB_ID").is_some();
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            match signal {
                // The terminal is gone. The work continues, and its output is lost.
                SIGHUP => {}
                SIGINT => on_interrupt(),
                SIGUSR1 | SIGUSR2 | SIGXCPU => drop(REQUESTED.request(StopRequest::Requeue)),
                SIGTERM if is_slurm_step => drop(REQUESTED.request(StopRequest::Requeue)),
                _ => drop(REQUESTED.request(StopRequest::Stop)),
            }
        }
    })?;
    Ok(())
}

fn on_interrupt() {
    if REQUESTED.request(StopRequest::Stop) {
        process::exit(Outcome::Interrupted as i32);
    }
    terminal::print_to_stderr("saving and stopping; Ctrl-C again exits at once without saving");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_fails_after_request() {
        static FLAG: StopFlag = StopFlag::new();
        let interrupt = Interrupt { requested: &FLAG };
        assert_eq!(interrupt.check(), Ok(()));
        interrupt.flag().request(StopRequest::Stop);
        assert_eq!(interrupt.check(), Err(Interrupted));
    }
}
