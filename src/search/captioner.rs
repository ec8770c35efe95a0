//! Captions for any image, whether or not a data set holds it.

use super::attention_weights::{Attention, AttentionError, LookedWord, side_of_grid, weights_of_words};
use super::{Search, write};
use crate::decoders::Writer;
use crate::model::{EncoderSpec, Model};
use crate::nn::Backend;
use crate::nn::device::DeviceError;
use crate::text::Vocabulary;
use crate::vision::backbones::BackboneError;
use crate::vision::features::extractor::{EncoderError, ImageEncoder};
use crate::vision::features::store::FeatureSpec;
use crate::vision::preprocess::Preprocessing;
use crate::vision::weights::{WeightFile, WeightsError};
use dfdx::prelude::{Cpu, HasShape};
use image::RgbImage;
use serde::Serialize;
use std::path::Path;

/// Why images cannot be captioned.
#[derive(Debug, thiserror::Error)]
pub enum CaptionerError {
    /// The model was trained on features of a network whose weights are not at hand.
    #[error(
        "this model reads features of {backbone}, and no file of its weights is known: give it with --weights, BLAKE3 {expected}"
    )]
    NoWeights {
        /// The network.
        backbone: String,
        /// The hash of the file the features were made with.
        expected: String,
    },
    /// The file of weights cannot be read.
    #[error("{0}; where the file has moved, give it with --weights")]
    Weights(#[from] WeightsError),
    /// The network does not make the features that the model was trained on.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// The network cannot be run.
    #[error(transparent)]
    Backbone(#[from] BackboneError),
    /// The device refused, for lack of memory most of the time.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

impl CaptionerError {
    fn device(error: impl std::fmt::Display) -> Self {
        Self::Device(DeviceError::new(error))
    }
}

/// What makes a model's inputs of images that no data set needs to hold.
pub(super) enum Eye<D: Backend> {
    /// The network is part of the model, which is given pixels.
    Within(Preprocessing),
    /// A network with published weights, and the features of it that the model was trained on.
    Published(Box<ImageEncoder<D>>, FeatureSpec),
}

impl<D: Backend> Eye<D> {
    /// `weights` is needed where models of this specification read stored features.
    pub(super) fn of(
        encoder: &EncoderSpec,
        weights: Option<&Path>,
        device: &D,
    ) -> Result<Self, CaptionerError> {
        let spec = match encoder {
            EncoderSpec::SmallCnn(settings) => return Ok(Self::Within(settings.preprocessing())),
            EncoderSpec::Features(spec) | EncoderSpec::FineTuned { features: spec, .. } => spec,
        };
        let weights = weights.ok_or_else(|| CaptionerError::NoWeights {
            backbone: spec.backbone.clone(),
            expected: spec.weights.clone(),
        })?;
        let encoder = ImageEncoder::like(spec, &WeightFile::open(weights)?, device)?;
        Ok(Self::Published(Box::new(encoder), spec.clone()))
    }

    fn preprocessing(&self) -> &Preprocessing {
        match self {
            Self::Within(preprocessing) => preprocessing,
            Self::Published(encoder, _) => encoder.preprocessing(),
        }
    }

    /// The inputs of [`Model::regions`], the same numbers as for an image of the model's data set.
    fn inputs(&self, pixels: Vec<f32>) -> Result<Vec<f32>, BackboneError> {
        match self {
            Self::Within(_) => Ok(pixels),
            Self::Published(encoder, spec) => {
                let images = pixels.len() / encoder.preprocessing().pixels_len();
                Ok(spec.as_stored(&encoder.features(&pixels, images)?))
            }
        }
    }
}

/// A caption in words.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WrittenCaption {
    /// Its words, joined by spaces.
    pub caption: String,
    /// Natural logarithm of its probability.
    pub log_probability: f64,
}

/// An image as a captioner looks at it.
#[derive(Clone, Debug)]
pub struct ImagePixels {
    /// Its width and height.
    dimensions: (u32, u32),
    /// For each of the captioner's eyes.
    of_eyes: Vec<Vec<f32>>,
}

/// What a captioner needs to look at images, for any thread to do it.
#[derive(Clone, Debug)]
pub struct Lenses<'a>(Vec<&'a Preprocessing>);

impl Lenses<'_> {
    /// An image as [`Captioner::captions`] takes it.
    pub fn look(&self, image: &RgbImage) -> ImagePixels {
        let pixels = |preprocessing: &&Preprocessing| {
            let mut pixels = vec![0.0; preprocessing.pixels_len()];
            preprocessing.write_pixels(image, &mut pixels);
            pixels
        };
        ImagePixels {
            dimensions: image.dimensions(),
            of_eyes: self.0.iter().map(pixels).collect(),
        }
    }
}

/// Encoders, decoders and vocabulary: from images to captions in words.
pub struct Captioner<D: Backend> {
    members: Vec<Voice<D>>,
    /// Each once, however many members see by it.
    eyes: Vec<Eye<D>>,
    vocabulary: Vocabulary,
}

/// A model that writes, alone or together with others.
struct Voice<D: Backend> {
    model: Model<D>,
    writer: Box<dyn Writer<D>>,
    /// Which of the captioner's eyes it sees by.
    eye: usize,
}

/// A captioner on the CPU, for those who know nothing of devices.
pub type CpuCaptioner = Captioner<Cpu>;

