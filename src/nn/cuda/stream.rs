//! dfdx's `Cuda` as a device that runs our kernels.

use super::driver::without_fills;
use super::memory::product_shape;
use super::signature::{ArgumentKind, kernels};
use super::{
    DeviceBuffer, DeviceSlice, Elementwise, GradientTarget, KernelDevice, Launch, Operand, Stream,
    TensorBuffer,
};
use crate::nn::DeviceResult;
use crate::nn::cpu::matmul::WriteMode;
use crate::nn::device::MatmulPrecision;
use cudarc::cublas::sys::{
    cublasComputeType_t, cublasGemmAlgo_t, cublasMath_t, cublasOperation_t, cudaDataType,
};
use cudarc::cublas::{self, CudaBlas};
use cudarc::driver::{CudaDevice, CudaSlice, DevicePtr, DeviceSlice as _, result, sys};
use dfdx::prelude::{Cuda, CudaError, Gradients, Shape, Storage, Tensor, TensorFromVec, ZerosTensor};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{CString, c_void};
use std::fmt::{self, Write};
use std::rc::Rc;
use std::sync::Arc;

/// `off` composes all operations of dfdx's, to find out whether a kernel causes a problem.
const SWITCH: &str = "CUTLINE_KERNELS";

/// Our kernels, compiled by `build.rs`.
const PTX: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.ptx"));

/// A GPU with our kernels loaded. Clones share it.
#[derive(Clone)]
pub(crate) struct CudaStream(Rc<LoadedKernels>);

struct LoadedKernels {
    device: Arc<CudaDevice>,
    /// dfdx's own handle is private. Both work on the device's one stream, and so in turn.
    blas: CudaBlas,
    precision: MatmulPrecision,
    kernels: BTreeMap<&'static str, LoadedKernel>,
}

struct LoadedKernel {
    function: sys::CUfunction,
    parameters: Vec<ArgumentKind>,
}

/// Why a GPU runs none of our kernels.
type LoadError = Box<dyn std::error::Error>;

thread_local! {
    /// The streams of this thread's devices, `None` for devices without kernels.
    static STREAMS: RefCell<Vec<(Cuda, Option<CudaStream>)>> = const { RefCell::new(Vec::new()) };
}

/// What two clones of a device have in common. dfdx shows a device's own parts only behind an allocation, and an
/// operation that asks for its stream would wait for that.
fn identity(device: &Cuda) -> [usize; size_of::<Cuda>() / size_of::<usize>()] {
    // SAFETY: dfdx 0.13's `Cuda` consists of seven `Arc`s, which clones share; the size below is theirs. An address is
    // only compared, with that of a device which is still there.
    unsafe { std::mem::transmute_copy(device) }
}

const _: () = assert!(size_of::<Cuda>() == 7 * size_of::<Arc<()>>());

impl KernelDevice for Cuda {
    type Stream = CudaStream;

    fn stream(&self) -> Option<CudaStream> {
        let this = identity(self);
        let known = STREAMS.with_borrow(|streams| {
            let found = streams.iter().find(|(known, _)| identity(known) == this);
            found.map(|(_, stream)| stream.clone())
        });
        known.unwrap_or_else(|| {
            let stream = load(self)
                .inspect_err(|error| {
                    tracing::warn!("kernels of dfdx's own are used, which is slower: {error}");
                })
                .ok();
            STREAMS.with_borrow_mut(|streams| streams.push((self.clone(), stream.clone())));
            stream
        })
    }

    fn alloc_tensor<S: Shape>(&self, shape: S) -> DeviceResult<Self, (Tensor<S, f32, Self>, DeviceSlice)> {
        let (tensor, _) = without_fills(|| self.try_zeros_like(&shape));
        let tensor = tensor?;
        let slice = Self::slice(&tensor);
        Ok((tensor, slice))
    }

