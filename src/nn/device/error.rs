//! The meaning of a device's error, and what to do about it.
//!
//! dfdx's errors have only their text in common, and that of a GPU's error holds the name of NVIDIA's code. A program
//! without CUDA knows the names as well.

use DeviceErrorKind::{Failed, InUse, NoDriver, NoGpu, NoHeaders, OldDriver, OutOfMemory, UnsupportedGpu};
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Once;

/// The kind of a device's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceErrorKind {
    /// The program was built without CUDA.
    NotBuilt,
    /// There is no NVIDIA driver, or it does not answer.
    NoDriver,
    /// The driver is older than the CUDA that the program was built with, or than that of NVRTC.
    OldDriver,
    /// No GPU, or none with this number.
    NoGpu,
    /// The program holds no code for this GPU.
    UnsupportedGpu,
    /// Another program uses the GPU exclusively.
    InUse,
    /// No memory is left.
    OutOfMemory,
    /// A kernel cannot be compiled at run time.
    NoHeaders,
    /// The GPU failed: it is broken, or the program is wrong.
    Failed,
}

/// Names in an error's text and the kinds that they mean. From the driver's `CUresult`, cuBLAS, NVRTC, and dfdx's CPU.
const NAMES: &[(&str, DeviceErrorKind)] = &[
    ("CUDA_ERROR_OUT_OF_MEMORY", OutOfMemory),
    ("CUBLAS_STATUS_ALLOC_FAILED", OutOfMemory),
    ("OutOfMemory", OutOfMemory),
    ("CUDA_ERROR_NOT_INITIALIZED", NoDriver),
    ("CUDA_ERROR_STUB_LIBRARY", NoDriver),
    ("CUDA_ERROR_SYSTEM_NOT_READY", NoDriver),
    ("CUDA_ERROR_OPERATING_SYSTEM", NoDriver),
    ("CUDA_ERROR_UNSUPPORTED_PTX_VERSION", OldDriver),
    ("CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", OldDriver),
    ("CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE", OldDriver),
    ("CUDA_ERROR_NO_DEVICE", NoGpu),
    ("CUDA_ERROR_INVALID_DEVICE", NoGpu),
    ("CUDA_ERROR_NO_BINARY_FOR_GPU", UnsupportedGpu),
    ("CUDA_ERROR_INVALID_PTX", UnsupportedGpu),
    ("CUBLAS_STATUS_ARCH_MISMATCH", UnsupportedGpu),
    ("CUDA_ERROR_DEVICE_UNAVAILABLE", InUse),
    ("CUDA_ERROR_DEVICE_NOT_LICENSED", InUse),
    ("NVRTC_ERROR", NoHeaders),
    ("CUDA_ERROR_", Failed),
    ("CUBLAS_STATUS_", Failed),
];

impl DeviceErrorKind {
    /// The kind that a text names; `None` if it names none.
    pub fn named_in(words: &str) -> Option<Self> {
        let named = NAMES.iter().find(|(name, _)| words.contains(name));
        named.map(|(_, kind)| *kind)
    }

    /// A short description.
    pub fn summary(self) -> &'static str {
        match self {
            Self::NotBuilt => "this cutline was built without CUDA",
            Self::NoDriver => "no NVIDIA driver answers",
            Self::OldDriver => {
                "the NVIDIA driver is older than the CUDA that this cutline was built with, or than its NVRTC library"
            }
            Self::NoGpu => "there is no such GPU",
            Self::UnsupportedGpu => "this cutline was not built for this GPU's compute capability",
            Self::InUse => "another program uses the GPU exclusively",
            Self::OutOfMemory => "the device has no memory left",
            Self::NoHeaders => {
                "NVRTC could not compile a kernel of dfdx; most often CUDA's headers are missing"
            }
            Self::Failed => "the device failed",
        }
    }

    /// The next step.
    pub fn advice(self) -> &'static str {
        match self {
            Self::NotBuilt => {
                "build it with `cargo build --release --features cuda` (docs/cuda.md), or compute on the CPU: --device cpu"
            }
            Self::NoDriver => "see whether `nvidia-smi` lists the GPU, and if not, install NVIDIA's driver",
            Self::OldDriver => {
                "install a newer driver, or build with an older CUDA toolkit; NVRTC (libnvrtc) is used where CUTLINE_KERNELS=off is set, and must be of the version that docs/cuda.md names"
            }
            Self::NoGpu => "`cutline doctor` lists the GPUs; CUDA_VISIBLE_DEVICES may hide some",
            Self::UnsupportedGpu => {
                "build it on this machine, or elsewhere with CUDA_COMPUTE_CAP set to what `cutline doctor` shows"
            }
            Self::InUse => "`nvidia-smi` names it; wait for it, or choose another GPU with --device cuda:N",
            Self::OutOfMemory => {
                "end other programs that use it (`nvidia-smi`), or use a smaller batch or beam"
            }
            Self::NoHeaders => {
                "unset CUTLINE_KERNELS, since our own kernels do not need NVRTC, or run it on the machine it was built on"
            }
            Self::Failed => "try again; if it fails again, try --device cpu, and report it",
        }
    }
}

