//! Builds the model of a run: chooses stored features and encoder by the settings, and initializes the weights.

use super::settings::{AugmentSettings, EncoderKind, EncoderSettings};
use super::{EncoderSpec, ImageInputs, InputsError, Model, ModelSpec, feature_directories};
use crate::data::Image;
use crate::decoders::{DecoderKind, DecoderSettings};
use crate::files::ConfinedPath;
use crate::nn::{Backend, DeviceResult, random_stream};
use crate::vision::augment::Augmentation;
use crate::vision::backbones::LayerRange;
use crate::vision::backbones::small_cnn::SmallCnnSettings;
use crate::vision::features::extractor::{ExtractorError, layers_after};
use crate::vision::features::store::{FeatureSpec, FeatureStore, read_weights_path};
use crate::vision::weights::{WeightFile, WeightsError};
use std::path::PathBuf;

/// Why a model cannot be built on a dataset.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Features or images cannot be opened.
    #[error(transparent)]
    Inputs(#[from] InputsError),
    /// Several feature stores fit.
    #[error("the dataset has features {existing:?}; choose with --set encoder.features=NAME")]
    WhichFeatures {
        /// The dataset's feature stores.
        existing: Vec<String>,
    },
    /// The settings require features, and there are none.
    #[error(
        "the dataset has no features; prepare it with --backbone and --weights, or train a small CNN: --set encoder.kind=small_cnn"
    )]
    NoFeatures,
    /// Augmentation without stored features that Cutline extracts.
    #[error(
        "augment.hflip_prob and augment.random_crops require stored features, and this run {encoder}; leave them at 0, or prepare the dataset with --backbone, --weights, --hflip and --random-crops"
    )]
    NotAugmented {
        /// The run's encoder.
        encoder: &'static str,
    },
    /// Fine-tuning with features made elsewhere.
    #[error(
        "encoder.unfreeze_until requires features that Cutline extracts, and `{name}` were made elsewhere; leave it empty, or prepare the dataset with --backbone, --weights, --features grid and an early --layer"
    )]
    NoLayersToFineTune {
        /// The feature store.
        name: String,
    },
    /// Fine-tuning without stored features.
    #[error(
        "encoder.unfreeze_until requires stored features, and this run trains a small CNN; leave it empty, or prepare the dataset with --backbone, --weights, --features grid and an early --layer"
    )]
    NothingToFineTune,
    /// The settings name features that the dataset does not have.
    #[error(
        "the dataset has no features `{name}`, only {existing:?}; choose with --set encoder.features=NAME"
    )]
    NoSuchFeatures {
        /// The requested feature store.
        name: String,
        /// The dataset's feature stores.
        existing: Vec<String>,
    },
    /// Features without a note of their backbone's weights file.
    #[error(
        "{}: there is no note of the weights file of these features, which encoder.unfreeze_until requires; prepare them again", directory.display()
    )]
    NoWeights {
        /// The features.
        directory: PathBuf,
    },
    /// The weights file cannot be read.
    #[error("{0}; encoder.unfreeze_until starts from the weights that the features were extracted with")]
    Weights(#[from] WeightsError),
    /// A CNN that no machine has memory for.
    #[error("encoder.small_cnn is too large, with images of {} pixels a side; choose a smaller size or narrower layers", .0.size)]
    TooLarge(SmallCnnSettings),
    /// The layers cannot be fine-tuned.
    #[error("encoder.unfreeze_until: {0}")]
    FineTune(#[from] ExtractorError),
    /// An attention decoder without a grid of regions.
    #[error(
        "the {decoder} decoder attends to the regions of an image, and {images}; prepare the dataset with \
         --backbone, --weights and --features grid, or choose --decoder merge"
    )]
    NoGrid {
        /// The decoder.
        decoder: DecoderKind,
        /// The encoder's output.
        images: String,
    },
}

/// The encoder of a run.
#[derive(Debug)]
pub struct ChosenEncoder {
    /// Name of the feature store; `None` for a small CNN.
    pub features: Option<String>,
    /// The weights file of the features.
    pub weights: Option<PathBuf>,
    spec: EncoderSpec,
    /// The pretrained layers to fine-tune.
    pretrained: Option<LayerRange>,
    lr_multiplier: f32,
}

impl ChosenEncoder {
    /// Chooses the encoder by the settings and the feature stores of the dataset in `dataset`.
    ///
    /// # Errors
    /// If no store or more than one store fits, or the layers to fine-tune cannot be loaded.
    pub fn choose(
        settings: &EncoderSettings,
        decoder: DecoderKind,
        dataset: &ConfinedPath,
    ) -> Result<Self, BuildError> {
        let Some(directory) = choose_features(settings, decoder, dataset)? else {
            return Self::small_cnn(settings);
        };
        let store = FeatureStore::open(&directory).map_err(InputsError::Store)?;
        let features = store.spec().clone();
        let weights = read_weights_path(&directory);
        let (spec, pretrained) = match settings.unfreeze_until.as_str() {
            "" => (EncoderSpec::Features(features), None),
            _ if features.is_made_elsewhere() => {
                return Err(BuildError::NoLayersToFineTune {
                    name: name_of(&directory),
                });
            }
            layer => {
                let file = weights.as_deref().ok_or_else(|| BuildError::NoWeights {
                    directory: (&directory).into(),
                })?;
                let layers = layers_after(&features, &WeightFile::open(file)?, layer)?.with_channel_scale();
                let spec = layers.spec();
                (
                    EncoderSpec::FineTuned {
                        features,
                        layers: spec,
                    },
                    Some(layers),
                )
            }
        };
        Ok(Self {
            features: Some(name_of(&directory)),
            weights,
            spec,
            pretrained,
            lr_multiplier: settings.lr_multiplier,
        })
    }

