//! What is measured: a backbone up to its last map, and images for it.

use super::random_weights;
use crate::support::Failure;
use cutline::suggest::Named;
use cutline::vision::backbones::{Backbone, BackboneKind};
use cutline::vision::weights::WeightFile;
use dfdx::prelude::{Cpu, TensorFromVec};
use std::hint::black_box;
use std::path::PathBuf;

/// Images that go through a network at once.
pub(crate) const BATCH: usize = 8;

/// The published files that `CUTLINE_WEIGHTS` may hold.
const PUBLISHED: [(&str, &str); 4] = [
    ("vgg16", "vgg16_imagenet_notop_keras_hwio.kernels_f16.safetensors"),
    ("mobilenet_v2", "mobilenet_v2-b0353104.pth"),
    (
        "xception",
        "xception_imagenet_notop_keras_hwio.kernels_f16.safetensors",
    ),
    (
        "efficientnet_lite0",
        "efficientnet_lite0_imagenet_torch_oihw.safetensors",
    ),
];

/// A backbone with weights.
pub(crate) struct Network {
    pub(crate) backbone: Backbone<Cpu>,
    /// Where the weights are from.
    pub(crate) weights: &'static str,
    pixels: Vec<f32>,
}

impl Network {
    pub(crate) fn load(kind: BackboneKind) -> Result<Self, Failure> {
        let layer = layer(kind)?;
        let (path, weights) = match published(kind) {
            Some(path) => (path, "published"),
            None => (random_weights(kind, &layer)?, "random"),
        };
        let backbone = Backbone::load(kind, &WeightFile::open(path)?, Some(&layer), &Cpu::default())?;
        let numbers = BATCH * backbone.preprocessing().pixels_len();
        Ok(Self {
            pixels: (0..numbers).map(|i| (i % 255) as f32 / 127.5 - 1.0).collect(),
            backbone,
            weights,
        })
    }

    /// Runs a batch of images through it.
    pub(crate) fn forward(&self) -> Result<(), Failure> {
        let size = self.size();
        let images = Cpu::default().tensor_from_vec(self.pixels.clone(), (BATCH, size, size, 3));
        black_box(self.backbone.forward(images)?);
        Ok(())
    }

    /// Height and width of an image.
    pub(crate) fn size(&self) -> usize {
        self.backbone.preprocessing().size as usize
    }
}

/// The last layer that gives a map: what lies behind it tells classes apart, and few captions are made of that.
pub(crate) fn layer(kind: BackboneKind) -> Result<String, Failure> {
    let layers = kind.layers();
    let last = layers.into_iter().rfind(|layer| layer.shape.regions() > 1);
    Ok(last.ok_or_else(|| format!("{kind} has no map"))?.name)
}

fn published(kind: BackboneKind) -> Option<PathBuf> {
    let folder = std::env::var_os("CUTLINE_WEIGHTS")?;
    let (_, file) = PUBLISHED.into_iter().find(|(name, _)| *name == kind.name())?;
    Some(PathBuf::from(folder).join(file)).filter(|path| path.exists())
}
