//! Calls of the driver that we change or count. dfdx makes them, through cudarc; `build.rs` has the linker lead them here.
//!
//! - **Releases.** cudarc unwraps the result when it frees memory. After an error that corrupts the context, such as an
//!   illegal address, the driver answers every call with that error. The unwinding from the first `unwrap` then meets
//!   the second, and the process aborts before the error is shown. So a release never reports that the context is lost:
//!   the driver frees everything when the process ends, and the call that met the error has reported it.
//! - **Fills.** dfdx fills new memory with zeros, also where a kernel writes all of it; see [`without_fills`].
//! - **Allocations of nothing.** Without memory pools the driver rejects them, and dfdx makes one when it opens a device.
//! - **Counts** of what a step costs, whatever the GPU; see [`DriverCalls`].

use crate::nn::device::DriverCalls;
use std::cell::Cell;
use std::ffi::{c_int, c_uchar, c_uint, c_void};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static LAUNCHES: AtomicUsize = AtomicUsize::new(0);
static PRODUCTS: AtomicUsize = AtomicUsize::new(0);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static FILLS: AtomicUsize = AtomicUsize::new(0);
static UPLOADS: AtomicUsize = AtomicUsize::new(0);

/// The calls of this process.
pub(in crate::nn) fn calls() -> DriverCalls {
    DriverCalls {
        launches: LAUNCHES.load(Relaxed),
        products: PRODUCTS.load(Relaxed),
        allocations: ALLOCATIONS.load(Relaxed),
        fills: FILLS.load(Relaxed),
        uploads: UPLOADS.load(Relaxed),
    }
}

/// `CUresult`, which may have a value that cudarc does not know.
type Status = c_uint;

const SUCCESS: Status = 0;

/// The driver is shutting down, at the end of the process.
const DEINITIALIZED: Status = 4;

/// The status of a release: success if the context is lost, and with it all that there was to release.
fn of_release(status: Status) -> Status {
    match status {
        DEINITIALIZED | 214 | 700 | 702..=719 | 999 => SUCCESS,
        other => other,
    }
}

/// cuBLAS only says that its handle's context did not work.
fn of_handle_release(_: Status) -> Status {
    SUCCESS
}

/// `wrapped(arguments) => real, then`: the function that the linker calls in place of `real`. The status goes through `then`.
macro_rules! wrapped {
    ($($wrapped:ident($($name:ident: $type:ty),+) => $real:ident, $then:expr;)+) => {
        unsafe extern "C" {
            $(fn $real($($name: $type),+) -> Status;)+
        }
        $(
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $wrapped($($name: $type),+) -> Status {
                // SAFETY: the caller's promise, passed on.
                $then(unsafe { $real($($name),+) })
            }
        )+
    };
}

fn counted(calls: &'static AtomicUsize) -> impl Fn(Status) -> Status {
    move |status| {
        calls.fetch_add(1, Relaxed);
        status
    }
}

