//! Puts the sources of our CUDA kernels together. For the feature `cuda` also compiles them to PTX, so that no program
//! needs a compiler at run time, and has the linker wrap some calls of the driver; see `src/nn/cuda/driver.rs`.

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The kernels, compiled together; what they share comes first.
const SOURCES: [&str; 9] = [
    "src/nn/cuda/common.cu",
    "src/nn/ops/rows/kernels.cu",
    "src/nn/ops/conv2d/kernels.cu",
    "src/nn/ops/depthwise/kernels.cu",
    "src/nn/ops/pool/kernels.cu",
    "src/nn/ops/lstm/kernels.cu",
    "src/nn/ops/cross_entropy/kernels.cu",
    "src/nn/ops/attention/kernels.cu",
    "src/nn/optim/kernels.cu",
];

/// Calls of the driver and of cuBLAS that the program changes or counts.
const WRAPPED: [&str; 17] = [
    "cuCtxSetCurrent",
    "cuDevicePrimaryCtxRelease_v2",
    "cuEventDestroy_v2",
    "cuEventRecord",
    "cuLaunchKernel",
    "cuMemAllocAsync",
    "cuMemAlloc_v2",
    "cuMemFreeAsync",
    "cuMemFree_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuMemsetD8Async",
    "cuMemsetD8_v2",
    "cuModuleUnload",
    "cuStreamDestroy_v2",
    "cuStreamWaitEvent",
    "cublasDestroy_v2",
    "cublasGemmEx",
];

/// The variable that names the compute capability, without its point; dfdx reads it as well.
const CAPABILITY: &str = "CUDA_COMPUTE_CAP";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let source = out.join("kernels.cu");
    fs::write(&source, joined_sources()?)?;
    let has_feature = |name: &str| env::var_os(format!("CARGO_FEATURE_{name}")).is_some();
    if has_feature("CUDA_CHECK") {
        // Only type-checked.
        fs::write(out.join("kernels.ptx"), "")?;
    } else if has_feature("CUDA") {
        for call in WRAPPED {
            println!("cargo::rustc-link-arg=-Wl,--wrap={call}");
        }
        compile(&source, &out)?;
    }
    Ok(())
}

fn joined_sources() -> Result<String, Box<dyn Error>> {
    let mut joined = String::new();
    for path in SOURCES {
        println!("cargo::rerun-if-changed={path}");
        let source = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        // The compiler's messages then name the file.
        write!(joined, "#line 1 \"{path}\"\n{source}\n")?;
    }
    Ok(joined)
}

/// Compiles `kernels.cu` to `kernels.ptx`, with the compiler that dfdx uses and for the same GPU.
fn compile(source: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed={CAPABILITY}");
    let capability = env::var(CAPABILITY).or_else(|_| capability_of_this_machine())?;
    let compiled = Command::new("nvcc")
        .arg(format!("--gpu-architecture=sm_{capability}"))
        .arg("--ptx")
        .arg("--output-directory")
        .args([out, source])
        .output()
        .map_err(|error| format!("nvcc, which must be on the PATH: {error}"))?;
    if compiled.status.success() {
        return Ok(());
    }
    Err(format!("nvcc: {}", String::from_utf8_lossy(&compiled.stderr)).into())
}

/// That of the first GPU, as `nvidia-smi` prints it below a title.
fn capability_of_this_machine() -> Result<String, Box<dyn Error>> {
    let printed = Command::new("nvidia-smi")
        .args(["--query-gpu=compute_cap", "--format=csv"])
        .output()
        .map_err(|error| format!("nvidia-smi, for want of {CAPABILITY}: {error}"))?;
    let printed = String::from_utf8(printed.stdout)?;
    let capability = printed.lines().nth(1);
    let capability = capability.ok_or_else(|| format!("nvidia-smi lists no GPU; set {CAPABILITY}"))?;
    Ok(capability.trim().replace('.', ""))
}
