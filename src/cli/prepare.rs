//! `cutline prepare`: from captioned photos on disk to a data set with vocabulary and features.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Context, not_built};
use crate::runs::Name;

/// Turn captioned photos into a data set: checked, split, tokenised, and looked at by a CNN
///
/// SOURCE is a directory or a captions file; its form is recognised, and `scenes` is the built-in data set.
/// Whatever does not fit together (a caption without a photo, a photo that does not decode, a duplicate, a
/// caption that is empty once cleaned) is listed, never dropped in silence. Features are kept as they are made:
/// an interrupted run goes on where it stopped.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline prepare ~/flickr8k --name flickr8k --backbone vgg16 --weights ~/vgg16.safetensors
  cutline prepare ~/flickr8k --name flickr8k --check
  cutline prepare dataset_coco.json --name coco --format karpathy --images ~/coco
  cutline prepare scenes --name scenes")]
pub(super) struct Prepare {
    /// A directory or captions file, or `scenes`
    #[arg(value_name = "SOURCE")]
    source: PathBuf,
    /// The name of the data set; it is written to `datasets/NAME`
    #[arg(long, value_name = "NAME")]
    name: Name,
    /// Report what was found and what does not fit together, and write nothing
    #[arg(long)]
    check: bool,

    /// The form of the source, where it is not recognised
    #[arg(long, value_enum, help_heading = "Where things are")]
    format: Option<SourceFormat>,
    /// The directory of the photos, where it is not found beside the captions
    #[arg(long, value_name = "DIR", help_heading = "Where things are")]
    images: Option<PathBuf>,
    /// The captions file, where it is not found under SOURCE
    #[arg(long, value_name = "FILE", help_heading = "Where things are")]
    captions: Option<PathBuf>,
    /// Split lists: files of photo names, each telling its split by its own name (train, dev, test)
    #[arg(long, value_name = "FILE", num_args = 1.., help_heading = "Where things are")]
    splits: Vec<PathBuf>,
    /// The seed that draws the splits (80/10/10) where the source brings none
    #[arg(
        long,
        value_name = "SEED",
        default_value_t = 0,
        help_heading = "Where things are"
    )]
    seed: u64,

    /// How often a word must come in the training split to be in the vocabulary
    #[arg(long, value_name = "N", default_value_t = 5, help_heading = "Text")]
    min_count: usize,
    /// Keep upper case
    #[arg(long, help_heading = "Text")]
    keep_case: bool,
    /// Keep punctuation
    #[arg(long, help_heading = "Text")]
    keep_punctuation: bool,
    /// Keep special characters
    #[arg(long, help_heading = "Text")]
    keep_special: bool,
    /// Keep digits
    #[arg(long, help_heading = "Text")]
    keep_digits: bool,

    /// The CNN that looks at the photos (vgg16, mobilenet_v2); without one, no features are made
    #[arg(
        long,
        value_name = "BACKBONE",
        requires = "weights",
        help_heading = "Features"
    )]
    backbone: Option<String>,
    /// Its weights: .safetensors with Keras or torchvision names, or torchvision's .pth
    #[arg(long, value_name = "FILE", requires = "backbone", help_heading = "Features")]
    weights: Option<PathBuf>,
    /// The layer whose output is kept; the backbone's usual one if not given
    #[arg(long, value_name = "LAYER", requires = "backbone", help_heading = "Features")]
    layer: Option<String>,
    /// The form in which features are kept on disk
    #[arg(long, value_enum, default_value_t, help_heading = "Features")]
    precision: Precision,
}

/// The form of a source of captioned photos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SourceFormat {
    /// Flickr8k's or Flickr30k's token file, with split lists
    Flickr,
    /// Kaggle's captions.txt
    Kaggle,
    /// Karpathy's JSON, with its own tokens and splits
    Karpathy,
    /// COCO's captions JSON
    Coco,
    /// A directory with captions.csv or captions.jsonl
    Folder,
    /// The built-in data set
    Scenes,
}

/// How a number of a feature is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Precision {
    /// Half the size, for a loss far below the features' own noise
    F16,
    /// As computed
    #[default]
    F32,
}

impl Prepare {
    pub(super) fn run(self, _context: &Context) -> anyhow::Result<()> {
        Err(not_built("prepare"))
    }
}