/// The device of [`CpuCaptioner`].
pub fn cpu() -> Cpu {
    Cpu::default()
}

impl<D: Backend> Captioner<D> {
    /// A captioner of a model and the vocabulary it was trained with; `weights` is the file of published
    /// weights that its features were made with, where it reads features.
    ///
    /// # Errors
    /// Where the file of weights is missing, damaged, or not the one that the features were made with.
    pub fn new(
        model: Model<D>,
        vocabulary: Vocabulary,
        weights: Option<&Path>,
    ) -> Result<Self, CaptionerError> {
        let alone = Self {
            members: Vec::new(),
            eyes: Vec::new(),
            vocabulary,
        };
        alone.with(model, weights)
    }

    /// The captioner with one more model that writes together with those there are: the mean of their
    /// log-probabilities counts. Its vocabulary must be the same, word for word.
    ///
    /// # Errors
    /// Those of [`Self::new`].
    pub fn with(mut self, model: Model<D>, weights: Option<&Path>) -> Result<Self, CaptionerError> {
        let encoder = &model.spec().encoder;
        let alike = self
            .members
            .iter()
            .find(|member| member.model.spec().encoder == *encoder);
        let eye = match alike {
            Some(member) => member.eye,
            None => {
                self.eyes.push(Eye::of(encoder, weights, model.device())?);
                self.eyes.len() - 1
            }
        };
        let writer = model.decoder.writer().map_err(CaptionerError::device)?;
        self.members.push(Voice { model, writer, eye });
        Ok(self)
    }

    /// The words that it writes.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// What makes of images what [`captions`](Self::captions) takes.
    pub fn lenses(&self) -> Lenses<'_> {
        Lenses(self.eyes.iter().map(Eye::preprocessing).collect())
    }

    /// Captions for images: for each those found, best first.
    ///
    /// # Errors
    /// Those of the device.
    pub fn captions(
        &self,
        images: &[ImagePixels],
        search: &Search,
    ) -> Result<Vec<Vec<WrittenCaption>>, CaptionerError> {
        let inputs = self.inputs(images)?;
        let begin = |member: &'_ Voice<D>| member.model.regions(inputs[member.eye].clone());
        let regions = self.members.iter().map(begin).collect::<Result<Vec<_>, _>>();
        let writers = self.members.iter().map(|member| member.writer.as_ref());
        let beginnings = writers.zip(regions.map_err(CaptionerError::device)?).collect();
        let found = write(beginnings, search).map_err(CaptionerError::device)?;
        let in_words = |hypothesis: super::Hypothesis| WrittenCaption {
            caption: self.vocabulary.decode(&hypothesis.tokens).join(" "),
            log_probability: hypothesis.log_probability,
        };
        Ok(found
            .into_iter()
            .map(|hypotheses| hypotheses.into_iter().map(in_words).collect())
            .collect())
    }

    /// Whether it can be told where it looks.
    ///
    /// # Errors
    /// Where none of its decoders attends.
    pub fn check_attends(&self) -> Result<(), AttentionError> {
        self.attending().map(|_| ())
    }

    /// Where the first member that attends looked in an image for each word of a caption, whoever wrote it: every word
    /// is looked for knowing those before it; by `attend`, which looks before it reads, all but the last of them.
    ///
    /// # Errors
    /// Where no member attends, the one that does sees no grid of regions, or the device fails.
    pub fn attention(&self, image: &ImagePixels, caption: &str) -> Result<Attention, AttentionError> {
        let Voice { model, writer, eye } = self.attending()?;
        let (eye, pixels) = (&self.eyes[*eye], image.of_eyes[*eye].clone());
        let inputs = eye.inputs(pixels).map_err(CaptionerError::from)?;
        let regions = model.regions(inputs).map_err(CaptionerError::device)?;
        let count = regions.shape().1;
        let side = side_of_grid(count).ok_or_else(|| AttentionError::NoGrid {
            decoder: model.spec().decoder.kind.to_string(),
            regions: count,
        })?;
        let words: Vec<String> = caption.split_whitespace().map(str::to_owned).collect();
        let weights = weights_of_words(writer.as_ref(), regions, &self.vocabulary.encode(&words))
            .map_err(CaptionerError::device)?;
        let words = words.into_iter().zip(weights);
        Ok(Attention {
            words: words
                .map(|(word, weights)| LookedWord { word, weights })
                .collect(),
            side,
            part: eye.preprocessing().part_seen(image.dimensions),
        })
    }

    fn attending(&self) -> Result<&Voice<D>, AttentionError> {
        let kind = |member: &Voice<D>| member.model.spec().decoder.kind;
        let found = self.members.iter().find(|member| kind(member).attends());
        found.ok_or_else(|| {
            let decoders: Vec<&str> = self.members.iter().map(|member| kind(member).name()).collect();
            AttentionError::NoneAttends {
                decoders: decoders.join(", "),
            }
        })
    }

    /// What each eye makes of the images.
    fn inputs(&self, images: &[ImagePixels]) -> Result<Vec<Vec<f32>>, BackboneError> {
        let eyes = self.eyes.iter().enumerate();
        eyes.map(|(at, eye)| {
            let pixels: Vec<&[f32]> = images.iter().map(|image| image.of_eyes[at].as_slice()).collect();
            eye.inputs(pixels.concat())
        })
        .collect()
    }
}
