//! Features of published networks, if their weights are available: `CUTLINE_WEIGHTS` is a directory with them and
//! `reference.safetensors` (features of three images by independent implementations), `CUTLINE_FLICKR8K` one with
//! `images/`. Without the latter the images are noise.

use super::found::{Check, Failure, Found, OrFail, numbers};
use cutline::nn::{Backend, Images};
use cutline::suggest::Named;
use cutline::vision::backbones::{Backbone, BackboneKind, FeatureKind};
use cutline::vision::image_io;
use cutline::vision::weights::WeightFile;
use std::path::{Path, PathBuf};

/// The images of the reference.
const IMAGES: [&str; 3] = [
    "2090545563_a4e66ec76b.jpg",
    "3393035454_2d2370ffd4.jpg",
    "3695064885_a6922f06b2.jpg",
];

/// The published files.
pub(crate) const PUBLISHED: [(BackboneKind, &str); 4] = [
    (
        BackboneKind::Vgg16,
        "vgg16_imagenet_notop_keras_hwio.kernels_f16.safetensors",
    ),
    (
        BackboneKind::Xception,
        "xception_imagenet_notop_keras_hwio.kernels_f16.safetensors",
    ),
    (BackboneKind::MobileNetV2, "mobilenet_v2-b0353104.pth"),
    (
        BackboneKind::EfficientNetLite0,
        "efficientnet_lite0_imagenet_torch_oihw.safetensors",
    ),
];

/// The lowest cosine between features of independent implementations and ours.
const LEAST_COSINE: f64 = 0.9999;

pub(crate) fn checks<D: Backend>() -> Vec<Check<D>> {
    let at_hand: Vec<_> = PUBLISHED
        .into_iter()
        .filter_map(|(kind, _)| Some((kind, file_of(kind)?)))
        .collect();
    if at_hand.is_empty() {
        println!("     published networks: left out, as CUTLINE_WEIGHTS names no folder that has them");
    }
    at_hand
        .into_iter()
        .map(|(kind, file)| Check::new(kind.name(), 1e-3, move |device| features(device, kind, &file)))
        .collect()
}

/// The file of a network's published weights.
pub(crate) fn file_of(kind: BackboneKind) -> Option<PathBuf> {
    let (_, file) = PUBLISHED.into_iter().find(|(published, _)| *published == kind)?;
    Some(folder("CUTLINE_WEIGHTS")?.join(file)).filter(|path| path.exists())
}

/// The directory of Flickr8k's images.
pub(crate) fn images() -> Option<PathBuf> {
    Some(folder("CUTLINE_FLICKR8K")?.join("images")).filter(|path| path.exists())
}

fn folder(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}

/// A network up to its last map.
pub(crate) fn backbone<D: Backend>(
    device: &D,
    kind: BackboneKind,
    file: &Path,
) -> Result<Backbone<D>, Failure> {
    let layers = kind.layers();
    let last = layers.iter().rfind(|layer| layer.shape.regions() > 1);
    let last = last.map(|layer| layer.name.as_str());
    Ok(Backbone::load(kind, &WeightFile::open(file)?, last, device)?)
}

fn features<D: Backend>(device: &D, kind: BackboneKind, file: &Path) -> Result<Found, Failure> {
    let backbone = backbone(device, kind, file)?;
    let len = backbone.preprocessing().pixels_len();
    let pixels = match images() {
        None => numbers("images", IMAGES.len() * len),
        Some(folder) => {
            let mut pixels = vec![0.0; IMAGES.len() * len];
            for (image, pixels) in IMAGES.iter().zip(pixels.chunks_mut(len)) {
                let image = image_io::decode(folder.join(image))?;
                backbone.preprocessing().write_pixels(&image, pixels);
            }
            pixels
        }
    };
    let size = backbone.preprocessing().size as usize;
    let shape = (IMAGES.len(), size, size, 3);
    let pixels: Images<D> = device.try_tensor_from_vec(pixels, shape).or_fail()?;
    let features = backbone.features(pixels, FeatureKind::Pooled)?.as_vec();
    if images().is_some() {
        hold_to_references(kind, &features)?;
    }
    Ok(vec![("features".into(), features)])
}

/// An error if the features differ from those of an independent implementation.
fn hold_to_references(kind: BackboneKind, features: &[f32]) -> Result<(), Failure> {
    let Some(references) = folder("CUTLINE_WEIGHTS").map(|folder| folder.join("reference.safetensors"))
    else {
        return Ok(());
    };
    if !references.exists() {
        return Ok(());
    }
    let references = WeightFile::open(references)?;
    let channels = features.len() / IMAGES.len();
    for (image, features) in IMAGES.iter().zip(features.chunks(channels)) {
        let name = format!("{}/{image}/mean", kind.name());
        if !references.contains(&name) {
            continue;
        }
        let cosine = cosine(features, &references.get(&name, &[channels])?);
        if cosine < LEAST_COSINE {
            return Err(format!("{name}: the cosine to it is {cosine:.5}").into());
        }
    }
    Ok(())
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
        products.sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
