//! The exponential moving average (EMA) of the weights.
//!
//! Polyak & Juditsky 1992 average all iterates. As is usual for networks, this average forgets, and forgets faster in the
//! first steps (Tan & Le 2019's released EfficientNet code). Averaging cancels the noise of single steps, so the averaged
//! weights score above the trained ones.

use crate::nn::{Backend, DeviceResult, Parameter};
use std::mem;

/// An exponential moving average of a list of parameters.
#[derive(Clone, Debug)]
pub struct Ema<D: Backend> {
    decay: f32,
    /// One for every parameter, in the order of the list.
    pub weights: Vec<D::Moment>,
}

impl<D: Backend> Ema<D> {
    /// Starts at the current parameters.
    pub fn new<'a>(
        decay: f32,
        parameters: impl IntoIterator<Item = &'a Parameter<D>>,
    ) -> DeviceResult<D, Self> {
        let weights = parameters
            .into_iter()
            .map(|parameter| D::try_moment(&parameter.value))
            .collect::<Result<_, _>>()?;
        Ok(Self { decay, weights })
    }

    /// Averages in the parameters after `step` updates, in the order given to [`Ema::new`].
    pub fn update<'a>(
        &mut self,
        parameters: impl IntoIterator<Item = &'a Parameter<D>>,
        step: u64,
    ) -> DeviceResult<D, ()> {
        // Warmup: the first parameters are random and must not weigh for long.
        let keep = self.decay.min((1.0 + step as f32) / (10.0 + step as f32));
        for (parameter, average) in parameters.into_iter().zip(&mut self.weights) {
            D::try_ema(average, &parameter.value, keep)?;
        }
        Ok(())
    }

    /// Swaps averages and parameters; a second call restores both.
    pub fn exchange<'a>(
        &mut self,
        parameters: impl IntoIterator<Item = &'a mut Parameter<D>>,
    ) -> DeviceResult<D, ()> {
        for (parameter, average) in parameters.into_iter().zip(&mut self.weights) {
            let swapped = mem::replace(average, D::try_moment(&parameter.value)?);
            let device = parameter.value.device().clone();
            parameter.value = device.try_moment_values(&swapped, parameter.shape())?;
        }
        Ok(())
    }
}
