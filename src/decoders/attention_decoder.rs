//! The common part of attention decoders: projection of the regions, the loop over steps, the output layer.
//!
//! # Tape rules
//!
//! Between steps, states, contexts and attention weights are tensors without a tape; one tape passes from step to step and
//! holds the operations of all of them. A tensor may only enter an operation together with the tape that recorded it, or
//! its gradient is lost without an error.

use super::attention::{MemoryOfRows, ProjectedRegions, RegionAttention};
use super::{
    CaptionBatch, CaptionMemory, DecoderOutput, DecoderSettings, DecoderShape, DecoderState, INITIAL_WORDS,
    ImageRegions, StepDecoder, TeacherForced,
};
use crate::nn::{
    Activation, Backend, DeviceResult, Dropout, Embedding, InferenceEmbedding, Initialization, Layer, Linear,
    LstmState, Matrix, MatrixResult, Parameter, coverage_penalty, impl_layer,
};
use crate::text::TokenId;
use dfdx::prelude::{HasShape, NoneTape, PutTape, SplitTape, Tape, TryMul};
use rand::Rng;
use std::sync::Arc;

/// A decoder that attends to the image at every word. Training and inference share the steps of its cell.
#[derive(Clone, Debug)]
pub struct AttentionDecoder<D: Backend, C> {
    pub(super) core: AttentionCore<D>,
    pub(super) cell: C,
}

/// The LSTMs of an attention decoder and the layers around them.
pub(super) trait AttentionCell<D: Backend>: Layer<D> + Clone + std::fmt::Debug + 'static {
    /// The weights that every step reads.
    type Weights: std::fmt::Debug;

    /// The weights, prepared for `uses` rows in all steps together.
    fn step_weights<T: Tape<f32, D>>(
        &self,
        attention: &RegionAttention<D>,
        uses: usize,
        tape: &mut T,
    ) -> DeviceResult<D, Self::Weights>;

    /// The states before the first word, and their tape. `mean` is the mean value of each caption's image,
    /// `[captions, hidden]`.
    fn initial_states<T: Tape<f32, D>>(&self, mean: Matrix<D, T>) -> DeviceResult<D, (Vec<LstmState<D>>, T)>;

    /// The input part of the first LSTM's gates, for words `[rows, embedding]` and the mean value of each row's image. The
    /// tape of `words` must hold the operations of `means`.
    fn input_gates<T: Tape<f32, D>>(
        &self,
        words: Matrix<D, T>,
        means: &Matrix<D>,
        images: &[usize],
    ) -> MatrixResult<D, T>;

    /// One step. `gates` may have fewer rows than `before`: shorter captions, which come last, have ended.
    fn step<T: Tape<f32, D>>(
        &self,
        attention: &RegionAttention<D>,
        weights: &Self::Weights,
        gates: Matrix<D, T>,
        before: &[LstmState<D>],
        rows: &MemoryOfRows<'_, D>,
    ) -> DeviceResult<D, CellOutput<D, T>>;

    /// The input of the output layer, from the last LSTM's hidden states and the contexts. The tape of `hidden` must hold
    /// the operations of `contexts`.
    fn readout<T: Tape<f32, D>>(&self, hidden: Matrix<D, T>, contexts: Matrix<D>) -> MatrixResult<D, T>;

    /// The weights from each LSTM's hidden state to its gates.
    fn recurrent_weights_mut(&mut self) -> Vec<&mut Parameter<D>>;
}

/// The sub-layers that attention decoders share.
#[derive(Clone, Debug)]
pub(super) struct AttentionCore<D: Backend> {
    output: Linear<D>,
    attention: RegionAttention<D>,
    embedding: Embedding<D>,
    doubly_stochastic_weight: f32,
}

impl<D: Backend> AttentionCore<D> {
    pub(super) fn new(
        device: &D,
        settings: &DecoderSettings,
        shape: DecoderShape,
        rng: &mut impl Rng,
    ) -> DeviceResult<D, Self> {
        let output = (settings.hidden_size, shape.vocabulary);
        Ok(Self {
            output: Linear::new(device, "output", output, Initialization::Glorot, rng)?,
            attention: RegionAttention::new(device, settings.attention_widths(shape), rng)?,
            embedding: super::embedding(device, settings, shape, INITIAL_WORDS, rng)?,
            doubly_stochastic_weight: settings.doubly_stochastic_weight,
        })
    }
}

impl_layer!(AttentionCore: output, attention, embedding);

impl<D: Backend, C: AttentionCell<D>> Layer<D> for AttentionDecoder<D, C> {
    fn visit<'a>(&'a self, visitor: &mut dyn FnMut(&'a Parameter<D>)) {
        self.core.visit(visitor);
        self.cell.visit(visitor);
    }

    fn visit_mut<'a>(&'a mut self, visitor: &mut dyn FnMut(&'a mut Parameter<D>)) {
        self.core.visit_mut(visitor);
        self.cell.visit_mut(visitor);
    }
}

/// The results of a step. All of them are recorded in `tape`.
pub(super) struct CellOutput<D: Backend, T> {
    /// One state for each LSTM.
    pub(super) states: Vec<LstmState<D>>,
    /// `[rows, hidden]`
    pub(super) context: Matrix<D>,
    /// `[rows, regions]`
    pub(super) attention_weights: Matrix<D>,
    pub(super) tape: T,
}

