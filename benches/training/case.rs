//! What is measured: a decoder of a size, the step that trains it, and that step's bare matrix products.

use super::captions::CAPTIONS;
use crate::support::{Failure, Product};
use cutline::decoders::{
    self, CaptionBatch, Decoder, DecoderKind, DecoderSettings, DecoderShape, Regularization,
};
use cutline::nn::{Adam, AdamSettings, PackedSequence, Regions, random_stream};
use dfdx::prelude::{AsArray, Backward, Cpu, PutTape, TensorFromVec};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Channels of an image's features.
pub(crate) const CHANNELS: usize = 512;
/// The rate, unless a case has its own.
pub(crate) const DROPOUT: f32 = 0.5;
pub(crate) const LABEL_SMOOTHING: f32 = 0.1;
pub(crate) const LEARNING_RATE: f32 = 1e-3;
pub(crate) const SEED: u64 = 1;

/// The decoders that the peer's script has too, one LSTM each.
const KINDS: [DecoderKind; 2] = [DecoderKind::Merge, DecoderKind::Inject];

/// A decoder and its size. Word embeddings have as many dimensions as the LSTM has units.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) kind: DecoderKind,
    pub(crate) hidden: usize,
    pub(crate) vocabulary: usize,
    pub(crate) dropout: f32,
}

impl Case {
    /// Both decoders in every size; 7,337 and 2,533 are Flickr8k's words, all and those seen five times.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        KINDS.into_iter().flat_map(|kind| {
            [256, 512].into_iter().flat_map(move |hidden| {
                [7337, 2533].into_iter().map(move |vocabulary| Self {
                    kind,
                    hidden,
                    vocabulary,
                    dropout: DROPOUT,
                })
            })
        })
    }

    /// The merge decoder in every size, so large a share dropped: the more, the fewer values reach its output layer.
    pub(crate) fn merge_with(dropout: f32) -> impl Iterator<Item = Self> {
        Self::merge().map(move |case| Self { dropout, ..case })
    }

    /// The merge decoder in every size.
    pub(crate) fn merge() -> impl Iterator<Item = Self> {
        Self::all().filter(|case| case.kind == DecoderKind::Merge)
    }

    /// The products of one step, each layer's forward and backward, as if none left out zeros.
    pub(crate) fn products(self, batch: &CaptionBatch) -> Vec<Product> {
        let Self { kind, hidden, .. } = self;
        let joint = match kind {
            DecoderKind::Merge => dense(batch.tokens(), hidden, hidden),
            _ => Vec::new(),
        };
        [
            self.image_products(),
            self.lstm_products(batch),
            joint,
            self.output_products(batch),
        ]
        .concat()
    }

    /// The layer that projects the images. What lies before it is not trained.
    pub(crate) fn image_products(self) -> Vec<Product> {
        let forward = Product::forward(CAPTIONS, CHANNELS, self.hidden);
        vec![forward, forward.weight_gradient()]
    }

    /// The LSTM: all inputs at once, then the hidden states step by step, there and back.
    pub(crate) fn lstm_products(self, batch: &CaptionBatch) -> Vec<Product> {
        let (hidden, gates) = (self.hidden, 4 * self.hidden);
        let packing: PackedSequence = match self.kind {
            DecoderKind::Merge => batch.packing.clone(),
            _ => batch.packing.with_step_before(),
        };
        let recurrent = (1..packing.steps()).flat_map(|step| {
            let forward = Product::forward(packing.live(step), hidden, gates);
            [forward, forward.input_gradient()]
        });
        let later = Product::forward(packing.rows() - packing.sequences(), hidden, gates);
        dense(packing.rows(), hidden, gates)
            .into_iter()
            .chain(recurrent)
            .chain([later.weight_gradient()])
            .collect()
    }

    /// The layer that gives a logit to every word.
    pub(crate) fn output_products(self, batch: &CaptionBatch) -> Vec<Product> {
        dense(batch.tokens(), self.hidden, self.vocabulary)
    }
}

/// The three products of a dense layer in training.
pub(crate) fn dense(rows: usize, inputs: usize, outputs: usize) -> Vec<Product> {
    let forward = Product::forward(rows, inputs, outputs);
    vec![forward, forward.input_gradient(), forward.weight_gradient()]
}

/// A decoder in training, with images' features for a batch.
pub(crate) struct Training {
    pub(crate) decoder: Box<dyn Decoder<Cpu>>,
    pub(crate) adam: Adam<Cpu>,
    dropout: f32,
    features: Vec<f32>,
    images: Images,
}

/// The images of a batch: `[count, regions, channels]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Images {
    pub(crate) count: usize,
    pub(crate) regions: usize,
    pub(crate) channels: usize,
}

impl Training {
    pub(crate) fn new(case: Case) -> Result<Self, Failure> {
        let Case {
            kind,
            hidden,
            vocabulary,
            dropout,
        } = case;
        let settings = DecoderSettings {
            kind,
            hidden_size: hidden,
            embedding_size: hidden,
            dropout,
            ..DecoderSettings::default()
        };
        let images = Images {
            count: CAPTIONS,
            regions: 1,
            channels: CHANNELS,
        };
        Self::of(&settings, vocabulary, images)
    }

    pub(crate) fn of(settings: &DecoderSettings, vocabulary: usize, images: Images) -> Result<Self, Failure> {
        let Images {
            count,
            regions,
            channels,
        } = images;
        let shape = DecoderShape { channels, vocabulary };
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
        let decoder = decoders::build(&Cpu::default(), settings, shape, &mut rng)?;
        let adam = Adam::new(AdamSettings::default(), decoder.parameters())?;
        let features = (0..count * regions * channels).map(|_| rng.random()).collect();
        Ok(Self {
            decoder,
            adam,
            dropout: settings.dropout,
            features,
            images,
        })
    }

    /// The images.
    pub(crate) fn regions(&self) -> Result<Regions<Cpu>, Failure> {
        let Images {
            count,
            regions,
            channels,
        } = self.images;
        let shape = (count, regions, channels);
        Ok(Cpu::default().try_tensor_from_vec(self.features.clone(), shape)?)
    }

    /// One update from each of `batches`.
    pub(crate) fn train(&mut self, batches: &[CaptionBatch]) -> Result<(), Failure> {
        batches.iter().try_for_each(|batch| self.step(batch).map(drop))
    }

    /// One update; gives the loss before it.
    pub(crate) fn step(&mut self, batch: &CaptionBatch) -> Result<f32, Failure> {
        let mut stream = random_stream(SEED, "dropout", self.adam.step);
        let regularization = Regularization {
            label_smoothing: LABEL_SMOOTHING,
            dropout: self.dropout,
            ..Regularization::none(&mut stream)
        };
        let regions = self.regions()?.put_tape(Default::default());
        let loss = self
            .decoder
            .training_loss(regions.into(), batch, regularization)?;
        let value = loss.array();
        let mut gradients = loss.try_backward()?;
        let norm = self
            .adam
            .update(self.decoder.parameters_mut(), &mut gradients, LEARNING_RATE)?;
        if norm.get().is_finite() {
            Ok(value)
        } else {
            Err("the gradient became infinite or not a number".into())
        }
    }
}
