//! The `cutline` program: parse the command line, dispatch, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    // SAFETY: no other thread has been started.
    unsafe { cutline::main() }
}
