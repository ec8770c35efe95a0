//! From images to features in one step: a backbone with its weights, its preprocessing and a form.

use super::store::{Difference, FeatureDtype, FeatureSpec};
use crate::nn::device::guarded;
use crate::nn::{Backend, Images};
use crate::suggest::{Named, UnknownName};
use crate::vision::augment::View;
use crate::vision::backbones::{Backbone, BackboneError, BackboneKind, Between, FeatureKind, MapShape};
use crate::vision::preprocess::{CropMode, Fit, Preprocessing};
use crate::vision::weights::WeightFile;
use std::path::PathBuf;

/// What makes a decoder's input of an image, where the network is not trained further.
#[derive(Clone, Debug)]
pub struct ImageEncoder<D: Backend> {
    backbone: Backbone<D>,
    preprocessing: Preprocessing,
    form: FeatureKind,
    /// BLAKE3 of the file of weights.
    weights: String,
    device: D,
}

/// Why images cannot be encoded as features were.
#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    /// The file of weights is another than that of the features.
    #[error(
        "weights {path:?}: not the file that the features were made with (BLAKE3 {found}, not {expected}): \
         give that one with --weights"
    )]
    OtherWeights {
        /// The file.
        path: PathBuf,
        /// Its hash.
        found: String,
        /// The hash of the weights that made the features.
        expected: String,
    },
    /// This program does not make such features.
    #[error(
        "{backbone} does not make features like those of the data set (their {field} was {wanted}, is {found}): \
         prepare the data set again with this version, and train again"
    )]
    OtherFeatures {
        /// The network.
        backbone: BackboneKind,
        /// The first field of the specification that differs.
        field: String,
        /// Its value for the data set's features, as JSON.
        wanted: String,
        /// Its value for the features that are made now, as JSON.
        found: String,
    },
    /// Layers are to be trained that are given a map, and the features are no map.
    #[error(
        "the features of {backbone} at {layer} are a vector for each image, and the layers behind it take a map of {input}: prepare them with --features grid"
    )]
    NoMap {
        /// The network.
        backbone: BackboneKind,
        /// The layer whose output is stored.
        layer: String,
        /// What it gives for an image.
        input: MapShape,
    },
    /// The features are of a network that is not known.
    #[error(transparent)]
    UnknownBackbone(#[from] UnknownName),
    /// The network could not be loaded or run.
    #[error(transparent)]
    Backbone(#[from] BackboneError),
}

impl<D: Backend> ImageEncoder<D> {
    /// Reads a network's weights up to `layer`, or up to its usual layer.
    ///
    /// # Errors
    /// Those of [`Backbone::load`].
    pub fn load(
        kind: BackboneKind,
        file: &WeightFile,
        layer: Option<&str>,
        form: FeatureKind,
        device: &D,
    ) -> Result<Self, BackboneError> {
        let backbone = Backbone::load(kind, file, layer, device)?;
        let is_vector = backbone.layer().shape.regions() == 1;
        Ok(Self {
            // A vector is the same in either form, and shall have one name.
            form: if is_vector { FeatureKind::Pooled } else { form },
            weights: file.hash(),
            device: device.clone(),
            preprocessing: backbone.preprocessing().clone(),
            backbone,
        })
    }

    /// The same, of images that are seen in this way.
    pub fn seeing(&self, view: View) -> Self {
        let mut other = self.clone();
        other.preprocessing.view = view;
        other
    }

    /// The same with this crop mode; with `None`, the one that the network was trained with.
    pub fn with_crop_mode(mut self, mode: Option<CropMode>) -> Self {
        if let Some(mode) = mode {
            self.preprocessing = self.preprocessing.with_crop_mode(mode);
        }
        self
    }

    /// Reads what encodes a new image as the images of a feature store were.
    ///
    /// # Errors
    /// [`EncoderError::OtherWeights`] where `file` is not the one that made the store, and those of
    /// [`load`](Self::load).
    pub fn like(spec: &FeatureSpec, file: &WeightFile, device: &D) -> Result<Self, EncoderError> {
        let kind = spec.backbone.parse()?;
        check_weights(spec, file)?;
        let form = match spec.regions {
            1 => FeatureKind::Pooled,
            _ => FeatureKind::Grid,
        };
        let mut encoder = Self::load(kind, file, Some(&spec.layer), form, device)?;
        encoder.preprocessing.fit = spec.preprocessing.fit;
        match spec.first_difference(&encoder.spec(spec.dtype)) {
            None => Ok(encoder),
            Some(Difference { field, values }) => {
                let [wanted, found] = values;
                Err(EncoderError::OtherFeatures {
                    backbone: kind,
                    field,
                    wanted,
                    found,
                })
            }
        }
    }

    /// What a store of its features holds.
    pub fn spec(&self, dtype: FeatureDtype) -> FeatureSpec {
        let layer = self.backbone.layer();
        FeatureSpec {
            backbone: self.backbone.kind().name().to_owned(),
            layer: layer.name.clone(),
            weights: self.weights.clone(),
            preprocessing: self.preprocessing().clone(),
            regions: self.form.regions(layer.shape),
            channels: layer.shape.channels,
            dtype,
        }
    }

    /// `<backbone>-<layer>-<form>`, the name of the directory in which a data set keeps its features. What is shown of
    /// images follows where it is not what the network was trained on, and how they are seen where it is another [`View`].
    pub fn store_name(&self) -> String {
        let (kind, layer) = (self.backbone.kind(), &self.backbone.layer().name);
        let extent = match (self.preprocessing.fit, self.backbone.preprocessing().fit) {
            (fit, usual) if fit == usual => "",
            (Fit::Squash, _) => "-squash",
            (Fit::ShorterSide(_), _) => "-center",
        };
        format!(
            "{kind}-{layer}-{}{extent}{}",
            self.form,
            self.preprocessing.view.suffix()
        )
    }

    /// The extent of one image's feature: 1 x 1 where it is pooled.
    pub fn shape(&self) -> MapShape {
        let shape = self.backbone.layer().shape;
        match self.form {
            FeatureKind::Grid => shape,
            FeatureKind::Pooled => MapShape {
                height: 1,
                width: 1,
                ..shape
            },
        }
    }

    /// How images become its pixels.
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
        // Straight from where they were decoded: a copy of a large batch takes as long as a GPU needs for some images.
        images.copy_from(pixels);
        Ok(self.backbone.features(images, self.form)?.as_vec())
    }
}

/// The layers of the network behind the one whose output a store holds, up to and with `up_to`.
///
/// # Errors
/// Where `file` is not the one that made the store, the store holds no map, or there is no such layer.
pub fn layers_behind(spec: &FeatureSpec, file: &WeightFile, up_to: &str) -> Result<Between, EncoderError> {
    let kind: BackboneKind = spec.backbone.parse()?;
    check_weights(spec, file)?;
    let between = kind.layers_between(file, &spec.layer, up_to)?;
    match between.input.regions() == spec.regions {
        true => Ok(between),
        false => Err(EncoderError::NoMap {
            backbone: kind,
            layer: spec.layer.clone(),
            input: between.input,
        }),
    }
}

fn check_weights(spec: &FeatureSpec, file: &WeightFile) -> Result<(), EncoderError> {
    let found = file.hash();
    match found == spec.weights {
        true => Ok(()),
        false => Err(EncoderError::OtherWeights {
            path: file.path().to_owned(),
            found,
            expected: spec.weights.clone(),
        }),
    }
}
