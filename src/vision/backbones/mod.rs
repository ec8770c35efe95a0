//! CNN encoders: published networks with their weights, and networks that are trained with the decoder.
//!
//! A published network is one file with its paper, its preprocessing and its layers as an `Architecture`. Loading and
//! running are the same for all. To add a network, write its architecture and add a row to [`BackboneKind`].

mod architecture;
mod efficientnet_lite;
mod error;
mod feature_kind;
mod file_contents;
pub mod fine_tuned_layers;
mod fit;
mod inverted_residual;
mod load;
mod mobilenet_v2;
pub mod small_cnn;
mod untrained;
mod vgg16;
mod xception;

pub use error::BackboneError;
pub use feature_kind::FeatureKind;

use crate::nn::{Backend, ConvLayer, Images, Regions};
use crate::suggest::{Named, UnknownName, unknown_name};
use crate::vision::preprocess::Preprocessing;
use crate::vision::weights::WeightFile;
use architecture::Architecture;
use dfdx::prelude::HasShape;
use fit::{Fit, Published, WeightSource};
use load::ChosenLayers;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The published networks, in the order in which help texts list them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[derive(strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "snake_case", parse_err_ty = UnknownName, parse_err_fn = unknown_name::<Self>)]
pub enum BackboneKind {
    /// Simonyan & Zisserman 2014, configuration D.
    Vgg16,
    /// Chollet 2017.
    Xception,
    /// Sandler et al. 2018, width 1.0.
    #[serde(rename = "mobilenet_v2")]
    #[strum(to_string = "mobilenet_v2")]
    MobileNetV2,
    /// Tan & Le 2019 without squeeze and excitation, 224 pixels.
    #[serde(rename = "efficientnet_lite0")]
    #[strum(to_string = "efficientnet_lite0")]
    EfficientNetLite0,
    /// Deeper than Lite0, 240 pixels.
    #[serde(rename = "efficientnet_lite1")]
    #[strum(to_string = "efficientnet_lite1")]
    EfficientNetLite1,
    /// Wider and deeper than Lite0, 260 pixels.
    #[serde(rename = "efficientnet_lite2")]
    #[strum(to_string = "efficientnet_lite2")]
    EfficientNetLite2,
}

impl Named for BackboneKind {
    const KIND: &'static str = "backbone";
}

impl BackboneKind {
    /// The layers whose outputs can be chosen as features, from the first to the last.
    pub fn layers(self) -> Vec<LayerInfo> {
        let architecture = self.architecture(self.sources()[0].source);
        architecture
            .shapes()
            .zip(&architecture.stages)
            .map(|(shape, stage)| LayerInfo {
                name: stage.name.clone(),
                shape,
            })
            .collect()
    }

    /// The layers after `after`, up to and including `up_to`, with their weights.
    ///
    /// # Errors
    /// [`BackboneError`] names a layer that the network does not have or that is not after the other one, and a
    /// tensor that is missing or misshapen.
    pub fn layer_range(
        self,
        file: &WeightFile,
        after: &str,
        up_to: &str,
    ) -> Result<LayerRange, BackboneError> {
        let fit = Fit::of(self, file)?;
        let architecture = &fit.architecture;
        let first = load::known_layer(self, architecture, after, 0..)? + 1;
        let last = load::known_layer(self, architecture, up_to, first..)?;
        let shapes: Vec<MapShape> = architecture.shapes().collect();
        if last < first {
            return Err(BackboneError::NotAfter {
                backbone: self,
                layer: up_to.to_owned(),
                after: after.to_owned(),
                later: architecture.names(first..),
            });
        }
        Ok(LayerRange {
            input: shapes[first - 1],
            output: shapes[last],
            layers: load::layers(architecture, first..last + 1, &fit.tensors, fit.naming())
                .map_err(|error| BackboneError::of_file(error, self, file))?,
        })
    }

    fn architecture(self, source: WeightSource) -> Architecture {
        match self {
            Self::Vgg16 => vgg16::architecture(source),
            Self::Xception => xception::architecture(source),
            Self::MobileNetV2 => mobilenet_v2::architecture(source),
            Self::EfficientNetLite0 => efficientnet_lite::architecture(source, efficientnet_lite::LITE0),
            Self::EfficientNetLite1 => efficientnet_lite::architecture(source, efficientnet_lite::LITE1),
            Self::EfficientNetLite2 => efficientnet_lite::architecture(source, efficientnet_lite::LITE2),
        }
    }

    /// The supported sources, the most common one first.
    fn sources(self) -> &'static [Published] {
        match self {
            Self::Vgg16 => vgg16::SOURCES,
            Self::Xception => xception::SOURCES,
            Self::MobileNetV2 => mobilenet_v2::SOURCES,
            Self::EfficientNetLite0 | Self::EfficientNetLite1 | Self::EfficientNetLite2 => {
                efficientnet_lite::SOURCES
            }
        }
    }
}

/// Maps that a file asks for have at most this many numbers, 1 GiB of them.
const MAX_MAP_LEN: usize = 1 << 28;

