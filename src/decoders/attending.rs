//! What decoders have in common that look at the image between one word and the next.

use super::region_attention::{RegionAttention, Seen};
use super::{
    CaptionBatch, Change, DecoderSettings, DecoderShape, DecoderState, Gaze, Noise, OnePass, Read, WORDS,
    Writer,
};
use crate::nn::{
    Activation, Backend, DeviceResult, Embedding, InferenceEmbedding, Initialization, Layer, Linear,
    LstmState, Matrix, Parameter, Regions, concat_rows, coverage_penalty, gather_rows, impl_layer,
    split_rows,
};
use crate::text::TokenId;
use dfdx::prelude::{HasShape, Merge, NoneTape, PutTape, SplitTape, Tape, TryMul};
use rand::Rng;

/// A decoder that attends. It is an [`OnePass`] decoder, and writes captions through the same steps as it is trained.
pub(super) trait Attending<D: Backend>: Layer<D> + Clone + std::fmt::Debug + 'static {
    /// The weights that every step reads.
    type Weights: std::fmt::Debug;

    /// The weights as they are now, for steps of `uses` rows in all.
    fn weights<T: Tape<f32, D>>(&self, uses: usize, tape: &mut T) -> DeviceResult<D, Self::Weights>;

    /// The states before the first word, for captions whose images have these mean values `[captions, hidden]`.
    fn start<T: Tape<f32, D> + Merge<T>>(
        &self,
        mean: Matrix<D, T>,
    ) -> DeviceResult<D, (Vec<LstmState<D>>, T)>;

    /// What words `[rows, embedding]` and the mean value of the row's image add to the gates of the first LSTM. The
    /// history of the means must be that of the words.
    fn gates<T: Tape<f32, D> + Merge<T>>(
        &self,
        words: Matrix<D, T>,
        means: &Matrix<D>,
        images: &[usize],
    ) -> DeviceResult<D, Matrix<D, T>>;

    /// One step of the captions that go on, the first of those before.
    fn step<T: Tape<f32, D> + Merge<T>>(
        &self,
        weights: &Self::Weights,
        gates: Matrix<D, T>,
        before: &[LstmState<D>],
        gaze: (&D::AttentionMemory, &[usize]),
    ) -> DeviceResult<D, Step<D, T>>;

    /// What the output layer reads of the last LSTM's hidden states and of what was seen, row by row.
    fn heard<T: Tape<f32, D> + Merge<T>>(
        &self,
        hidden: Matrix<D, T>,
        contexts: Matrix<D>,
    ) -> DeviceResult<D, Matrix<D, T>>;

    /// The weights from each LSTM's hidden state to its gates.
    fn recurrent_weights_mut(&mut self) -> Vec<&mut Parameter<D>>;

    /// What it has in common with the others.
    fn parts(&self) -> &Parts<D>;

    /// The same, to be changed.
    fn parts_mut(&mut self) -> &mut Parts<D>;
}

/// What decoders that attend have in common.
#[derive(Clone, Debug)]
pub(super) struct Parts<D: Backend> {
    /// The layer that gives the logits of the next word.
    pub(super) output: Linear<D>,
    pub(super) attention: RegionAttention<D>,
    pub(super) embedding: Embedding<D>,
    /// What it costs not to look at all of an image.
    coverage: f32,
}

impl<D: Backend> Parts<D> {
    pub(super) fn new(
        device: &D,
        settings: &DecoderSettings,
        shape: DecoderShape,
        rng: &mut impl Rng,
    ) -> DeviceResult<D, Self> {
        let output = (settings.hidden_size, shape.vocabulary);
        Ok(Self {
            output: Linear::new(device, "output", output, Initialization::Glorot, rng)?,
            attention: RegionAttention::new(device, settings.widths(shape), rng)?,
            embedding: super::embedding(device, settings, shape, WORDS, rng)?,
            coverage: settings.doubly_stochastic_weight,
        })
    }
}

impl_layer!(Parts: output, attention, embedding);

/// What a step leaves.
pub(super) struct Step<D: Backend, T> {
    /// Of every LSTM; the history of all of them is `tape`.
    pub(super) states: Vec<LstmState<D>>,
    /// What was seen, `[live, hidden]`, with the same history.
    pub(super) context: Matrix<D>,
    /// Where it was seen, `[live, regions]`, with the same history.
    pub(super) weights: Matrix<D>,
    pub(super) tape: T,
}

