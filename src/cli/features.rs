//! `cutline features`: what a backbone makes of photos, as a file for other programs.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
use clap::Args;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::compute::Compute;
use super::progress::Task;
use super::{Context, choices, output};
use crate::nn::Backend;
use crate::nn::device::Opened;
use crate::vision::backbone::{BackboneKind, FeatureForm, MapShape};
use crate::vision::encoder::PhotoEncoder;
use crate::vision::extraction::{Source, each_batch};
use crate::vision::fitting::{self, Fitting};
use crate::vision::preprocess::Extent;
use crate::vision::weights::WeightFile;

/// Write the features of photos to a .safetensors file
///
/// One tensor a photo, named by the photo's file name: a vector of channels, or a grid of rows, columns and
/// channels. No data set and no run are needed.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline features *.jpg --backbone vgg16 --weights vgg16.safetensors --out vgg16-fc2.safetensors
  cutline features photo.jpg --backbone mobilenet_v2 --weights mobilenet_v2.pth --out photo.safetensors
  cutline features photo.jpg --backbone vgg16 --weights vgg16.safetensors --form grid --out grid.safetensors")]
pub(super) struct Features {
    /// The photos
    #[arg(value_name = "PHOTO", required = true)]
    photos: Vec<PathBuf>,
    /// The CNN that looks at them
    #[arg(long, value_name = "BACKBONE", value_parser = choices::backbone())]
    backbone: BackboneKind,
    /// Its weights, as Keras, PyTorch or timm name them: .safetensors, .pth or .h5
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// The layer whose output is written; the backbone's usual one if not given
    #[arg(long, value_name = "LAYER")]
    layer: Option<String>,
    /// One vector a photo, or one for each region of the layer's map
    #[arg(long, value_name = "FORM", value_parser = choices::feature_form(), default_value_t)]
    form: FeatureForm,
    /// How much of a photo the CNN is shown; what it was trained on if not given
    #[arg(long, value_name = "EXTENT", value_parser = choices::extent())]
    show: Option<Extent>,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Features {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        // Before the work, not after it.
        by_file_name(&self.photos)?;
        output::check_place(&self.out)?;
        context.compute(self)
    }
}

impl Compute for Features {
    type Output = ();

    fn compute<D: Backend>(self, on: &Opened<D>, context: &Context) -> anyhow::Result<()> {
        let photos = by_file_name(&self.photos)?;
        let encoder = self.encoder(&on.device)?;
        let progress = context.progress(Task {
            label: "extracting features".into(),
            unit: "photos",
            total: Some(photos.len() as u64),
            done: 0,
        });
        let tell_of_halving = |at_once| context.notice(&fitting::halved_to(at_once));
        let mut fitting = Fitting::new(&tell_of_halving);
        let mut features = BTreeMap::new();
        let sources: Vec<Source<'_>> = photos.iter().map(|(key, path)| Source { key, path }).collect();
        let batches: Vec<&[Source<'_>]> = sources.chunks(D::PHOTOS.get()).collect();
        // It never breaks off.
        let _ = each_batch(
            &batches,
            encoder.preprocessing(),
            D::BATCHES_AHEAD,
            |batch, pixels| {
                let found = fitting.run(pixels, batch.len(), |pixels, photos| {
                    encoder.features(pixels, photos)
                })?;
                let rows = found.chunks(found.len() / batch.len());
                features.extend(
                    batch
                        .iter()
                        .zip(rows)
                        .map(|(photo, row)| (photo.key.to_owned(), row.to_vec())),
                );
                progress.advance(batch.len() as u64);
                anyhow::Ok(ControlFlow::Continue(()))
            },
        )?;
        progress.finish();
        write(&self.out, &features, self.form, encoder.shape())
    }
}

impl Features {
    fn encoder<D: Backend>(&self, device: &D) -> anyhow::Result<PhotoEncoder<D>> {
        let file = WeightFile::open(&self.weights)?;
        let encoder = PhotoEncoder::load(self.backbone, &file, self.layer.as_deref(), self.form, device)?;
        Ok(encoder.shown(self.show))
    }
}

/// The photos by the names of their tensors, which must differ.
fn by_file_name(photos: &[PathBuf]) -> anyhow::Result<BTreeMap<String, &Path>> {
    let mut named = BTreeMap::new();
    for path in photos {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or_else(|| anyhow!("{} has no file name in UTF-8; rename the photo", path.display()))?;
        if let Some(other) = named.insert(name.to_owned(), path.as_path()) {
            bail!(
                "{} and {} have the same file name, which names their tensors; rename one, or write two files",
                other.display(),
                path.display()
            );
        }
    }
    Ok(named)
}

/// `[channels]`, or `[height, width, channels]` for a grid.
fn write(
    out: &Path,
    features: &BTreeMap<String, Vec<f32>>,
    form: FeatureForm,
    shape: MapShape,
) -> anyhow::Result<()> {
    let MapShape {
        height,
        width,
        channels,
    } = shape;
    let shape = match form {
        FeatureForm::Pooled => vec![channels],
        FeatureForm::Grid => vec![height, width, channels],
    };
    let bytes: Vec<(&str, Vec<u8>)> = features
        .iter()
        .map(|(name, values)| {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (name.as_str(), bytes)
        })
        .collect();
    let views = bytes
        .iter()
        .map(|(name, bytes)| Ok((*name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    let file = safetensors::serialize(views, None)?;
    output::write(out, &file)
}