wrapped! {
    __wrap_cuLaunchKernel(
        function: *mut c_void, across: c_uint, down: c_uint, deep: c_uint, width: c_uint, height: c_uint, depth: c_uint,
        shared: c_uint, stream: *mut c_void, arguments: *mut *mut c_void, more: *mut *mut c_void
    ) => __real_cuLaunchKernel, counted(&LAUNCHES);
    __wrap_cuMemAllocAsync(address: *mut u64, bytes: usize, stream: *mut c_void)
        => __real_cuMemAllocAsync, counted(&ALLOCATIONS);
    __wrap_cuMemcpyHtoDAsync_v2(address: u64, from: *const c_void, bytes: usize, stream: *mut c_void)
        => __real_cuMemcpyHtoDAsync_v2, counted(&UPLOADS);
    __wrap_cublasGemmEx(
        handle: *mut c_void, operation_a: c_uint, operation_b: c_uint, m: c_int, n: c_int, k: c_int, alpha: *const c_void,
        a: *const c_void, type_a: c_uint, lda: c_int, b: *const c_void, type_b: c_uint, ldb: c_int, beta: *const c_void,
        c: *mut c_void, type_c: c_uint, ldc: c_int, compute: c_uint, algorithm: c_int
    ) => __real_cublasGemmEx, counted(&PRODUCTS);
    // Also called before everything else, but what follows then meets the error.
    __wrap_cuCtxSetCurrent(context: *mut c_void) => __real_cuCtxSetCurrent, of_release;
    __wrap_cuDevicePrimaryCtxRelease_v2(device: c_uint) => __real_cuDevicePrimaryCtxRelease_v2, of_release;
    __wrap_cuEventDestroy_v2(event: *mut c_void) => __real_cuEventDestroy_v2, of_release;
    // These two are how a stream is joined before it is destroyed.
    __wrap_cuEventRecord(event: *mut c_void, stream: *mut c_void) => __real_cuEventRecord, of_release;
    __wrap_cuStreamWaitEvent(stream: *mut c_void, event: *mut c_void, flags: c_uint) => __real_cuStreamWaitEvent, of_release;
    __wrap_cuMemFreeAsync(address: u64, stream: *mut c_void) => __real_cuMemFreeAsync, of_release;
    __wrap_cuMemFree_v2(address: u64) => __real_cuMemFree_v2, of_release;
    __wrap_cuModuleUnload(module: *mut c_void) => __real_cuModuleUnload, of_release;
    __wrap_cuStreamDestroy_v2(stream: *mut c_void) => __real_cuStreamDestroy_v2, of_release;
    __wrap_cublasDestroy_v2(handle: *mut c_void) => __real_cublasDestroy_v2, of_handle_release;
}

unsafe extern "C" {
    fn __real_cuMemAlloc_v2(address: *mut u64, bytes: usize) -> Status;
    fn __real_cuMemsetD8Async(address: u64, value: c_uchar, bytes: usize, stream: *mut c_void) -> Status;
    fn __real_cuMemsetD8_v2(address: u64, value: c_uchar, bytes: usize) -> Status;
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_cuMemAlloc_v2(address: *mut u64, bytes: usize) -> Status {
    ALLOCATIONS.fetch_add(1, Relaxed);
    // SAFETY: the caller's promise; a byte more is freed with the rest.
    unsafe { __real_cuMemAlloc_v2(address, bytes.max(1)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_cuMemsetD8Async(
    address: u64,
    value: c_uchar,
    bytes: usize,
    stream: *mut c_void,
) -> Status {
    if skip_fill() {
        return SUCCESS;
    }
    FILLS.fetch_add(1, Relaxed);
    // SAFETY: the caller's promise, passed on.
    unsafe { __real_cuMemsetD8Async(address, value, bytes, stream) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_cuMemsetD8_v2(address: u64, value: c_uchar, bytes: usize) -> Status {
    if skip_fill() {
        return SUCCESS;
    }
    FILLS.fetch_add(1, Relaxed);
    // SAFETY: the caller's promise, passed on.
    unsafe { __real_cuMemsetD8_v2(address, value, bytes) }
}

thread_local! {
    /// Fills that were skipped on this thread, where they are.
    static SKIPPED: Cell<Option<usize>> = const { Cell::new(None) };
}

fn skip_fill() -> bool {
    let skipped = SKIPPED.get();
    SKIPPED.set(skipped.map(|skipped| skipped + 1));
    skipped.is_some()
}

/// The result of `allocate`, whose new memory is not filled, and whether it made any.
///
/// The caller writes to all of that memory before anything reads it. Any bits are a float.
pub(super) fn without_fills<R>(allocate: impl FnOnce() -> R) -> (R, bool) {
    /// Fills are made again after a panic too.
    struct FillAgain;
    impl Drop for FillAgain {
        fn drop(&mut self) {
            SKIPPED.set(None);
        }
    }
    SKIPPED.set(Some(0));
    let _guard = FillAgain;
    let made = allocate();
    (made, SKIPPED.get() > Some(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_after_a_lost_context_succeeds() {
        for lost in [DEINITIALIZED, 214, 700, 719, 999] {
            assert_eq!(of_release(lost), SUCCESS);
        }
        for other in [1, 2, 201, 400, 701] {
            assert_eq!(of_release(other), other);
        }
    }

    #[test]
    fn fills_are_skipped_only_where_asked() {
        assert!(!skip_fill());
        let (fill, made) = without_fills(skip_fill);
        assert!(fill && made);
        assert_eq!(without_fills(|| 3), (3, false));
        assert!(!skip_fill());
    }
}
