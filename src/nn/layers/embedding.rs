//! Word embeddings: a row of numbers for every word.

use crate::nn::{Backend, DeviceResult, Initialization, Layer, Linear, Matrix, MatrixResult, Parameter};
use dfdx::prelude::*;
use rand::Rng;

/// A row for every word of the vocabulary.
#[derive(Clone, Debug)]
pub enum Embedding<D: Backend> {
    /// A trainable table, `[words, dimensions]`.
    Own {
        /// The rows.
        table: Parameter<D>,
    },
    /// The columns of the output layer's weight, `[dimensions, words]` (Press & Wolf 2017), times a learned number: logits
    /// and LSTM inputs need different scales.
    Tied {
        /// The number, `[1, 1]`.
        scale: Parameter<D>,
    },
}

impl<D: Backend> Embedding<D> {
    /// `[words, dimensions]` rows as `initialization` says.
    pub fn new(
        device: &D,
        name: &str,
        shape: (usize, usize),
        initialization: Initialization,
        rng: &mut impl Rng,
    ) -> DeviceResult<D, Self> {
        let table = Parameter::new(device, format!("{name}.table"), shape, initialization, rng)?;
        Ok(Self::Own { table })
    }

    /// The columns of the output layer's weight, times `scale` at first.
    pub fn tied(device: &D, name: &str, scale: f32) -> DeviceResult<D, Self> {
        let scale = Parameter::from_values(device, format!("{name}.scale"), (1, 1), vec![scale])?;
        Ok(Self::Tied { scale })
    }

    /// The rows of `words`, in front of this output layer: `[words.len(), dimensions]`.
    pub fn forward<T: Tape<f32, D>>(&self, words: &[usize], output: &Linear<D>) -> MatrixResult<D, T> {
        match self {
            Self::Own { table } => D::gather_rows(table.value.retaped::<T>(), words),
            Self::Tied { scale } => scaled(D::gather_rows(on_its_side(&output.weight)?, words)?, scale),
        }
    }

    /// All rows as they are now, to caption with.
    pub fn for_inference(&self, output: &Linear<D>) -> DeviceResult<D, InferenceEmbedding<D>> {
        Ok(InferenceEmbedding(match self {
            Self::Own { table } => table.value.clone(),
            Self::Tied { scale } => scaled(on_its_side(&output.weight)?, scale)?,
        }))
    }

    /// Keeps the rows as they are where the output layer is about to be multiplied by `factor`.
    pub fn rescale_for(&mut self, factor: f32) -> DeviceResult<D, ()> {
        if let Self::Tied { scale } = self {
            scale.value = scale.value.clone().try_div(factor)?;
        }
        Ok(())
    }
}

/// `[columns, rows]` of a weight `[rows, columns]`.
fn on_its_side<D: Backend, T: Tape<f32, D>>(weight: &Parameter<D>) -> MatrixResult<D, T> {
    let (rows, columns) = weight.shape();
    let turned: Matrix<D, T> = weight.value.retaped::<T>().try_permute::<_, Axes2<1, 0>>()?;
    // Row after row in memory, as kernels read it.
    turned.try_reshape_like(&(columns, rows))
}

fn scaled<D: Backend, T: Tape<f32, D>>(rows: Matrix<D, T>, scale: &Parameter<D>) -> MatrixResult<D, T> {
    let shape = *rows.shape();
    let number: Tensor<(), f32, D, T> = scale.value.retaped::<T>().try_reshape_like(&())?;
    rows.try_mul(number.try_broadcast_like(&shape)?)
}

impl<D: Backend> Layer<D> for Embedding<D> {
    fn visit<'a>(&'a self, visitor: &mut dyn FnMut(&'a Parameter<D>)) {
        match self {
            Self::Own { table: parameter } | Self::Tied { scale: parameter } => visitor(parameter),
        }
    }

    fn visit_mut<'a>(&'a mut self, visitor: &mut dyn FnMut(&'a mut Parameter<D>)) {
        match self {
            Self::Own { table: parameter } | Self::Tied { scale: parameter } => visitor(parameter),
        }
    }
}

/// An [`Embedding`] that does not change: `[words, dimensions]`.
#[derive(Clone, Debug)]
pub struct InferenceEmbedding<D: Backend>(Matrix<D>);

impl<D: Backend> InferenceEmbedding<D> {
    /// The rows of `words`.
    pub fn lookup(&self, words: &[u32]) -> MatrixResult<D> {
        let words: Vec<usize> = words.iter().map(|&word| word as usize).collect();
        D::gather_rows(self.0.clone(), &words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{assert_close, gradients_of, probe, random_matrix, rng};

    const WORDS: [usize; 5] = [3, 0, 3, 6, 1];

    fn output() -> Linear<Cpu> {
        let device = Cpu::default();
        Linear::new(&device, "output", (4, 7), Initialization::Glorot, &mut rng(1)).unwrap()
    }

    /// The tied embedding by its definition, and what its gradients are by the chain rule on paper.
    #[test]
    fn tied_rows_are_scaled_columns_of_the_output_layer() {
        let output = output();
        let tied = Embedding::tied(&Cpu::default(), "embedding", 2.0).unwrap();
        let weight = output.weight.value.as_vec();
        let expected: Vec<f32> = WORDS
            .iter()
            .flat_map(|word| (0..4).map(move |row| (row, *word)))
            .map(|(row, word)| 2.0 * weight[row * 7 + word])
            .collect();
        let rows = tied.forward::<OwnedTape<f32, Cpu>>(&WORDS, &output).unwrap();
        assert_close(&rows.as_vec(), &expected, 1e-6);
        let fixed = tied.for_inference(&output).unwrap();
        let fixed = fixed.lookup(&WORDS.map(|word| word as u32)).unwrap();
        assert_close(&fixed.as_vec(), &expected, 1e-6);

        // The gradient of each element is its weight in `probe`.
        let ones = random_matrix((5, 4), 0);
        let of_rows = gradients_of(probe(ones.leaky_trace()), &[&ones]).remove(0);
        let mut of_weight = vec![0.0; 28];
        let mut of_scale = 0.0;
        for (place, &word) in WORDS.iter().enumerate() {
            for row in 0..4 {
                of_weight[row * 7 + word] += 2.0 * of_rows[place * 4 + row];
                of_scale += weight[row * 7 + word] * of_rows[place * 4 + row];
            }
        }
        let gradients = gradients_of(probe(rows), &[&output.weight, tied.parameters()[0]]);
        assert_close(&gradients[0], &of_weight, 1e-5);
        assert_close(&gradients[1], &[of_scale], 1e-5);
    }

    #[test]
    fn tied_rows_withstand_a_sharper_output_layer() {
        let mut output = output();
        let mut tied = Embedding::tied(&Cpu::default(), "embedding", 2.0).unwrap();
        let before = tied.forward::<NoneTape>(&WORDS, &output).unwrap().as_vec();
        tied.rescale_for(3.0).unwrap();
        output.weight.value = output.weight.value.clone() * 3.0;
        let after = tied.forward::<NoneTape>(&WORDS, &output).unwrap().as_vec();
        assert_close(&after, &before, 1e-6);
    }
}
