//! The moving average of a training's weights.
//!
//! Polyak & Juditsky 1992 average all iterates; as is usual for networks the average forgets, and at the beginning
//! faster (Tan & Le 2019's released EfficientNet code). Weights that are averaged lie where the noise of the steps
//! around them cancels out, so they score above those that were trained.

use crate::nn::backend::{Backend, DeviceResult};
use crate::nn::layers::parameter::Parameter;
use std::mem;

/// An exponential moving average of a list of parameters.
#[derive(Clone, Debug)]
pub struct Average<D: Backend> {
    decay: f32,
    /// One for every parameter, in the order of the list.
    pub weights: Vec<D::Moment>,
}

impl<D: Backend> Average<D> {
    /// Starts with the parameters as they are.
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

    /// Takes the parameters in as they are after `step` updates. They must come in the order given to
    /// [`Average::new`].
    pub fn update<'a>(
        &mut self,
        parameters: impl IntoIterator<Item = &'a Parameter<D>>,
        step: u64,
    ) -> DeviceResult<D, ()> {
        let keep = self.decay.min((1.0 + step as f32) / (10.0 + step as f32));
        for (parameter, average) in parameters.into_iter().zip(&mut self.weights) {
            D::try_average(average, &parameter.value, keep)?;
        }
        Ok(())
    }

    /// Puts the averages into the parameters, and keeps what was there; a second time it is as before.
    pub fn exchange<'a>(
        &mut self,
        parameters: impl IntoIterator<Item = &'a mut Parameter<D>>,
    ) -> DeviceResult<D, ()> {
        for (parameter, average) in parameters.into_iter().zip(&mut self.weights) {
            let other = mem::replace(average, D::try_moment(&parameter.value)?);
            let device = parameter.value.device().clone();
            parameter.value = device.try_moment_values(&other, parameter.shape())?;
        }
        Ok(())
    }
}
