//! Devices: chosen by name and opened.

mod choice;
mod error;
#[cfg(feature = "cuda")]
mod gpu;
mod matmul_precision;
pub(crate) mod scalar;

pub use choice::{DeviceChoice, UnknownDevice};
pub use error::{DeviceError, DeviceErrorKind, guarded};
pub use matmul_precision::MatmulPrecision;

use dfdx::prelude::Cpu;

/// The name of the CPU in logs.
pub const CPU: &str = "cpu";

/// Whether this program was built for GPUs.
pub const HAS_CUDA: bool = cfg!(feature = "cuda");

/// How often a process has called the driver of its GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DriverCalls {
    /// Launches of kernels, those of cuBLAS not included.
    pub launches: usize,
    /// Matrix products of our own operations.
    pub products: usize,
    /// Allocations of memory.
    pub allocations: usize,
    /// Fills of memory with zeros.
    pub fills: usize,
    /// Copies from the host.
    pub uploads: usize,
}

impl DriverCalls {
    /// The calls so far; none in a program without CUDA.
    pub fn so_far() -> Self {
        #[cfg(feature = "cuda")]
        return crate::nn::cuda::calls();
        #[cfg(not(feature = "cuda"))]
        Self::default()
    }
}

/// An open device and its name in logs: `cpu`, `cuda:0`, `cuda:0 in TF32`.
#[derive(Clone, Debug)]
pub struct Opened<D> {
    /// The device.
    pub device: D,
    /// Its name.
    pub name: String,
}

impl Opened<Cpu> {
    /// The CPU, which is always there.
    pub fn cpu() -> Self {
        Self {
            device: Cpu::default(),
            name: CPU.to_owned(),
        }
    }
}

/// `on_device!(chosen, |opened| work(opened))` does work on a [`ChosenDevice`], whose [`Opened`] device has another type
/// for each backend: a closure cannot be generic. The result is an error where the device fails in a way that dfdx has no
/// error for; see [`guarded`].
macro_rules! on_device {
    ($chosen:expr, |$opened:ident| $work:expr) => {
        match &$chosen {
            $crate::nn::device::ChosenDevice::Cpu { opened: $opened, .. } => {
                Ok::<_, $crate::nn::device::DeviceError>($work)
            }
            #[cfg(feature = "cuda")]
            $crate::nn::device::ChosenDevice::Cuda($opened) => $crate::nn::device::guarded(|| $work),
        }
    };
}
pub(crate) use on_device;

impl DeviceChoice {
    /// Checks that the device is there, before work that precedes its opening.
    ///
    /// # Errors
    /// If a requested GPU does not answer, or the program was not built for one.
    pub fn check(self) -> Result<(), DeviceError> {
        match self {
            Self::Auto | Self::Cpu => Ok(()),
            Self::Cuda(_) => ChosenDevice::open(self).map(drop),
        }
    }
}

/// An open device.
#[derive(Debug)]
pub enum ChosenDevice {
    /// The CPU.
    Cpu {
        /// The device.
        opened: Opened<Cpu>,
        /// Why it is not a GPU, for `Auto` and a program with CUDA.
        instead: Option<DeviceError>,
    },
    /// A GPU.
    #[cfg(feature = "cuda")]
    Cuda(Opened<dfdx::prelude::Cuda>),
}

impl ChosenDevice {
    /// Opens the device of a choice. `Auto` is the first GPU, if the program was built for one and it answers, else the CPU.
    ///
    /// # Errors
    /// If a requested GPU does not answer, or the program was not built for one.
    pub fn open(choice: DeviceChoice) -> Result<Self, DeviceError> {
        match choice {
            DeviceChoice::Cpu => Ok(Self::cpu(None)),
            DeviceChoice::Cuda(ordinal) => Self::gpu(ordinal),
            DeviceChoice::Auto if !HAS_CUDA => Ok(Self::cpu(None)),
            DeviceChoice::Auto => Ok(Self::gpu(0).unwrap_or_else(|error| Self::cpu(Some(error)))),
        }
    }

    fn cpu(instead: Option<DeviceError>) -> Self {
        Self::Cpu {
            opened: Opened::cpu(),
            instead,
        }
    }

    #[cfg(feature = "cuda")]
    fn gpu(ordinal: usize) -> Result<Self, DeviceError> {
        gpu::open(ordinal).map(Self::Cuda)
    }

    #[cfg(not(feature = "cuda"))]
    fn gpu(ordinal: usize) -> Result<Self, DeviceError> {
        Err(DeviceError::not_built(ordinal))
    }

    /// Its name in logs.
    pub fn name(&self) -> &str {
        match self {
            Self::Cpu { opened, .. } => &opened.name,
            #[cfg(feature = "cuda")]
            Self::Cuda(opened) => &opened.name,
        }
    }

    /// Whether a GPU runs our kernels; if not, why it uses dfdx's, which are slower. Always for the CPU.
    ///
    /// # Errors
    /// The reason.
    pub fn check_kernels(&self) -> Result<(), String> {
        match self {
            Self::Cpu { .. } => Ok(()),
            #[cfg(feature = "cuda")]
            Self::Cuda(opened) => crate::nn::cuda::check_kernels(&opened.device),
        }
    }

    /// Why the CPU was chosen although the program supports GPUs.
    pub fn why_no_gpu(&self) -> Option<&DeviceError> {
        match self {
            Self::Cpu { instead, .. } => instead.as_ref(),
            #[cfg(feature = "cuda")]
            Self::Cuda(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::backend::Backend;
    use dfdx::prelude::TryAdd;

    fn two_plus_two<D: Backend>(on: &Opened<D>) -> Vec<f32> {
        let two = on.device.tensor_from_vec(vec![2.0], (1,));
        two.try_add(2.0).map_or(Vec::new(), |sum| sum.as_vec())
    }

    #[test]
    fn work_runs_on_the_chosen_device() {
        let cpu = ChosenDevice::open(DeviceChoice::Cpu).unwrap();
        assert_eq!((cpu.name(), cpu.why_no_gpu()), ("cpu", None));
        assert_eq!(on_device!(cpu, |on| two_plus_two(on)).unwrap(), [4.0]);
    }

    #[test]
    fn auto_opens_a_device_that_computes() {
        let any = ChosenDevice::open(DeviceChoice::Auto).unwrap();
        assert_eq!(on_device!(any, |on| two_plus_two(on)).unwrap(), [4.0]);
        if !HAS_CUDA {
            assert_eq!(
                (any.name(), any.why_no_gpu()),
                ("cpu", None),
                "no reason without a CUDA build"
            );
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn gpu_without_a_cuda_build_is_rejected_with_advice() {
        let rejected = ChosenDevice::open(DeviceChoice::Cuda(1)).unwrap_err();
        assert_eq!(rejected.kind, DeviceErrorKind::NotBuilt);
        let message = rejected.to_string();
        assert!(
            message.contains("--features cuda") && message.contains("cuda:1"),
            "{message}"
        );
    }
}
