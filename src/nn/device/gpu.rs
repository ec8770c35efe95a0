//! Opening a GPU.

use super::error::{DeviceError, DeviceErrorKind, guarded};
use super::{MatmulPrecision, Opened};
use crate::nn::backend::DeviceResult;
use cudarc::driver::{result, sys};
use dfdx::prelude::{Cache, Cuda, OnesTensor, Tensor, TryAdd};
use std::mem::MaybeUninit;

/// The GPU with this number, once it has shown that it computes.
///
/// # Errors
/// If there is no driver, no such GPU, or it cannot run this program's code.
pub(super) fn open(ordinal: usize) -> Result<Opened<Cuda>, DeviceError> {
    check_is_there(ordinal)?;
    let device = guarded(|| Cuda::try_build(ordinal, 0))?.map_err(DeviceError::new)?;
    check_computes(&device)?;
    keep_freed_memory(&device, ordinal);
    Ok(Opened {
        device,
        name: MatmulPrecision::from_environment().on(ordinal),
    })
}

/// dfdx panics where there is no driver, or no such GPU.
fn check_is_there(ordinal: usize) -> Result<(), DeviceError> {
    let failure = |error: result::DriverError| match error.0 {
        // Later it is a failure of the GPU.
        sys::CUresult::CUDA_ERROR_UNKNOWN => DeviceError {
            kind: DeviceErrorKind::NoDriver,
            text: format!("{:?}", error.0),
        },
        code => DeviceError::new(format!("{code:?}")),
    };
    result::init().map_err(failure)?;
    let count = result::device::get_count().map_err(failure)?;
    let found = usize::try_from(count).unwrap_or(0);
    if ordinal < found {
        return Ok(());
    }
    Err(DeviceError {
        kind: DeviceErrorKind::NoGpu,
        text: format!("cuda:{ordinal} of {found}, counted from 0"),
    })
}

/// Runs a kernel: a GPU or a driver that is too old fails here, and not in the middle of the work.
fn check_computes(device: &Cuda) -> Result<(), DeviceError> {
    let two = guarded(|| one_and_one(device))?.map_err(DeviceError::new)?;
    match two == [2.0] {
        true => Ok(()),
        false => Err(DeviceError {
            kind: DeviceErrorKind::Failed,
            text: format!("1 + 1 = {two:?}"),
        }),
    }
}

fn one_and_one(device: &Cuda) -> DeviceResult<Cuda, Vec<f32>> {
    let one: Tensor<(usize,), f32, Cuda> = device.try_ones_like(&(1,))?;
    Ok(one.try_add(1.0)?.as_vec())
}

/// Keeps freed memory in the process: otherwise the driver returns it to the system whenever the host waits for the GPU.
/// Without this setting, allocation is slower.
///
/// dfdx's own cache keeps each exact size apart. Packed captions have a new size in every batch, so it would pile up.
fn keep_freed_memory(device: &Cuda, ordinal: usize) {
    // With the cache on, memory may run out sooner.
    let _ = device.try_disable_cache();
    let Some(device) = i32::try_from(ordinal)
        .ok()
        .and_then(|ordinal| result::device::get(ordinal).ok())
    else {
        return;
    };
    let mut pool = MaybeUninit::uninit();
    let mut all = u64::MAX;
    let threshold = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the pool is read only once it has been written, and the attribute is a 64-bit number, which outlives the call.
    unsafe {
        if sys::cuDeviceGetDefaultMemPool(pool.as_mut_ptr(), device)
            .result()
            .is_ok()
        {
            let _ = sys::cuMemPoolSetAttribute(pool.assume_init(), threshold, (&raw mut all).cast()).result();
        }
    }
}
