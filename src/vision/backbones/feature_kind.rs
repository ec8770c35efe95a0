//! Features of a feature map: one pooled vector, or the grid of regions.

use super::MapShape;
use crate::nn::{Backend, Images, Regions, global_avg_pool};
use crate::suggest::{Named, UnknownName, unknown_name};
use dfdx::prelude::{HasErr, HasShape, ReshapeTo};
use serde::{Deserialize, Serialize};

/// The kind of features of a feature map. A map of 1 x 1 has one region in both kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumString, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "lowercase", parse_err_ty = UnknownName, parse_err_fn = unknown_name::<Self>)]
pub enum FeatureKind {
    /// The mean over all regions (timm `global_pool="avg"`).
    #[default]
    Pooled,
    /// Every region, row after row, for attention decoders.
    Grid,
}

impl Named for FeatureKind {
    const KIND: &'static str = "kind of features";
}

impl FeatureKind {
    /// Regions in the feature of one image.
    pub fn regions(self, shape: MapShape) -> usize {
        match self {
            Self::Pooled => 1,
            Self::Grid => shape.regions(),
        }
    }

    /// `[images, height, width, channels]` -> `[images, regions, channels]`.
    ///
    /// # Errors
    /// Those of the device.
    pub fn apply<D: Backend>(self, map: Images<D>) -> Result<Regions<D>, <D as HasErr>::Err> {
        let (images, height, width, channels) = *map.shape();
        match self {
            Self::Pooled => global_avg_pool(map)?.try_reshape_like(&(images, 1, channels)),
            Self::Grid => map.try_reshape_like(&(images, height * width, channels)),
        }
    }
}
