//! Feature extraction: preprocessing, a backbone with its weights, and pooling.

use super::store::{Difference, FeatureDtype, FeatureSpec};
use crate::nn::device::guarded;
use crate::nn::{Backend, Images};
use crate::suggest::{Named, UnknownName};
use crate::vision::augment::Augmentation;
use crate::vision::backbones::{Backbone, BackboneError, BackboneKind, FeatureKind, LayerRange, MapShape};
use crate::vision::preprocess::{Preprocessing, PreprocessingChoice};
use crate::vision::weights::WeightFile;
use std::fmt;
use std::path::PathBuf;

/// A frozen encoder: from pixels to features.
#[derive(Clone, Debug)]
pub struct FeatureExtractor<D: Backend> {
    backbone: Backbone<D>,
    preprocessing: Preprocessing,
    /// What a user changed of the network's preprocessing, each after a hyphen.
    changes: String,
    kind: FeatureKind,
    /// BLAKE3 of the file of weights.
    weights: String,
    device: D,
}

/// Why features like those of a store cannot be extracted.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe the variants and their fields")]
pub enum ExtractorError {
    #[error(
        "weights {path:?}: not the file that the features were extracted with (BLAKE3 {found}, not {expected}): \
         pass that file as --weights"
    )]
    OtherWeights {
        path: PathBuf,
        found: String,
        expected: String,
    },
    #[error(
        "this version extracts other features of {backbone} than those of the dataset ({field} was {stored}, is {extracted}): \
         prepare the dataset again with this version, and train again"
    )]
    OtherFeatures {
        backbone: BackboneKind,
        field: String,
        stored: String,
        extracted: String,
    },
    #[error(
        "fine-tuning the layers after {layer} of {backbone} needs its map of {input}, and the features are pooled: \
         prepare them with --features grid"
    )]
    NoMap {
        backbone: BackboneKind,
        layer: String,
        input: MapShape,
    },
    #[error(transparent)]
    UnknownBackbone(#[from] UnknownName),
    #[error(transparent)]
    Backbone(#[from] BackboneError),
}

impl<D: Backend> FeatureExtractor<D> {
    /// Reads a network's weights up to `layer`, or up to its default layer.
    ///
    /// # Errors
    /// Those of [`Backbone::load`].
    pub fn load(
        kind: BackboneKind,
        file: &WeightFile,
        layer: Option<&str>,
        features: FeatureKind,
        device: &D,
    ) -> Result<Self, BackboneError> {
        let backbone = Backbone::load(kind, file, layer, device)?;
        let is_vector = backbone.layer().shape.regions() == 1;
        Ok(Self {
            // A vector is the same in either kind, and its store has one name.
            kind: if is_vector { FeatureKind::Pooled } else { features },
            weights: file.hash(),
            device: device.clone(),
            preprocessing: backbone.preprocessing().clone(),
            changes: String::new(),
            backbone,
        })
    }

    /// Those of [`Backbone::notes`].
    pub fn notes(&self) -> &[String] {
        self.backbone.notes()
    }

    /// The same for augmented images. Clones share the weights.
    pub fn with_augmentation(&self, augmentation: Augmentation) -> Self {
        let mut other = self.clone();
        other.preprocessing.augmentation = augmentation;
        other
    }

    /// The same with a user's choices in place of the preprocessing that the network was trained with.
    ///
    /// # Errors
    /// If no weights of the network have the chosen preprocessing.
    pub fn with_choice(mut self, choice: PreprocessingChoice) -> Result<Self, BackboneError> {
        let PreprocessingChoice {
            kind,
            crop_mode,
            interpolation,
        } = choice;
        if let Some(kind) = kind {
            let preprocessing = self.backbone.kind().preprocessing(kind, &self.preprocessing)?;
            self.change(&kind, preprocessing);
        }
        if let Some(mode) = crop_mode {
            self.change(&mode, self.preprocessing.clone().with_crop_mode(mode));
        }
        if let Some(interpolation) = interpolation {
            self.change(&interpolation, self.preprocessing.clone().with(interpolation));
        }
        Ok(self)
    }

    /// What does not change anything has no place in the store's name.
    fn change(&mut self, name: &dyn fmt::Display, preprocessing: Preprocessing) {
        if preprocessing != self.preprocessing {
            self.changes = format!("{}-{name}", self.changes);
            self.preprocessing = preprocessing;
        }
    }

    /// Extracts the features of new images in the same way as those of a store.
    ///
    /// # Errors
    /// [`ExtractorError::OtherWeights`] if the store was made with another file, and those of [`load`](Self::load).
    pub fn from_spec(spec: &FeatureSpec, file: &WeightFile, device: &D) -> Result<Self, ExtractorError> {
        let kind = spec.backbone.parse()?;
        check_weights(spec, file)?;
        let features = match spec.regions {
            1 => FeatureKind::Pooled,
            _ => FeatureKind::Grid,
        };
        let mut extractor = Self::load(kind, file, Some(&spec.layer), features, device)?;
        if let Some(stored) = &spec.preprocessing {
            extractor.preprocessing = Preprocessing {
                size: extractor.preprocessing.size,
                augmentation: extractor.preprocessing.augmentation,
                ..stored.clone()
            };
        }
        match spec.first_difference(&extractor.spec(spec.dtype)) {
            None => Ok(extractor),
            Some(Difference {
                field,
                values: [stored, extracted],
            }) => Err(ExtractorError::OtherFeatures {
                backbone: kind,
                field,
                stored,
                extracted,
            }),
        }
    }

    /// The specification of a store of its features.
    pub fn spec(&self, dtype: FeatureDtype) -> FeatureSpec {
        let layer = self.backbone.layer();
        FeatureSpec {
            backbone: self.backbone.kind().name().to_owned(),
            layer: layer.name.clone(),
            weights: self.weights.clone(),
            preprocessing: Some(self.preprocessing().clone()),
            regions: self.kind.regions(layer.shape),
            variable_regions: false,
            channels: layer.shape.channels,
            dtype,
        }
    }

    /// `<backbone>-<layer>-<kind>[-<change of preprocessing>][-<augmentation>]`, the name of the features' directory in a
    /// dataset.
    pub fn store_name(&self) -> String {
        let (kind, layer) = (self.backbone.kind(), &self.backbone.layer().name);
        format!(
            "{kind}-{layer}-{}{}{}",
            self.kind,
            self.changes,
            self.preprocessing.augmentation.suffix()
        )
    }

    /// The shape of one image's features: 1 x 1 if pooled.
    pub fn shape(&self) -> MapShape {
        let shape = self.backbone.layer().shape;
        match self.kind {
            FeatureKind::Grid => shape,
            FeatureKind::Pooled => MapShape::new(1, 1, shape.channels),
        }
    }

    /// The preprocessing of images.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// Features `[images, regions, channels]` of pixels `[images, size, size, 3]`.
    ///
    /// # Errors
    /// Those of the device.
    pub fn features(&self, pixels: &[f32], images: usize) -> Result<Vec<f32>, BackboneError> {
        guarded(|| self.features_of(pixels, images))?
    }

    fn features_of(&self, pixels: &[f32], images: usize) -> Result<Vec<f32>, BackboneError> {
        let size = self.preprocessing().size as usize;
        let mut images: Images<D> = self
            .device
            .try_zeros_like(&(images, size, size, 3))
            .map_err(BackboneError::device)?;
        // `copy_from` avoids a copy on the host, which for a large batch takes as long as several images on the GPU.
        images.copy_from(pixels);
        Ok(self.backbone.features(images, self.kind)?.as_vec())
    }
}

/// The layers after the one whose output is stored, up to and including `up_to`.
///
/// # Errors
/// If the store was made with another file or has pooled features, or there is no such layer.
pub fn layers_after(
    spec: &FeatureSpec,
    file: &WeightFile,
    up_to: &str,
) -> Result<LayerRange, ExtractorError> {
    let kind: BackboneKind = spec.backbone.parse()?;
    check_weights(spec, file)?;
    let range = kind.layer_range(file, &spec.layer, up_to)?;
    if range.input.regions() != spec.regions {
        return Err(ExtractorError::NoMap {
            backbone: kind,
            layer: spec.layer.clone(),
            input: range.input,
        });
    }
    Ok(range)
}

/// The layers from the image to the one whose output is stored, before pooling.
///
/// # Errors
/// If the store was made with another file.
pub fn layers_of(spec: &FeatureSpec, file: &WeightFile) -> Result<LayerRange, ExtractorError> {
    let kind: BackboneKind = spec.backbone.parse()?;
    check_weights(spec, file)?;
    Ok(kind.first_layers(file, &spec.layer)?)
}

fn check_weights(spec: &FeatureSpec, file: &WeightFile) -> Result<(), ExtractorError> {
    let found = file.hash();
    if found != spec.weights {
        return Err(ExtractorError::OtherWeights {
            path: file.path().to_owned(),
            found,
            expected: spec.weights.clone(),
        });
    }
    Ok(())
}
