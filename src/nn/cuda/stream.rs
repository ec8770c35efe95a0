//! dfdx's `Cuda` as a device that runs our kernels.

use super::memory::product_shape;
use super::signature::{ArgumentKind, kernels};
use super::{
    DeviceBuffer, DeviceSlice, Elementwise, KernelDevice, Launch, Operand, SOURCES, Stream, TensorBuffer,
};
use crate::nn::cpu::matmul::WriteMode;
use cudarc::cublas::sys::cublasOperation_t;
use cudarc::cublas::{self, CudaBlas};
use cudarc::driver::{CudaDevice, CudaSlice, DevicePtr, DeviceSlice as _, result, sys};
use cudarc::nvrtc::compile_ptx;
use dfdx::prelude::{Cuda, CudaError, Shape, Storage, Tensor, TensorFromVec, ZerosTensor};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{CString, c_void};
use std::fmt::{self, Write};
use std::rc::Rc;
use std::sync::Arc;

/// `off` composes all operations of dfdx's, to find out whether a kernel causes a problem.
const SWITCH: &str = "CUTLINE_KERNELS";

/// A GPU with our kernels loaded. Clones share it.
#[derive(Clone)]
pub(crate) struct CudaStream(Rc<LoadedKernels>);

struct LoadedKernels {
    device: Arc<CudaDevice>,
    /// dfdx's own handle is private. Both work on the device's one stream, and so in turn.
    blas: CudaBlas,
    kernels: BTreeMap<&'static str, LoadedKernel>,
}

struct LoadedKernel {
    function: sys::CUfunction,
    parameters: Vec<ArgumentKind>,
}

/// Why a GPU runs none of our kernels; only logged.
type LoadError = Box<dyn std::error::Error>;

thread_local! {
    /// The streams of this thread's devices, `None` for devices without kernels.
    static STREAMS: RefCell<Vec<(Arc<CudaDevice>, Option<CudaStream>)>> = const { RefCell::new(Vec::new()) };
}

impl KernelDevice for Cuda {
    type Stream = CudaStream;

    fn stream(&self) -> Option<CudaStream> {
        let device = Storage::<f32>::try_alloc_len(self, 1).ok()?.device();
        let known = STREAMS.with_borrow(|streams| {
            let found = streams.iter().find(|(known, _)| Arc::ptr_eq(known, &device));
            found.map(|(_, stream)| stream.clone())
        });
        known.unwrap_or_else(|| {
            let stream = load(self, &device)
                .inspect_err(|error| {
                    tracing::warn!("kernels of dfdx's own are used, which is slower: {error}");
                })
                .ok();
            STREAMS.with_borrow_mut(|streams| streams.push((device, stream.clone())));
            stream
        })
    }

    fn slice<S: Shape>(tensor: &Tensor<S, f32, Self>) -> DeviceSlice {
        let len = dfdx::prelude::HasShape::shape(tensor).num_elements();
        // SAFETY: dfdx frees a tensor on its stream, which is ours. Without an address nothing is ever loaded; see
        // [`reaches_tensors`].
        unsafe { DeviceSlice::new(address_of(tensor).unwrap_or_default(), len) }
    }

    fn buffer_slice(buffer: &TensorBuffer<Self>) -> DeviceSlice {
        // SAFETY: a buffer is freed on its device's stream, which is ours.
        unsafe { DeviceSlice::new(*buffer.device_ptr(), buffer.len()) }
    }
}

/// The address of a tensor's values.
///
/// dfdx 0.13 shows it only to a formatter: its `Debug` is derived, and begins with the address. All else that is public
/// copies. `None` where a later dfdx writes something else.
fn address_of<S: Shape>(tensor: &Tensor<S, f32, Cuda>) -> Option<u64> {
    let mut prefix = DebugPrefix::default();
    // It stops the formatter with an error after the address.
    let _ = write!(prefix, "{tensor:?}");
    prefix.address()
}

/// The output of a formatter up to the first address.
#[derive(Default)]
struct DebugPrefix(String);

impl DebugPrefix {
    fn address(&self) -> Option<u64> {
        let (_, rest) = self.0.split_once("cu_device_ptr: ")?;
        let (digits, _) = rest.split_once(',')?;
        digits.parse().ok()
    }
}

impl Write for DebugPrefix {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        const MOST: usize = 4096;
        self.0.push_str(text);
        let enough = self.0.len() > MOST || text.contains(',') && self.address().is_some();
        if enough { Err(fmt::Error) } else { Ok(()) }
    }
}

fn load(dfdx: &Cuda, device: &Arc<CudaDevice>) -> Result<CudaStream, LoadError> {
    if std::env::var_os(SWITCH).is_some_and(|switch| switch == "off") {
        return Err(format!("{SWITCH} is off").into());
    }
    let stream = CudaStream(Rc::new(LoadedKernels {
        device: device.clone(),
        blas: CudaBlas::new(device.clone())?,
        kernels: compile()?,
    }));
    if reaches_tensors(&stream, dfdx).map_err(|error| error.to_string())? {
        return Ok(stream);
    }
    Err("this dfdx does not show where a tensor's memory is, or kernels do not reach it".into())
}

