//! The work of the goals: how fast, and in how much of the GPU's memory. PyTorch does the same beside it
//! (`scripts/gpu_check_torch.py`) where `python3` has it.
//!
//! Each work has a process of its own, so that nobody's memory is counted twice.

use super::features::{backbone, file_of, images};
use super::found::{Failure, Told, numbers, places};
use cutline::decoders::{CaptionBatch, DecoderKind, DecoderSettings, DecoderShape, Regularization, build};
use cutline::nn::{Adam, AdamSettings, Backend, Images, random_stream};
use cutline::vision::backbones::{Backbone, BackboneKind, FeatureKind};
use cutline::vision::image_io;
use dfdx::prelude::*;
use rayon::prelude::*;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

/// The script that has PyTorch do the same; `scripts/gpu-check` names it.
const PEER: &str = "CUTLINE_GPU_PEER";

const HIDDEN: usize = 512;
const WORDS: usize = 7337;
const CHANNELS: usize = 512;

/// How much is done.
struct Size {
    /// Of a batch.
    images: usize,
    /// Of a batch.
    captions: usize,
    /// Rounds that come before the clock runs.
    warm_up: usize,
    most_rounds: usize,
}

#[cfg(feature = "cuda")]
const SIZE: Size = Size {
    images: 64,
    captions: 256,
    warm_up: 3,
    most_rounds: 1000,
};

/// Of a dry run, whose figures say nothing.
#[cfg(not(feature = "cuda"))]
const SIZE: Size = Size {
    images: 2,
    captions: 8,
    warm_up: 1,
    most_rounds: 1,
};

/// A work, what is counted in a second, and how many times as fast as PyTorch it is to be.
const WORKS: [(&str, &str, f64); 5] = [
    ("vgg16", "images", 1.0),
    ("vgg16_from_jpeg", "images", 1.0),
    ("mobilenet_v2", "images", 0.8),
    ("merge", "tokens", 1.0),
    ("inject", "tokens", 1.0),
];

/// What a process says of its work.
#[derive(Clone, Copy)]
struct Figures {
    per_second: f64,
    /// Of the GPU's memory.
    mebibytes: f64,
}

/// Prints the table.
pub(crate) fn all() -> Result<(), Failure> {
    println!("| work | Cutline | PyTorch | ratio | goal | MiB | PyTorch's MiB |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for (work, unit, goal) in WORKS {
        let ours = figures(Command::new(std::env::current_exe()?).args(["bench", work]));
        let theirs =
            std::env::var_os(PEER).and_then(|peer| figures(Command::new("python3").arg(peer).arg(work)));
        let rate = |figures: Option<Figures>| {
            figures.map_or("not measured".into(), |figures| {
                format!("{:.0} {unit}/s", figures.per_second)
            })
        };
        let memory = |figures: Option<Figures>| {
            figures.map_or("-".into(), |figures| format!("{:.0}", figures.mebibytes))
        };
        let ratio = ours
            .zip(theirs)
            .map(|(ours, theirs)| ours.per_second / theirs.per_second);
        println!(
            "| {work} | {} | {} | {} | {goal:.1} | {} | {} |",
            rate(ours),
            rate(theirs),
            ratio.map_or("-".into(), |ratio| format!("{ratio:.2}")),
            memory(ours),
            memory(theirs),
        );
    }
    Ok(())
}

/// What a process that has done some work says of it in its last line: a rate and mebibytes.
fn figures(command: &mut Command) -> Option<Figures> {
    let output = command.output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    let mut words = last.split_whitespace().map(str::parse);
    match (words.next(), words.next()) {
        (Some(Ok(per_second)), Some(Ok(mebibytes))) if output.status.success() => Some(Figures {
            per_second,
            mebibytes,
        }),
        _ => {
            let errors = String::from_utf8_lossy(&output.stderr);
            println!("     {last} {}", errors.lines().last().unwrap_or_default());
            None
        }
    }
}

/// Does one work and prints its figures.
pub(crate) fn one<D: Backend>(work: &str, device: &D) -> Result<(), Failure> {
    let before = memory_used();
    let per_second = match work {
        "vgg16" => pixels(device, BackboneKind::Vgg16, 20),
        "mobilenet_v2" => pixels(device, BackboneKind::MobileNetV2, 40),
        "vgg16_from_jpeg" => from_jpeg(device, BackboneKind::Vgg16, 30),
        "merge" => training(device, DecoderKind::Merge, 40),
        "inject" => training(device, DecoderKind::Inject, 40),
        other => Err(format!("there is no work called {other}").into()),
    }?;
    println!("{per_second} {}", memory_used() - before);
    Ok(())
}

/// Mebibytes of the first GPU that are in use, as its driver says; none where it says nothing.
fn memory_used() -> f64 {
    let query = ["--query-gpu=memory.used", "--format=csv,noheader,nounits"];
    let said = Command::new("nvidia-smi").args(query).output();
    let text = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned());
    let text = text.unwrap_or_default();
    text.lines()
        .next()
        .and_then(|line| line.trim().parse().ok())
        .unwrap_or_default()
}

