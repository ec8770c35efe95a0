//! Cutline's operations on a CUDA GPU.
//!
//! Where a trait's default is all that is needed, an operation is what dfdx's own operations compose to.

use super::activation::Activation;
use super::attention::{Attended, AttentionKernel, composed_attention};
use super::backend::{Backend, DeviceResult, Images, Matrix, Scalar};
use super::conv2d::Conv2dKernel;
use super::cross_entropy::CrossEntropyKernel;
use super::depthwise::DepthwiseKernel;
use super::fixed::FixedKernel;
use super::frozen::{Frozen, FrozenKernel, FrozenLayer};
use super::linear::{Linear, LinearKernel};
use super::lstm::{Lstm, LstmKernel, LstmState};
use super::optimiser::{Change, OptimiserKernel, composed_norm, composed_update};
use super::pace::{Figure, Pace};
use super::pool::PoolKernel;
use super::recurrence::{RecurrenceKernel, composed_products};
use super::rows::RowsKernel;
use dfdx::prelude::*;
use std::num::NonZeroUsize;
use std::ops::Range;

impl Backend for Cuda {}

impl Pace for Cuda {
    /// At a few milliseconds an update, some readings a second.
    const STEPS_UNREAD: usize = 16;
    /// Fewer leave a large GPU idle; many more only take memory.
    const PHOTOS: NonZeroUsize = NonZeroUsize::new(64).unwrap();
    /// Photos that take long to decode shall not be waited for.
    const BATCHES_AHEAD: usize = 3;

    fn figure(scalar: Scalar<Self>) -> Figure<Self> {
        Figure::OnDevice(scalar)
    }
}

impl Conv2dKernel for Cuda {}
impl CrossEntropyKernel for Cuda {}
impl DepthwiseKernel for Cuda {}
impl LinearKernel for Cuda {}
impl LstmKernel for Cuda {}
impl PoolKernel for Cuda {}
impl RowsKernel for Cuda {}

/// The regions of a batch of photos, as [`composed_attention`] reads them.
#[derive(Clone, Debug)]
pub struct CudaSight {
    keys: Matrix<Cuda>,
    values: Matrix<Cuda>,
    regions: usize,
}

impl AttentionKernel for Cuda {
    type Sight = CudaSight;

    fn try_sight(keys: Matrix<Self>, values: Matrix<Self>, regions: usize) -> DeviceResult<Self, CudaSight> {
        Ok(CudaSight {
            keys,
            values,
            regions,
        })
    }

    fn try_attend<T: Tape<f32, Self> + Merge<T>>(
        queries: Matrix<Self, T>,
        sight: &CudaSight,
        score: &Matrix<Self>,
        photos: &[usize],
    ) -> DeviceResult<Self, Attended<Self, T>> {
        composed_attention(
            queries,
            (&sight.keys, &sight.values),
            sight.regions,
            score,
            photos,
        )
    }
}

impl FixedKernel for Cuda {
    type FixedLinear = Linear<Cuda>;
    type FixedLstm = Lstm<Cuda>;

    fn fix_linear(layer: &Linear<Self>) -> DeviceResult<Self, Linear<Cuda>> {
        Ok(layer.clone())
    }

    fn fix_lstm(layer: &Lstm<Self>) -> DeviceResult<Self, Lstm<Cuda>> {
        Ok(layer.clone())
    }

    fn fixed_linear(
        layer: &Linear<Cuda>,
        rows: Matrix<Self>,
        activation: Activation,
    ) -> DeviceResult<Self, Matrix<Self>> {
        layer.activated(rows, activation)
    }

    fn fixed_step(
        layer: &Lstm<Cuda>,
        inputs: Matrix<Self>,
        state: LstmState<Self>,
    ) -> DeviceResult<Self, LstmState<Self>> {
        layer.step(inputs, state)
    }
}

impl FrozenKernel for Cuda {
    type Network = Frozen<Cuda>;

    fn freeze(&self, layers: Vec<FrozenLayer>) -> DeviceResult<Self, Frozen<Cuda>> {
        Frozen::new(self, layers)
    }

    fn run(network: &Frozen<Cuda>, maps: Images<Self>) -> DeviceResult<Self, Images<Self>> {
        network.run(maps)
    }
}

impl OptimiserKernel for Cuda {
    type Moment = Matrix<Cuda>;

    fn try_moment(values: &Matrix<Self>) -> DeviceResult<Self, Matrix<Cuda>> {
        Ok(values.clone())
    }

    fn try_moment_values(
        &self,
        moment: &Matrix<Cuda>,
        _: (usize, usize),
    ) -> DeviceResult<Self, Matrix<Self>> {
        Ok(moment.clone())
    }

    fn try_gradient_norm(
        gradients: &mut Gradients<f32, Self>,
        values: &[&Matrix<Self>],
    ) -> DeviceResult<Self, Figure<Self>> {
        let norm = composed_norm(gradients, values)?;
        Ok(norm.map_or(Figure::Known(0.0), Figure::OnDevice))
    }

    fn try_average(average: &mut Matrix<Cuda>, value: &Matrix<Self>, keep: f32) -> DeviceResult<Self, ()> {
        let new = value.clone().try_mul(1.0 - keep)?;
        *average = average.clone().try_mul(keep)?.try_add(new)?;
        Ok(())
    }

    fn try_update(
        changes: Vec<Change<'_, Self>>,
        scale: &Figure<Self>,
        gradients: &mut Gradients<f32, Self>,
    ) -> DeviceResult<Self, ()> {
        for Change {
            value,
            moments,
            update,
        } in changes
        {
            gradients.get_or_alloc_mut(value)?;
            let gradient = gradients.get(value);
            composed_update(value, gradient, moments, scale, update)?;
        }
        Ok(())
    }
}

impl RecurrenceKernel for Cuda {
    /// The whole weight, and which of its rows.
    type StepWeight = (Matrix<Cuda>, Range<usize>);

    fn try_step_weight<T: Tape<f32, Self>>(
        weight: &Matrix<Self>,
        rows: Range<usize>,
        _: usize,
        _: &mut T,
    ) -> DeviceResult<Self, Self::StepWeight> {
        Ok((weight.clone(), rows))
    }

    fn try_add_products<T: Tape<f32, Self> + Merge<T>>(
        sums: Matrix<Self, T>,
        terms: &[(&Matrix<Self>, &Self::StepWeight)],
    ) -> DeviceResult<Self, Matrix<Self, T>> {
        let terms: Vec<_> = terms
            .iter()
            .map(|(x, (weight, rows))| (*x, weight, rows.clone()))
            .collect();
        composed_products(sums, &terms)
    }
}
