//! Compares a GPU with the CPU, operation by operation, and measures it: `scripts/gpu-check` runs this.
//!
//! ```text
//! gpu_check            every check; PASS and FAIL lines; exit code 1 after any FAIL
//! gpu_check operations, or features      only these checks
//! gpu_check bench      speed and memory, beside PyTorch if `python3` has it
//! gpu_check bench WORK ROUNDS      one workload for so many rounds, for counts of launches
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
        [] => device().map(|device| run_checks(all(), all(), &device)),
        ["operations"] => device().map(|device| run_checks(operations(), operations(), &device)),
        ["features"] => device().map(|device| run_checks(features::checks(), features::checks(), &device)),
        ["bench"] => bench::all().map(|()| ExitCode::SUCCESS),
        ["bench", work] => bench_one(work, None),
        ["bench", work, rounds] => bench_one(work, Some(rounds)),
        _ => Err("usage: gpu_check [operations | features | bench [WORK [ROUNDS]]]".into()),
    };
    done.unwrap_or_else(|failure| {
        println!("FAIL {failure}");
        ExitCode::FAILURE
    })
}

fn bench_one(work: &str, rounds: Option<&str>) -> Result<ExitCode, Failure> {
    let rounds = rounds.map(str::parse).transpose()?;
    bench::one(work, rounds, &device()?)?;
    Ok(ExitCode::SUCCESS)
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
fn all<D: Backend>() -> Vec<Check<D>> {
    let mut checks = operations();
    checks.extend(features::checks());
    checks.extend(scenes::checks());
    checks
}

fn operations<D: Backend>() -> Vec<Check<D>> {
    let mut checks = dfdx_operations::checks();
    checks.extend(cutline_operations::checks());
    checks
}

/// Runs the same checks on the CPU and on the device.
fn run_checks<D: Backend>(on_cpu: Vec<Check<Cpu>>, on_device: Vec<Check<D>>, device: &D) -> ExitCode {
    let cpu = Cpu::seed_from_u64(0);
    let mut report = Report::default();
    for (expected, found) in on_cpu.into_iter().zip(on_device) {
        report.compare(
            expected.name,
            expected.tolerance,
            || expected.of(&cpu),
            || found.of(device),
        );
    }
    report.end()
}
