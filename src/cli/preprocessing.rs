//! Flags of the preprocessing of images.

use super::choices;
use crate::vision::preprocess::{CropMode, Interpolation, PreprocessingChoice, PreprocessingKind};
use clap::Args;

#[derive(Args, Clone, Copy, Debug)]
pub(super) struct PreprocessingFlags {
    /// Preprocess images as for other weights of the CNN: torchvision, torchvision_v2, timm, keras, caffe (BGR minus the
    /// mean color), caffe_rgb, efficientnet_pytorch or openai. The CNN's other weights lacking it, only the values of the
    /// pixels change: also symmetric (-1 to 1) or efficientnet_lite [default: by the weights]
    #[arg(long, value_name = "NAME", value_parser = choices::named::<PreprocessingKind>(), requires = "backbone")]
    preprocessing: Option<PreprocessingKind>,
    /// squash: resize the whole image, ignoring its aspect ratio; center: take the center crop [default: as the CNN was
    /// trained]
    #[arg(long, value_name = "MODE", value_parser = choices::named::<CropMode>(), requires = "backbone")]
    crop_mode: Option<CropMode>,
    /// Interpolation of resizing, as Pillow's [default: as the CNN was trained]
    #[arg(long, value_name = "KIND", value_parser = choices::named::<Interpolation>(), requires = "backbone")]
    interpolation: Option<Interpolation>,
}

impl PreprocessingFlags {
    pub(super) fn choice(self) -> PreprocessingChoice {
        PreprocessingChoice {
            kind: self.preprocessing,
            crop_mode: self.crop_mode,
            interpolation: self.interpolation,
        }
    }
}