/// An error of a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}; {}", kind.summary(), in_brackets(text), kind.advice())]
pub struct DeviceError {
    /// The kind of error.
    pub kind: DeviceErrorKind,
    /// The device's text or name; may be empty.
    pub text: String,
}

impl DeviceError {
    /// From a device's text; [`DeviceErrorKind::Failed`] if it names no known kind.
    pub fn new(text: impl fmt::Display) -> Self {
        let text = text.to_string();
        Self {
            kind: DeviceErrorKind::named_in(&text).unwrap_or(DeviceErrorKind::Failed),
            text,
        }
    }

    /// A GPU requested of a program without CUDA.
    pub fn not_built(ordinal: usize) -> Self {
        Self {
            kind: DeviceErrorKind::NotBuilt,
            text: format!("there is no cuda:{ordinal}"),
        }
    }

    /// Whether a smaller batch may help.
    pub fn is_out_of_memory(&self) -> bool {
        self.kind == DeviceErrorKind::OutOfMemory
    }
}

fn in_brackets(text: &str) -> String {
    match text {
        "" => String::new(),
        text => format!(" ({text})"),
    }
}

/// Does work on a device. Where a GPU has no memory left for a copy of a tensor, or fails as one is read back, dfdx
/// panics: here that becomes an error. Any other panic continues.
///
/// # Errors
/// The device's error.
pub fn guarded<R>(work: impl FnOnce() -> R) -> Result<R, DeviceError> {
    silence_device_panics();
    // Unwind safety: callers discard half-done work after an error.
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| match panic_message(&*panic) {
        Some(text) => DeviceError::new(text),
        None => resume_unwind(panic),
    })
}

/// The text of a panic caused by a device's error.
fn panic_message(panic: &(dyn Any + Send)) -> Option<&str> {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied())?;
    DeviceErrorKind::named_in(text).map(|_| text)
}

/// A panic that becomes an error is not also printed to standard error.
fn silence_device_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic_message(panic.payload()).is_none() {
                print(panic);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_recognized_by_their_names() {
        let table = [
            (
                r#"Driver(DriverError(CUDA_ERROR_OUT_OF_MEMORY, "out of memory"))"#,
                OutOfMemory,
            ),
            ("Blas(CublasError(CUBLAS_STATUS_ALLOC_FAILED))", OutOfMemory),
            ("CpuErr::OutOfMemory", OutOfMemory),
            (
                r#"DriverError(CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected")"#,
                NoGpu,
            ),
            (
                r#"DriverError(CUDA_ERROR_INVALID_DEVICE, "invalid device ordinal")"#,
                NoGpu,
            ),
            ("CUDA_ERROR_UNSUPPORTED_PTX_VERSION", OldDriver),
            ("CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", OldDriver),
            ("CUDA_ERROR_NO_BINARY_FOR_GPU", UnsupportedGpu),
            ("CUDA_ERROR_STUB_LIBRARY", NoDriver),
            (
                "CompileError { nvrtc: NvrtcError(NVRTC_ERROR_COMPILATION) }",
                NoHeaders,
            ),
            ("CUDA_ERROR_ILLEGAL_ADDRESS", Failed),
        ];
        for (words, kind) in table {
            assert_eq!(DeviceErrorKind::named_in(words), Some(kind), "{words}");
            assert_eq!(DeviceError::new(words).kind, kind);
        }
        assert_eq!(DeviceErrorKind::named_in("index out of bounds"), None);
        assert_eq!(DeviceError::new("no idea").kind, Failed);
    }

    #[test]
    fn message_has_fault_device_text_and_advice() {
        let message = DeviceError::new("CUDA_ERROR_NO_DEVICE").to_string();
        assert_eq!(
            message,
            "there is no such GPU (CUDA_ERROR_NO_DEVICE); `cutline doctor` lists the GPUs; CUDA_VISIBLE_DEVICES may hide some"
        );
    }

    #[test]
    fn a_panic_of_a_device_becomes_its_error() {
        let text = r#"called `Result::unwrap()` on an `Err` value: DriverError(CUDA_ERROR_OUT_OF_MEMORY, "out of memory")"#;
        let error = guarded(|| std::panic::panic_any(text.to_owned()))
            .map(|(): ()| ())
            .unwrap_err();
        assert!(error.is_out_of_memory());
        assert_eq!(guarded(|| 4), Ok(4));
    }

    #[test]
    fn other_panics_continue() {
        let gone = catch_unwind(|| guarded(|| std::panic::panic_any("a mistake")).map(|(): ()| ()));
        assert_eq!(gone.unwrap_err().downcast_ref::<&str>(), Some(&"a mistake"));
    }
}
