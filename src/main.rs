//! The `cutline` program: parse the command line, dispatch, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    cutline::main()
}