impl<D: Backend, C: AttentionCell<D>> TeacherForced<D> for AttentionDecoder<D, C> {
    fn forward<T: Tape<f32, D>>(
        &self,
        images: ImageRegions<D, T>,
        batch: &CaptionBatch,
        dropout: &mut Dropout<'_>,
    ) -> DeviceResult<D, DecoderOutput<D, T>> {
        let packing = &batch.packing;
        let AttentionCore {
            attention,
            embedding,
            doubly_stochastic_weight,
            output,
        } = &self.core;
        let ProjectedRegions { memory, mean, counts } = attention.project(images, dropout)?;
        let (means, tape) = mean.split_tape();
        let of_captions = D::gather_rows(means.clone().put_tape(tape), &batch.images)?;
        let (mut states, mut tape) = self.cell.initial_states(of_captions)?;
        let weights = self.cell.step_weights(attention, packing.rows(), &mut tape)?;

        let (words, words_tape) = dropout
            .apply(embedding.forward::<T>(&batch.inputs, output)?)?
            .split_tape();
        let words = words.put_tape(words_tape.merge(tape));
        let gates = self.cell.input_gates(words, &means, &batch.image_of_rows())?;
        let (gates, mut tape) = D::split_rows(gates, packing.heights())?;

        let [mut hiddens, mut contexts, mut attention_weights] = [const { Vec::new() }; 3];
        for gates in gates {
            let rows = MemoryOfRows {
                memory: &memory,
                images: &batch.images[..gates.shape().0],
            };
            let gates = gates.put_tape(tape);
            let step = self.cell.step(attention, &weights, gates, &states, &rows)?;
            (states, tape) = (step.states, step.tape);
            hiddens.extend(states.last().map(|state| state.hidden.clone()));
            contexts.push(step.context);
            attention_weights.push(step.attention_weights);
        }
        let hidden = D::concat_rows(hiddens, tape)?;
        let (contexts, contexts_tape) = D::concat_rows(contexts, T::default())?.split_tape();
        let (hidden, tape) = hidden.split_tape();
        let hidden = hidden.put_tape(tape.merge(contexts_tape));
        let rows = dropout.apply(self.cell.readout(hidden, contexts)?)?;
        let penalty = match *doubly_stochastic_weight {
            0.0 => None,
            weight => {
                let attention_weights = D::concat_rows(attention_weights, T::default())?;
                let of_captions =
                    |counts: Arc<[usize]>| batch.images.iter().map(|&image| counts[image]).collect();
                let counts: Option<Vec<usize>> = counts.map(of_captions);
                let penalty = coverage_penalty(attention_weights, packing, counts.as_deref())?;
                Some(penalty.try_mul(weight)?)
            }
        };
        Ok(DecoderOutput {
            penalty,
            ..DecoderOutput::from(rows)
        })
    }

    fn output(&self) -> &Linear<D> {
        &self.core.output
    }

    fn embedding_and_output_mut(&mut self) -> (&mut Embedding<D>, &mut Linear<D>) {
        (&mut self.core.embedding, &mut self.core.output)
    }

    fn recurrent_weights_mut(&mut self) -> Vec<&mut Parameter<D>> {
        self.cell.recurrent_weights_mut()
    }

    fn inference(&self) -> DeviceResult<D, Box<dyn StepDecoder<D>>> {
        let AttentionCore {
            attention,
            embedding,
            output,
            ..
        } = &self.core;
        Ok(Box::new(AttentionInference {
            weights: self.cell.step_weights(attention, 0, &mut NoneTape)?,
            words: embedding.for_inference(output)?,
            output: D::inference_linear(output)?,
            attention: attention.clone(),
            cell: self.cell.clone(),
        }))
    }
}

/// An attention decoder with its weights prepared for inference.
#[derive(Debug)]
struct AttentionInference<D: Backend, C: AttentionCell<D>> {
    attention: RegionAttention<D>,
    cell: C,
    weights: C::Weights,
    words: InferenceEmbedding<D>,
    output: D::InferenceLinear,
}

impl<D: Backend, C: AttentionCell<D>> StepDecoder<D> for AttentionInference<D, C> {
    fn start(&self, images: ImageRegions<D>) -> DeviceResult<D, DecoderState<D>> {
        let ProjectedRegions { memory, mean, .. } = self.attention.project(images, &mut Dropout::off())?;
        let images = (0..mean.shape().0).collect();
        let (lstms, _) = self.cell.initial_states(mean.clone())?;
        Ok(DecoderState {
            lstms,
            image: Some(mean),
            memory: Some(CaptionMemory { memory, images }),
            attention_weights: None,
        })
    }

    fn step(
        &self,
        state: DecoderState<D>,
        words: &[TokenId],
    ) -> DeviceResult<D, (Matrix<D>, DecoderState<D>)> {
        let DecoderState {
            lstms, image, memory, ..
        } = state;
        let (Some(means), Some(memory)) = (image, memory) else {
            unreachable!("`start` has set them");
        };
        // `select` has gathered the means: row and mean have the same index.
        let own_row: Vec<usize> = (0..words.len()).collect();
        let words = self.words.lookup(words)?;
        let gates = self.cell.input_gates(words, &means, &own_row)?;
        let rows = MemoryOfRows {
            memory: &memory.memory,
            images: &memory.images,
        };
        let step = (self.cell).step(&self.attention, &self.weights, gates, &lstms, &rows)?;
        let Some(last) = step.states.last() else {
            unreachable!("a decoder has an LSTM");
        };
        let readout = self.cell.readout(last.hidden.clone(), step.context)?;
        let logits = D::run_linear(&self.output, readout, Activation::None)?;
        let state = DecoderState {
            lstms: step.states,
            image: Some(means),
            memory: Some(memory),
            attention_weights: Some(step.attention_weights),
        };
        Ok((logits, state))
    }
}
