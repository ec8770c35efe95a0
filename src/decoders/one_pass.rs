//! What decoders have in common that read a whole batch of captions in one pass by teacher forcing.

use super::{CaptionBatch, Decoder, Noise, Regularization, Writer, draw_word};
use crate::nn::cpu::slices::values;
use crate::nn::{
    Backend, DeviceResult, Dropout, Embedding, Layer, Linear, Matrix, Parameter, Regions, Scalar, Taped,
    Targets, Zeros, cross_entropy,
};
use dfdx::prelude::{HasShape, Merge, PutTape, SplitTape, Tape, TryAdd, TryMul};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::borrow::Cow;

/// What a decoder has read of a batch.
pub struct Read<D: Backend, T> {
    /// What the output layer reads, a row for every token.
    pub rows: Matrix<D, T>,
    /// What zeros among them are.
    pub zeros: Zeros,
    /// What is added to the loss besides; its history is that of the rows.
    pub penalty: Option<Scalar<D, T>>,
}

impl<D: Backend, T> From<Matrix<D, T>> for Read<D, T> {
    fn from(rows: Matrix<D, T>) -> Self {
        Self {
            rows,
            zeros: Zeros::Live,
            penalty: None,
        }
    }
}

/// What changes a weight.
pub(super) type Change<'a, D> = dyn FnMut(&mut Parameter<D>) -> DeviceResult<D, ()> + 'a;

/// A decoder that reads a whole batch of captions in one pass, and ends in one output layer. It is a [`Decoder`].
pub trait OnePass<D: Backend>: Layer<D> + Sized {
    /// Reads all captions.
    fn forward<T: Tape<f32, D> + Merge<T>>(
        &self,
        regions: Regions<D, T>,
        batch: &CaptionBatch,
        noise: &mut Noise<'_>,
    ) -> DeviceResult<D, Read<D, T>>;

    /// The layer that gives the logits of the next word.
    fn output(&self) -> &Linear<D>;

    /// The same layer, to be changed.
    fn output_mut(&mut self) -> &mut Linear<D>;

    /// How words are read, to be changed.
    fn embedding_mut(&mut self) -> &mut Embedding<D>;

    /// The same decoder, the weights from each LSTM's hidden state to its gates as `change` makes them.
    fn with_recurrent_weights(&self, change: &mut Change<'_, D>) -> DeviceResult<D, Self>;

    /// See [`Decoder::writer`].
    fn writer(&self) -> DeviceResult<D, Box<dyn Writer<D>>>;
}

impl<D: Backend, O: OnePass<D>> Decoder<D> for O {
    fn training_loss(
        &self,
        regions: Regions<D, Taped<D>>,
        batch: &CaptionBatch,
        Regularization {
            label_smoothing,
            dropout,
            weight_drop,
            word_dropout,
            own_words,
            stream,
        }: Regularization<'_>,
    ) -> DeviceResult<D, Scalar<D, Taped<D>>> {
        let (regions, tape) = regions.split_tape();
        let mut read = Cow::Borrowed(batch);
        if own_words > 0.0 {
            read = Cow::Owned(with_own_words(self, &regions, batch, own_words, stream)?);
        }
        if word_dropout > 0.0 {
            read = Cow::Owned(read.without_words(word_dropout, stream));
        }
        let (decoder, dropping) = with_dropped_recurrence(self, Dropout::new(weight_drop, stream))?;
        let regions = regions.put_tape(tape.merge(dropping));
        let Read { rows, zeros, penalty } =
            decoder.forward(regions, &read, &mut Noise::training(dropout, stream))?;
        let targets = Targets {
            columns: &batch.targets,
            weights: batch.weights.as_deref(),
            smoothing: label_smoothing,
        };
        let loss = cross_entropy(rows, zeros, self.output(), targets)?;
        match penalty {
            None => Ok(loss),
            Some(penalty) => loss.try_add(penalty),
        }
    }

    fn loss(&self, regions: Regions<D>, batch: &CaptionBatch) -> DeviceResult<D, Scalar<D>> {
        let Read { rows, zeros, .. } = self.forward(regions, batch, &mut Noise::none())?;
        cross_entropy(rows, zeros, self.output(), Targets::plain(&batch.targets))
    }

    fn writer(&self) -> DeviceResult<D, Box<dyn Writer<D>>> {
        OnePass::writer(self)
    }

    fn sharpen(&mut self, factor: f32) -> DeviceResult<D, ()> {
        self.embedding_mut().rescale_for(factor)?;
        for parameter in self.output_mut().parameters_mut() {
            parameter.value = parameter.value.clone().try_mul(factor)?;
        }
        Ok(())
    }
}

/// The decoder with a share of its recurrent weights dropped, and the history of that.
fn with_dropped_recurrence<D: Backend, O: OnePass<D>>(
    decoder: &O,
    mut dropout: Dropout<'_>,
) -> DeviceResult<D, (O, Taped<D>)> {
    let mut histories = Vec::new();
    let dropped = decoder.with_recurrent_weights(&mut |weight| {
        let (value, history) = dropout.apply(weight.value.retaped::<Taped<D>>())?.split_tape();
        weight.value = value;
        histories.push(history);
        Ok(())
    })?;
    Ok((
        dropped,
        histories.into_iter().fold(Taped::default(), Merge::merge),
    ))
}

/// The batch with a share of what is read drawn by the decoder itself. It reads the captions as they are first, and so
/// draws all words at once (Mihaylova & Martins 2019, "Scheduled sampling for transformers", section 3).
fn with_own_words<D: Backend, O: OnePass<D>>(
    decoder: &O,
    regions: &Regions<D>,
    batch: &CaptionBatch,
    share: f32,
    stream: &mut ChaCha8Rng,
) -> DeviceResult<D, CaptionBatch> {
    let Read { rows, .. } = decoder.forward(regions.clone(), batch, &mut Noise::none())?;
    let logits = decoder.output().forward(rows)?;
    let width = logits.shape().1;
    let draws: Vec<f32> = (0..batch.tokens()).map(|_| stream.random()).collect();
    let words: Vec<usize> = values(&logits)
        .par_chunks_exact_mut(width)
        .zip(draws)
        .map(|(logits, draw)| draw_word(logits, draw))
        .collect();
    Ok(batch.with_words(&words, share, stream))
}
