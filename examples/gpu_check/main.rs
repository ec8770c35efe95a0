//! Holds a GPU against the CPU, operation by operation, and measures it: `scripts/gpu-check` runs this.
//!
//! ```text
//! gpu_check            every check; PASS and FAIL lines; exit code 1 after any FAIL
//! gpu_check bench      the work of the goals, beside PyTorch where `python3` has it
//! ```
//!
//! Every check is one function over any device. A build without the feature `cuda` holds the CPU against itself, which
//! shows that the checks run and nothing else.

mod bench;
mod cutline_operations;
mod dfdx_operations;
mod features;
mod found;
mod report;
mod scenes;

use cutline::nn::Backend;
use dfdx::prelude::Cpu;
use found::{Check, Failure};
use report::Report;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        [] => device().map(|device| checked(&device)),
        ["bench"] => bench::all().map(|()| ExitCode::SUCCESS),
        ["bench", work] => device()
            .and_then(|device| bench::one(work, &device))
            .map(|()| ExitCode::SUCCESS),
        _ => Err("usage: gpu_check [bench]".into()),
    };
    done.unwrap_or_else(|failure| {
        println!("FAIL {failure}");
        ExitCode::FAILURE
    })
}

/// The device that is checked, opened as `cutline` opens it.
#[cfg(feature = "cuda")]
fn device() -> Result<dfdx::prelude::Cuda, Failure> {
    use cutline::nn::device::{ChosenDevice, DeviceChoice};
    match ChosenDevice::open(DeviceChoice::Cuda(0))? {
        ChosenDevice::Cuda(opened) => Ok(opened.device),
        ChosenDevice::Cpu { .. } => Err("a GPU was asked for, and the CPU came".into()),
    }
}

#[cfg(not(feature = "cuda"))]
fn device() -> Result<Cpu, Failure> {
    println!("DRY RUN: without the feature `cuda` the CPU is held against itself");
    Ok(Cpu::seed_from_u64(1))
}

/// All checks, the quickest first.
fn checks<D: Backend>() -> Vec<Check<D>> {
    [
        dfdx_operations::checks(),
        cutline_operations::checks(),
        features::checks(),
        scenes::checks(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn checked<D: Backend>(device: &D) -> ExitCode {
    let cpu = Cpu::seed_from_u64(0);
    let mut report = Report::default();
    for (expected, found) in checks::<Cpu>().into_iter().zip(checks::<D>()) {
        report.hold(
            expected.name,
            expected.tolerance,
            || expected.of(&cpu),
            || found.of(device),
        );
    }
    report.end()
}
