//! `cutline features`: the features of images, as a file for other programs.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
use clap::Args;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::preprocessing::PreprocessingFlags;
use super::progress::Task;
use super::{Context, by_name, choices, image_paths, output};
use crate::nn::Backend;
use crate::nn::device::{Opened, on_device};
use crate::vision::backbones::{BackboneKind, FeatureKind, MapShape};
use crate::vision::features::adaptive_batch::{AdaptiveBatch, halved_message};
use crate::vision::features::extraction::{BatchPlan, ImageFile, for_each_batch};
use crate::vision::features::extractor::FeatureExtractor;
use crate::vision::features::store::StoreError;
use crate::vision::weights::WeightFile;

/// Extract CNN features of images to a .safetensors file
///
/// One tensor per image, named after the image file, of shape [channels], or [rows, columns, channels] with
/// --features grid. No dataset or run is needed.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cutline features *.jpg --backbone vgg16 --weights vgg16.safetensors --out vgg16-fc2.safetensors
  cutline features photos/ --backbone mobilenet_v2 --out photos.safetensors
  cutline features image.jpg --backbone vgg16 --weights vgg16.safetensors --features grid --out grid.safetensors")]
pub(super) struct Features {
    /// The images, directories of images, or `-` for names on standard input
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    /// CNN that extracts the features
    #[arg(long, value_name = "BACKBONE", value_parser = choices::named::<BackboneKind>())]
    backbone: BackboneKind,
    /// Its weights, with the parameter names of Keras, PyTorch or timm: .safetensors, .pth, .h5, .keras or .npz, or a name of
    /// `cutline fetch --list` [default: those that are named as the backbone there]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Layer whose output is written [default: the backbone's usual layer]
    #[arg(long, value_name = "LAYER")]
    layer: Option<String>,
    /// pooled: one vector per image (global average pooling); grid: one vector per region of the feature map
    #[arg(long, value_name = "KIND", value_parser = choices::named::<FeatureKind>(), default_value_t)]
    features: FeatureKind,
    #[command(flatten)]
    preprocessing: PreprocessingFlags,
    /// Output file; it is replaced if it exists
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Features {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        // Check paths before the work, not after it.
        let paths = image_paths::expand(&self.images)?;
        let images = by_file_name(&paths)?;
        output::check(&self.out)?;
        on_device!(context.open_device()?, |device| self
            .extract(&images, device, context))?
    }

    fn extract<D: Backend>(
        &self,
        images: &BTreeMap<String, &Path>,
        device: &Opened<D>,
        context: &Context,
    ) -> anyhow::Result<()> {
        let extractor = self.extractor(&device.device, context)?;
        extractor.notes().iter().for_each(|note| context.notice(note));
        let progress = context.progress(Task::new("extracting features", "images", images.len()));
        let on_batch_halved = |batch_size| context.notice(&halved_message(batch_size));
        let mut adaptive = AdaptiveBatch::new(&on_batch_halved);
        let mut features = BTreeMap::new();
        let files: Vec<ImageFile<'_>> = images.iter().map(|(key, path)| ImageFile { key, path }).collect();
        let indices: Vec<usize> = (0..files.len()).collect();
        let plan = BatchPlan {
            preprocessing: extractor.preprocessing().clone(),
            batches: indices
                .chunks(D::INFERENCE_BATCH.get())
                .map(<[usize]>::to_vec)
                .collect(),
        };
        // The closure never breaks.
        let _ = for_each_batch(&files, &[plan], D::PREFETCHED_BATCHES, |batch| {
            let extract = |pixels: &[f32], images| extractor.features(pixels, images);
            let outputs = adaptive.run(&batch.pixels, batch.images.len(), extract)?;
            let rows = outputs.chunks(outputs.len() / batch.images.len());
            for (&image, row) in batch.images.iter().zip(rows) {
                let key = files[image].key.to_owned();
                if let Some(&value) = row.iter().find(|value| !value.is_finite()) {
                    return Err(StoreError::Unstorable { key, value }.into());
                }
                features.insert(key, row.to_vec());
            }
            progress.advance(batch.images.len() as u64);
            anyhow::Ok(ControlFlow::Continue(()))
        })?;
        progress.finish();
        write(&self.out, &features, self.features, extractor.shape())
    }

    fn extractor<D: Backend>(&self, device: &D, context: &Context) -> anyhow::Result<FeatureExtractor<D>> {
        let weights = by_name::weights(self.weights.as_deref(), self.backbone, context)?;
        let file = WeightFile::open(&weights)?;
        let extractor =
            FeatureExtractor::load(self.backbone, &file, self.layer.as_deref(), self.features, device)?;
        Ok(extractor.with_choice(self.preprocessing.choice())?)
    }
}

/// Tensor names -> images; tensor names are file names, which must be unique.
fn by_file_name(images: &[PathBuf]) -> anyhow::Result<BTreeMap<String, &Path>> {
    let mut named = BTreeMap::new();
    for path in images {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or_else(|| anyhow!("{} has no file name in UTF-8; rename the image", path.display()))?;
        if let Some(other) = named.insert(name.to_owned(), path.as_path()) {
            bail!(
                "{} and {} have the same file name, so their tensors would have the same name; rename one, or write two files",
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
    form: FeatureKind,
    shape: MapShape,
) -> anyhow::Result<()> {
    let MapShape {
        height,
        width,
        channels,
    } = shape;
    let shape = match form {
        FeatureKind::Pooled => vec![channels],
        FeatureKind::Grid => vec![height, width, channels],
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