/// Compiles all kernels for the device that is current on this thread.
fn compile() -> Result<BTreeMap<&'static str, LoadedKernel>, LoadError> {
    let code = CString::new(compile_ptx(SOURCES.concat())?.to_src())?;
    // SAFETY: the code is a C string that ends where it should. The module stays loaded for as long as the program runs.
    let module = unsafe { result::module::load_data(code.as_ptr().cast()) }?;
    kernels()
        .into_iter()
        .map(|(name, parameters)| {
            // SAFETY: the module was loaded just now.
            let function = unsafe { result::module::get_function(module, CString::new(name)?) }?;
            Ok((name, LoadedKernel { function, parameters }))
        })
        .collect()
}

/// Whether a kernel finds a tensor where its `Debug` says, and dfdx what the kernel has written.
fn reaches_tensors(stream: &CudaStream, dfdx: &Cuda) -> Result<bool, CudaError> {
    let values: Tensor<(usize,), f32, Cuda> = dfdx.try_tensor_from_vec(vec![3.0, 5.0], (2,))?;
    let copies: Tensor<(usize,), f32, Cuda> = dfdx.try_zeros_like(&(2,))?;
    if address_of(&values).is_none() || address_of(&copies).is_none() {
        return Ok(false);
    }
    stream.copy(Cuda::slice(&values), Cuda::slice(&copies))?;
    Ok(copies.as_vec() == [3.0, 5.0])
}

impl fmt::Debug for CudaStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CudaStream({})", self.0.device.ordinal())
    }
}

impl DeviceBuffer for CudaSlice<f32> {
    fn slice(&self) -> DeviceSlice {
        // SAFETY: as above.
        unsafe { DeviceSlice::new(*self.device_ptr(), self.len()) }
    }
}

impl Stream for CudaStream {
    type Error = CudaError;
    type Buffer = CudaSlice<f32>;

    fn run(&self, launch: Launch) -> Result<(), CudaError> {
        let LoadedKernels { device, kernels, .. } = &*self.0;
        let kernel = &kernels[launch.kernel];
        let bits = launch.bits(&kernel.parameters);
        let mut arguments: Vec<*mut c_void> = bits
            .iter()
            .map(|bits| std::ptr::from_ref(bits).cast_mut().cast())
            .collect();
        let [across, down] = launch.blocks;
        device.bind_to_thread()?;
        // SAFETY: arguments are what the kernel's own source says, which is checked above. Memory that they name is as
        // long as the call's maker has checked, and it is freed on this same stream, after the kernel.
        unsafe {
            result::launch_kernel(
                kernel.function,
                (across, down, 1),
                (launch.threads, 1, 1),
                0,
                *device.cu_stream(),
                &mut arguments,
            )
        }?;
        Ok(())
    }

    fn matmul(&self, out: DeviceSlice, a: Operand, b: Operand, mode: WriteMode) -> Result<(), CudaError> {
        let (rows, inner, columns) = product_shape(out, a, b);
        if rows == 0 || columns == 0 {
            return Ok(());
        }
        let beta: f32 = match mode {
            WriteMode::Overwrite => 0.0,
            WriteMode::Accumulate => 1.0,
        };
        let sides = [rows, inner, columns, a.stored.1, b.stored.1];
        // Others would be cut to the sides of another matrix.
        assert!(
            sides.into_iter().all(|side| i32::try_from(side).is_ok()),
            "sides that cuBLAS can count"
        );
        // cuBLAS reads column after column, so to it each matrix is its transpose: out' = b' a'.
        // SAFETY: operands and result are as long as their shapes say, which is checked where they are made.
        unsafe {
            cublas::result::sgemm(
                *self.0.blas.handle(),
                operation(b),
                operation(a),
                columns as i32,
                rows as i32,
                inner as i32,
                &1.0,
                b.slice.address() as *const f32,
                b.stored.1 as i32,
                a.slice.address() as *const f32,
                a.stored.1 as i32,
                &beta,
                out.address() as *mut f32,
                columns as i32,
            )
        }?;
        Ok(())
    }

    fn alloc(&self, len: usize) -> Result<CudaSlice<f32>, CudaError> {
        // SAFETY: any bits are a float, and every caller writes before it reads.
        Ok(unsafe { self.0.device.alloc(len) }?)
    }

    fn upload(&self, values: Vec<f32>) -> Result<CudaSlice<f32>, CudaError> {
        Ok(self.0.device.htod_copy(values)?)
    }

    fn zeros(&self, len: usize) -> Result<CudaSlice<f32>, CudaError> {
        Ok(self.0.device.alloc_zeros(len)?)
    }
}

fn operation(operand: Operand) -> cublasOperation_t {
    if operand.is_transposed {
        cublasOperation_t::CUBLAS_OP_T
    } else {
        cublasOperation_t::CUBLAS_OP_N
    }
}
