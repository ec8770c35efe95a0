//! Word embeddings: a row of a trainable table for every word.

use super::backend::{Backend, DeviceResult, Matrix};
use super::layer::Layer;
use super::parameter::{Initialisation, Parameter};
use super::rows::gather_rows;
use dfdx::prelude::*;
use rand::Rng;

/// A trainable row for every word of the vocabulary.
#[derive(Clone, Debug)]
pub struct Embedding<D: Backend> {
    /// `[words, dimensions]`
    pub table: Parameter<D>,
}

impl<D: Backend> Embedding<D> {
    /// `[words, dimensions]` rows as `initialisation` says.
    pub fn new(
        device: &D,
        name: &str,
        shape: (usize, usize),
        initialisation: Initialisation,
        rng: &mut impl Rng,
    ) -> DeviceResult<D, Self> {
        let table = Parameter::new(device, format!("{name}.table"), shape, initialisation, rng)?;
        Ok(Self { table })
    }

    /// The rows of `words`: `[words.len(), dimensions]`.
    pub fn forward<T: Tape<f32, D>>(&self, words: &[usize]) -> DeviceResult<D, Matrix<D, T>> {
        gather_rows(self.table.value.clone().put_tape(T::default()), words)
    }

    /// The rows of `words`, to caption with.
    pub fn of(&self, words: &[u32]) -> DeviceResult<D, Matrix<D>> {
        let words: Vec<usize> = words.iter().map(|&word| word as usize).collect();
        self.forward(&words)
    }
}

impl<D: Backend> Layer<D> for Embedding<D> {
    fn parameters(&self) -> Vec<&Parameter<D>> {
        vec![&self.table]
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter<D>> {
        vec![&mut self.table]
    }
}