/// The shape of a feature map; a vector is a map of 1 x 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are clear")]
pub struct MapShape {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

impl MapShape {
    /// A map of this size.
    pub const fn new(height: usize, width: usize, channels: usize) -> Self {
        Self {
            height,
            width,
            channels,
        }
    }

    /// The number of regions: rows times columns.
    pub fn regions(self) -> usize {
        self.height * self.width
    }

    /// The numbers of a map that a file asks for; `None` for an empty one, or one larger than any machine's memory.
    pub(crate) fn checked_len(self) -> Option<usize> {
        let len = self.height.checked_mul(self.width)?.checked_mul(self.channels)?;
        (1..=MAX_MAP_LEN).contains(&len).then_some(len)
    }
}

/// `7x7x512`, or `4096` for a vector.
impl fmt::Display for MapShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.regions() > 1 {
            write!(f, "{}x{}x", self.height, self.width)?;
        }
        write!(f, "{}", self.channels)
    }
}

/// A layer whose output can be the features.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerInfo {
    /// Its name, e.g. `block5_pool`.
    pub name: String,
    /// The shape of its output for one image.
    pub shape: MapShape,
}

/// Consecutive layers of a network with their weights.
#[derive(Clone, Debug)]
pub struct LayerRange {
    /// The input shape of the first layer, for one image.
    pub input: MapShape,
    /// The output shape of the last layer.
    pub output: MapShape,
    /// The layers in order.
    pub layers: Vec<ConvLayer>,
}

fn notes(fit: &Fit<'_>, stages: usize, trained: Option<&str>) -> impl Iterator<Item = String> {
    let path = fit.tensors.file().path().display();
    let trained =
        trained.map(|weights| format!("these are the weights of {weights}: preprocessing as for those"));
    let untrained = untrained::warning(&fit.architecture, stages, &fit.tensors);
    let untrained = untrained.map(|warning| format!("warning: {path}: {warning}"));
    let notes = [fit.choice(), fit.unused(), trained];
    let notes = notes.into_iter().flatten();
    notes.map(move |note| format!("{path}: {note}")).chain(untrained)
}

/// A CNN encoder with its weights, up to the layer whose output is the features. Clones share the weights.
#[derive(Clone, Debug)]
pub struct Backbone<D: Backend> {
    kind: BackboneKind,
    preprocessing: Preprocessing,
    input: MapShape,
    layer: LayerInfo,
    multiply_adds: u64,
    notes: Vec<String>,
    network: D::ConvNet,
}

impl<D: Backend> Backbone<D> {
    /// Reads the weights up to `layer`, or up to the default layer that the file has weights for.
    ///
    /// # Errors
    /// [`BackboneError`] names a layer that the network or the file does not have, or a tensor that is missing or misshapen.
    pub fn load(
        kind: BackboneKind,
        file: &WeightFile,
        layer: Option<&str>,
        device: &D,
    ) -> Result<Self, BackboneError> {
        let fit = Fit::of(kind, file)?;
        let architecture = &fit.architecture;
        let of_file = |error| BackboneError::of_file(error, kind, file);
        let ChosenLayers {
            stage,
            layers,
            skipped,
        } = load::chosen_layers(kind, &fit, layer)?;
        let skipped = skipped.map(|error| format!("{error} (took {})", architecture.stages[stage].name));
        let (preprocessing, trained) = fit.preprocessing().map_err(of_file)?;
        let network = device.inference_conv_net(layers).map_err(BackboneError::device)?;
        Ok(Self {
            kind,
            input: architecture.input(),
            layer: LayerInfo {
                name: architecture.stages[stage].name.clone(),
                shape: architecture.shapes().nth(stage).unwrap_or(architecture.input()),
            },
            multiply_adds: architecture.multiply_adds(stage + 1),
            preprocessing,
            notes: notes(&fit, stage + 1, trained).chain(skipped).collect(),
            network,
        })
    }

    /// The kind of network.
    pub fn kind(&self) -> BackboneKind {
        self.kind
    }

    /// The preprocessing of images, which depends on the source of the weights.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// What a user may not expect of the file: which of its tensors and layers were taken, and other preprocessing than its
    /// source's.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The layer whose output is the features.
    pub fn layer(&self) -> &LayerInfo {
        &self.layer
    }

    /// The multiply-adds of the convolutions for one image; each is two floating-point operations.
    pub fn multiply_adds(&self) -> u64 {
        self.multiply_adds
    }

    /// The output map for images `[images, size, size, 3]`; a vector is a map of 1 x 1.
    ///
    /// # Errors
    /// [`BackboneError::ImageSize`], and those of the device.
    pub fn forward(&self, images: Images<D>) -> Result<Images<D>, BackboneError> {
        let (_, height, width, channels) = *images.shape();
        let found = MapShape::new(height, width, channels);
        if found != self.input {
            return Err(BackboneError::ImageSize {
                backbone: self.kind,
                expected: self.input,
                found,
            });
        }
        D::run_conv_net(&self.network, images).map_err(BackboneError::device)
    }

    /// The features `[images, regions, channels]`.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn features(&self, images: Images<D>, form: FeatureKind) -> Result<Regions<D>, BackboneError> {
        form.apply(self.forward(images)?).map_err(BackboneError::device)
    }
}

#[cfg(test)]
mod tests;
