//! Compares a GPU with the CPU, operation by operation, and measures it: `scripts/gpu-check` runs this.
//!
//! ```text
//! gpu_check            every check; PASS and FAIL lines; exit code 1 after any FAIL
//! gpu_check bench      speed and memory, beside PyTorch if `python3` has it
//! ```
//!
//! A check is a function over any device. A build without the feature `cuda` compares the CPU with itself, which only
//! shows that the checks run.

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
        [] => device().map(|device| run_checks(&device)),
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

/// The device to check, opened like by `cutline`.
#[cfg(feature = "cuda")]
fn device() -> Result<dfdx::prelude::Cuda, Failure> {
    use cutline::nn::device::{ChosenDevice, DeviceChoice};
    match ChosenDevice::open(DeviceChoice::Cuda(0))? {
        ChosenDevice::Cuda(opened) => Ok(opened.device),
        ChosenDevice::Cpu { .. } => Err("no GPU could be opened".into()),
    }
}

#[cfg(not(feature = "cuda"))]
fn device() -> Result<Cpu, Failure> {
    println!("DRY RUN: without the feature `cuda` the CPU is compared with itself");
    Ok(Cpu::seed_from_u64(1))
}

/// All checks, fastest first.
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

fn run_checks<D: Backend>(device: &D) -> ExitCode {
    let cpu = Cpu::seed_from_u64(0);
    let mut report = Report::default();
    for (expected, found) in checks::<Cpu>().into_iter().zip(checks::<D>()) {
        report.compare(
            expected.name,
            expected.tolerance,
            || expected.of(&cpu),
            || found.of(device),
        );
    }
    report.end()
}
