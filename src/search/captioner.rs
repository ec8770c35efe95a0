//! Captions for any image, in a dataset or not.

use super::attention_weights::{Attention, AttentionError, WordAttention, side_of_grid, weights_of_words};
use super::{Search, search_at};
use crate::data::Image;
use crate::decoders::StepDecoder;
use crate::files::ConfinedPath;
use crate::model::{InputExtractor, InputExtractorError, Model};
use crate::nn::Backend;
use crate::nn::device::DeviceError;
use crate::suggest::Named;
use crate::text::Vocabulary;
use crate::vision::backbones::BackboneError;
use crate::vision::features::feature_file::FeatureShape;
use crate::vision::preprocess::{CropBox, Preprocessing};
use crate::vision::weights::WeightFile;
use dfdx::prelude::Cpu;
use image::RgbImage;
use serde::Serialize;
use std::path::Path;

/// Why images cannot be captioned.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum CaptionerError {
    #[error(transparent)]
    Inputs(#[from] InputExtractorError),
    #[error(transparent)]
    Backbone(#[from] BackboneError),
    #[error(transparent)]
    Device(#[from] DeviceError),
}

impl CaptionerError {
    fn device(error: impl std::fmt::Display) -> Self {
        Self::Device(DeviceError::new(error))
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

/// An image, preprocessed for every encoder of a captioner.
#[derive(Clone, Debug)]
pub struct EncoderInput {
    /// Width and height of the image, if there is one.
    dimensions: (u32, u32),
    /// The pixels for each of the captioner's extractors, or the features.
    pixels: Vec<Vec<f32>>,
}

/// The preprocessing of a captioner's encoders. It needs no device, so other threads may run it.
#[derive(Clone, Debug)]
pub struct Preprocessor<'a>(Vec<&'a Preprocessing>);

impl Preprocessor<'_> {
    /// Whether the captioner reads no images, but features made elsewhere.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Preprocesses an image for [`Captioner::captions`].
    pub fn apply(&self, image: &RgbImage) -> EncoderInput {
        let pixels = |preprocessing: &&Preprocessing| {
            let mut pixels = vec![0.0; preprocessing.pixels_len()];
            preprocessing.write_pixels(image, &mut pixels);
            pixels
        };
        EncoderInput {
            dimensions: image.dimensions(),
            pixels: self.0.iter().map(pixels).collect(),
        }
    }
}

/// Encoders, decoders and vocabulary: from images to captions in words.
pub struct Captioner<D: Backend> {
    members: Vec<CaptionerMember<D>>,
    /// Members with the same encoder share one.
    extractors: Vec<InputExtractor<D>>,
    vocabulary: Vocabulary,
}

struct CaptionerMember<D: Backend> {
    model: Model<D>,
    decoder: Box<dyn StepDecoder<D>>,
    /// The index of its extractor.
    extractor: usize,
}

/// A captioner on the CPU.
pub type CpuCaptioner = Captioner<Cpu>;

/// The device of [`CpuCaptioner`].
pub fn cpu() -> Cpu {
    Cpu::default()
}

impl<D: Backend> Captioner<D> {
    /// A captioner of a model and its vocabulary. `weights` is the file of published weights that its features were made
    /// with; a model that reads pixels needs none.
    ///
    /// # Errors
    /// Fails if the file of weights is missing, damaged, or not the one of the features.
    pub fn new(
        model: Model<D>,
        vocabulary: Vocabulary,
        weights: Option<&Path>,
    ) -> Result<Self, CaptionerError> {
        Self::empty(vocabulary).with(model, weights)
    }

    /// A captioner of features that another program made; see [`feature_input`](Self::feature_input).
    ///
    /// # Errors
    /// If the model reads pixels.
    pub fn of_features(model: Model<D>, vocabulary: Vocabulary) -> Result<Self, CaptionerError> {
        Self::empty(vocabulary).with_features(model)
    }

    /// A captioner without members: add at least one.
    pub fn empty(vocabulary: Vocabulary) -> Self {
        Self {
            members: Vec::new(),
            extractors: Vec::new(),
            vocabulary,
        }
    }

    /// Adds a member to the ensemble. Its vocabulary must be the same, word for word.
    ///
    /// # Errors
    /// Those of [`Self::new`].
    pub fn with(self, model: Model<D>, weights: Option<&Path>) -> Result<Self, CaptionerError> {
        self.with_member(model, |model| {
            InputExtractor::new(&model.spec().encoder, weights, model.device())
        })
    }

    /// Adds a member with the published weights of its features to the ensemble. Its vocabulary must be the same, word for
    /// word.
    ///
    /// # Errors
    /// If these are not the weights of its features.
    pub fn with_weights(self, model: Model<D>, weights: &WeightFile) -> Result<Self, CaptionerError> {
        self.with_member(model, |model| {
            InputExtractor::with_weights(&model.spec().encoder, weights, model.device())
        })
    }

    /// Adds a member that reads the same features to the ensemble. Its vocabulary must be the same, word for word.
    ///
    /// # Errors
    /// Those of [`Self::of_features`].
    pub fn with_features(self, model: Model<D>) -> Result<Self, CaptionerError> {
        self.with_member(model, |model| InputExtractor::of_features(&model.spec().encoder))
    }

    fn with_member(
        mut self,
        model: Model<D>,
        extractor: impl FnOnce(&Model<D>) -> Result<InputExtractor<D>, InputExtractorError>,
    ) -> Result<Self, CaptionerError> {
        let encoder = &model.spec().encoder;
        let alike = self
            .members
            .iter()
            .find(|member| member.model.spec().encoder == *encoder);
        let extractor = match alike {
            Some(member) => member.extractor,
            None => {
                self.extractors.push(extractor(&model)?);
                self.extractors.len() - 1
            }
        };
        let decoder = model.decoder.inference().map_err(CaptionerError::device)?;
        self.members.push(CaptionerMember {
            model,
            decoder,
            extractor,
        });
        Ok(self)
    }

    /// The vocabulary of all members.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The preprocessing that images need before [`captions`](Self::captions).
    pub fn preprocessor(&self) -> Preprocessor<'_> {
        Preprocessor(
            self.extractors
                .iter()
                .filter_map(InputExtractor::preprocessing)
                .collect(),
        )
    }

    /// The features `[regions, channels]` of an image, for [`captions`](Self::captions). `name` is for the error.
    ///
    /// # Errors
    /// If a member reads features of another shape, or pixels.
    pub fn feature_input(
        &self,
        name: &str,
        shape: FeatureShape,
        features: &[f32],
    ) -> Result<EncoderInput, CaptionerError> {
        let rows = self.extractors.iter();
        let rows = rows.map(|extractor| extractor.row(name, shape, features));
        Ok(EncoderInput {
            dimensions: (0, 0),
            pixels: rows.collect::<Result<_, _>>()?,
        })
    }

    /// The stored features of an image of the dataset in `dataset`, for [`captions`](Self::captions). `dimensions` are the
    /// width and height of the image.
    ///
    /// # Errors
    /// If the dataset lacks the features of a member, or it reads pixels.
    pub fn stored_input(
        &self,
        dataset: &ConfinedPath,
        image: &Image,
        dimensions: (u32, u32),
    ) -> Result<EncoderInput, CaptionerError> {
        let rows = self.extractors.iter();
        let rows = rows.map(|extractor| extractor.stored_row(dataset, image));
        Ok(EncoderInput {
            dimensions,
            pixels: rows.collect::<Result<_, _>>()?,
        })
    }

    /// Captions for each image, best first.
    ///
    /// # Errors
    /// Those of the device.
    pub fn captions(
        &self,
        images: &[EncoderInput],
        search: &Search,
    ) -> Result<Vec<Vec<WrittenCaption>>, CaptionerError> {
        self.captions_from(0, images, search)
    }

    /// [`captions`](Self::captions) for a part of a longer list of images that starts at the index `first` there: captions
    /// are sampled as if all were captioned together.
    ///
    /// # Errors
    /// Those of the device.
    pub fn captions_from(
        &self,
        first: usize,
        images: &[EncoderInput],
        search: &Search,
    ) -> Result<Vec<Vec<WrittenCaption>>, CaptionerError> {
        let inputs = self.inputs(images)?;
        let encode = |member: &CaptionerMember<D>| member.model.regions(inputs[member.extractor].clone());
        let regions = self.members.iter().map(encode).collect::<Result<Vec<_>, _>>();
        let decoders = self.members.iter().map(|member| member.decoder.as_ref());
        let starts = decoders.zip(regions.map_err(CaptionerError::device)?).collect();
        let indices: Vec<usize> = (first..first + images.len()).collect();
        let found = search_at(starts, &indices, search).map_err(CaptionerError::device)?;
        let in_words = |hypothesis: super::Hypothesis| WrittenCaption {
            caption: self.vocabulary.decode(&hypothesis.tokens).join(" "),
            log_probability: hypothesis.log_probability,
        };
        Ok(found
            .into_iter()
            .map(|hypotheses| hypotheses.into_iter().map(in_words).collect())
            .collect())
    }

    /// Checks that a member attends.
    ///
    /// # Errors
    /// Fails if no decoder attends.
    pub fn check_attends(&self) -> Result<(), AttentionError> {
        self.attending().map(|_| ())
    }

    /// The attention weights of the first member that attends, for each word of any caption. Weights depend on the words
    /// before; those of soft attention, which attends before it reads, on all of these but the last.
    ///
    /// # Errors
    /// Fails if no member attends, if its regions are no grid, or with the device's error.
    pub fn attention(&self, image: &EncoderInput, caption: &str) -> Result<Attention, AttentionError> {
        let CaptionerMember {
            model,
            decoder,
            extractor,
        } = self.attending()?;
        let pixels = image.pixels[*extractor].clone();
        let extractor = &self.extractors[*extractor];
        let inputs = extractor.inputs(pixels).map_err(CaptionerError::from)?;
        let regions = model.regions(inputs).map_err(CaptionerError::device)?;
        let count = regions.shape().1;
        let side = side_of_grid(count).filter(|_| !model.spec().encoder.has_variable_regions());
        let side = side.ok_or_else(|| AttentionError::NoGrid {
            decoder: model.spec().decoder.kind.to_string(),
            regions: count,
        })?;
        let words: Vec<String> = caption.split_whitespace().map(str::to_owned).collect();
        let weights = weights_of_words(decoder.as_ref(), regions, &self.vocabulary.encode(&words))
            .map_err(CaptionerError::device)?;
        let words = words.into_iter().zip(weights);
        Ok(Attention {
            words: words
                .map(|(word, weights)| WordAttention { word, weights })
                .collect(),
            side,
            part: match (extractor.preprocessing(), image.dimensions) {
                (Some(preprocessing), dimensions) => preprocessing.crop_box(dimensions),
                (None, (width, height)) => CropBox {
                    left: 0,
                    top: 0,
                    width,
                    height,
                },
            },
        })
    }

    fn attending(&self) -> Result<&CaptionerMember<D>, AttentionError> {
        let kind = |member: &CaptionerMember<D>| member.model.spec().decoder.kind;
        let found = self.members.iter().find(|member| kind(member).attends());
        found.ok_or_else(|| {
            let decoders: Vec<&str> = self.members.iter().map(|member| kind(member).name()).collect();
            AttentionError::NoneAttends {
                decoders: decoders.join(", "),
            }
        })
    }

    /// The outputs of each extractor.
    fn inputs(&self, images: &[EncoderInput]) -> Result<Vec<Vec<f32>>, BackboneError> {
        let extractors = self.extractors.iter().enumerate();
        extractors
            .map(|(i, extractor)| {
                let pixels: Vec<&[f32]> = images.iter().map(|image| image.pixels[i].as_slice()).collect();
                extractor.inputs(pixels.concat())
            })
            .collect()
    }
}
