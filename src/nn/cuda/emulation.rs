//! The CPU as a machine that runs the kernels, for the tests: their sources compiled as C++.

use super::memory::product_shape;
use super::signature::{ArgumentKind, kernels};
use super::{DeviceBuffer, DeviceSlice, KernelDevice, Launch, Operand, SOURCE, Stream, TensorBuffer};
use crate::nn::cpu::matmul::{MatRef, WriteMode, product};
use dfdx::prelude::{Cpu, CpuError, HasShape, Shape, Tensor};
use libloading::Library;
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::process::Command;
use std::sync::OnceLock;

/// A replacement for CUDA.
const HEADER: &str = include_str!("emulation.h");

/// A kernel, started: blocks across and down, threads of a block, arguments.
type EmulatedKernel = unsafe extern "C" fn(*const u32, u32, *const *mut c_void);

/// The kernels, compiled.
#[derive(Debug)]
pub(crate) struct EmulatedKernels {
    library: Library,
    kernels: BTreeMap<&'static str, Vec<ArgumentKind>>,
}

impl EmulatedKernels {
    fn compile() -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let (source, library) = (place.path().join("kernels.cpp"), place.path().join("kernels.so"));
        let kernels = kernels();
        let starters = kernels.keys().map(|kernel| format!("EMULATED({kernel})\n"));
        let text: String = [HEADER]
            .into_iter()
            .chain([SOURCE])
            .map(str::to_owned)
            .chain(starters)
            .collect();
        std::fs::write(&source, text).unwrap();
        let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
        let compiled = Command::new(&compiler)
            .args(["-std=c++17", "-O1", "-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .output();
        let Ok(compiled) = compiled else {
            eprintln!("SKIPPED: no C++ compiler ({compiler:?}), so no CUDA kernel is tested");
            return None;
        };
        assert!(
            compiled.status.success(),
            "the kernels do not compile: {}",
            String::from_utf8_lossy(&compiled.stderr)
        );
        // SAFETY: the library was made here; loading it runs nothing but C++'s own start-up.
        let library = unsafe { Library::new(library) }.unwrap();
        Some(Self { library, kernels })
    }
}

#[derive(Clone, Debug)]
pub(crate) struct EmulatedStream(&'static EmulatedKernels);

impl DeviceBuffer for Vec<f32> {
    fn slice(&self) -> DeviceSlice {
        // SAFETY: work is done at once, while the vector is borrowed by its caller.
        unsafe { DeviceSlice::new(self.as_ptr() as u64, self.len()) }
    }
}

impl Stream for EmulatedStream {
    type Error = CpuError;
    type Buffer = Vec<f32>;

    fn run(&self, launch: Launch) -> Result<(), CpuError> {
        let bits = launch.bits(&self.0.kernels[launch.kernel]);
        let arguments: Vec<*mut c_void> = bits
            .iter()
            .map(|bits| (bits as *const u64).cast_mut().cast())
            .collect();
        let name = format!("emulated_{}", launch.kernel);
        // SAFETY: the symbol is made of the kernel's own signature, which the arguments fit; memory that they name is as
        // long as the call's maker has checked, and alive.
        unsafe {
            let kernel = self.0.library.get::<EmulatedKernel>(name.as_bytes()).unwrap();
            kernel(launch.blocks.as_ptr(), launch.threads, arguments.as_ptr());
        }
        Ok(())
    }

    fn matmul(&self, out: DeviceSlice, a: Operand, b: Operand, mode: WriteMode) -> Result<(), CpuError> {
        product_shape(out, a, b);
        // SAFETY: spans name memory that is alive, and a product's operands are not what it is written to.
        let (out, a, b) = unsafe {
            let out = std::slice::from_raw_parts_mut(out.address() as *mut f32, out.len());
            (out, view(&a), view(&b))
        };
        product(out, a, b, mode);
        Ok(())
    }

    fn alloc(&self, len: usize) -> Result<Vec<f32>, CpuError> {
        // NaN, so that a read of uninitialized memory shows.
        Ok(vec![f32::NAN; len])
    }

    fn upload(&self, values: Vec<f32>) -> Result<Vec<f32>, CpuError> {
        Ok(values)
    }
}

/// # Safety
/// The operand's memory is alive.
unsafe fn view(operand: &Operand) -> MatRef<'_> {
    // SAFETY: the caller's promise.
    let values =
        unsafe { std::slice::from_raw_parts(operand.slice.address() as *const f32, operand.slice.len()) };
    let stored = MatRef::new(values, operand.stored.0, operand.stored.1);
    if operand.is_transposed {
        stored.transposed()
    } else {
        stored
    }
}

impl KernelDevice for Cpu {
    type Stream = EmulatedStream;

    fn stream(&self) -> Option<EmulatedStream> {
        static KERNELS: OnceLock<Option<EmulatedKernels>> = OnceLock::new();
        KERNELS
            .get_or_init(EmulatedKernels::compile)
            .as_ref()
            .map(EmulatedStream)
    }

    fn slice<S: Shape>(tensor: &Tensor<S, f32, Self>) -> DeviceSlice {
        let len = tensor.shape().num_elements();
        if len == 0 {
            // SAFETY: no values.
            return unsafe { DeviceSlice::new(0, 0) };
        }
        let first: *const f32 = &tensor[S::Concrete::default()];
        // SAFETY: a tensor's values are contiguous, and work is done at once.
        unsafe { DeviceSlice::new(first as u64, len) }
    }

    fn buffer_slice(buffer: &TensorBuffer<Self>) -> DeviceSlice {
        // SAFETY: as above.
        unsafe { DeviceSlice::new(buffer.as_ptr() as u64, buffer.len()) }
    }
}
