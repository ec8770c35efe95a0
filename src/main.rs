//! The `cutline` program: parse the command line, dispatch, exit code.

fn main() {}
