//! Driver and GPUs, from NVIDIA's management library. It is loaded at run time, so every build can use it.

use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml, cuda_driver_version_major, cuda_driver_version_minor};
use serde_json::{Value, json};

use super::{Finding, LOW_MEMORY, Verdict, gigabytes};
use crate::nn::device::{DeviceErrorKind, HAS_CUDA};

/// The lowest compute capability of CUDA 13.
const MIN_CAPABILITY: (i32, i32) = (7, 5);
/// The lowest CUDA version that a driver must support.
const MIN_CUDA: (i32, i32) = (12, 0);

pub(super) struct Gpus {
    driver: Driver,
    gpus: Vec<Gpu>,
}

struct Driver {
    version: String,
    /// The latest CUDA version that it supports.
    cuda: (i32, i32),
}

struct Gpu {
    number: u32,
    name: String,
    /// Bytes.
    free: u64,
    total: u64,
    capability: (i32, i32),
}

/// The driver and GPUs, or the reason why they are unknown.
pub(super) fn query() -> Result<Gpus, String> {
    query_nvml().map_err(|error| match error {
        NvmlError::LibloadingError(_) => "libnvidia-ml.so.1 is missing".to_owned(),
        error => error.to_string(),
    })
}

fn query_nvml() -> Result<Gpus, NvmlError> {
    let nvml = Nvml::init()?;
    let cuda = nvml.sys_cuda_driver_version()?;
    let driver = Driver {
        version: nvml.sys_driver_version()?,
        cuda: (cuda_driver_version_major(cuda), cuda_driver_version_minor(cuda)),
    };
    let gpus = (0..nvml.device_count()?).map(|number| gpu(number, &nvml.device_by_index(number)?));
    let gpus = gpus.collect::<Result<_, _>>()?;
    Ok(Gpus { driver, gpus })
}

fn gpu(number: u32, device: &Device<'_>) -> Result<Gpu, NvmlError> {
    let (memory, capability) = (device.memory_info()?, device.cuda_compute_capability()?);
    Ok(Gpu {
        number,
        name: device.name()?,
        free: memory.free,
        total: memory.total,
        capability: (capability.major, capability.minor),
    })
}

pub(super) fn driver(gpus: &Result<Gpus, String>) -> Finding {
    match gpus {
        Ok(Gpus { driver, .. }) => judge_driver(driver),
        Err(why) => {
            let found = format!("no NVIDIA driver answers: {why}");
            let finding = |found| Finding::ok("driver", found, Value::Null);
            match HAS_CUDA {
                true => finding(found).but(Verdict::Note, DeviceErrorKind::NoDriver.advice()),
                false => finding(format!("{found}; this program, built without CUDA, needs none")),
            }
        }
    }
}

fn judge_driver(Driver { version, cuda }: &Driver) -> Finding {
    let cuda_version = format!("{}.{}", cuda.0, cuda.1);
    let facts = json!({ "version": version, "cuda": cuda_version });
    let finding = Finding::ok(
        "driver",
        format!("{version}, for CUDA up to {cuda_version}"),
        facts,
    );
    match *cuda < MIN_CUDA {
        true => finding.but(
            Verdict::Problem,
            "CUDA 12 or later is required: install a newer driver",
        ),
        false => finding,
    }
}

/// A finding for each GPU.
pub(super) fn each(gpus: &Result<Gpus, String>) -> Vec<Finding> {
    match gpus {
        Ok(Gpus { gpus, .. }) => gpus.iter().map(judge_gpu).collect(),
        Err(_) => Vec::new(),
    }
}

fn judge_gpu(gpu: &Gpu) -> Finding {
    let Gpu {
        number,
        name,
        free,
        total,
        capability: (major, minor),
    } = gpu;
    let found = format!(
        "{name}, {} of {} free, compute capability {major}.{minor}",
        gigabytes(*free),
        gigabytes(*total)
    );
    let facts = json!({
        "name": name,
        "memory_free": free,
        "memory_total": total,
        "compute_capability": format!("{major}.{minor}"),
    });
    let finding = Finding::ok(&format!("gpu {number}"), found, facts);
    if gpu.capability < MIN_CAPABILITY {
        finding.but(
            Verdict::Problem,
            "compute capability 7.5 or later is required: use another GPU, or the CPU with --device cpu",
        )
    } else if !HAS_CUDA {
        finding.but(
            Verdict::Note,
            "this build does not use it: build with `cargo build --release --features cuda` (docs/cuda.md)",
        )
    } else if *free < LOW_MEMORY {
        finding.but(Verdict::Note, DeviceErrorKind::OutOfMemory.advice())
    } else {
        finding
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(capability: (i32, i32), free: u64) -> Gpu {
        Gpu {
            number: 1,
            name: "NVIDIA X".to_owned(),
            free,
            total: 80_000_000_000,
            capability,
        }
    }

    #[test]
    fn gpu_has_memory_and_compute_capability() {
        let finding = judge_gpu(&some((9, 0), 79_000_000_000));
        assert_eq!(finding.subject, "gpu 1");
        assert_eq!(
            finding.found,
            "NVIDIA X, 79.0 GB of 80.0 GB free, compute capability 9.0"
        );
        assert_ne!(finding.verdict, Verdict::Problem);
    }

    #[test]
    fn old_gpu_or_driver_is_a_problem() {
        assert_eq!(judge_gpu(&some((7, 0), 79_000_000_000)).verdict, Verdict::Problem);
        assert_ne!(judge_gpu(&some((7, 5), 79_000_000_000)).verdict, Verdict::Problem);
        let driver = |cuda| Driver {
            version: "580.65.06".to_owned(),
            cuda,
        };
        assert_eq!(judge_driver(&driver((11, 8))).verdict, Verdict::Problem);
        assert_eq!(judge_driver(&driver((13, 0))).verdict, Verdict::Ok);
    }
}
