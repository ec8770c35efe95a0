//! CNN encoders: published networks with their weights, and networks that are trained with the decoder.
//!
//! A published network is one file with its paper, its preprocessing and its layers as an `Architecture`. Loading and
//! running are the same for all. To add a network, write its architecture and add a row to [`BackboneKind`].

mod architecture;
mod clip_resnet;
mod convnext;
mod densenet;
mod efficientnet;
mod efficientnet_lite;
mod error;
mod feature_kind;
mod file_contents;
pub mod fine_tuned_layers;
mod fit;
mod inception_v3;
mod inverted_residual;
mod load;
mod mobilenet_v2;
mod mobilenet_v3;
mod network_tensors;
mod resnet;
pub mod small_cnn;
mod untrained;
mod vgg;
mod xception;

pub use error::BackboneError;
pub use feature_kind::FeatureKind;
pub use network_tensors::NetworkTensor;

use crate::nn::{Backend, ConvLayer, Images, Regions};
use crate::suggest::{Named, UnknownName, unknown_name};
use crate::vision::preprocess::{Preprocessing, PreprocessingKind};
use crate::vision::weights::WeightFile;
use architecture::{Architecture, Recipe};
use dfdx::prelude::HasShape;
use fit::{Fit, Published, WeightSource};
use load::ChosenLayers;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

