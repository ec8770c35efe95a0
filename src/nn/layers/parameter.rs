//! A trainable tensor with a name.

use crate::nn::backend::{Backend, DeviceResult, Matrix};
use rand::{Rng, RngExt};

/// A trainable matrix. Everything that is learned is one: a bias is `[1, n]`, a convolution kernel
/// `[height * width * inputs, outputs]`. That makes optimizer and checkpoint a loop over one type.
#[derive(Clone, Debug)]
pub struct Parameter<D: Backend> {
    /// The name under which checkpoints keep it, e.g. `lstm.input_weight`.
    pub name: String,
    /// The current value.
    pub value: Matrix<D>,
    /// Multiplier of the learning rate: one, except for weights that were learned elsewhere and are only
    /// adapted.
    pub rate: f32,
}

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initialization {
    /// Every element the same.
    Constant(f32),
    /// Uniform in `[-limit, limit]`.
    Uniform(f32),
    /// Uniform with limit `sqrt(6 / (rows + columns))` (Glorot & Bengio 2010, equation 16).
    Glorot,
    /// Uniform with limit `sqrt(6 / rows)`, for layers followed by a ReLU (He et al. 2015, equation 10).
    He,
}

/// The limit of [`Initialization::Glorot`].
pub fn glorot_limit((rows, columns): (usize, usize)) -> f32 {
    (6.0 / (rows + columns) as f32).sqrt()
}

impl<D: Backend> Parameter<D> {
    /// A parameter `[rows, columns]`, drawn from `rng` on the host so that it is the same on every device.
    pub fn new(
        device: &D,
        name: impl Into<String>,
        (rows, columns): (usize, usize),
        initialization: Initialization,
        rng: &mut impl Rng,
    ) -> DeviceResult<D, Self> {
        let limit = match initialization {
            Initialization::Constant(value) => {
                return Self::from_values(device, name, (rows, columns), vec![value; rows * columns]);
            }
            Initialization::Uniform(limit) => limit,
            Initialization::Glorot => glorot_limit((rows, columns)),
            Initialization::He => (6.0 / rows as f32).sqrt(),
        };
        let values = (0..rows * columns)
            .map(|_| (rng.random::<f32>() * 2.0 - 1.0) * limit)
            .collect();
        Self::from_values(device, name, (rows, columns), values)
    }

    /// A parameter that holds `values`, row after row.
    pub fn from_values(
        device: &D,
        name: impl Into<String>,
        shape: (usize, usize),
        values: Vec<f32>,
    ) -> DeviceResult<D, Self> {
        Ok(Self {
            name: name.into(),
            value: device.try_tensor_from_vec(values, shape)?,
            rate: 1.0,
        })
    }

    /// `[rows, columns]`
    pub fn shape(&self) -> (usize, usize) {
        use dfdx::prelude::HasShape;
        *self.value.shape()
    }
}
