//! The threads that computations share.

use std::io;
use std::num::NonZero;
use std::sync::{Arc, Mutex};
use std::thread;

use super::Context;

/// Threads that a command may start besides: for signals, decoding, drawing, and watching the disk.
const OTHERS: usize = 4;

/// Starts the threads of [`rayon`]: one for each core, or as many as `RAYON_NUM_THREADS` says. Where a limit of the
/// system forbids that many, one does all the work.
///
/// # Errors
/// If not even that one can be started: a thread that is missing later would end the program in the middle of its work.
pub(super) fn start(context: &Context) -> anyhow::Result<()> {
    let wanted = std::env::var("RAYON_NUM_THREADS")
        .ok()
        .and_then(|number| number.parse().ok());
    let cores = || thread::available_parallelism().map_or(1, NonZero::get);
    let wanted: usize = wanted.filter(|&number| number > 0).unwrap_or_else(cores);
    let advice = "raise the limit of processes (ulimit -u)";
    // A global pool that fails to start cannot be replaced by a smaller one.
    let threads = match check(wanted + OTHERS) {
        Ok(()) => wanted,
        Err(error) => {
            check(1 + OTHERS).map_err(|error| anyhow::anyhow!("cannot start threads: {error}; {advice}"))?;
            context.notice(&format!(
                "warning: cannot start {wanted} threads, so one does all the work: {error}; {advice}"
            ));
            1
        }
    };
    // It fails only if there is a pool already.
    let _ = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global();
    Ok(())
}

/// Finds out whether this many threads can be started, by starting them.
fn check(threads: usize) -> io::Result<()> {
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock();
    let mut started = Vec::new();
    let result = (0..threads).try_for_each(|_| {
        let gate = Arc::clone(&gate);
        started.push(thread::Builder::new().spawn(move || drop(gate.lock()))?);
        Ok(())
    });
    drop(closed);
    started.into_iter().for_each(|thread| drop(thread.join()));
    result
}
