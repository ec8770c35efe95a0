//! Every network under every publisher's names, in every form of file, against the publishers' own code on real images.
//!
//! Needs `CUTLINE_ENCODERS`, the folder that `tests/data/make_encoder_reference.py all` writes, with a folder
//! `NETWORK@SOURCE` of weights for each case. Skipped if it is unset. `src/vision/backbones/generated.rs` compares some of the
//! same networks without any files.

#![allow(clippy::unwrap_used, reason = "a test")]

use cutline::nn::Images;
use cutline::vision::backbones::{Backbone, BackboneKind};
use cutline::vision::image_io;
use cutline::vision::preprocess::Preprocessing;
use cutline::vision::weights::WeightFile;
use dfdx::prelude::{Cpu, TensorFromVec};
use std::fs;
use std::path::{Path, PathBuf};

const LEAST_COSINE: f64 = 0.99999;

#[test]
fn networks_match_their_publishers() {
    let Some(folder) = std::env::var_os("CUTLINE_ENCODERS").map(PathBuf::from) else {
        eprintln!("skipped: set CUTLINE_ENCODERS to compare networks with their publishers");
        return;
    };
    let images = files_in(&folder.join("images"));
    let mut cases: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.retain(|case| case.to_string_lossy().contains('@'));
    cases.sort();
    assert!(!cases.is_empty() && !images.is_empty(), "{folder:?} has no cases");
    eprintln!(
        "network               source           form                             pixels    map        difference logits     top 5"
    );
    let wrong: usize = cases.iter().map(|case| check(case, &images)).sum();
    assert_eq!(wrong, 0, "networks that differ");
}

/// The number of files that differ.
fn check(case: &Path, images: &[PathBuf]) -> usize {
    let name = case.file_name().unwrap().to_str().unwrap();
    let (network, source) = name.split_once('@').unwrap();
    let kind: BackboneKind = network.parse().unwrap();
    let reference = WeightFile::open(case.join("reference")).unwrap();
    let values = |name| reference.get(name, reference.shape(name).unwrap()).unwrap();
    let layers = kind.layers();
    let last_map = layers.iter().rfind(|layer| layer.shape.regions() > 1).unwrap();
    let last = layers.last().unwrap();
    let mut wrong = 0;
    for path in files_in(case).iter().filter(|path| !path.ends_with("reference")) {
        let file = WeightFile::open(path).unwrap();
        let load = |layer: &str| Backbone::load(kind, &file, Some(layer), &Cpu::default());
        let (map, logits) = match (load(&last_map.name), load(&last.name)) {
            (Ok(map), Ok(logits)) => (map, logits),
            (Err(error), _) | (_, Err(error)) => {
                eprintln!("{network:20}  {source:15}  {error}");
                wrong += 1;
                continue;
            }
        };
        let pixels = pixels(map.preprocessing(), images);
        let off = largest_difference(&pixels, &values("inputs"));
        let size = map.preprocessing().size as usize;
        let run = |network: &Backbone<Cpu>| {
            let images: Images<Cpu> =
                Cpu::default().tensor_from_vec(pixels.clone(), (images.len(), size, size, 3));
            network.forward(images).unwrap().as_vec()
        };
        let (map, logits) = (run(&map), run(&logits));
        let (maps, outputs) = (values("grid"), values("logits"));
        let cosine = least_cosine(&map, &maps, images.len());
        let difference = difference_between_images(&map, &maps, images.len());
        let of_logits = least_cosine(&logits, &outputs, images.len());
        let same = (0..images.len())
            .filter(|&image| top(&logits, image, images.len()) == top(&outputs, image, images.len()))
            .count();
        let form = path
            .strip_prefix(case)
            .unwrap()
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        eprintln!(
            "{network:20}  {source:15}  {form:31}  {off:.1e}   {cosine:.7}  {difference:.1e}    {of_logits:.7}  {same} of {}",
            images.len()
        );
        let is_right =
            cosine >= LEAST_COSINE && of_logits >= LEAST_COSINE && same == images.len() && off < 2e-5;
        wrong += usize::from(!is_right);
    }
    wrong
}

/// All files within, in order.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(files_in(&path)),
            false => files.push(path),
        }
    }
    files.sort();
    files
}

fn pixels(preprocessing: &Preprocessing, images: &[PathBuf]) -> Vec<f32> {
    let mut pixels = vec![0.0; images.len() * preprocessing.pixels_len()];
    for (image, pixels) in images.iter().zip(pixels.chunks_mut(preprocessing.pixels_len())) {
        preprocessing.write_pixels(&image_io::decode(image).unwrap(), pixels);
    }
    pixels
}

/// Relative to the largest value.
fn largest_difference(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len(), "values of images");
    let scale = theirs.iter().fold(0_f32, |most, value| most.max(value.abs()));
    let differences = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f32::max) / scale
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn least_cosine(ours: &[f32], theirs: &[f32], images: usize) -> f64 {
    assert_eq!(ours.len(), theirs.len(), "values of a map");
    let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
    let length = ours.len() / images;
    let pairs = ours.chunks(length).zip(theirs.chunks(length));
    pairs
        .map(|(ours, theirs)| cosine(&wide(ours), &wide(theirs)))
        .fold(1.0, f64::min)
}

/// The distance of both, relative to how much the images differ from their mean: a cosine hides that in maps which are alike
/// for all images.
fn difference_between_images(ours: &[f32], theirs: &[f32], images: usize) -> f64 {
    let length = theirs.len() / images;
    let mean = |at: usize| {
        (0..images)
            .map(|image| f64::from(theirs[image * length + at]))
            .sum::<f64>()
            / images as f64
    };
    let means: Vec<f64> = (0..length).map(mean).collect();
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let apart = square(
        &mut ours
            .iter()
            .zip(theirs)
            .map(|(a, b)| f64::from(*a) - f64::from(*b)),
    );
    let spread = square(
        &mut theirs
            .iter()
            .enumerate()
            .map(|(at, value)| f64::from(*value) - means[at % length]),
    );
    (apart / spread).sqrt()
}

fn top(values: &[f32], image: usize, images: usize) -> Vec<usize> {
    let values = &values[image * values.len() / images..(image + 1) * values.len() / images];
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    order.truncate(5);
    order
}
