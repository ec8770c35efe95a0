//! Adam on a GPU.
//!
//! Why it is fast: one pass over parameter, gradient and moments; moments change where they lie. Nothing is read
//! back: the norm of all gradients, and what they are scaled by, stay on the device.

#[cfg(feature = "cuda")]
use super::Change;
use super::{Matrix, Update};
use crate::nn::backend::{DeviceResult, Scalar};
use crate::nn::kernels::{Buffer, Call, Engine, Own, Span, steps};
use crate::nn::pace::Figure;
use dfdx::prelude::*;

/// Blocks that add up the squares of one gradient.
const BLOCKS: usize = 64;

/// A running moment: memory of its own, or a matrix where there are no kernels to write to it.
#[cfg(feature = "cuda")]
#[derive(Clone, Debug)]
pub enum CudaMoment {
    /// Written to in place; a clone is a copy.
    InPlace(Buffer<Cuda>),
    /// Replaced at each step.
    Replaced(Matrix<Cuda>),
}

#[cfg(feature = "cuda")]
impl super::OptimiserKernel for Cuda {
    type Moment = CudaMoment;

    fn try_moment(values: &Matrix<Self>) -> DeviceResult<Self, CudaMoment> {
        Ok(match values.device().engine() {
            Some(engine) => CudaMoment::InPlace(moment(&engine, values)?),
            None => CudaMoment::Replaced(values.clone()),
        })
    }

    fn try_moment_values(
        &self,
        moment: &CudaMoment,
        shape: (usize, usize),
    ) -> DeviceResult<Self, Matrix<Self>> {
        match (self.engine(), moment) {
            (Some(engine), CudaMoment::InPlace(moment)) => moment_values(&engine, self, moment, shape),
            (_, CudaMoment::Replaced(values)) => Ok(values.clone()),
            (None, CudaMoment::InPlace(_)) => unreachable!("kernels that were there stay"),
        }
    }

    fn try_gradient_norm(
        gradients: &mut Gradients<f32, Self>,
        parameters: &[&Matrix<Self>],
    ) -> DeviceResult<Self, Figure<Self>> {
        let norm = match parameters.first().and_then(|first| first.device().engine()) {
            Some(engine) => Some(norm(&engine, gradients, parameters)?),
            None => super::composed_norm(gradients, parameters)?,
        };
        Ok(norm.map_or(Figure::Known(0.0), Figure::OnDevice))
    }

    fn try_average(average: &mut CudaMoment, value: &Matrix<Self>, keep: f32) -> DeviceResult<Self, ()> {
        match (value.device().engine(), average) {
            (Some(engine), CudaMoment::InPlace(average)) => {
                follow(&engine, Self::span_of(average), Self::span(value), keep)
            }
            (_, CudaMoment::Replaced(average)) => super::composed_average(average, value, keep),
            (None, CudaMoment::InPlace(_)) => unreachable!("kernels that were there stay"),
        }
    }

    fn try_update(
        changes: Vec<Change<'_, Self>>,
        scale: &Figure<Self>,
        gradients: &mut Gradients<f32, Self>,
    ) -> DeviceResult<Self, ()> {
        let Some(first) = changes.first() else {
            return Ok(());
        };
        let scale_there = on_device(first.value.device(), scale)?;
        for change in changes {
            match (&mut change.moments.first, &mut change.moments.second) {
                (CudaMoment::InPlace(first), CudaMoment::InPlace(second)) => {
                    let moments = [Self::span_of(first), Self::span_of(second)];
                    if let Some(engine) = change.value.device().engine() {
                        update(
                            &engine,
                            change.value,
                            moments,
                            &scale_there,
                            gradients,
                            change.update,
                        )?;
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

/// A buffer of its own that holds these values.
pub(super) fn moment<D: Own>(engine: &D::Engine, values: &Matrix<D>) -> DeviceResult<D, Buffer<D>> {
    let buffer = Storage::<f32>::try_alloc_len(values.device(), values.shape().num_elements())?;
    steps::copy(engine, D::span(values), D::span_of(&buffer))?;
    Ok(buffer)
}

/// The values of a buffer.
pub(super) fn moment_values<D: Own>(
    engine: &D::Engine,
    device: &D,
    moment: &Buffer<D>,
    shape: (usize, usize),
) -> DeviceResult<D, Matrix<D>> {
    let (values, to) = steps::fresh(device, shape)?;
    steps::copy(engine, D::span_of(moment), to)?;
    Ok(values)
}

/// The number as a matrix of one value.
pub(super) fn on_device<D: Own>(device: &D, figure: &Figure<D>) -> DeviceResult<D, Matrix<D>> {
    match figure {
        Figure::Known(value) => device.try_tensor_from_vec(vec![*value], (1, 1)),
        Figure::OnDevice(scalar) => scalar.clone().try_reshape_like(&(1, 1)),
    }
}

/// The norm of all gradients together, which there must be.
pub(super) fn norm<D: Own>(
    engine: &D::Engine,
    gradients: &mut Gradients<f32, D>,
    parameters: &[&Matrix<D>],
) -> DeviceResult<D, Scalar<D>> {
    let device = parameters[0].device();
    let (sums, to) = steps::fresh(device, (parameters.len(), BLOCKS))?;
    for (at, parameter) in parameters.iter().enumerate() {
        let gradient = D::gradient(gradients, parameter)?;
        engine.run(
            Call::of_blocks("squares", [BLOCKS, 1])
                .values(gradient, gradient.len())
                .values(to.rows(at..at + 1, BLOCKS), BLOCKS)
                .count(gradient.len()),
        )?;
    }
    sums.try_sum::<(), _>()?.try_sqrt()
}

/// `average = keep * average + (1 - keep) * value`
pub(super) fn follow<E: Engine>(engine: &E, average: Span, value: Span, keep: f32) -> Result<(), E::Error> {
    let count = average.len();
    engine.run(
        Call::of_values("follow", count)
            .values(average, count)
            .values(value, count)
            .number(keep)
            .count(count),
    )
}

/// Changes a parameter, and its moments in place. The parameter is written anew: others may hold what it was.
pub(super) fn update<D: Own>(
    engine: &D::Engine,
    value: &mut Matrix<D>,
    [first, second]: [Span; 2],
    scale: &Matrix<D>,
    gradients: &mut Gradients<f32, D>,
    update: Update,
) -> DeviceResult<D, ()> {
    let (changed, to) = steps::fresh(value.device(), *value.shape())?;
    let count = to.len();
    engine.run(
        Call::of_values("adam", count)
            .values(D::span(value), count)
            .values(to, count)
            .values(first, count)
            .values(second, count)
            .values(D::gradient(gradients, value)?, count)
            .values(D::span(scale), 1)
            .number(update.rate)
            .number(update.second_scale)
            .number(update.keep)
            .number(update.beta1)
            .number(update.beta2)
            .number(update.epsilon)
            .count(count),
    )?;
    *value = changed;
    Ok(())
}
