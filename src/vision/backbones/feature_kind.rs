//! What a decoder is given of a feature map: one pooled vector, or the grid of regions.

use super::{MapShape, UnknownName};
use crate::nn::{Backend, Images, Regions, global_mean};
use dfdx::prelude::{HasErr, HasShape, ReshapeTo};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a decoder is given of a feature map. Vectors have one region in either form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureForm {
    /// The mean over all regions.
    #[default]
    Pooled,
    /// Every region, row after row: what attention looks at.
    Grid,
}

impl FeatureForm {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Pooled, Self::Grid];

    /// The name by which commands and settings call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pooled => "pooled",
            Self::Grid => "grid",
        }
    }

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
            Self::Pooled => global_mean(map)?.try_reshape_like(&(images, 1, channels)),
            Self::Grid => map.try_reshape_like(&(images, height * width, channels)),
        }
    }
}

impl fmt::Display for FeatureForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FeatureForm {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .into_iter()
            .find(|form| form.name() == name)
            .ok_or_else(|| UnknownName::new("form of features", name, Self::ALL.map(Self::name)))
    }
}