    /// The settings that choose this encoder whatever feature stores the dataset gains or loses.
    pub fn pin(&self, settings: &mut EncoderSettings) {
        (settings.kind, settings.features) = match &self.features {
            Some(name) => (EncoderKind::Features, name.clone()),
            None => (EncoderKind::SmallCnn, String::new()),
        };
    }

    fn small_cnn(settings: &EncoderSettings) -> Result<Self, BuildError> {
        if !settings.unfreeze_until.is_empty() {
            return Err(BuildError::NothingToFineTune);
        }
        if !settings.small_cnn.has_possible_size() {
            return Err(BuildError::TooLarge(settings.small_cnn.clone()));
        }
        Ok(Self {
            features: None,
            weights: None,
            spec: EncoderSpec::SmallCnn(settings.small_cnn.clone()),
            pretrained: None,
            lr_multiplier: settings.lr_multiplier,
        })
    }

    /// Checks that the decoder can use the encoder, and that there are features for the augmentation.
    ///
    /// # Errors
    /// If it cannot, or features are missing.
    pub fn check(
        &self,
        decoder: DecoderKind,
        augment: &AugmentSettings,
        dataset: &ConfinedPath,
    ) -> Result<(), BuildError> {
        if decoder.attends() && self.spec.regions() == 1 {
            return Err(BuildError::NoGrid {
                decoder,
                images: match &self.features {
                    Some(name) => format!("features {name} have one vector per image"),
                    None => "the small CNN outputs one vector per image".to_owned(),
                },
            });
        }
        // The last crop first: advice for it covers all the others.
        for augmentation in augmentations(augment).rev() {
            self.augmented_inputs(augmentation, dataset, &[])?;
        }
        Ok(())
    }

    /// The encoder inputs of some images of the dataset in `dataset`.
    ///
    /// # Errors
    /// If they cannot be opened.
    pub fn inputs(&self, dataset: &ConfinedPath, images: &[&Image]) -> Result<ImageInputs, BuildError> {
        Ok(ImageInputs::open(&self.spec, dataset, images.iter().copied())?)
    }

    /// The encoder inputs of some images, augmented.
    ///
    /// # Errors
    /// If they cannot be opened, or the encoder is a small CNN.
    pub fn augmented_inputs(
        &self,
        augmentation: Augmentation,
        dataset: &ConfinedPath,
        images: &[&Image],
    ) -> Result<ImageInputs, BuildError> {
        let spec = self
            .spec
            .with_augmentation(augmentation)
            .ok_or(BuildError::NotAugmented {
                encoder: match self.spec {
                    EncoderSpec::SmallCnn(_) => "trains a small CNN",
                    _ => "reads features made elsewhere",
                },
            })?;
        Ok(ImageInputs::open(&spec, dataset, images.iter().copied())?)
    }

    /// A model with this encoder, initialized by the seed; `vocabulary` is the number of words.
    ///
    /// # Errors
    /// If the device fails.
    pub fn model<D: Backend>(
        &self,
        device: &D,
        decoder: &DecoderSettings,
        vocabulary: usize,
        seed: u64,
    ) -> DeviceResult<D, Model<D>> {
        let spec = ModelSpec {
            encoder: self.spec.clone(),
            decoder: *decoder,
            vocabulary,
        };
        let mut stream = random_stream(seed, "first weights", 0);
        let mut model = Model::new(device, spec, &mut stream)?;
        if let Some(layers) = &self.pretrained {
            model.fine_tune(layers.clone(), self.lr_multiplier)?;
        }
        Ok(model)
    }
}

/// The augmentations whose features a training reads besides those of the original images.
pub fn augmentations(settings: &AugmentSettings) -> impl DoubleEndedIterator<Item = Augmentation> {
    let flip = (settings.hflip_prob > 0.0).then_some(Augmentation::HFlip);
    let crops = (1..=settings.random_crops).map(Augmentation::Crop);
    flip.into_iter().chain(crops)
}

/// The feature store that the settings name; `None` for a small CNN. Without a name, the only store, or else the only
/// grid for an attention decoder, and the only pooled features for another.
fn choose_features(
    settings: &EncoderSettings,
    decoder: DecoderKind,
    dataset: &ConfinedPath,
) -> Result<Option<ConfinedPath>, BuildError> {
    let (kind, name) = (settings.kind, settings.features.as_str());
    let directories = feature_directories(dataset);
    match kind {
        EncoderKind::SmallCnn => return Ok(None),
        EncoderKind::Auto if directories.is_empty() && name.is_empty() => return Ok(None),
        EncoderKind::Features if directories.is_empty() && name.is_empty() => {
            return Err(BuildError::NoFeatures);
        }
        EncoderKind::Auto | EncoderKind::Features => {}
    }
    let is_grid = |path: &ConfinedPath| matches!(FeatureSpec::read(path), Ok(Some(spec)) if spec.regions > 1);
    let only = |fits: &dyn Fn(&ConfinedPath) -> bool| {
        let mut fitting = directories.iter().filter(|path| fits(path));
        fitting.next().filter(|_| fitting.next().is_none()).cloned()
    };
    let chosen = match name {
        "" => only(&|_| true).or_else(|| only(&|path| is_grid(path) == decoder.attends())),
        requested => only(&|path| name_of(path) == requested),
    };
    let existing = || directories.iter().map(name_of).collect();
    chosen.map(Some).ok_or_else(|| match name {
        "" => BuildError::WhichFeatures { existing: existing() },
        name => BuildError::NoSuchFeatures {
            name: name.to_owned(),
            existing: existing(),
        },
    })
}

fn name_of(path: &ConfinedPath) -> String {
    path.file_name().to_string_lossy().into_owned()
}