/// How much of something `work`, which counts it, does in a second.
fn rate<D: Backend>(
    device: &D,
    rounds: usize,
    mut work: impl FnMut() -> Result<usize, Failure>,
) -> Result<f64, Failure> {
    for _ in 0..SIZE.warm_up {
        work()?;
    }
    wait_for(device)?;
    let since = Instant::now();
    let mut count = 0;
    for _ in 0..rounds.min(SIZE.most_rounds) {
        count += work()?;
    }
    wait_for(device)?;
    Ok(count as f64 / since.elapsed().as_secs_f64())
}

/// A device does what it is told in turn: a number that goes there and comes back has waited for all else.
fn wait_for<D: Backend>(device: &D) -> Result<(), Failure> {
    let number: Tensor<(usize,), f32, D> = device.try_tensor_from_vec(vec![0.0], (1,)).or_fail()?;
    number.as_vec();
    Ok(())
}

fn published<D: Backend>(device: &D, kind: BackboneKind) -> Result<Backbone<D>, Failure> {
    let file = file_of(kind).ok_or("CUTLINE_WEIGHTS names no folder with its weights")?;
    backbone(device, kind, &file)
}

fn features<D: Backend>(device: &D, backbone: &Backbone<D>, pixels: Vec<f32>) -> Result<usize, Failure> {
    let size = backbone.preprocessing().size as usize;
    let images = pixels.len() / backbone.preprocessing().pixels_len();
    let pixels: Images<D> = device
        .try_tensor_from_vec(pixels, (images, size, size, 3))
        .or_fail()?;
    // Reading them waits for the device.
    backbone.features(pixels, FeatureKind::Pooled)?.as_vec();
    Ok(images)
}

/// Images that are decoded already.
fn pixels<D: Backend>(device: &D, kind: BackboneKind, rounds: usize) -> Result<f64, Failure> {
    let backbone = published(device, kind)?;
    let images = numbers("images", SIZE.images * backbone.preprocessing().pixels_len());
    rate(device, rounds, || features(device, &backbone, images.clone()))
}

/// From files: batches are decoded on all threads while the device is at work on those before.
fn from_jpeg<D: Backend>(device: &D, kind: BackboneKind, batches: usize) -> Result<f64, Failure> {
    let backbone = published(device, kind)?;
    let folder = images().ok_or("CUTLINE_FLICKR8K names no folder with images")?;
    let files: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_, Failure>>()?;
    let preprocessing = backbone.preprocessing().clone();
    let (sender, receiver) = sync_channel(2);
    std::thread::scope(|threads| {
        threads.spawn(move || {
            for batch in files
                .chunks(SIZE.images)
                .cycle()
                .take(batches.min(SIZE.most_rounds) + SIZE.warm_up)
            {
                let pixels = decoded(batch, &preprocessing);
                if sender.send(pixels).is_err() {
                    return;
                }
            }
        });
        rate(device, batches, || features(device, &backbone, receiver.recv()??))
    })
}

fn decoded(
    files: &[PathBuf],
    preprocessing: &cutline::vision::preprocess::Preprocessing,
) -> Result<Vec<f32>, Failure> {
    let len = preprocessing.pixels_len();
    let mut pixels = vec![0.0; files.len() * len];
    files
        .par_iter()
        .zip(pixels.par_chunks_mut(len))
        .try_for_each(|(file, pixels)| {
            preprocessing.write_pixels(&image_io::decode(file)?, pixels);
            Ok::<_, Failure>(())
        })?;
    Ok(pixels)
}

/// Tokens a second of whole steps of training.
fn training<D: Backend>(device: &D, kind: DecoderKind, rounds: usize) -> Result<f64, Failure> {
    let settings = DecoderSettings {
        kind,
        hidden_size: HIDDEN,
        embedding_size: HIDDEN,
        dropout: 0.5,
        ..DecoderSettings::default()
    };
    let shape = DecoderShape {
        channels: CHANNELS,
        vocabulary: WORDS,
    };
    let mut decoder = build(device, &settings, shape, &mut random_stream(1, "weights", 0)).or_fail()?;
    let mut adam = Adam::new(AdamSettings::default(), decoder.parameters()).or_fail()?;
    let batch = captions();
    let images = numbers("images", SIZE.captions * CHANNELS);
    rate(device, rounds, || {
        let regions = device
            .try_tensor_from_vec(images.clone(), (SIZE.captions, 1, CHANNELS))
            .or_fail()?;
        let mut stream = random_stream(1, "dropout", 0);
        let regularization = Regularization {
            label_smoothing: 0.1,
            dropout: 0.5,
            ..Regularization::none(&mut stream)
        };
        let loss = decoder
            .training_loss(regions.leaky_trace(), &batch, regularization)
            .or_fail()?;
        let mut gradients = loss.try_backward().or_fail()?;
        adam.update(decoder.parameters_mut(), &mut gradients, 1e-3)
            .or_fail()?;
        Ok(batch.tokens())
    })
}

/// Captions of 7 to 14 words: 11.5 tokens in the mean, end markers included, as Flickr8k's.
fn captions() -> CaptionBatch {
    let captions: Vec<Vec<u32>> = (0..SIZE.captions)
        .map(|caption| {
            places("words", 7 + caption % 8, WORDS - 4)
                .into_iter()
                .map(|word| word as u32 + 4)
                .collect()
        })
        .collect();
    CaptionBatch::new(captions.iter().map(Vec::as_slice).enumerate())
}