impl<D: Backend, A: Attending<D>> OnePass<D> for A {
    fn forward<T: Tape<f32, D> + Merge<T>>(
        &self,
        regions: Regions<D, T>,
        batch: &CaptionBatch,
        noise: &mut Noise<'_>,
    ) -> DeviceResult<D, Read<D, T>> {
        let packing = &batch.packing;
        let Parts {
            attention,
            embedding,
            coverage,
            output,
        } = self.parts();
        let Seen { sight, mean } = attention.see(regions, noise)?;
        let (means, tape) = mean.split_tape();
        let of_captions = gather_rows(means.clone().put_tape(tape), &batch.images)?;
        let (mut states, mut tape) = self.start(of_captions)?;
        let weights = self.weights(packing.rows(), &mut tape)?;

        let (words, history) = noise
            .apply(embedding.forward::<T>(&batch.inputs, output)?)?
            .split_tape();
        let words = words.put_tape(history.merge(tape));
        let gates = self.gates(words, &means, &batch.image_of_rows())?;
        let (gates, mut tape) = split_rows(gates, packing.heights())?;

        let [mut hiddens, mut contexts, mut looks] = [const { Vec::new() }; 3];
        for gates in gates {
            let images = &batch.images[..gates.shape().0];
            let step = self.step(&weights, gates.put_tape(tape), &states, (&sight, images))?;
            (states, tape) = (step.states, step.tape);
            hiddens.extend(states.last().map(|state| state.hidden.clone()));
            contexts.push(step.context);
            looks.push(step.weights);
        }
        let hidden = concat_rows(hiddens, tape)?;
        let (contexts, history) = concat_rows(contexts, T::default())?.split_tape();
        let (hidden, tape) = hidden.split_tape();
        let rows = noise.apply(self.heard(hidden.put_tape(tape.merge(history)), contexts)?)?;
        let penalty = match *coverage {
            0.0 => None,
            scale => {
                let looks = concat_rows(looks, T::default())?;
                Some(coverage_penalty(looks, packing)?.try_mul(scale)?)
            }
        };
        Ok(Read {
            penalty,
            ..Read::from(rows)
        })
    }

    fn output(&self) -> &Linear<D> {
        &self.parts().output
    }

    fn output_mut(&mut self) -> &mut Linear<D> {
        &mut self.parts_mut().output
    }

    fn embedding_mut(&mut self) -> &mut Embedding<D> {
        &mut self.parts_mut().embedding
    }

    fn with_recurrent_weights(&self, change: &mut Change<'_, D>) -> DeviceResult<D, Self> {
        let mut decoder = self.clone();
        decoder.recurrent_weights_mut().into_iter().try_for_each(change)?;
        Ok(decoder)
    }

    fn writer(&self) -> DeviceResult<D, Box<dyn Writer<D>>> {
        Ok(Box::new(AttendingWriter {
            decoder: self.clone(),
            weights: self.weights(0, &mut NoneTape)?,
            words: self.parts().embedding.for_inference(&self.parts().output)?,
            output: D::inference_linear(&self.parts().output)?,
        }))
    }
}

/// An [`Attending`] decoder that does not change.
#[derive(Debug)]
struct AttendingWriter<D: Backend, A: Attending<D>> {
    decoder: A,
    weights: A::Weights,
    words: InferenceEmbedding<D>,
    output: D::InferenceLinear,
}

impl<D: Backend, A: Attending<D>> Writer<D> for AttendingWriter<D, A> {
    fn start(&self, regions: Regions<D>) -> DeviceResult<D, DecoderState<D>> {
        let attention = &self.decoder.parts().attention;
        let Seen { sight, mean } = attention.see(regions, &mut Noise::none())?;
        let images = (0..mean.shape().0).collect();
        let (lstms, _) = self.decoder.start(mean.clone())?;
        Ok(DecoderState {
            lstms,
            image: Some(mean),
            gaze: Some(Gaze { sight, images }),
            looked: None,
        })
    }

    fn step(
        &self,
        state: DecoderState<D>,
        words: &[TokenId],
    ) -> DeviceResult<D, (Matrix<D>, DecoderState<D>)> {
        let DecoderState {
            lstms, image, gaze, ..
        } = state;
        let (Some(mean), Some(gaze)) = (image, gaze) else {
            unreachable!("`start` has set them");
        };
        let own_row: Vec<usize> = (0..words.len()).collect();
        let words = self.words.of(words)?;
        let gates = self.decoder.gates(words, &mean, &own_row)?;
        let step = self
            .decoder
            .step(&self.weights, gates, &lstms, (&gaze.sight, &gaze.images))?;
        let Some(last) = step.states.last() else {
            unreachable!("a decoder has an LSTM");
        };
        let heard = self.decoder.heard(last.hidden.clone(), step.context)?;
        let logits = D::run_linear(&self.output, heard, Activation::None)?;
        let state = DecoderState {
            lstms: step.states,
            image: Some(mean),
            gaze: Some(gaze),
            looked: Some(step.weights),
        };
        Ok((logits, state))
    }
}
