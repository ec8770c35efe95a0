//! The fully connected layer.

use crate::nn::layers::layer::impl_layer;
use crate::nn::{
    Activation, Backend, DeviceResult, Dropout, Initialization, Matrix, MatrixResult, OutputInputs, Parameter,
};
use dfdx::prelude::Tape;
use rand::Rng;

/// `x W + b` with trainable `W` and `b`.
#[derive(Clone, Debug)]
pub struct Linear<D: Backend> {
    /// `W`: `[inputs, outputs]`
    pub weight: Parameter<D>,
    /// `b`: `[1, outputs]`
    pub bias: Parameter<D>,
}

impl<D: Backend> Linear<D> {
    /// Zero bias, weights as `initialization` says.
    pub fn new(
        device: &D,
        name: &str,
        shape: (usize, usize),
        initialization: Initialization,
        rng: &mut impl Rng,
    ) -> DeviceResult<D, Self> {
        Ok(Self {
            weight: Parameter::new(device, format!("{name}.weight"), shape, initialization, rng)?,
            bias: Parameter::from_values(device, format!("{name}.bias"), (1, shape.1), vec![0.0; shape.1])?,
        })
    }

    /// `[rows, inputs]` to `[rows, outputs]`.
    pub fn forward<T: Tape<f32, D>>(&self, rows: Matrix<D, T>) -> MatrixResult<D, T> {
        self.activated(rows, Activation::None)
    }

    /// [`forward`](Self::forward), and what `activation` makes of it.
    pub fn activated<T: Tape<f32, D>>(
        &self,
        rows: Matrix<D, T>,
        activation: Activation,
    ) -> MatrixResult<D, T> {
        D::try_linear(rows, &self.weight.value, &self.bias.value, activation)
    }

    /// ReLU and dropout after [`forward`](Self::forward), as inputs of an output layer, which skips their zeros.
    pub fn relu_dropout<T: Tape<f32, D>>(
        &self,
        rows: Matrix<D, T>,
        dropout: &mut Dropout<'_>,
    ) -> DeviceResult<D, OutputInputs<D, T>> {
        let rows = dropout.apply(self.activated(rows, Activation::Relu)?)?;
        Ok(OutputInputs::masked(rows))
    }
}

impl_layer!(Linear: weight, bias);
