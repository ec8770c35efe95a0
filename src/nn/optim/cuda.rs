//! Adam on a GPU.
//!
//! Why it is fast: one pass over parameter, gradient and moments; moments are updated in place. The norm of all
//! gradients stays on the GPU, where the update reads it, so the host does not synchronize.

#[cfg(feature = "cuda")]
use super::ParameterUpdate;
use super::{AdamStep, Matrix};
use crate::nn::cuda::{
    DeviceBuffer, DeviceSlice, Elementwise, Grid, KernelDevice, Stream, TensorBuffer, launch,
};
use crate::nn::{DeviceResult, DeviceScalar, MatrixResult, Scalar};
use dfdx::prelude::*;

/// Squares that a block adds up, 16 a thread: a large gradient then has blocks for every multiprocessor.
const SQUARES_OF_A_BLOCK: usize = 1 << 12;
/// More squares than so many blocks add up are spread over these.
const MAX_BLOCKS: usize = 1 << 11;

/// A running moment: a buffer, or without kernels a matrix.
#[cfg(feature = "cuda")]
#[derive(Clone, Debug)]
pub enum CudaMoment {
    /// Written to in place; a clone is a copy.
    InPlace(TensorBuffer<Cuda>),
    /// Replaced at each step.
    Replaced(Matrix<Cuda>),
}

#[cfg(feature = "cuda")]
impl super::OptimizerKernel for Cuda {
    type Moment = CudaMoment;

    fn try_moment(values: &Matrix<Self>) -> DeviceResult<Self, CudaMoment> {
        Ok(match values.device().stream() {
            Some(stream) => CudaMoment::InPlace(moment(&stream, values)?),
            None => CudaMoment::Replaced(values.clone()),
        })
    }

    fn try_moment_values(&self, moment: &CudaMoment, shape: (usize, usize)) -> MatrixResult<Self> {
        match (self.stream(), moment) {
            (Some(stream), CudaMoment::InPlace(moment)) => moment_values(&stream, self, moment, shape),
            (_, CudaMoment::Replaced(values)) => Ok(values.clone()),
            (None, CudaMoment::InPlace(_)) => unreachable!("kernels that were there stay"),
        }
    }

    fn try_gradient_norm(
        gradients: &mut Gradients<f32, Self>,
        values: &[&Matrix<Self>],
    ) -> DeviceResult<Self, DeviceScalar<Self>> {
        let norm = match values.first().and_then(|first| first.device().stream()) {
            Some(stream) => norm(&stream, gradients, values)?,
            None => super::composed_norm(gradients, values)?,
        };
        Ok(norm.map_or(DeviceScalar::Known(0.0), DeviceScalar::OnDevice))
    }

    fn try_ema(ema: &mut CudaMoment, value: &Matrix<Self>, keep: f32) -> DeviceResult<Self, ()> {
        match (value.device().stream(), ema) {
            (Some(stream), CudaMoment::InPlace(ema)) => {
                ema_update(&stream, Self::buffer_slice(ema), Self::slice(value), keep)
            }
            (_, CudaMoment::Replaced(ema)) => super::composed_ema(ema, value, keep),
            (None, CudaMoment::InPlace(_)) => unreachable!("kernels that were there stay"),
        }
    }

    fn try_update(
        changes: Vec<ParameterUpdate<'_, Self>>,
        scale: &DeviceScalar<Self>,
        gradients: &mut Gradients<f32, Self>,
    ) -> DeviceResult<Self, ()> {
        for change in changes {
            match (&mut change.moments.first, &mut change.moments.second) {
                (CudaMoment::InPlace(first), CudaMoment::InPlace(second)) => {
                    let moments = [Self::buffer_slice(first), Self::buffer_slice(second)];
                    if let Some(stream) = change.value.device().stream() {
                        update(&stream, change.value, moments, (gradients, scale), change.update)?;
                    }
                }
                (CudaMoment::Replaced(first), CudaMoment::Replaced(second)) => {
                    gradients.get_or_alloc_mut(change.value)?;
                    let gradient = gradients.get(change.value);
                    super::composed_update(change.value, gradient, [first, second], scale, change.update)?;
                }
                _ => unreachable!("both moments are of one kind"),
            }
        }
        Ok(())
    }
}