    fn gradient_target<S: Shape>(
        gradients: &mut Gradients<f32, Self>,
        tensor: &Tensor<S, f32, Self>,
    ) -> Result<GradientTarget, CudaError> {
        let (slice, is_new) = without_fills(|| Self::gradient(gradients, tensor));
        let mode = if is_new {
            WriteMode::Overwrite
        } else {
            WriteMode::Accumulate
        };
        Ok((slice?, mode))
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

fn load(dfdx: &Cuda) -> Result<CudaStream, LoadError> {
    if std::env::var_os(SWITCH).is_some_and(|switch| switch == "off") {
        return Err(format!("{SWITCH} is off").into());
    }
    let allocated = Storage::<f32>::try_alloc_len(dfdx, 1).map_err(|error| error.to_string())?;
    let device = allocated.device();
    let precision = MatmulPrecision::from_environment();
    let blas = CudaBlas::new(device.clone())?;
    if precision == MatmulPrecision::Tf32 {
        // SAFETY: the handle was made just now.
        let set = unsafe {
            cublas::sys::cublasSetMathMode(*blas.handle(), cublasMath_t::CUBLAS_TF32_TENSOR_OP_MATH)
        };
        set.result()?;
    }
    let stream = CudaStream(Rc::new(LoadedKernels {
        device,
        blas,
        precision,
        kernels: load_kernels()?,
    }));
    match works(&stream, dfdx).map_err(|error| error.to_string())? {
        true => Ok(stream),
        false => Err(
            "a kernel or a product gives wrong numbers, or dfdx does not show where a tensor's memory is"
                .into(),
        ),
    }
}

/// Whether this thread's stream of the device runs our kernels; why not, if it does not.
pub(in crate::nn) fn check_kernels(device: &Cuda) -> Result<(), String> {
    match device.stream() {
        Some(stream) => match works(&stream, device) {
            Ok(true) => Ok(()),
            Ok(false) => Err("a kernel or a product gives wrong numbers".into()),
            Err(error) => Err(error.to_string()),
        },
        None => load(device).map(drop).map_err(|error| error.to_string()),
    }
}

/// Loads all kernels for the device that is current on this thread.
fn load_kernels() -> Result<BTreeMap<&'static str, LoadedKernel>, LoadError> {
    let code = CString::new(PTX)?;
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

/// Whether kernels and products find tensors where their `Debug` says, and dfdx what these have written.
fn works(stream: &CudaStream, dfdx: &Cuda) -> Result<bool, CudaError> {
    let values: Tensor<(usize,), f32, Cuda> = dfdx.try_tensor_from_vec(vec![3.0, 5.0], (2,))?;
    let results: Tensor<(usize,), f32, Cuda> = dfdx.try_zeros_like(&(3,))?;
    if address_of(&values).is_none() || address_of(&results).is_none() {
        return Ok(false);
    }
    let (values, out) = (Cuda::slice(&values), Cuda::slice(&results));
    stream.copy(values, out.first(2))?;
    let column = Operand::new(values, 2, 1);
    stream.matmul(out.part(2..3), column.transposed(), column, WriteMode::Overwrite)?;
    // Small whole numbers are exact at every precision.
    Ok(results.as_vec() == [3.0, 5.0, 34.0])
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
        let alpha = 1.0_f32;
        let beta = match mode {
            WriteMode::Overwrite => 0.0_f32,
            WriteMode::Accumulate => 1.0,
        };
        let sides = [rows, inner, columns, a.stored.1, b.stored.1];
        // Others would be cut to the sides of another matrix.
        assert!(
            sides.into_iter().all(|side| i32::try_from(side).is_ok()),
            "sides that cuBLAS can count"
        );
        // cuBLAS reads column after column, so to it each matrix is its transpose: out' = b' a'.
        let float = cudaDataType::CUDA_R_32F;
        // SAFETY: operands and result are as long as their shapes say, which is checked where they are made.
        unsafe {
            cublas::result::gemm_ex(
                *self.0.blas.handle(),
                operation(b),
                operation(a),
                columns as i32,
                rows as i32,
                inner as i32,
                (&raw const alpha).cast(),
                b.slice.address() as *const c_void,
                float,
                b.stored.1 as i32,
                a.slice.address() as *const c_void,
                float,
                a.stored.1 as i32,
                (&raw const beta).cast(),
                out.address() as *mut c_void,
                float,
                columns as i32,
                self.compute_type(),
                cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
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

impl CudaStream {
    /// How a product of floats is computed. Sums have 32 bits; TF32 is a mode of the handle.
    fn compute_type(&self) -> cublasComputeType_t {
        match self.0.precision {
            MatmulPrecision::Full | MatmulPrecision::Tf32 => cublasComputeType_t::CUBLAS_COMPUTE_32F,
            MatmulPrecision::Bf16 => cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_16BF,
        }
    }
}

fn operation(operand: Operand) -> cublasOperation_t {
    if operand.is_transposed {
        cublasOperation_t::CUBLAS_OP_T
    } else {
        cublasOperation_t::CUBLAS_OP_N
    }
}