/// The published networks, in the order in which help texts list them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[derive(strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "snake_case", parse_err_ty = UnknownName, parse_err_fn = unknown_name::<Self>)]
pub enum BackboneKind {
    /// Simonyan & Zisserman 2014, configuration D.
    Vgg16,
    /// Configuration D with batch normalization.
    Vgg16Bn,
    /// Configuration E.
    Vgg19,
    /// He et al. 2015, 50 layers.
    #[serde(rename = "resnet50")]
    #[strum(to_string = "resnet50")]
    ResNet50,
    /// 101 layers.
    #[serde(rename = "resnet101")]
    #[strum(to_string = "resnet101")]
    ResNet101,
    /// 152 layers.
    #[serde(rename = "resnet152")]
    #[strum(to_string = "resnet152")]
    ResNet152,
    /// Huang et al. 2016, 121 layers.
    #[serde(rename = "densenet121")]
    #[strum(to_string = "densenet121")]
    DenseNet121,
    /// 201 layers.
    #[serde(rename = "densenet201")]
    #[strum(to_string = "densenet201")]
    DenseNet201,
    /// Szegedy et al. 2015.
    #[serde(rename = "inception_v3")]
    #[strum(to_string = "inception_v3")]
    InceptionV3,
    /// Chollet 2017.
    Xception,
    /// Sandler et al. 2018, width 1.0.
    #[serde(rename = "mobilenet_v2")]
    #[strum(to_string = "mobilenet_v2")]
    MobileNetV2,
    /// Howard et al. 2019, large.
    #[serde(rename = "mobilenet_v3_large")]
    #[strum(to_string = "mobilenet_v3_large")]
    MobileNetV3Large,
    /// Tan & Le 2019, 224 pixels.
    #[serde(rename = "efficientnet_b0")]
    #[strum(to_string = "efficientnet_b0")]
    EfficientNetB0,
    /// Wider, deeper and for larger images than B0.
    #[serde(rename = "efficientnet_b1")]
    #[strum(to_string = "efficientnet_b1")]
    EfficientNetB1,
    /// Wider, deeper and for larger images than B1.
    #[serde(rename = "efficientnet_b2")]
    #[strum(to_string = "efficientnet_b2")]
    EfficientNetB2,
    /// Wider, deeper and for larger images than B2.
    #[serde(rename = "efficientnet_b3")]
    #[strum(to_string = "efficientnet_b3")]
    EfficientNetB3,
    /// The same with TensorFlow's padding, as timm's `tf_efficientnet_b0`.
    #[serde(rename = "tf_efficientnet_b0")]
    #[strum(to_string = "tf_efficientnet_b0")]
    TfEfficientNetB0,
    /// Wider, deeper and for larger images than B0.
    #[serde(rename = "tf_efficientnet_b1")]
    #[strum(to_string = "tf_efficientnet_b1")]
    TfEfficientNetB1,
    /// Wider, deeper and for larger images than B1.
    #[serde(rename = "tf_efficientnet_b2")]
    #[strum(to_string = "tf_efficientnet_b2")]
    TfEfficientNetB2,
    /// Wider, deeper and for larger images than B2.
    #[serde(rename = "tf_efficientnet_b3")]
    #[strum(to_string = "tf_efficientnet_b3")]
    TfEfficientNetB3,
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
    /// Liu et al. 2022.
    #[serde(rename = "convnext_tiny")]
    #[strum(to_string = "convnext_tiny")]
    ConvNextTiny,
    /// Radford et al. 2021, the image encoder of 50 layers.
    #[serde(rename = "clip_resnet50")]
    #[strum(to_string = "clip_resnet50")]
    ClipResNet50,
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
        if last < first {
            return Err(BackboneError::NotAfter {
                backbone: self,
                layer: up_to.to_owned(),
                after: after.to_owned(),
                later: architecture.names(first..),
            });
        }
        self.stages(&fit, first..last + 1)
    }

    /// All layers up to and including `layer`, with their weights.
    ///
    /// # Errors
    /// Those of [`layer_range`](Self::layer_range).
    pub fn first_layers(self, file: &WeightFile, layer: &str) -> Result<LayerRange, BackboneError> {
        let fit = Fit::of(self, file)?;
        let last = load::known_layer(self, &fit.architecture, layer, 0..)?;
        self.stages(&fit, 0..last + 1)
    }

    fn stages(self, fit: &Fit<'_>, stages: Range<usize>) -> Result<LayerRange, BackboneError> {
        let architecture = &fit.architecture;
        let shapes: Vec<MapShape> = std::iter::once(architecture.input())
            .chain(architecture.shapes())
            .collect();
        Ok(LayerRange {
            input: shapes[stages.start],
            output: shapes[stages.end],
            layers: load::layers(architecture, stages, &fit.tensors, fit.naming())
                .map_err(|error| BackboneError::of_file(error, self, fit.tensors.file()))?,
        })
    }

    /// The chosen preprocessing, for images of the same size as the `present` one: that of this source of the network's
    /// weights, or else the same resizing with other values of pixels.
    ///
    /// # Errors
    /// [`BackboneError::NoSuchPreprocessing`] lists the sources.
    pub fn preprocessing(
        self,
        kind: PreprocessingKind,
        present: &Preprocessing,
    ) -> Result<Preprocessing, BackboneError> {
        let architectures = self
            .sources()
            .iter()
            .map(|published| self.architecture(published.source));
        let recipes: Vec<Recipe> = architectures
            .flat_map(|architecture| architecture.recipes)
            .collect();
        if let Some(recipe) = recipes.iter().find(|recipe| recipe.kind == kind) {
            return Ok(recipe.preprocessing.clone().for_size(present.size));
        }
        present
            .with_values_of(kind)
            .ok_or_else(|| BackboneError::NoSuchPreprocessing {
                backbone: self,
                kind,
                known: BTreeSet::from_iter(recipes.iter().map(|recipe| recipe.kind.into())),
            })
    }

    fn architecture(self, source: WeightSource) -> Architecture {
        let of_b = |variant: usize| efficientnet::architecture(source, &efficientnet::VARIANTS[variant]);
        let of_lite = |variant| efficientnet_lite::architecture(source, efficientnet_lite::VARIANTS[variant]);
        match self {
            Self::Vgg16 => vgg::architecture(source, &vgg::VGG16),
            Self::Vgg16Bn => vgg::architecture(source, &vgg::VGG16_BN),
            Self::Vgg19 => vgg::architecture(source, &vgg::VGG19),
            Self::ResNet50 => resnet::architecture(source, &resnet::RESNET50),
            Self::ResNet101 => resnet::architecture(source, &resnet::RESNET101),
            Self::ResNet152 => resnet::architecture(source, &resnet::RESNET152),
            Self::DenseNet121 => densenet::architecture(source, densenet::DENSENET121),
            Self::DenseNet201 => densenet::architecture(source, densenet::DENSENET201),
            Self::InceptionV3 => inception_v3::architecture(source),
            Self::Xception => xception::architecture(source),
            Self::MobileNetV2 => mobilenet_v2::architecture(source),
            Self::MobileNetV3Large => mobilenet_v3::architecture(source),
            Self::EfficientNetB0 | Self::TfEfficientNetB0 => of_b(0),
            Self::EfficientNetB1 | Self::TfEfficientNetB1 => of_b(1),
            Self::EfficientNetB2 | Self::TfEfficientNetB2 => of_b(2),
            Self::EfficientNetB3 | Self::TfEfficientNetB3 => of_b(3),
            Self::EfficientNetLite0 => of_lite(0),
            Self::EfficientNetLite1 => of_lite(1),
            Self::EfficientNetLite2 => of_lite(2),
            Self::ConvNextTiny => convnext::architecture(source),
            Self::ClipResNet50 => clip_resnet::architecture(source),
        }
    }

    /// The supported sources, the most common one first.
    fn sources(self) -> &'static [Published] {
        match self {
            Self::Vgg16 => vgg::SOURCES_OF_16,
            Self::Vgg16Bn => vgg::SOURCES_OF_BN,
            Self::Vgg19 => vgg::SOURCES,
            Self::ResNet50 | Self::ResNet101 | Self::ResNet152 => resnet::SOURCES,
            Self::DenseNet121 | Self::DenseNet201 => densenet::SOURCES,
            Self::InceptionV3 => inception_v3::SOURCES,
            Self::Xception => xception::SOURCES,
            Self::MobileNetV2 => mobilenet_v2::SOURCES,
            Self::MobileNetV3Large => mobilenet_v3::SOURCES,
            Self::EfficientNetB0 | Self::EfficientNetB1 | Self::EfficientNetB2 | Self::EfficientNetB3 => {
                efficientnet::SOURCES
            }
            Self::TfEfficientNetB0
            | Self::TfEfficientNetB1
            | Self::TfEfficientNetB2
            | Self::TfEfficientNetB3 => efficientnet::TF_SOURCES,
            Self::EfficientNetLite0 | Self::EfficientNetLite1 | Self::EfficientNetLite2 => {
                efficientnet_lite::SOURCES
            }
            Self::ConvNextTiny => convnext::SOURCES,
            Self::ClipResNet50 => clip_resnet::SOURCES,
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

fn notes(fit: &Fit<'_>, stages: usize, recipe: &Recipe) -> impl Iterator<Item = String> {
    let path = fit.tensors.file().path().display();
    let usual = &fit.architecture.recipes[0];
    let other = (recipe != usual).then(|| {
        let (kind, usual) = (recipe.kind, usual.kind);
        format!("preprocessing as for weights of {kind}; --preprocessing {usual} changes it")
    });
    let untrained = untrained::warning(&fit.architecture, stages, &fit.tensors);
    let untrained = untrained.map(|warning| format!("warning: {path}: {warning}"));
    let notes = [fit.choice(), fit.unused(), other];
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
        let recipe = fit.recipe().map_err(of_file)?;
        let network = device.inference_conv_net(layers).map_err(BackboneError::device)?;
        Ok(Self {
            kind,
            input: architecture.input(),
            layer: LayerInfo {
                name: architecture.stages[stage].name.clone(),
                shape: architecture.shapes().nth(stage).unwrap_or(architecture.input()),
            },
            multiply_adds: architecture.multiply_adds(stage + 1),
            preprocessing: recipe.preprocessing.clone(),
            notes: notes(&fit, stage + 1, recipe).chain(skipped).collect(),
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
mod generated;
#[cfg(test)]
mod tests;