/// A new buffer with these values.
pub(super) fn moment<D: KernelDevice>(
    stream: &D::Stream,
    values: &Matrix<D>,
) -> DeviceResult<D, TensorBuffer<D>> {
    let buffer = Storage::<f32>::try_alloc_len(values.device(), values.shape().num_elements())?;
    stream.copy(D::slice(values), D::buffer_slice(&buffer))?;
    Ok(buffer)
}

/// The values of a buffer.
pub(super) fn moment_values<D: KernelDevice>(
    stream: &D::Stream,
    device: &D,
    moment: &TensorBuffer<D>,
    shape: (usize, usize),
) -> MatrixResult<D> {
    let (values, to) = device.alloc_tensor(shape)?;
    stream.copy(D::buffer_slice(moment), to)?;
    Ok(values)
}

/// The norm of all gradients together; `None` where there are none.
pub(super) fn norm<D: KernelDevice>(
    stream: &D::Stream,
    gradients: &mut Gradients<f32, D>,
    values: &[&Matrix<D>],
) -> DeviceResult<D, Option<Scalar<D>>> {
    let Some(first) = values.first() else {
        return Ok(None);
    };
    let counts = values.iter().map(|value| value.shape().num_elements());
    let blocks: Vec<usize> = counts
        .map(|count| count.div_ceil(SQUARES_OF_A_BLOCK).clamp(1, MAX_BLOCKS))
        .collect();
    let sums = stream.alloc(blocks.iter().sum())?;
    let mut place = 0;
    for (value, &blocks) in values.iter().zip(&blocks) {
        let (gradient, sums) = (
            D::gradient(gradients, value)?,
            sums.slice().part(place..place + blocks),
        );
        place += blocks;
        launch!(stream => squares[Grid::blocks(blocks, 1)](gradient, sums, gradient.len()))?;
    }
    let (squares, out) = first.device().alloc_tensor(())?;
    stream.total(sums.slice(), 1.0, out)?;
    Ok(Some(squares.try_sqrt()?))
}

/// `ema = keep * ema + (1 - keep) * value`
pub(super) fn ema_update<E: Stream>(
    stream: &E,
    ema: DeviceSlice,
    value: DeviceSlice,
    keep: f32,
) -> Result<(), E::Error> {
    launch!(stream => ema_update[ema.len()](ema, value.first(ema.len()), keep, ema.len()))
}

/// Changes a parameter, and its moments in place. The parameter gets a new buffer, because other tensors may share the old one.
pub(super) fn update<D: KernelDevice>(
    stream: &D::Stream,
    value: &mut Matrix<D>,
    [first, second]: [DeviceSlice; 2],
    (gradients, scale): (&mut Gradients<f32, D>, &DeviceScalar<D>),
    update: AdamStep,
) -> DeviceResult<D, ()> {
    let (scale, known_scale) = match scale {
        DeviceScalar::Known(scale) => (None, *scale),
        DeviceScalar::OnDevice(scale) => (Some(D::slice(scale).first(1)), 1.0),
    };
    let (changed, to) = value.device().alloc_tensor(*value.shape())?;
    let count = to.len();
    let (first, second) = (first.first(count), second.first(count));
    let gradient = D::gradient(gradients, value)?.first(count);
    let (
        from,
        AdamStep {
            rate,
            second_scale,
            keep,
            beta1,
            beta2,
            eps,
        },
    ) = (D::slice(value).first(count), update);
    launch!(stream => adam[count](
        from, to, first, second, gradient, scale, known_scale, rate, second_scale, keep, beta1, beta2, eps, count))?;
    *value = changed;
    Ok(())
}
